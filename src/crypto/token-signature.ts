/**
 * Signatures of tokens (RFC 7518 §3.3 and §3.4), checked at once: whoever asks is established in
 * the same turn in which the state is read. `jose` answers only later.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { COORDINATE_BYTES, type PublicKeyInfo, readPublicKey } from './public-key.ts';

/** Those that CCF takes (http-api.md §6); none of them works with a shared secret. */
export type TokenAlgorithm = 'RS256' | 'ES256';

/** The algorithm of that name, if it is one of those taken. */
export function tokenAlgorithm(name: unknown): TokenAlgorithm | undefined {
  return name === 'RS256' || name === 'ES256' ? name : undefined;
}

/** A key that tokens are signed with, ready to be used. */
export class TokenVerifier {
  readonly #info: PublicKeyInfo;
  readonly #key: KeyObject;

  /** Throws for what is no SubjectPublicKeyInfo of an RSA or elliptic curve key. */
  constructor(spkiDer: Uint8Array) {
    this.#info = readPublicKey(spkiDer);
    this.#key = createPublicKey({ key: Buffer.from(spkiDer), format: 'der', type: 'spki' });
  }

  /** Whether the signature is good; the key, not the token, decides which algorithm fits it. */
  verifies(algorithm: TokenAlgorithm, signed: Uint8Array, signature: Uint8Array): boolean {
    const info = this.#info;
    switch (algorithm) {
      case 'RS256':
        return info.kind === 'rsa' && verify('sha256', signed, this.#key, signature);
      case 'ES256': {
        if (info.kind !== 'ec' || info.curve !== 'P-256') return false;
        if (signature.length !== 2 * COORDINATE_BYTES[info.curve]) return false;
        const key = { key: this.#key, dsaEncoding: 'ieee-p1363' } as const;
        return verify('sha256', signed, key, signature);
      }
    }
  }
}
