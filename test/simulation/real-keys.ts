// The cryptography that ships, for the few seeds that run with it. What it does on the thread pool
// is counted while it is under way, so that virtual time waits for it.

import {
  certificateRequest,
  endorsedCertificate,
  selfSignedCertificate,
  serviceCertificate,
} from '../../src/crypto/certificates.ts';
import { SigningKey, UnwrappingKey, wrapTo } from '../../src/crypto/keys.ts';
import type { Verifier } from '../../src/crypto/verifier.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import type { HeldSigningKey, KeySource } from './key-source.ts';

/** Runs something that ends in real time, and keeps virtual time from going on before it does. */
export type Outside = <Result>(work: Promise<Result>) => Promise<Result>;

export function realKeys(outside: Outside): KeySource {
  return {
    generateSigningKey: (curve) => held(SigningKey.generate(curve), outside),
    openSigningKey: (pkcs8) => held(SigningKey.fromPkcs8(pkcs8), outside),
    generateUnwrappingKey: () => UnwrappingKey.generate(),
    openUnwrappingKey: (pkcs8) => UnwrappingKey.fromPkcs8(pkcs8),
    wrapTo,
    verifier: watched(nodeVerifier, outside),
    serviceCertificate: (key, ...rest) => outside(serviceCertificate(keyOf(key), ...rest)),
    selfSignedCertificate: (key, ...rest) =>
      outside(selfSignedCertificate(keyOf(key), ...rest)),
    endorsedCertificate: (key, subject, hosts, validity, issuer) => {
      const whole = { ...issuer, key: keyOf(issuer.key) };
      return outside(endorsedCertificate(key, subject, hosts, validity, whole));
    },
    certificateRequest: (key, ...rest) => outside(certificateRequest(keyOf(key), ...rest)),
  };
}

const keys = new WeakMap<HeldSigningKey, SigningKey>();

function held(key: SigningKey, outside: Outside): HeldSigningKey {
  const { algorithm, publicKeyDer, fingerprint, curve } = key;
  const watchedKey: HeldSigningKey = {
    ...{ algorithm, publicKeyDer, fingerprint, curve },
    pkcs8: () => key.pkcs8(),
    privateKeyPem: () => key.privateKeyPem(),
    sign: (message) => outside(key.sign(message)),
    signSha256Der: (message) => key.signSha256Der(message),
  };
  keys.set(watchedKey, key);
  return watchedKey;
}

function keyOf(key: HeldSigningKey): SigningKey {
  const real = keys.get(key);
  if (real === undefined) throw new TypeError('a real certificate needs a real key');
  return real;
}

function watched(verifier: Verifier, outside: Outside): Verifier {
  return {
    hash: (name, bytes) => outside(verifier.hash(name, bytes)),
    ecdsa: (check) => outside(verifier.ecdsa(check)),
    ecdsaDigest: (check) => outside(verifier.ecdsaDigest(check)),
    rsaPss: (check) => outside(verifier.rsaPss(check)),
    rsaPkcs1: (check) => outside(verifier.rsaPkcs1(check)),
  };
}
