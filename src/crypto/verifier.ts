/**
 * What verification needs of cryptography, and nothing else, so that the same verifying code runs
 * on Node and in a browser. `verifier-node.ts` and `verifier-web.ts` implement it, and agree.
 */

export type HashName = 'SHA-256' | 'SHA-384' | 'SHA-512';

interface SignatureCheck {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  readonly signature: Uint8Array;
}

interface EcdsaEncoding {
  /** `der`: a sequence of two integers; `raw`: r ‖ s of the curve's fixed size. */
  readonly encoding: 'der' | 'raw';
}

/** A signature over a message, which is hashed first. */
export interface EcdsaCheck extends SignatureCheck, EcdsaEncoding {
  readonly hash: HashName;
  readonly message: Uint8Array;
}

/** A signature over a digest that is given. */
export interface EcdsaDigestCheck extends SignatureCheck, EcdsaEncoding {
  readonly digest: Uint8Array;
}

export interface RsaCheck extends SignatureCheck {
  readonly hash: HashName;
  readonly message: Uint8Array;
}

export interface RsaPssCheck extends RsaCheck {
  /** Bytes. The mask generation function uses the same hash. */
  readonly saltLength: number;
}

/**
 * Answers whether a signature is good. A signature that is malformed is just not good; a key that
 * cannot be used (unknown kind, point off the curve, too small) rejects with `BadKey`.
 */
export interface Verifier {
  hash(name: HashName, bytes: Uint8Array): Promise<Uint8Array>;
  ecdsa(check: EcdsaCheck): Promise<boolean>;
  ecdsaDigest(check: EcdsaDigestCheck): Promise<boolean>;
  rsaPss(check: RsaPssCheck): Promise<boolean>;
  rsaPkcs1(check: RsaCheck): Promise<boolean>;
}
