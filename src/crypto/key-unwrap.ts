/**
 * Keys that an HSM wrapped to an RSA key of ours: RSA-OAEP of an AES key, and AES-KWP of what is
 * carried (PKCS #11 CKM_RSA_AES_KEY_WRAP; RFC 8017 §7.1, RFC 5649; key-release.md). Over
 * `node:crypto`.
 */
import {
  constants,
  createDecipheriv,
  createPrivateKey,
  generateKeyPair,
  hkdfSync,
  type KeyObject,
  privateDecrypt,
} from 'node:crypto';
import { CodedError } from '../base/errors.ts';
import { type AeadKey, aeadKeyOf, GCM_KEY_BYTES } from './aead.ts';

/** Names of Key Vault's release, and the hash that OAEP uses under each. */
const OAEP_HASHES = {
  CKM_RSA_AES_KEY_WRAP: 'sha1',
  RSA_AES_KEY_WRAP_256: 'sha256',
  RSA_AES_KEY_WRAP_384: 'sha384',
} as const;

export type KeyWrapName = keyof typeof OAEP_HASHES;

export const KEY_WRAP_NAMES: readonly KeyWrapName[] = [
  'CKM_RSA_AES_KEY_WRAP',
  'RSA_AES_KEY_WRAP_256',
  'RSA_AES_KEY_WRAP_384',
];

/** RFC 5649 §3: marks the padded form; what follows it is the length. */
const KWP_MARK = Uint8Array.from([0xa6, 0x59, 0x59, 0xa6]);
const KEK_BYTES = 32;
const KWP_BLOCK = 8;
/** An RSA-4096 key in PKCS#8 has about 2400 bytes. */
const WRAPPED_BYTES_MAX = 16_384;

/** An RSA key that others wrap to; it is made for one release and never leaves the process. */
export class UnwrappingKey {
  readonly #privateKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;

  private constructor(privateKey: KeyObject, publicKeyDer: Uint8Array) {
    this.#privateKey = privateKey;
    this.publicKeyDer = publicKeyDer;
  }

  static generate(bits: 2048 | 3072 | 4096): Promise<UnwrappingKey> {
    return new Promise((resolve, reject) => {
      generateKeyPair('rsa', { modulusLength: bits }, (error, publicKey, privateKey) => {
        if (error !== null) return reject(error);
        const der = publicKey.export({ format: 'der', type: 'spki' });
        resolve(new UnwrappingKey(privateKey, der));
      });
    });
  }

  /** What was wrapped. Throws `UnwrapFailed`, and does not say at what: that would be an oracle. */
  unwrap(name: KeyWrapName, wrapped: Uint8Array): Uint8Array {
    const rsaBytes = (this.#privateKey.asymmetricKeyDetails?.modulusLength ?? 0) / 8;
    const rest = wrapped.length - rsaBytes;
    if (rest < 2 * KWP_BLOCK || rest % KWP_BLOCK !== 0 || rest > WRAPPED_BYTES_MAX) {
      throw failed();
    }
    try {
      const kek = privateDecrypt(
        {
          key: this.#privateKey,
          padding: constants.RSA_PKCS1_OAEP_PADDING,
          oaepHash: OAEP_HASHES[name],
        },
        wrapped.subarray(0, rsaBytes),
      );
      if (kek.length !== KEK_BYTES) throw failed();
      const cipher = createDecipheriv('id-aes256-wrap-pad', kek, KWP_MARK);
      return Buffer.concat([cipher.update(wrapped.subarray(rsaBytes)), cipher.final()]);
    } catch {
      throw failed();
    }
  }
}

function failed(): CodedError {
  return new CodedError(
    'UnwrapFailed',
    'the released key does not unwrap: it was wrapped to another key, or changed on its way',
  );
}

/** Kinds of keys that are released: of HSMs, and the bytes that are wrapped for each. */
export type ReleasedKind = 'oct' | 'RSA' | 'EC';

/**
 * A key for sealing out of a released one. Of RSA and EC keys the private number counts, and not
 * the PKCS#8 around it, which may be written differently each time. Throws `BadReleasedKey`.
 */
export function sealingKeyOf(kind: ReleasedKind, released: Uint8Array, use: string): AeadKey {
  const secret = kind === 'oct' ? released : privateNumber(kind, released);
  if (secret.length < GCM_KEY_BYTES) {
    throw badKey(`its secret has ${secret.length} bytes, fewer than ${GCM_KEY_BYTES}`);
  }
  return aeadKeyOf(new Uint8Array(hkdfSync('sha256', secret, '', use, GCM_KEY_BYTES)));
}

function privateNumber(kind: 'RSA' | 'EC', pkcs8: Uint8Array): Uint8Array {
  let jwk: ReturnType<typeof jwkOf>;
  try {
    jwk = jwkOf(pkcs8);
  } catch {
    // The cause could quote the key.
    throw badKey('it is not PKCS#8');
  }
  if (jwk.kty !== kind || jwk.d === undefined) throw badKey(`it is not a private ${kind} key`);
  return Buffer.from(jwk.d, 'base64url');
}

function jwkOf(pkcs8: Uint8Array): { readonly kty?: string; readonly d?: string } {
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  return key.export({ format: 'jwk' });
}

function badKey(why: string): CodedError {
  return new CodedError('BadReleasedKey', `the released key cannot be used: ${why}`);
}
