// The cryptography that ships, for the few seeds that run with it. What it does on the thread pool
// is counted while it is under way, so that virtual time waits for it.

import {
  type HeldSigningKey,
  type KeySource,
  systemKeys,
} from '../../src/crypto/key-source.ts';
import type { Verifier } from '../../src/crypto/verifier.ts';

/** Runs something that ends in real time, and keeps virtual time from going on before it does. */
export type Outside = <Result>(work: Promise<Result>) => Promise<Result>;

export function realKeys(outside: Outside): KeySource {
  return {
    ...systemKeys,
    generateSigningKey: (curve) => watchedKey(systemKeys.generateSigningKey(curve), outside),
    openSigningKey: (pkcs8) => watchedKey(systemKeys.openSigningKey(pkcs8), outside),
    verifier: watchedVerifier(systemKeys.verifier, outside),
    serviceCertificate: (...args) => outside(systemKeys.serviceCertificate(...args)),
    selfSignedCertificate: (...args) => outside(systemKeys.selfSignedCertificate(...args)),
    endorsedCertificate: (...args) => outside(systemKeys.endorsedCertificate(...args)),
    certificateRequest: (...args) => outside(systemKeys.certificateRequest(...args)),
  };
}

function watchedKey(key: HeldSigningKey, outside: Outside): HeldSigningKey {
  const { algorithm, publicKeyDer, fingerprint, curve } = key;
  return {
    ...{ algorithm, publicKeyDer, fingerprint, curve },
    pkcs8: () => key.pkcs8(),
    privateKeyPem: () => key.privateKeyPem(),
    sign: (message) => outside(key.sign(message)),
    signSha256Der: (message) => key.signSha256Der(message),
  };
}

function watchedVerifier(verifier: Verifier, outside: Outside): Verifier {
  return {
    hash: (name, bytes) => outside(verifier.hash(name, bytes)),
    ecdsa: (check) => outside(verifier.ecdsa(check)),
    ecdsaDigest: (check) => outside(verifier.ecdsaDigest(check)),
    rsaPss: (check) => outside(verifier.rsaPss(check)),
    rsaPkcs1: (check) => outside(verifier.rsaPkcs1(check)),
  };
}
