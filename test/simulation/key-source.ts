// What a node needs of public-key cryptography, as one thing that can be put in its place: keys
// that are made and opened again, certificates, wrapping, verification. `real-keys.ts` is what
// ships; `stand-in-keys.ts` is deterministic and answers at once.

import type { Signer } from '../../src/base/environment.ts';
import type { Validity } from '../../src/crypto/certificates.ts';
import type { CurveName } from '../../src/crypto/keys.ts';
import type { Verifier } from '../../src/crypto/verifier.ts';

/** A signing key pair as its owner holds it; `SigningKey` is one. */
export interface HeldSigningKey extends Signer {
  /** Lowercase hex SHA-256 of the public key: a node's id. */
  readonly fingerprint: string;
  readonly curve: CurveName;
  /** Bytes that are about to be sealed. */
  pkcs8(): Uint8Array;
  privateKeyPem(): string;
}

/** A key pair to which secrets are encrypted; `UnwrappingKey` is one. */
export interface HeldUnwrappingKey {
  readonly publicKeyPem: string;
  pkcs8(): Uint8Array;
  unwrap(wrapped: Uint8Array): Uint8Array;
}

export interface Issuer {
  readonly key: HeldSigningKey;
  readonly certificatePem: string;
}

export interface KeySource {
  generateSigningKey(curve: CurveName): HeldSigningKey;
  openSigningKey(pkcs8: Uint8Array): HeldSigningKey;
  generateUnwrappingKey(): HeldUnwrappingKey;
  openUnwrappingKey(pkcs8: Uint8Array): HeldUnwrappingKey;
  /** Encrypts a secret to the owner of a public key. */
  wrapTo(publicKeyPem: string, secret: Uint8Array): Uint8Array;
  readonly verifier: Verifier;
  serviceCertificate(key: HeldSigningKey, subject: string, validity: Validity): Promise<string>;
  selfSignedCertificate(
    key: HeldSigningKey,
    subject: string,
    validity: Validity,
    hosts?: readonly string[],
  ): Promise<string>;
  endorsedCertificate(
    publicKeyDer: Uint8Array,
    subject: string,
    hosts: readonly string[],
    validity: Validity,
    issuer: Issuer,
  ): Promise<string>;
  certificateRequest(
    key: HeldSigningKey,
    subject: string,
    hosts: readonly string[],
  ): Promise<string>;
}
