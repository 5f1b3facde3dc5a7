/**
 * A Tessera node that is asked for its payloads again, written from transaction-manager.md §C: it
 * answers for one, and pushes all of a key's, alone or in batches, to the address that party
 * information has told it, after it has seen that the key is held there.
 */
import { randomUUID } from 'node:crypto';
import {
  createServer,
  type IncomingMessage,
  request as requestHttp,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttps, request as requestHttps } from 'node:https';
import {
  encodeFor,
  OWN_VERSIONS,
  VERSIONS_HEADER,
} from '../../../src/federation/api-versions.ts';
import { type EncodedPayload, forRecipient } from '../../../src/federation/encoded-payload.ts';
import { encodeLegacy } from '../../../src/federation/legacy-codec.ts';
import { decodePartyInfo } from '../../../src/federation/party-info.ts';
import {
  readResend,
  readResendBatch,
  writePushBatch,
} from '../../../src/federation/resend-requests.ts';
import type { PartyKeyPair } from '../../support/quorum-network.ts';
import { realKeys, type SealedByTessera, sealedByTessera } from './tessera-payloads.ts';

interface Reply {
  readonly status: number;
  readonly body?: string | Uint8Array;
}

/** PEM; peers show each other certificates that one of `ca` has signed. */
export interface PeerIdentity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export class ResendingTessera {
  /** Set before it starts: then it speaks TLS, with both sides shown. */
  identity: PeerIdentity | undefined;
  readonly #held: readonly SealedByTessera[];
  readonly #versions: readonly string[];
  readonly #known = new Map<string, string>();
  #server: Server | undefined;
  /** Paths that it was asked for, and those it asked. */
  readonly asked: string[] = [];
  /** Set to end the connection instead of making the push with this number, from 0. */
  diesAtPush: number | undefined;
  /** Set to answer a question for one payload with another. */
  answersWith: SealedByTessera | undefined;
  #pushes = 0;

  constructor(held: readonly SealedByTessera[], versions: readonly string[] = OWN_VERSIONS) {
    this.#held = held;
    this.#versions = versions;
  }

  async start(): Promise<this> {
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      void this.#answer(request).then(
        ({ status, body = '' }) => response.writeHead(status).end(body),
        (error: unknown) => response.writeHead(500).end(String(error)),
      );
    };
    const strict = { requestCert: true, rejectUnauthorized: true };
    const server: Server =
      this.identity === undefined
        ? createServer(listener)
        : createHttps({ ...this.identity, ...strict }, listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#server = server;
    return this;
  }

  get url(): string {
    const address = this.#server?.address();
    if (typeof address !== 'object' || address === null) throw new Error('it is not started');
    const scheme = this.identity === undefined ? 'http' : 'https';
    return `${scheme}://127.0.0.1:${address.port}/`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) => this.#server?.close(() => resolve()) ?? resolve());
  }

  async #answer(request: IncomingMessage): Promise<Reply> {
    const pieces: Buffer[] = [];
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
    const body = Buffer.concat(pieces);
    this.asked.push(request.url ?? '');
    switch (request.url) {
      case '/partyinfo':
        return await this.#told(body);
      case '/resend':
        return await this.#resend(body);
      case '/resendBatch':
        return await this.#resendBatch(body);
      default:
        return { status: 404, body: 'HTTP 404 Not Found' };
    }
  }

  /** Takes up those keys whose holder opens a challenge for them. */
  async #told(body: Uint8Array): Promise<Reply> {
    const { keys } = decodePartyInfo(body);
    for (const { key, url } of keys) {
      const name = randomUUID();
      const [own] = realKeys(1);
      const publicKey = Buffer.from(key).toString('base64');
      const holder: PartyKeyPair = { node: 0, publicKey, privateKey: '' };
      if (own === undefined) throw new Error('no key');
      const challenge = sealedByTessera({ from: own, to: [holder], payload: name });
      const answer = await this.#post(
        url,
        'partyinfo/validate',
        encodeLegacy(challenge.for(holder)),
      );
      if (answer.body !== name)
        return { status: 500, body: `key ${publicKey} is not held there` };
      this.#known.set(publicKey, url);
    }
    return { status: 200 };
  }

  async #resend(body: Uint8Array): Promise<Reply> {
    const wanted = readResend(body);
    const key = Buffer.from(wanted.publicKey).toString('base64');
    if (wanted.type === 'INDIVIDUAL') {
      const held = this.#held.find(({ hash }) => hash.equals(wanted.key));
      if (held === undefined) return { status: 404, body: 'Message with hash … was not found' };
      const piece = pieceFor(this.answersWith ?? held, key);
      if (piece === undefined) {
        return { status: 500, body: `Recipient ${key} is not a recipient of transaction ` };
      }
      return { status: 200, body: encodeLegacy(piece) };
    }
    for (const piece of this.#piecesFor(key)) {
      const { body: encoded, header } = encodeFor(piece, this.#versions);
      const { status } = await this.#push(key, 'push', encoded, header);
      if (status !== 201) return { status: 500, body: `Unable to push payload to ${key}` };
    }
    return { status: 200 };
  }

  async #resendBatch(body: Uint8Array): Promise<Reply> {
    const { publicKey, batchSize } = readResendBatch(body);
    const key = Buffer.from(publicKey).toString('base64');
    const pieces = this.#piecesFor(key);
    for (let at = 0; at < pieces.length; at += batchSize) {
      const batch = writePushBatch(pieces.slice(at, at + batchSize));
      const { status } = await this.#push(key, 'pushBatch', batch, OWN_VERSIONS.join(','));
      if (status !== 200) {
        return { status: 500, body: `Unable to push payload batch to recipient ${key}` };
      }
    }
    return { status: 200, body: JSON.stringify({ total: pieces.length }) };
  }

  #piecesFor(key: string): readonly EncodedPayload[] {
    return this.#held.flatMap((held) => pieceFor(held, key) ?? []);
  }

  async #push(
    key: string,
    path: string,
    body: Uint8Array | string,
    versions: string,
  ): Promise<{ readonly status: number }> {
    if (this.#pushes === this.diesAtPush) {
      this.diesAtPush = undefined;
      throw new Error('the database is gone');
    }
    this.#pushes += 1;
    const url = this.#known.get(key);
    if (url === undefined) return { status: 404 };
    return await this.#post(url, path, body, versions);
  }

  async #post(
    url: string,
    path: string,
    body: Uint8Array | string,
    versions = OWN_VERSIONS.join(','),
  ): Promise<{ readonly status: number; readonly body: string }> {
    const target = new URL(path, url);
    const headers = { 'content-type': 'application/octet-stream', [VERSIONS_HEADER]: versions };
    const send = target.protocol === 'https:' ? requestHttps : requestHttp;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const asking = send(target, { method: 'POST', headers, ...this.identity }, resolve);
      asking.on('error', reject);
      asking.end(body);
    });
    const pieces: Buffer[] = [];
    for await (const piece of response as AsyncIterable<Buffer>) pieces.push(piece);
    return { status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString() };
  }
}

/** A sender is given back its own with all boxes, a recipient its part. */
function pieceFor(held: SealedByTessera, key: string): EncodedPayload | undefined {
  const bytes = Buffer.from(key, 'base64');
  if (bytes.equals(held.whole.senderKey)) return held.whole;
  if (!held.whole.recipientKeys.some((one) => bytes.equals(one))) return undefined;
  return forRecipient(held.whole, bytes);
}
