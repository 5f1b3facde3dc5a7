/**
 * ECDSA over a given digest. Neither Node nor Web Crypto takes one, so this goes through
 * @noble/curves. Hot paths avoid it: a Merkle root is SHA-256 of its children, which are a message.
 */
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { fixedSizeSignature } from './der.ts';
import { badKey, COORDINATE_BYTES, type CurveName, readPublicKey } from './public-key.ts';
import type { EcdsaDigestCheck } from './verifier.ts';

const CURVES = { 'P-256': p256, 'P-384': p384, 'P-521': p521 } as const;

/** Whether the signature is over this digest. Throws `BadKey`. */
export function verifyEcdsaDigest(check: EcdsaDigestCheck): boolean {
  const key = readPublicKey(check.publicKeyDer);
  if (key.kind !== 'ec') throw badKey('an ECDSA signature needs an elliptic curve key');
  const curve = CURVES[key.curve];
  try {
    curve.Point.fromBytes(key.point).assertValidity();
  } catch (cause) {
    throw badKey(`its point is not on ${key.curve}`, cause);
  }
  const signature = rawSignature(check.signature, check.encoding, key.curve);
  if (signature === undefined) return false;
  try {
    const options = { prehash: false, lowS: false } as const;
    return curve.verify(signature, check.digest, key.point, options);
  } catch {
    return false;
  }
}

/** r ‖ s in the curve's size; undefined when the signature has not this encoding. */
export function rawSignature(
  signature: Uint8Array,
  encoding: 'der' | 'raw',
  curve: CurveName,
): Uint8Array | undefined {
  const size = COORDINATE_BYTES[curve];
  if (encoding === 'der') return fixedSizeSignature(signature, size);
  return signature.length === 2 * size ? signature : undefined;
}
