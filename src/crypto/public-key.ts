/**
 * Public keys as certificates carry them: SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7). Read by
 * our own code so that every verifier accepts and refuses the same ones. Runs in a browser.
 */
import { CodedError } from '../base/errors.ts';
import {
  bitStringBytes,
  DER_BIT_STRING,
  DER_INTEGER,
  DER_OID,
  DerReader,
  oidText,
  unsignedBytes,
} from './der.ts';

export type CurveName = 'P-256' | 'P-384' | 'P-521';

export type PublicKeyInfo =
  | { readonly kind: 'ec'; readonly curve: CurveName; readonly point: Uint8Array }
  | { readonly kind: 'rsa'; readonly bits: number };

/** Bytes of a coordinate. */
export const COORDINATE_BYTES: Readonly<Record<CurveName, number>> = {
  'P-256': 32,
  'P-384': 48,
  'P-521': 66,
};

/** What COSE calls signatures by a key of each curve, and how they hash (RFC 9053 §2.1). */
export const COSE_BY_CURVE = {
  'P-256': { algorithm: 'ES256', hash: 'SHA-256' },
  'P-384': { algorithm: 'ES384', hash: 'SHA-384' },
  'P-521': { algorithm: 'ES512', hash: 'SHA-512' },
} as const;

const OID_EC = '1.2.840.10045.2.1';
const OID_RSA = '1.2.840.113549.1.1.1';
const CURVES: Readonly<Record<string, CurveName>> = {
  '1.2.840.10045.3.1.7': 'P-256',
  '1.3.132.0.34': 'P-384',
  '1.3.132.0.35': 'P-521',
};
/** Below 2048 bits a key proves nothing any more; beyond 16384 it only costs time. */
const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 16_384;

/** What key this is; throws `BadKey` when it is none that is accepted here. */
export function readPublicKey(spkiDer: Uint8Array): PublicKeyInfo {
  try {
    const outer = new DerReader(spkiDer);
    const info = outer.enter();
    outer.end();
    const algorithm = info.enter();
    const bits = bitStringBytes(info.expect(DER_BIT_STRING).content);
    info.end();
    const oid = oidText(algorithm.expect(DER_OID).content);
    if (oid === OID_EC) return ecKey(oidText(algorithm.expect(DER_OID).content), bits);
    if (oid === OID_RSA) return rsaKey(bits);
    throw badKey(`its algorithm is ${oid}; known are elliptic curve and RSA keys`);
  } catch (thrown) {
    if (thrown instanceof CodedError && thrown.code === 'BadDer') {
      throw badKey(thrown.message, thrown);
    }
    throw thrown;
  }
}

function ecKey(curveOid: string, point: Uint8Array): PublicKeyInfo {
  const curve = CURVES[curveOid];
  if (curve === undefined)
    throw badKey(`its curve is ${curveOid}; known are P-256, -384, -521`);
  if (point[0] !== 4 || point.length !== 1 + 2 * COORDINATE_BYTES[curve]) {
    throw badKey(`its point is not an uncompressed one of ${curve}`);
  }
  return { kind: 'ec', curve, point };
}

function rsaKey(encoded: Uint8Array): PublicKeyInfo {
  const outer = new DerReader(encoded);
  const inner = outer.enter();
  outer.end();
  const modulus = unsignedBytes(inner.expect(DER_INTEGER).content);
  unsignedBytes(inner.expect(DER_INTEGER).content);
  inner.end();
  const bits = modulus.length * 8 - Math.clz32(modulus[0] ?? 0) + 24;
  if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
    throw badKey(`it has ${bits} bits; accepted are ${RSA_BITS_MIN} to ${RSA_BITS_MAX}`);
  }
  return { kind: 'rsa', bits };
}

/** The error for a key that cannot be used. */
export function badKey(why: string, cause?: unknown): CodedError {
  return new CodedError('BadKey', `this public key cannot be used: ${why}`, {}, { cause });
}
