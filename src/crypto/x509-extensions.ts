/**
 * The extensions of certificates that judging a chain asks for (RFC 5280 §4.2.1). Runs in a
 * browser.
 */
import { CodedError, isCoded } from '../base/errors.ts';
import {
  DER_BIT_STRING,
  DER_BOOLEAN,
  DER_INTEGER,
  DER_OID,
  DerReader,
  oidText,
  unsignedBytes,
} from './der.ts';
import type { Certificate } from './x509.ts';

export const OID_KEY_USAGE = '2.5.29.15';
export const OID_BASIC_CONSTRAINTS = '2.5.29.19';
export const OID_EXTENDED_KEY_USAGE = '2.5.29.37';

/** Bits of KeyUsage, counted from the first. */
export const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, crlSign: 6 } as const;

/** The value of an extension, or undefined if the certificate has none of that kind. */
export function extensionValue(certificate: Certificate, oid: string): Uint8Array | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid)?.value;
}

/**
 * Whether the key may be used so. A certificate without the extension allows everything, one whose
 * extension cannot be read nothing.
 */
export function mayBeUsedFor(certificate: Certificate, usage: keyof typeof KEY_USAGE): boolean {
  const value = extensionValue(certificate, OID_KEY_USAGE);
  if (value === undefined) return true;
  const bits = bitStringIn(value);
  const at = KEY_USAGE[usage];
  return ((bits[1 + Math.floor(at / 8)] ?? 0) & (0x80 >> (at % 8))) !== 0;
}

function bitStringIn(value: Uint8Array): Uint8Array {
  try {
    return new DerReader(value).expect(DER_BIT_STRING).content;
  } catch (thrown) {
    if (isCoded(thrown, 'BadDer')) return new Uint8Array(0);
    throw thrown;
  }
}

/** How many authorities may stand between this one and a leaf; undefined: as many as like. */
export function pathLengthMax(certificate: Certificate): number | undefined {
  const value = extensionValue(certificate, OID_BASIC_CONSTRAINTS);
  if (value === undefined) return undefined;
  const constraints = new DerReader(value).enter();
  if (constraints.peek() === DER_BOOLEAN) constraints.next();
  return constraints.done ? undefined : smallInteger(constraints.expect(DER_INTEGER).content);
}

/** Object identifiers of ExtendedKeyUsage; empty without the extension. */
export function extendedKeyUsages(certificate: Certificate): readonly string[] {
  const value = extensionValue(certificate, OID_EXTENDED_KEY_USAGE);
  if (value === undefined) return [];
  const list = new DerReader(value).enter();
  const usages: string[] = [];
  while (!list.done) usages.push(oidText(list.expect(DER_OID).content));
  return usages;
}

/** Critical extensions that are not among the known ones: whoever meets one must refuse. */
export function unknownCritical(
  certificate: Certificate,
  known: readonly string[],
): readonly string[] {
  return certificate.extensions
    .filter(({ oid, critical }) => critical && !known.includes(oid))
    .map(({ oid }) => oid);
}

/** The number of an INTEGER's content below 2^24. Throws `BadDer`. */
export function smallInteger(content: Uint8Array): number {
  const bytes = unsignedBytes(content);
  if (bytes.length > 3) throw new CodedError('BadDer', 'an integer is too great here');
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}
