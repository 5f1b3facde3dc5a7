/**
 * Key pairs: elliptic curve keys that sign (nodes P-256, the service P-384), RSA keys that unwrap.
 * Private keys leave this file only as bytes that are about to be sealed.
 */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  sign as cryptoSign,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto';
import { hexOf } from '../base/bytes.ts';
import type { Signer } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { sha256 } from './hash.ts';

export type CurveName = 'P-256' | 'P-384';

/** A signing key pair. */
export class SigningKey implements Signer {
  readonly algorithm: 'ES256' | 'ES384';
  readonly publicKeyDer: Uint8Array;
  /** Lowercase hex SHA-256 of `publicKeyDer`: a node's id, a service key's fingerprint. */
  readonly fingerprint: string;
  readonly #privateKey: KeyObject;

  constructor(privateKey: KeyObject) {
    this.#privateKey = privateKey;
    const curve = privateKey.asymmetricKeyDetails?.namedCurve;
    if (curve !== 'prime256v1' && curve !== 'secp384r1') {
      throw new CodedError('UnsuitableKey', `a signing key is on P-256 or P-384, not ${curve}`);
    }
    this.algorithm = curve === 'prime256v1' ? 'ES256' : 'ES384';
    this.publicKeyDer = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
    this.fingerprint = hexOf(sha256(this.publicKeyDer));
  }

  static generate(curve: CurveName): SigningKey {
    return new SigningKey(generateKeyPairSync('ec', { namedCurve: curve }).privateKey);
  }

  /** From PKCS #8, DER. */
  static fromPkcs8(der: Uint8Array): SigningKey {
    const key = createPrivateKey({ key: Buffer.from(der), type: 'pkcs8', format: 'der' });
    return new SigningKey(key);
  }

  /** From a private key in PEM. */
  static fromPem(pem: string): SigningKey {
    return new SigningKey(createPrivateKey(pem));
  }

  get curve(): CurveName {
    return this.algorithm === 'ES256' ? 'P-256' : 'P-384';
  }

  pkcs8(): Uint8Array {
    return this.#privateKey.export({ type: 'pkcs8', format: 'der' });
  }

  privateKeyPem(): string {
    return this.#privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  }

  sign(message: Uint8Array): Promise<Uint8Array> {
    const hash = this.algorithm === 'ES256' ? 'sha256' : 'sha384';
    return new Promise((resolve, reject) => {
      cryptoSign(hash, message, this.#p1363, (error, signature) => {
        if (error === null) resolve(signature);
        else reject(error);
      });
    });
  }

  signSha256Der(message: Uint8Array): Uint8Array {
    return cryptoSign('sha256', message, this.#privateKey);
  }

  get #p1363(): { key: KeyObject; dsaEncoding: 'ieee-p1363' } {
    return { key: this.#privateKey, dsaEncoding: 'ieee-p1363' };
  }
}

/**
 * An RSA key pair to which secrets are encrypted: RSA-OAEP, SHA-256, no label (governance.md
 * §7).
 */
export class UnwrappingKey {
  readonly publicKeyPem: string;
  readonly #privateKey: KeyObject;

  constructor(privateKey: KeyObject) {
    if (privateKey.asymmetricKeyType !== 'rsa') {
      throw new CodedError('UnsuitableKey', 'an encryption key is an RSA key');
    }
    this.#privateKey = privateKey;
    const publicKey = createPublicKey(privateKey);
    this.publicKeyPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  /** From a private key in PEM. */
  static fromPem(pem: string): UnwrappingKey {
    return new UnwrappingKey(createPrivateKey(pem));
  }

  static generate(): UnwrappingKey {
    return new UnwrappingKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  }

  static fromPkcs8(der: Uint8Array): UnwrappingKey {
    const key = createPrivateKey({ key: Buffer.from(der), type: 'pkcs8', format: 'der' });
    return new UnwrappingKey(key);
  }

  pkcs8(): Uint8Array {
    return this.#privateKey.export({ type: 'pkcs8', format: 'der' });
  }

  privateKeyPem(): string {
    return this.#privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  }

  unwrap(wrapped: Uint8Array): Uint8Array {
    return privateDecrypt({ key: this.#privateKey, ...OAEP }, wrapped);
  }
}

/** RSA keys of fewer bits are not accepted (governance.md §1). */
const RSA_BITS_MIN = 2048;

/** Encrypts a secret to the owner of an RSA public key (PEM); throws `UnsuitableKey`. */
export function wrapTo(publicKeyPem: string, secret: Uint8Array): Uint8Array {
  const key = publicKeyOf(publicKeyPem);
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType !== 'rsa' || bits < RSA_BITS_MIN) {
    const what = bits === 0 ? `a key of type ${key.asymmetricKeyType}` : `one of ${bits} bits`;
    throw new CodedError(
      'UnsuitableKey',
      `secrets are encrypted to RSA keys of at least ${RSA_BITS_MIN} bits, not to ${what}`,
    );
  }
  return publicEncrypt({ key, ...OAEP }, secret);
}

function publicKeyOf(pem: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new CodedError('UnsuitableKey', 'the text is no public key in PEM', {}, { cause });
  }
}

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const;
