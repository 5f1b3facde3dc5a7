/**
 * A Tessera node as its peers know it, written from transaction-manager.md §C: an HTTP server with
 * real keys and real boxes that takes pushes, challenges and answers challenges, resends, and can
 * be made to fail in the ways that real ones do.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { payloadKeyOf } from '../../src/crypto/payload.ts';
import {
  decodePushed,
  encodeFor,
  VERSIONS_HEADER,
  versionsOf,
} from '../../src/federation/api-versions.ts';
import { type EncodedPayload, forRecipient } from '../../src/federation/encoded-payload.ts';
import { decodeLegacy, encodeLegacy } from '../../src/federation/legacy-codec.ts';
import {
  decodePartyInfo,
  encodePartyInfo,
  type PartyInfo,
} from '../../src/federation/party-info.ts';
import { decodePrivacyGroup, type PushedGroup } from '../../src/federation/privacy-group.ts';
import { readPushBatch, readResend } from '../../src/federation/resend-requests.ts';
import {
  type KeyPair,
  type MadePayload,
  madePayload,
  newKeyPair,
  opened,
  type PayloadWish,
} from './tessera-payloads.ts';

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

export interface DoubleOptions {
  readonly keys?: readonly KeyPair[];
  /** What its header says: with 5.0 it speaks CBOR, without it the legacy encoding. */
  readonly versions?: string;
  /** Whether it challenges those who tell it of their keys. */
  readonly validates?: boolean;
}

const CURRENT = '2.1,3.0,4.0,5.0,v1,v2';

export class TesseraDouble {
  readonly keys: readonly KeyPair[];
  versions: string;
  readonly #validates: boolean;
  #server: Server | undefined;
  #port = 0;
  /** Party keys in base64, and where each is. */
  readonly known = new Map<string, string>();
  /** What it was pushed, by key in base64; the pieces for its own keys. */
  readonly stored = new Map<string, EncodedPayload[]>();
  readonly #sent = new Map<string, MadePayload>();
  /** How often each payload was pushed to it. */
  readonly pushes: string[] = [];
  /** Privacy groups that it was told of. */
  readonly groups: PushedGroup[] = [];
  /** Set to answer pushes with this instead. */
  refusesWith: number | undefined;
  /** Set to take pushes and never answer. */
  hangs = false;
  /** Called when a push was stored, before it is answered. */
  beforeAnswer: (() => void) | undefined;
  /** Set to take batches. */
  recovers = false;

  constructor({ keys, versions = CURRENT, validates = false }: DoubleOptions = {}) {
    this.keys = keys ?? [newKeyPair()];
    this.versions = versions;
    this.#validates = validates;
  }

