/**
 * `Verifier` over `node:crypto`. Signatures are checked on Node's thread pool, so that several are
 * checked at once while the caller goes on hashing.
 */
import { constants, createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
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

interface EcKey {
  readonly curve: CurveName;
  readonly key: KeyObject;
}

/** Parsed keys, by the very bytes they were given in: an audit checks one key many times. */
const ecKeys = new WeakMap<Uint8Array, EcKey>();

function ecKey(publicKeyDer: Uint8Array): EcKey {
  const known = ecKeys.get(publicKeyDer);
  if (known !== undefined) return known;
  const info = readPublicKey(publicKeyDer);
  if (info.kind !== 'ec') throw badKey('an ECDSA signature needs an elliptic curve key');
  const made = { curve: info.curve, key: keyObject(publicKeyDer) };
  ecKeys.set(publicKeyDer, made);
  return made;
}

function rsaKey(publicKeyDer: Uint8Array): KeyObject {
  if (readPublicKey(publicKeyDer).kind !== 'rsa')
    throw badKey('an RSA signature needs an RSA key');
  return keyObject(publicKeyDer);
}

function keyObject(publicKeyDer: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(publicKeyDer), format: 'der', type: 'spki' });
  } catch (cause) {
    throw badKey('it does not load', cause);
  }
}

type VerifyKey = Parameters<typeof verify>[2];

function checkOnPool(
  name: HashName,
  message: Uint8Array,
  key: VerifyKey,
  signature: Uint8Array,
): Promise<boolean> {
  return new Promise((done) => {
    // An error here is a signature that cannot be one; the key has been loaded before.
    verify(name, message, key, signature, (error, good) => done(error === null && good));
  });
}

export const nodeVerifier: Verifier = {
  hash: async (name, bytes) => hash(name, bytes, 'buffer'),

  ecdsa: async ({ publicKeyDer, signature, encoding, hash: name, message }: EcdsaCheck) => {
    const { curve, key } = ecKey(publicKeyDer);
    const raw = rawSignature(signature, encoding, curve);
    if (raw === undefined) return false;
    return await checkOnPool(name, message, { key, dsaEncoding: 'ieee-p1363' }, raw);
  },

  ecdsaDigest: async (check: EcdsaDigestCheck) => verifyEcdsaDigest(check),

  rsaPss: async ({ publicKeyDer, signature, hash: name, message, saltLength }: RsaPssCheck) => {
    const key = rsaKey(publicKeyDer);
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    return await checkOnPool(name, message, { key, padding, saltLength }, signature);
  },

  rsaPkcs1: async ({ publicKeyDer, signature, hash: name, message }: RsaCheck) => {
    const key = rsaKey(publicKeyDer);
    const padding = constants.RSA_PKCS1_PADDING;
    return await checkOnPool(name, message, { key, padding }, signature);
  },
};
