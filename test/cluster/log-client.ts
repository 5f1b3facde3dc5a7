// A client of the log application, recorded: registers are messages under numbers, in the private
// and in the public table. It is one session: it carries the newest TxID it was shown.

import type { Agent } from 'node:http';
import { codeIn, type Exchanged, exchange, userAgent } from './exchange.ts';
import type { Answered, Call, History } from './history.ts';

/** A register's name: `private/7`. */
export type Register = string;

export interface LogClientOptions {
  readonly client: number;
  /** Where nodes are reached, by their names. */
  readonly nodes: ReadonlyMap<string, string>;
  readonly identity: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly history: History;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 6_000;

/** A write that was refused in one of these ways was certainly not executed. */
const NOT_EXECUTED = [
  ...['NotPrimary', 'PrimaryNotFound', 'SessionCapExhausted', 'FrontendNotOpen'],
  ...['TooManyPendingRequests', 'TooManyPendingTransactions', 'TransactionInvalid'],
];

export class LogClient {
  readonly #options: LogClientOptions;
  readonly #agents = new Map<string, Agent>();
  #lastSeen: string | undefined;
  /** Answers that no client should get, whatever happens to the service. */
  readonly unexpected: string[] = [];

  constructor(options: LogClientOptions) {
    this.#options = options;
  }

  /** The newest TxID that it was shown. */
  get lastSeen(): string | undefined {
    return this.#lastSeen;
  }

  async write(node: string, register: Register, value: string): Promise<Call> {
    const [table, id] = partsOf(register);
    const { history, client } = this.#options;
    return await history.record(
      { client, node, kind: 'write', key: register, value },
      async () => {
        const done = await this.#exchange(
          node,
          {
            'content-type': 'application/json',
            'x-concordat-wait': 'commit',
          },
          `/app/log/${table}`,
          JSON.stringify({ id, msg: value }),
        );
        return this.#ofWrite(done);
      },
    );
  }

  /** `fresh`: as linearizable; `carry`: from a state that holds what this session has seen. */
  async read(
    node: string,
    register: Register,
    wish: { readonly fresh?: true; readonly carry?: boolean } = {},
  ): Promise<Call> {
    const [table, id] = partsOf(register);
    const { history, client } = this.#options;
    const min = wish.carry === true ? this.#lastSeen : undefined;
    const headers: Record<string, string> = {
      ...(min === undefined ? {} : { 'x-concordat-min-txid': min }),
      ...(wish.fresh === undefined ? {} : { 'x-concordat-read': 'linearizable' }),
    };
    const asked = {
      client,
      node,
      kind: 'read' as const,
      key: register,
      ...(min === undefined ? {} : { min }),
      ...(wish.fresh === undefined ? {} : { fresh: wish.fresh }),
    };
    return await history.record(asked, async () => {
      const done = await this.#exchange(node, headers, `/app/log/${table}?id=${id}`);
      return this.#ofRead(done);
    });
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  async #exchange(
    node: string,
    headers: Readonly<Record<string, string>>,
    path: string,
    body?: string,
  ): Promise<Exchanged> {
    const { nodes, identity, timeoutMs = TIMEOUT_MS } = this.#options;
    const url = nodes.get(node);
    if (url === undefined) throw new Error(`there is no node ${node}`);
    let agent = this.#agents.get(node);
    if (agent === undefined) {
      agent = userAgent(identity);
      this.#agents.set(node, agent);
    }
    const method = body === undefined ? 'GET' : 'POST';
    const asked = { method, path, headers, ...(body === undefined ? {} : { body }) } as const;
    return await exchange({ url, agent }, asked, timeoutMs);
  }

  #ofWrite(done: Exchanged): Answered {
    if (done.kind === 'silence') {
      return { outcome: done.left ? 'unknown' : 'fail', note: done.why };
    }
    const { status, body } = done;
    const tx = this.#shown(done);
    if (status === 200 && tx !== undefined) return { outcome: 'ok', tx };
    const code = codeIn(body);
    if (status < 500 || status === 200) this.#surprise('write', done);
    const note = `${status} ${code}`;
    return { outcome: NOT_EXECUTED.includes(code) ? 'fail' : 'unknown', note };
  }

  #ofRead(done: Exchanged): Answered {
    if (done.kind === 'silence') return { outcome: 'fail', note: done.why };
    const { status, body } = done;
    const tx = this.#shown(done);
    if (status === 200 && tx !== undefined) {
      const { msg } = JSON.parse(body) as { readonly msg: string };
      return { outcome: 'ok', value: msg, tx };
    }
    const code = codeIn(body);
    if (status === 400 && code === 'ResourceNotFound') return { outcome: 'ok' };
    if (code === 'SessionConsistencyLost') this.#lastSeen = undefined;
    else if (status < 500) this.#surprise('read', done);
    return { outcome: 'fail', note: `${status} ${code}` };
  }

  /** The TxID of an answer, noted as seen. */
  #shown(done: Extract<Exchanged, { kind: 'answer' }>): string | undefined {
    const tx = done.headers['x-ms-ccf-transaction-id'];
    if (typeof tx !== 'string') return undefined;
    if (this.#lastSeen === undefined || isNewer(tx, this.#lastSeen)) this.#lastSeen = tx;
    return tx;
  }

  #surprise(what: string, done: Extract<Exchanged, { kind: 'answer' }>): void {
    this.unexpected.push(`${what}: ${done.status} ${done.body.slice(0, 200)}`);
  }
}

function partsOf(register: Register): readonly [string, number] {
  const [table = '', id = ''] = register.split('/');
  return [table, Number(id)];
}

function isNewer(left: string, right: string): boolean {
  const [leftView = 0, leftSeqno = 0] = left.split('.').map(Number);
  const [rightView = 0, rightSeqno = 0] = right.split('.').map(Number);
  return leftView > rightView || (leftView === rightView && leftSeqno > rightSeqno);
}
