/**
 * Gives a peer again what is its own, after it lost its data or left the service: all of a key's
 * payloads, pushed one by one or in batches to where that key is known to be, never to whoever asks
 * (transaction-manager.md §C). Oldest first, because a peer judges a payload by those that it
 * touches.
 */
import { base64Of, equalBytes } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Seqno } from '../base/ids.ts';
import { encodeFor, OWN_VERSIONS, VERSIONS_HEADER } from './api-versions.ts';
import type { EncodedPayload } from './encoded-payload.ts';
import type { PeerAnswer, PeerClient } from './peer-client.ts';
import { type ResendBatchRequest, writePushBatch } from './resend-requests.ts';
import type { FederationService, OutsidePeerKey } from './service.ts';

/** Payloads that are read at once. */
const PAGE_MAX = 32;
const PUSH_MS_MAX = 10_000;

export class Resender {
  readonly #service: FederationService;
  readonly #client: PeerClient;
  /** Keys whose payloads are being pushed, in base64. */
  readonly #underWay = new Set<string>();

  constructor(service: FederationService, client: PeerClient) {
    this.#service = service;
    this.#client = client;
  }

  /** Pushes all payloads of a key, one by one. */
  all(party: Uint8Array): Promise<void> {
    return this.#once(party, async (to) => {
      for await (const payloads of this.#payloads(party, PAGE_MAX)) {
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
    });
  }

  /** Pushes all payloads of a key in batches; gives their number. */
  batches({ publicKey, batchSize }: ResendBatchRequest): Promise<{ readonly total: number }> {
    return this.#once(publicKey, async (to) => {
      let total = 0;
      for await (const payloads of this.#payloads(publicKey, batchSize)) {
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
    });
  }

  /** Goes through everything for a key once at a time, however often that is asked for. */
  async #once<Outcome>(
    party: Uint8Array,
    push: (to: OutsidePeerKey) => Promise<Outcome>,
  ): Promise<Outcome> {
    const to = this.#holderOf(party);
    const name = base64Of(party);
    if (this.#underWay.has(name)) {
      const sentence = `the payloads of ${name} are being sent to ${to.url} already`;
      throw new CodedError('UnderWay', sentence, { status: 503 });
    }
    this.#underWay.add(name);
    try {
      return await push(to);
    } finally {
      this.#underWay.delete(name);
    }
  }

  async *#payloads(
    party: Uint8Array,
    limit: number,
  ): AsyncGenerator<readonly EncodedPayload[], void, void> {
    const seqnos: Seqno[] = [];
    let from: Uint8Array | undefined;
    do {
      const own = await this.#service.ownPayloads(party, from);
      for (const seqno of own.seqnos) seqnos.push(seqno);
      from = own.next;
    } while (from !== undefined);
    seqnos.sort((left, right) => left - right);
    for (let at = 0; at < seqnos.length; at += limit) {
      yield await this.#service.resendAll(party, seqnos.slice(at, at + limit));
    }
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
