/**
 * A Tessera node asked as one of its peers asks it (transaction-manager.md §C): for one payload,
 * for all of a key's, for all of them in batches. The first comes as the answer; the others are
 * pushed to the address that the peer knows for the key.
 */
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { base64Of, textOf, utf8 } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { OWN_VERSIONS, VERSIONS_HEADER } from '../../federation/api-versions.ts';
import type { EncodedPayload } from '../../federation/encoded-payload.ts';
import { decodeLegacy } from '../../federation/legacy-codec.ts';
import { encodePartyInfo } from '../../federation/party-info.ts';
import { writeResend } from '../../federation/resend-requests.ts';
import { bodyOf } from './import-service.ts';

/** PEM of TLS between peers; without it the peer is spoken with in the clear. */
export interface PeerTls {
  readonly trusted: string;
  readonly certificate?: string;
  readonly key?: string;
}

export interface TesseraPeerOptions {
  readonly url: string;
  readonly tls?: PeerTls;
  readonly signal: AbortSignal;
}

interface PeerAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** A payload of 16 MiB with what is around it. */
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;

export class TesseraPeer {
  readonly #options: TesseraPeerOptions;

  constructor(options: TesseraPeerOptions) {
    this.#options = options;
  }

  /** One payload of a key; undefined when the peer has it not, or not for this key. */
  async payload(publicKey: Uint8Array, hash: Uint8Array): Promise<EncodedPayload | undefined> {
    const body = writeResend({ type: 'INDIVIDUAL', publicKey, key: hash });
    const { status, body: encoded } = await this.#post('/resend', 'application/json', body);
    if (status === 200) return decodeLegacy(encoded);
    const said = sentenceOf(encoded);
    // Tessera answers 500 to whoever is no recipient, an own node of ours 400.
    if (status === 404 || said.includes('is not a recipient')) return undefined;
    throw refusedBy(this.#options.url, '/resend', status, said);
  }

  /** Makes itself known as where a key's payloads go. */
  async announce(url: string, keys: readonly Uint8Array[]): Promise<void> {
    const addressed = keys.map((key) => ({ key, url }));
    const body = encodePartyInfo({ url, keys: addressed, peers: [] });
    const answer = await this.#post('/partyinfo', 'application/octet-stream', body);
    if (answer.status === 200) return;
    const said = sentenceOf(answer.body);
    throw refusedBy(this.#options.url, '/partyinfo', answer.status, said);
  }

  /** Has all payloads of a key pushed; resolves when the peer has pushed them. */
  async resendAll(publicKey: Uint8Array): Promise<void> {
    const body = writeResend({ type: 'ALL', publicKey });
    const answer = await this.#post('/resend', 'application/json', body);
    if (answer.status === 200) return;
    throw refusedBy(this.#options.url, '/resend', answer.status, sentenceOf(answer.body));
  }

  /** The same in batches; how many payloads the peer says it has pushed. */
  async resendBatch(publicKey: Uint8Array, batchSize: number): Promise<number> {
    const body = JSON.stringify({ publicKey: base64Of(publicKey), batchSize });
    const answer = await this.#post('/resendBatch', 'application/json', body);
    const said = sentenceOf(answer.body);
    if (answer.status !== 200) {
      throw refusedBy(this.#options.url, '/resendBatch', answer.status, said);
    }
    try {
      const { total } = JSON.parse(said) as { total?: unknown };
      if (typeof total === 'number') return total;
    } catch {
      // Said below.
    }
    throw refusedBy(this.#options.url, '/resendBatch', answer.status, said);
  }

  async #post(path: string, type: string, body: string | Uint8Array): Promise<PeerAnswer> {
    const { url, tls, signal } = this.#options;
    const bytes = typeof body === 'string' ? utf8(body) : body;
    const headers = {
      accept: '*/*',
      'content-type': type,
      'content-length': bytes.length,
      [VERSIONS_HEADER]: OWN_VERSIONS.join(','),
    };
    const target = new URL(`.${path}`, url.endsWith('/') ? url : `${url}/`);
    const trust =
      tls === undefined
        ? {}
        : {
            ca: tls.trusted,
            ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
            ...(tls.key === undefined ? {} : { key: tls.key }),
          };
    const send = target.protocol === 'https:' ? requestHttps : requestHttp;
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        // Without a time limit: the peer may push for hours before it answers.
        const asking = send(target, { method: 'POST', headers, signal, ...trust }, resolve);
        asking.on('error', reject);
        asking.end(bytes);
      });
      return {
        status: response.statusCode ?? 0,
        body: await bodyOf(response, ANSWER_BYTES_MAX),
      };
    } catch (thrown) {
      if (signal.aborted) throw new CodedError('Stopped', 'the import was stopped');
      throw new CodedError('PeerUnreachable', `${url} does not answer: ${messageOf(thrown)}`);
    }
  }
}

function sentenceOf(body: Uint8Array): string {
  try {
    return textOf(body).trim().slice(0, 500);
  } catch {
    return `${body.length} bytes that are no text`;
  }
}

function refusedBy(url: string, path: string, status: number, said: string): CodedError {
  return new CodedError('PeerRefused', `${url} answers ${status} to ${path}: ${said}`, {
    status,
  });
}
