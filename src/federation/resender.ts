/**
 * Gives a peer again what is its own, after it lost its data: all of a key's payloads, pushed one
 * by one or in batches to where that key is known to be, never to whoever asks
 * (transaction-manager.md §C).
 */
import { base64Of, equalBytes } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { encodeFor, OWN_VERSIONS, VERSIONS_HEADER } from './api-versions.ts';
import type { PeerAnswer, PeerClient } from './peer-client.ts';
import { type ResendBatchRequest, writePushBatch } from './resend-requests.ts';
import type { FederationService, OutsidePeerKey, ResendPage } from './service.ts';

/** Payloads that are read at once. */
const PAGE_MAX = 32;
const PUSH_MS_MAX = 10_000;

export class Resender {
  readonly #service: FederationService;
  readonly #client: PeerClient;

  constructor(service: FederationService, client: PeerClient) {
    this.#service = service;
    this.#client = client;
  }

  /** Pushes all payloads of a key, one by one. */
  async all(party: Uint8Array): Promise<void> {
    const to = this.#holderOf(party);
    for await (const { payloads } of this.#pages(party, PAGE_MAX)) {
      for (const payload of payloads) {
        const { body, header } = encodeFor(payload, to.versions);
        const headers = {
          'content-type': 'application/octet-stream',
          [VERSIONS_HEADER]: header,
        };
        const answer = await this.#post(to.url, 'push', headers, body);
        if (answer.status !== 201) throw notTaken(to.url, answer);
      }
    }
  }

  /** Pushes all payloads of a key in batches; gives their number. */
  async batches({
    publicKey,
    batchSize,
  }: ResendBatchRequest): Promise<{ readonly total: number }> {
    const to = this.#holderOf(publicKey);
    let total = 0;
    for await (const { payloads } of this.#pages(publicKey, batchSize)) {
      if (payloads.length === 0) continue;
      const headers = {
        'content-type': 'application/json',
        [VERSIONS_HEADER]: OWN_VERSIONS.join(','),
      };
      const answer = await this.#post(to.url, 'pushBatch', headers, writePushBatch(payloads));
      if (answer.status !== 200) throw notTaken(to.url, answer);
      total += payloads.length;
    }
    return { total };
  }

  async *#pages(party: Uint8Array, limit: number): AsyncGenerator<ResendPage, void, void> {
    let after: Uint8Array | undefined;
    do {
      const page = await this.#service.resendPage(party, after, limit);
      yield page;
      after = page.last;
    } while (after !== undefined);
  }

  #holderOf(party: Uint8Array): OutsidePeerKey {
    const to = this.#service.outsideKeys().find(({ key }) => equalBytes(key, party));
    if (to !== undefined) return to;
    const sentence = `no peer is known to hold the key ${base64Of(party)}`;
    throw new CodedError('UnknownPeer', sentence, { status: 404 });
  }

  #post(
    url: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array | string,
  ): Promise<PeerAnswer> {
    const question = { method: 'POST', url, path, headers, body } as const;
    return this.#client.ask({ ...question, timeoutMs: PUSH_MS_MAX });
  }
}

function notTaken(url: string, { status, body }: PeerAnswer): CodedError {
  const said = body.toString('utf8').slice(0, 200);
  const sentence = `Unable to push payload to recipient ${url}: status ${status} ${said}`;
  return new CodedError('PeerRefused', sentence, { status: 502 });
}
