/**
 * What a node needs of public-key cryptography, as one thing that can be put in its place: keys
 * that are made and opened again, certificates, wrapping, verification. `systemKeys` is what ships;
 * a simulation has a stand-in that is deterministic and answers at once.
 */
import type { Signer } from '../base/environment.ts';
import {
  certificateRequest,
  endorsedAuthority,
  endorsedCertificate,
  selfSignedCertificate,
  serviceCertificate,
  type Validity,
} from './certificates.ts';
import { type CurveName, SigningKey, UnwrappingKey, wrapTo } from './keys.ts';
import type { Verifier } from './verifier.ts';
import { nodeVerifier } from './verifier-node.ts';

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

/** Encrypts a secret to the owner of a public key. */
export type Wrap = (publicKeyPem: string, secret: Uint8Array) => Uint8Array;

export interface Issuer {
  readonly key: HeldSigningKey;
  readonly certificatePem: string;
}

/** The functions of `certificates.ts` that make something with a private key. */
export interface CertificateMaker {
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
  endorsedAuthority(
    publicKeyDer: Uint8Array,
    subject: string,
    validity: Validity,
    issuer: Issuer,
  ): Promise<string>;
  certificateRequest(
    key: HeldSigningKey,
    subject: string,
    hosts: readonly string[],
  ): Promise<string>;
}

export interface KeySource extends CertificateMaker {
  generateSigningKey(curve: CurveName): HeldSigningKey;
  openSigningKey(pkcs8: Uint8Array): HeldSigningKey;
  generateUnwrappingKey(): HeldUnwrappingKey;
  openUnwrappingKey(pkcs8: Uint8Array): HeldUnwrappingKey;
  readonly wrapTo: Wrap;
  readonly verifier: Verifier;
}

/** Node's own cryptography. */
export const systemKeys: KeySource = {
  generateSigningKey: (curve) => SigningKey.generate(curve),
  openSigningKey: (pkcs8) => SigningKey.fromPkcs8(pkcs8),
  generateUnwrappingKey: () => UnwrappingKey.generate(),
  openUnwrappingKey: (pkcs8) => UnwrappingKey.fromPkcs8(pkcs8),
  wrapTo,
  verifier: nodeVerifier,
  serviceCertificate: (key, ...rest) => serviceCertificate(signingKeyOf(key), ...rest),
  selfSignedCertificate: (key, ...rest) => selfSignedCertificate(signingKeyOf(key), ...rest),
  endorsedCertificate: (key, subject, hosts, validity, issuer) => {
    const whole = { ...issuer, key: signingKeyOf(issuer.key) };
    return endorsedCertificate(key, subject, hosts, validity, whole);
  },
  endorsedAuthority: (key, subject, validity, issuer) => {
    const whole = { ...issuer, key: signingKeyOf(issuer.key) };
    return endorsedAuthority(key, subject, validity, whole);
  },
  certificateRequest: (key, ...rest) => certificateRequest(signingKeyOf(key), ...rest),
};

function signingKeyOf(key: HeldSigningKey): SigningKey {
  return key instanceof SigningKey ? key : SigningKey.fromPkcs8(key.pkcs8());
}
