// A Quorum node's requests to its transaction manager, recorded: payloads are an add-once map. A
// payload's text begins with what identifies it, so that whoever reads it back, from an answer or
// from the ledger, can say which it is, and whether it is whole.

import { Agent } from 'node:http';
import { type Exchanged, exchange } from './exchange.ts';
import type { Answered, Call, History } from './history.ts';

export interface PayloadClientOptions {
  readonly client: number;
  /** Base URL of the organisation's transaction manager. */
  readonly url: string;
  /** The organisation, as histories name it. */
  readonly node: string;
  readonly history: History;
  readonly timeoutMs?: number;
}

/** GoQuorum gives up after 5 s; that a manager takes longer is a fault by itself. */
const TIMEOUT_MS = 8_000;
const TYPE = 'application/json';

/** The payload of so many bytes that a name identifies. */
export function payloadOf(name: string, size: number): Buffer {
  const head = `${name}:${size}:`;
  return Buffer.from(head.padEnd(Math.max(size, head.length), name));
}

/** The name of a payload, or what is wrong with it. */
export function nameOf(payload: Buffer): string {
  const [name = '', size = ''] = payload.toString().split(':');
  return payload.equals(payloadOf(name, Number(size)))
    ? name
    : `damaged ${payload.subarray(0, 40).toString('hex')}`;
}

export class PayloadClient {
  readonly #options: PayloadClientOptions;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  /** Answers that no Quorum node should get, whatever happens to the service. */
  readonly unexpected: string[] = [];

  constructor(options: PayloadClientOptions) {
    this.#options = options;
  }

  async send(name: string, size: number, from: string, to: readonly string[]): Promise<Call> {
    const { client, node, history } = this.#options;
    const body = JSON.stringify({
      payload: payloadOf(name, size).toString('base64'),
      from,
      to,
    });
    return await history.record(
      { client, node, kind: 'send', key: '', value: name },
      async () => {
        const headers = { 'content-type': TYPE, accept: TYPE };
        return this.#ofSend(
          await this.#exchange({ method: 'POST', path: '/send', headers, body }),
        );
      },
    );
  }

  /** `stranger`: this organisation is no party to the payload. */
  async receive(key: string, stranger = false): Promise<Call> {
    const { client, node, history } = this.#options;
    const asked = { client, node, kind: 'receive' as const, key };
    return await history.record(stranger ? { ...asked, stranger } : asked, async () => {
      const path = `/transaction/${encodeURIComponent(key)}`;
      return this.#ofReceive(await this.#exchange({ method: 'GET', path }));
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async #exchange(asked: Parameters<typeof exchange>[1]): Promise<Exchanged> {
    const { url, timeoutMs = TIMEOUT_MS } = this.#options;
    return await exchange({ url, agent: this.#agent }, asked, timeoutMs);
  }

  #ofSend(done: Exchanged): Answered {
    if (done.kind === 'silence') {
      return { outcome: done.left ? 'unknown' : 'fail', note: done.why };
    }
    const { status, body } = done;
    if (status === 201) {
      const { key } = JSON.parse(body) as { readonly key: string };
      const tx = done.headers['x-ms-ccf-transaction-id'];
      return { outcome: 'ok', key, ...(typeof tx === 'string' ? { tx } : {}) };
    }
    if (status < 500) this.#surprise('send', status, body);
    return { outcome: 'unknown', note: `${status} ${body.slice(0, 80)}` };
  }

  #ofReceive(done: Exchanged): Answered {
    if (done.kind === 'silence') return { outcome: 'fail', note: done.why };
    const { status, body } = done;
    if (status === 200) {
      const { payload } = JSON.parse(body) as { readonly payload: string };
      return { outcome: 'ok', value: nameOf(Buffer.from(payload, 'base64')) };
    }
    if (status === 404) return { outcome: 'ok' };
    if (status < 500) this.#surprise('receive', status, body);
    return { outcome: 'fail', note: `${status} ${body.slice(0, 80)}` };
  }

  #surprise(what: string, status: number, body: string): void {
    this.unexpected.push(`${what}: ${status} ${body.slice(0, 200)}`);
  }
}
