// Writes DER, right or wrong as a test wants it: certificates and lists no library would make.

import { join, toUtf8 } from '../../src/base/portable-bytes.ts';

export function item(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = join(...contents);
  return join(Uint8Array.of(tag), lengthOf(content.length), content);
}

function lengthOf(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.of(0x80 | bytes.length, ...bytes);
}

export const sequence = (...contents: readonly Uint8Array[]): Uint8Array =>
  item(0x30, ...contents);
export const set = (...contents: readonly Uint8Array[]): Uint8Array => item(0x31, ...contents);
export const octets = (content: Uint8Array): Uint8Array => item(0x04, content);
export const bits = (content: Uint8Array): Uint8Array => item(0x03, Uint8Array.of(0), content);
export const nothing: Uint8Array = item(0x05);
export const truth: Uint8Array = item(0x01, Uint8Array.of(0xff));
export const explicit = (number: number, ...contents: readonly Uint8Array[]): Uint8Array =>
  item(0xa0 | number, ...contents);
export const utf8String = (text: string): Uint8Array => item(0x0c, toUtf8(text));
export const ia5String = (text: string): Uint8Array => item(0x16, toUtf8(text));

/** A non-negative integer. */
export function integer(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.unshift(rest % 256);
    rest = Math.floor(rest / 256);
  } while (rest > 0);
  if ((bytes[0] ?? 0) >= 0x80) bytes.unshift(0);
  return item(0x02, Uint8Array.from(bytes));
}

export function oid(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [40 * first + second, ...rest].flatMap((arc) => {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift(128 + (left % 128));
    }
    return digits;
  });
  return item(0x06, Uint8Array.from(bytes));
}

/** A time of four-digit years, which every reader must know beside the two-digit ones. */
export function time(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/\D/g, '').slice(0, 14);
  return item(0x18, toUtf8(`${digits}Z`));
}

/** A name of one common name, behind what AMD puts before it. */
export function name(commonName: string): Uint8Array {
  const attribute = (id: string, text: string): Uint8Array =>
    set(sequence(oid(id), utf8String(text)));
  return sequence(
    attribute('2.5.4.11', 'Engineering'),
    attribute('2.5.4.10', 'Not AMD, a test'),
    attribute('2.5.4.3', commonName),
  );
}
