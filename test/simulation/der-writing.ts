// Writes the little DER (ITU-T X.690) that stand-in certificates are made of.

import { concatBytes } from '../../src/base/bytes.ts';
import {
  DER_BIT_STRING,
  DER_BOOLEAN,
  DER_GENERALIZED_TIME,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_SEQUENCE,
} from '../../src/crypto/der.ts';

const DER_SET = 0x31;
const DER_UTF8 = 0x0c;

export function derItem(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(...contents);
  const { length } = content;
  if (length < 0x80) return concatBytes(Uint8Array.of(tag, length), content);
  const digits = length < 0x100 ? [length] : [length >> 8, length & 0xff];
  return concatBytes(Uint8Array.of(tag, 0x80 + digits.length, ...digits), content);
}

export const derSequence = (...items: readonly Uint8Array[]): Uint8Array =>
  derItem(DER_SEQUENCE, ...items);

/** A whole number that is not negative, from its bytes. */
export function derUnsigned(bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex((byte) => byte !== 0);
  const digits = start < 0 ? Uint8Array.of(0) : bytes.subarray(start);
  const sign = (digits[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array();
  return derItem(DER_INTEGER, sign, digits);
}

export function derOid(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift(0x80 | (left & 0x7f));
    return digits;
  });
  return derItem(DER_OID, Uint8Array.from(bytes));
}

export const derBits = (bytes: Uint8Array): Uint8Array =>
  derItem(DER_BIT_STRING, Uint8Array.of(0), bytes);

export const derOctets = (bytes: Uint8Array): Uint8Array => derItem(DER_OCTET_STRING, bytes);

export const derTrue = (): Uint8Array => derItem(DER_BOOLEAN, Uint8Array.of(0xff));

export function derTime(atMs: number): Uint8Array {
  const digits = new Date(atMs).toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return derItem(DER_GENERALIZED_TIME, Buffer.from(`${digits}Z`));
}

/** A distinguished name of one common name, given as `CN=…`. */
export function derName(subject: string): Uint8Array {
  const value = Buffer.from(subject.replace(/^CN=/, ''));
  return derSequence(
    derItem(DER_SET, derSequence(derOid('2.5.4.3'), derItem(DER_UTF8, value))),
  );
}
