/** A client of the transaction manager in memory: one organisation's requests, in few words. */
import { randomBytes } from 'node:crypto';
import type { AppResponse } from '../../src/apps/interface.ts';
import type { MemoryRuntime } from './memory-runtime.ts';
import { callerOfOrganisation, type PartyKeyPair } from './quorum-network.ts';

export const VENDOR_4 = 'application/vnd.tessera-4.0+json';
export const VENDOR_2_1 = 'application/vnd.tessera-2.1+json';

export type Headers = readonly (readonly [string, string])[];

export class QuorumClient {
  readonly #runtime: MemoryRuntime;
  readonly #organisation: number;
  /** Sent with each request. */
  readonly #always: Headers;

  constructor(runtime: MemoryRuntime, organisation: number, always: Headers = []) {
    this.#runtime = runtime;
    this.#organisation = organisation;
    this.#always = always;
  }

  /** The same client, whose requests all carry an id. */
  under(requestId: string): QuorumClient {
    const always: Headers = [['x-concordat-request-id', requestId]];
    return new QuorumClient(this.#runtime, this.#organisation, always);
  }

  ask(
    verb: string,
    path: string,
    headers: Headers = [],
    body?: Uint8Array | string,
  ): AppResponse {
    return this.#runtime.request({
      verb,
      target: `/app/quorum/q2t${path}`,
      headers: [...headers, ...this.#always],
      ...(body === undefined ? {} : { body }),
      caller: callerOfOrganisation(this.#organisation),
    });
  }

  get(path: string, type = VENDOR_2_1): AppResponse {
    return this.ask('GET', path, [['accept', type]]);
  }

  post(path: string, value: unknown, type = VENDOR_4): AppResponse {
    const headers: Headers = [
      ['content-type', type],
      ['accept', type],
    ];
    return this.ask('POST', path, headers, JSON.stringify(value));
  }

  /** Sends a payload and gives back its key; throws unless it was stored. */
  send(order: Readonly<Record<string, unknown>>): string {
    const payload = Buffer.from('a payload').toString('base64');
    return keyIn(this.post('/send', { payload, ...order }), 201);
  }

  storeRaw(payload = 'a raw payload'): string {
    const body = { payload: Buffer.from(payload).toString('base64') };
    return keyIn(this.post('/storeraw', body, 'application/json'), 200);
  }

  received(hash: string): Readonly<Record<string, unknown>> {
    return jsonIn(this.get(transactionPath(hash)));
  }
}

/** Key pairs for tests that need no real X25519 keys: one for each organisation. */
export function plainKeys(organisations: number): readonly PartyKeyPair[] {
  return Array.from({ length: organisations }, (_, index) => ({
    node: index + 1,
    publicKey: randomBytes(32).toString('base64'),
    privateKey: randomBytes(32).toString('base64'),
  }));
}

export function transactionPath(hash: string): string {
  return `/transaction/${encodeURIComponent(hash)}`;
}

export function jsonIn(response: AppResponse): Readonly<Record<string, unknown>> {
  return JSON.parse(textIn(response)) as Readonly<Record<string, unknown>>;
}

export function textIn({ body = '' }: AppResponse): string {
  return typeof body === 'string' ? body : Buffer.from(body).toString('utf8');
}

function keyIn(response: AppResponse, status: number): string {
  if (response.status !== status) throw new Error(`${response.status} ${textIn(response)}`);
  return String(jsonIn(response).key);
}
