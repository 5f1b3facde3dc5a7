/** `Verifier` over Web Crypto, for browsers. Nothing here is Node's. */
import { rawSignature, verifyEcdsaDigest } from './ecdsa-digest.ts';
import { badKey, type CurveName, readPublicKey } from './public-key.ts';
import type {
  EcdsaCheck,
  EcdsaDigestCheck,
  HashName,
  RsaCheck,
  RsaPssCheck,
  Verifier,
} from './verifier.ts';

type ImportAlgorithm = Parameters<typeof crypto.subtle.importKey>[2];

/** Web Crypto takes bytes of plain memory only. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(bytes);
}

async function importKey(
  publicKeyDer: Uint8Array,
  algorithm: ImportAlgorithm,
): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey('spki', plain(publicKeyDer), algorithm, false, [
      'verify',
    ]);
  } catch (cause) {
    throw badKey('it does not load', cause);
  }
}

function curveOf(publicKeyDer: Uint8Array): CurveName {
  const info = readPublicKey(publicKeyDer);
  if (info.kind !== 'ec') throw badKey('an ECDSA signature needs an elliptic curve key');
  return info.curve;
}

async function rsaKey(
  publicKeyDer: Uint8Array,
  name: 'RSA-PSS' | 'RSASSA-PKCS1-v1_5',
  hash: HashName,
): Promise<CryptoKey> {
  if (readPublicKey(publicKeyDer).kind !== 'rsa')
    throw badKey('an RSA signature needs an RSA key');
  return await importKey(publicKeyDer, { name, hash });
}

export const webVerifier: Verifier = {
  hash: async (name, bytes) => new Uint8Array(await crypto.subtle.digest(name, plain(bytes))),

  ecdsa: async ({ publicKeyDer, signature, encoding, hash, message }: EcdsaCheck) => {
    const curve = curveOf(publicKeyDer);
    const key = await importKey(publicKeyDer, { name: 'ECDSA', namedCurve: curve });
    const raw = rawSignature(signature, encoding, curve);
    if (raw === undefined) return false;
    const algorithm = { name: 'ECDSA', hash };
    return await crypto.subtle.verify(algorithm, key, plain(raw), plain(message));
  },

  ecdsaDigest: async (check: EcdsaDigestCheck) => verifyEcdsaDigest(check),

  rsaPss: async ({ publicKeyDer, signature, hash, message, saltLength }: RsaPssCheck) => {
    const key = await rsaKey(publicKeyDer, 'RSA-PSS', hash);
    const algorithm = { name: 'RSA-PSS', saltLength };
    return await crypto.subtle.verify(algorithm, key, plain(signature), plain(message));
  },

  rsaPkcs1: async ({ publicKeyDer, signature, hash, message }: RsaCheck) => {
    const key = await rsaKey(publicKeyDer, 'RSASSA-PKCS1-v1_5', hash);
    const algorithm = { name: 'RSASSA-PKCS1-v1_5' };
    return await crypto.subtle.verify(algorithm, key, plain(signature), plain(message));
  },
};
