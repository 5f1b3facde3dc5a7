// A key that signs tokens, as issuers have them: its JSON Web Key, and tokens of any content.

import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export class TokenSigner {
  readonly kid: string;
  readonly #algorithm: 'RS256' | 'ES256';
  readonly #key: KeyObject;
  readonly #jwk: object;

  constructor(kid: string, algorithm: 'RS256' | 'ES256' = 'RS256') {
    const { publicKey, privateKey } =
      algorithm === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.kid = kid;
    this.#algorithm = algorithm;
    this.#key = privateKey;
    this.#jwk = { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' };
  }

  /** The public key; `issuer` is whose tokens alone it may sign. */
  jwk(issuer?: string): object {
    return issuer === undefined ? this.#jwk : { ...this.#jwk, issuer };
  }

  get publicPem(): string {
    return createPublicKey(this.#key).export({ type: 'spki', format: 'pem' }).toString();
  }

  /** A token; `header` is laid over the one that fits this key. */
  token(payload: unknown, header: object = {}): string {
    const head = { alg: this.#algorithm, kid: this.kid, typ: 'JWT', ...header };
    return this.signed(`${part(JSON.stringify(head))}.${part(JSON.stringify(payload))}`);
  }

  /** A text with this key's signature of it. */
  signed(text: string, dsaEncoding: 'ieee-p1363' | 'der' = 'ieee-p1363'): string {
    const key = { key: this.#key, dsaEncoding };
    return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
  }
}

/** A part of a token. */
export function part(content: string | Uint8Array): string {
  return Buffer.from(content).toString('base64url');
}