  /** Up, at the address where it was before. */
  async start(): Promise<this> {
    const server = createServer((request, response) => {
      this.#answer(request)
        .then((answer) => {
          if (answer === undefined) return;
          response.writeHead(answer.status, { 'content-length': answer.body.length });
          response.end(answer.body);
        })
        .catch((error: unknown) => {
          response.writeHead(500);
          response.end(String(error));
        });
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
    return this;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await new Promise<void>((resolve) => {
      if (server === undefined) resolve();
      else server.close(() => resolve());
      server?.closeAllConnections();
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  get key(): KeyPair {
    const [first] = this.keys;
    if (first === undefined) throw new Error('this double has no key');
    return first;
  }

  /** Tells a peer of itself, as it does every five seconds. */
  tell(to: string, change: Partial<PartyInfo> = {}): Promise<Answer> {
    const { url } = this;
    const keys = this.keys.map(({ publicKey }) => ({ key: publicKey, url }));
    const body = encodePartyInfo({ url, keys, peers: [url], ...change });
    return this.ask(to, 'partyinfo', body);
  }

  /** Sends a payload as Tessera does: each recipient's node is pushed its piece. */
  async send(
    to: readonly Buffer[],
    wish: PayloadWish = {},
    sender = this.key,
  ): Promise<{ readonly made: MadePayload; readonly answers: readonly Answer[] }> {
    const made = madePayload(sender, to, wish);
    this.#sent.set(made.key, made);
    const answers: Answer[] = [];
    for (const recipient of to) {
      const url = this.known.get(recipient.toString('base64'));
      if (url === undefined) throw new Error('Recipient not found');
      answers.push(await this.push(url, forRecipient(made.encoded, recipient)));
    }
    return { made, answers };
  }

  push(to: string, payload: EncodedPayload): Promise<Answer> {
    const { body } = encodeFor(payload, versionsOf(this.versions));
    return this.ask(to, 'push', body);
  }

  /** The text of a payload that it was pushed; undefined when it has none. */
  textOf(key: string): string | undefined {
    for (const piece of this.stored.get(key) ?? []) {
      for (const own of this.keys) {
        const found = opened(piece, own);
        if (found !== undefined) return found.text;
      }
    }
    return undefined;
  }

  /** Loses all that it was pushed. */
  lose(): void {
    this.stored.clear();
    this.pushes.length = 0;
  }

  async ask(
    to: string,
    path: string,
    body: Uint8Array | string,
    type = 'application/octet-stream',
  ): Promise<Answer> {
    const response = await fetch(new URL(path, to), {
      method: 'POST',
      body: typeof body === 'string' ? body : Buffer.from(body),
      headers: { 'content-type': type, [VERSIONS_HEADER]: this.versions },
    });
    return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
  }

  async #answer(request: IncomingMessage): Promise<Answer | undefined> {
    const pieces: Buffer[] = [];
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const versions = versionsOf(request.headers[VERSIONS_HEADER]?.toString());
    switch (`${request.method} ${request.url}`) {
      case 'GET /upcheck':
        return text(200, "I'm up!");
      case 'GET /version/api':
        return text(200, JSON.stringify(['1.0', ...versionsOf(this.versions)]));
      case 'POST /partyinfo':
        return await this.#told(decodePartyInfo(body));
      case 'POST /partyinfo/validate':
        return this.#challenged(decodeLegacy(body));
      case 'POST /push':
        if (this.hangs) return undefined;
        if (this.refusesWith !== undefined)
          return text(this.refusesWith, 'it does not want it');
        return this.#store(this.#decoded(body, versions));
      case 'POST /pushPrivacyGroup':
        this.groups.push(decodePrivacyGroup(body));
        return text(200, '');
      case 'POST /pushBatch':
        if (!this.recovers) return text(404, 'HTTP 404 Not Found');
        for (const payload of readPushBatch(body)) this.#store(payload);
        return text(200, '');
      case 'POST /resend':
        return this.#resend(body);
      default:
        return text(404, 'HTTP 404 Not Found');
    }
  }

  /** A node that does not know 5.0 does not know what the header means either. */
  #decoded(body: Buffer, versions: readonly string[]): EncodedPayload {
    const knowsCbor = versionsOf(this.versions).includes('5.0');
    return knowsCbor ? decodePushed(body, versions) : decodeLegacy(body);
  }

  async #told(info: PartyInfo): Promise<Answer> {
    for (const { key, url } of info.keys) {
      if (this.#validates && !(await this.#holds(url, Buffer.from(key)))) {
        return text(500, `No validated keys found for peer ${info.url}`);
      }
      this.known.set(Buffer.from(key).toString('base64'), url);
    }
    const own = encodePartyInfo({ url: this.url, keys: [], peers: [] });
    return { status: 200, body: Buffer.from(own) };
  }

  async #holds(url: string, key: Buffer): Promise<boolean> {
    const name = randomUUID();
    const { encoded } = madePayload(this.key, [key], { text: name });
    const challenge = encodeLegacy(forRecipient(encoded, key));
    const { status, body } = await this.ask(url, 'partyinfo/validate', challenge);
    return status === 200 && body.toString() === name;
  }

  #challenged(challenge: EncodedPayload): Answer {
    for (const own of this.keys) {
      const found = opened(challenge, own);
      if (found !== undefined) return text(200, found.text);
    }
    return text(500, 'the challenge does not open');
  }

  #store(payload: EncodedPayload): Answer {
    const key = payloadKeyOf(payload.cipherText).toString('base64');
    const pieces = this.stored.get(key) ?? [];
    // Real nodes refuse what says otherwise of a payload that they know.
    const other = pieces.find(
      (piece) => !Buffer.from(piece.recipientNonce).equals(payload.recipientNonce),
    );
    if (other !== undefined) return text(500, 'Invalid existing transaction');
    this.stored.set(key, [...pieces, payload]);
    this.pushes.push(key);
    this.beforeAnswer?.();
    return text(201, key);
  }

  #resend(body: Buffer): Answer {
    const wanted = readResend(body);
    if (wanted.type === 'ALL') return text(500, 'not in this double');
    const made = this.#sent.get(Buffer.from(wanted.key).toString('base64'));
    if (made === undefined) return text(404, 'was not found');
    const piece = forRecipient(made.encoded, wanted.publicKey);
    return { status: 200, body: Buffer.from(encodeLegacy(piece)) };
  }
}

function text(status: number, sentence: string): Answer {
  return { status, body: Buffer.from(sentence) };
}

/** A hash that no payload has. */
export function noHash(): string {
  return randomBytes(64).toString('base64');
}
