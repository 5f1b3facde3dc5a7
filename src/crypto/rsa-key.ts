/**
 * RSA public keys as numbers, the way JSON Web Keys carry them (RFC 7518 §6.3.1), and as
 * SubjectPublicKeyInfo (RFC 8017 §A.1.1). Runs in a browser.
 */
import { join, sameBytes } from '../base/portable-bytes.ts';
import {
  bitStringBytes,
  DER_BIT_STRING,
  DER_INTEGER,
  DER_SEQUENCE,
  DerReader,
  unsignedBytes,
} from './der.ts';
import { badKey, readPublicKey } from './public-key.ts';

export interface RsaNumbers {
  /** Big-endian, without leading zeros. */
  readonly modulus: Uint8Array;
  readonly exponent: Uint8Array;
}

/** AlgorithmIdentifier of rsaEncryption with its NULL parameters. */
const RSA_ALGORITHM = Uint8Array.from([
  ...[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7],
  ...[0x0d, 0x01, 0x01, 0x01, 0x05, 0x00],
]);

/** SubjectPublicKeyInfo of an RSA key; throws `BadKey` when it is none that is accepted. */
export function rsaSpki({ modulus, exponent }: RsaNumbers): Uint8Array {
  const numbers = item(DER_SEQUENCE, integer(modulus), integer(exponent));
  const spki = item(
    DER_SEQUENCE,
    RSA_ALGORITHM,
    item(DER_BIT_STRING, Uint8Array.of(0), numbers),
  );
  readPublicKey(spki);
  return spki;
}

/** The numbers of an RSA key; throws `BadKey` for any other. */
export function rsaNumbers(spkiDer: Uint8Array): RsaNumbers {
  if (readPublicKey(spkiDer).kind !== 'rsa') throw badKey('it is not an RSA key');
  const info = new DerReader(spkiDer).enter();
  info.next();
  const inner = new DerReader(bitStringBytes(info.expect(DER_BIT_STRING).content)).enter();
  const modulus = unsignedBytes(inner.expect(DER_INTEGER).content);
  const exponent = unsignedBytes(inner.expect(DER_INTEGER).content);
  return { modulus, exponent };
}

/** Whether two keys are the same, whatever else their encodings carry. */
export function sameRsaKey(left: RsaNumbers, right: RsaNumbers): boolean {
  return sameBytes(left.modulus, right.modulus) && sameBytes(left.exponent, right.exponent);
}

function integer(unsigned: Uint8Array): Uint8Array {
  let from = 0;
  while (from < unsigned.length - 1 && unsigned[from] === 0) from += 1;
  const shortest = unsigned.subarray(from);
  const isHigh = (shortest[0] ?? 0) >= 0x80;
  return item(DER_INTEGER, isHigh ? join(Uint8Array.of(0), shortest) : shortest);
}

function item(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = join(...parts);
  const { length } = content;
  if (length < 0x80) return join(Uint8Array.of(tag, length), content);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return join(Uint8Array.of(tag, 0x80 | bytes.length, ...bytes), content);
}
