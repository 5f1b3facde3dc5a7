/**
 * Digests. Thin over `node:crypto`.
 *
 * The one-shot `hash` with a `latin1` result is four times as fast as with a Buffer result (0.45
 * against 2.3 µs for 64 bytes on Node 26: no ArrayBuffer is made), and nine times as fast as
 * `createHash`. So digests are asked for as text of one unit per byte and written where they
 * belong.
 */
import { createHash, createHmac, type Hash, hash } from 'node:crypto';

/** Bytes of a SHA-256 digest. */
export const DIGEST_BYTES = 32;

/** SHA-256. */
export function sha256(bytes: Uint8Array): Buffer {
  return Buffer.from(hash('sha256', bytes, 'latin1'), 'latin1');
}

/** SHA-256 of a text's UTF-8 bytes. */
export function sha256Text(text: string): Buffer {
  return Buffer.from(hash('sha256', text, 'latin1'), 'latin1');
}

/** SHA-256, written at `offset` of `target`. */
export function sha256Into(bytes: Uint8Array, target: Buffer, offset: number): void {
  target.write(hash('sha256', bytes, 'latin1'), offset, DIGEST_BYTES, 'latin1');
}

/** SHA-256 in lowercase hexadecimal. */
export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

const pair = Buffer.alloc(2 * DIGEST_BYTES);

/** SHA-256 of two digests, one after the other: the parent of two nodes of a Merkle tree. */
export function sha256Pair(left: Uint8Array, right: Uint8Array): Buffer {
  pair.set(left, 0);
  pair.set(right, DIGEST_BYTES);
  return sha256(pair);
}

/** SHA-256 of a concatenation. */
export function sha256Of(...parts: readonly Uint8Array[]): Buffer {
  return sha256(Buffer.concat(parts));
}

/** HMAC-SHA-256 (RFC 2104). */
export function hmacSha256(key: Uint8Array, message: Uint8Array): Buffer {
  return createHmac('sha256', key).update(message).digest();
}

/** SHA3-512 (FIPS 202). */
export function sha3_512(bytes: Uint8Array): Buffer {
  return Buffer.from(hash('sha3-512', bytes, 'latin1'), 'latin1');
}

/** A digest of what comes piece by piece. */
export class RunningDigest {
  readonly #hash: Hash;

  constructor(algorithm: 'sha256' | 'sha384' | 'sha512') {
    this.#hash = createHash(algorithm);
  }

  add(piece: Uint8Array): void {
    this.#hash.update(piece);
  }

  /** Ends it. */
  digest(): Buffer {
    return this.#hash.digest();
  }
}
