/**
 * AES-256-GCM (NIST SP 800-38D) over `node:crypto`: tags of 16 bytes, nonces of 12.
 *
 * That no nonce is used twice under one key is the caller's to see to; for entries of the ledger it
 * follows from their (view, seqno) (ledger-format.md §3.2).
 */
import {
  type CipherGCM,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
} from 'node:crypto';
import { invariant } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';

export const GCM_KEY_BYTES = 32;
export const GCM_IV_BYTES = 12;
export const GCM_TAG_BYTES = 16;

/** A key made ready once; it never shows its bytes. */
export type AeadKey = KeyObject;

/** Makes a key of 32 bytes ready for use. */
export function aeadKeyOf(bytes: Uint8Array): AeadKey {
  invariant(bytes.length === GCM_KEY_BYTES, `an AES-256 key has 32 bytes, not ${bytes.length}`);
  return createSecretKey(bytes);
}

export interface Sealed {
  readonly tag: Buffer;
  readonly ciphertext: Buffer;
}

const TAG_LENGTH = { authTagLength: GCM_TAG_BYTES } as const;

/** Seals `plaintext`; `aad` is authenticated with it but not contained in the result. */
export function sealGcm(
  key: AeadKey,
  iv: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Sealed {
  const cipher = createCipheriv('aes-256-gcm', key, iv, TAG_LENGTH);
  if (aad.length > 0) cipher.setAAD(aad);
  const ciphertext = plaintext.length > 0 ? cipher.update(plaintext) : NO_BYTES;
  cipher.final();
  return { tag: cipher.getAuthTag(), ciphertext };
}

const NO_BYTES = Buffer.alloc(0);

/**
 * Seals in place: the plaintext from `start` to the end of `target` becomes ciphertext, and the tag
 * is written at `tagAt`. No plaintext is left in a second buffer.
 */
export function sealGcmInPlace(
  key: AeadKey,
  iv: Uint8Array,
  aad: Uint8Array,
  target: Buffer,
  start: number,
  tagAt: number,
): void {
  const { tag, ciphertext } = sealGcm(key, iv, aad, target.subarray(start));
  target.set(ciphertext, start);
  target.set(tag, tagAt);
}

/** Seals piece by piece what is too long to be sealed without a pause: first `aad`, then text. */
export class GcmSealing {
  readonly #cipher: CipherGCM;

  constructor(key: AeadKey, iv: Uint8Array) {
    this.#cipher = createCipheriv('aes-256-gcm', key, iv, TAG_LENGTH);
  }

  authenticate(piece: Uint8Array): void {
    if (piece.length > 0) this.#cipher.setAAD(piece);
  }

  /** The ciphertext of the next piece, which has as many bytes. */
  seal(piece: Uint8Array): Uint8Array {
    return piece.length > 0 ? this.#cipher.update(piece) : NO_BYTES;
  }

  /** Ends the text. */
  tag(): Uint8Array {
    this.#cipher.final();
    return this.#cipher.getAuthTag();
  }
}

/** Opens what `sealGcm` sealed; throws `SealBroken` when key, nonce, text or `aad` is another. */
export function openGcm(
  key: AeadKey,
  iv: Uint8Array,
  aad: Uint8Array,
  sealed: { readonly tag: Uint8Array; readonly ciphertext: Uint8Array },
): Buffer {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, iv, TAG_LENGTH);
    decipher.setAuthTag(sealed.tag);
    if (aad.length > 0) decipher.setAAD(aad);
    const plaintext = decipher.update(sealed.ciphertext);
    decipher.final();
    return plaintext;
  } catch (cause) {
    throw new CodedError(
      'SealBroken',
      'the seal does not open: the key is another one, or the bytes were changed',
      {},
      { cause },
    );
  }
}

/**
 * Seals into one piece, as whatever is kept with its nonce is laid out: tag ‖ nonce ‖
 * ciphertext.
 */
export function sealWhole(
  key: AeadKey,
  iv: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Buffer {
  const { tag, ciphertext } = sealGcm(key, iv, aad, plaintext);
  return Buffer.concat([tag, iv, ciphertext]);
}

/** Opens what `sealWhole` made; throws `SealBroken`. */
export function openWhole(key: AeadKey, aad: Uint8Array, sealed: Uint8Array): Buffer {
  const ivEnd = GCM_TAG_BYTES + GCM_IV_BYTES;
  if (sealed.length < ivEnd) {
    throw new CodedError(
      'SealBroken',
      `what is sealed has at least ${ivEnd} bytes, not ${sealed.length}`,
      { bytes: sealed.length },
    );
  }
  const tag = sealed.subarray(0, GCM_TAG_BYTES);
  const iv = sealed.subarray(GCM_TAG_BYTES, ivEnd);
  return openGcm(key, iv, aad, { tag, ciphertext: sealed.subarray(ivEnd) });
}
