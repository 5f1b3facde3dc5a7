// What clients do while the service is tried: they write and read registers of the log, and send
// and receive payloads, all at once, each one call at a time, and all of it recorded.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { Call, History } from './history.ts';
import { LogClient, type Register } from './log-client.ts';
import { PayloadClient } from './payload-client.ts';

/** What a workload must know of the service: a sandbox's ready line has it. */
export interface Service {
  /** Where clients reach each node, by its name. */
  readonly nodes: ReadonlyMap<string, string>;
  readonly certificate: string;
  readonly organisations: readonly {
    readonly partyKeys: readonly string[];
    readonly transactionManager: { readonly url: string };
    readonly certificate: string;
    readonly key: string;
  }[];
}

export interface WorkloadOptions {
  readonly logClients: number;
  /** So many clients of each organisation's transaction manager. */
  readonly payloadClients: number;
  /** Registers in use at once. One is left for a new one after `writesPerRegister` writes. */
  readonly registers: number;
  readonly writesPerRegister: number;
  /** One call in so many goes to another node than the one before. */
  readonly movesOneIn: number;
  /** The longest pause between two calls of a client. */
  readonly thinkMsMax: number;
  /** The longest pause after a call that came to nothing. */
  readonly retryMsMax: number;
}

export const WORKLOAD: WorkloadOptions = {
  logClients: 6,
  payloadClients: 1,
  registers: 6,
  writesPerRegister: 40,
  movesOneIn: 8,
  thinkMsMax: 25,
  retryMsMax: 60,
};

const PAYLOAD_BYTES_MAX = 3_000;

interface Live {
  readonly register: Register;
  writes: number;
}

interface Sent {
  readonly key: string;
  /** Indexes of organisations. */
  readonly sender: number;
  readonly recipient: number;
}

export class Workload {
  readonly #service: Service;
  readonly #options: WorkloadOptions;
  readonly #random: SeededRandom;
  readonly #history: History;
  readonly #logClients: LogClient[];
  readonly #payloadClients: PayloadClient[][];
  readonly #live: Live[] = [];
  readonly #registers: Register[] = [];
  readonly #sent: Sent[] = [];
  readonly #running: Promise<void>[] = [];
  #values = 0;
  #stopping = false;

  constructor(
    service: Service,
    history: History,
    random: SeededRandom,
    options: Partial<WorkloadOptions> = {},
  ) {
    this.#service = service;
    this.#history = history;
    this.#random = random;
    this.#options = { ...WORKLOAD, ...options };
    let clients = 0;
    this.#logClients = Array.from({ length: this.#options.logClients }, (_, at) => {
      clients += 1;
      return this.#logClient(clients, at);
    });
    this.#payloadClients = service.organisations.map(({ transactionManager: { url } }, at) =>
      Array.from({ length: this.#options.payloadClients }, () => {
        clients += 1;
        return new PayloadClient({
          client: clients,
          url,
          node: `organisation ${at + 1}`,
          history,
        });
      }),
    );
    for (let at = 0; at < this.#options.registers; at += 1) this.#renew(at);
  }

  /** Begins; each client goes on until `stop`. */
  start(): void {
    for (const client of this.#logClients) this.#running.push(this.#useLog(client));
    for (const [organisation, clients] of this.#payloadClients.entries()) {
      for (const client of clients) this.#running.push(this.#usePayloads(client, organisation));
    }
  }

  /** Ends when all calls under way have ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /**
   * Reads everything back, from a service at rest: each register freshly from one node and plainly
   * from all others, and each acknowledged payload at its recipient. Gives back what stayed without
   * an answer.
   */
  async readBack(): Promise<readonly Call[]> {
    const [client] = this.#logClients;
    if (client === undefined) throw new Error('nobody can read back');
    const names = [...this.#service.nodes.keys()];
    const unanswered: Call[] = [];
    const note = (call: Call): void => {
      if (call.outcome !== 'ok') unanswered.push(call);
    };
    for (const [at, register] of this.#registers.entries()) {
      const first = at % names.length;
      note(await client.read(names[first] ?? '', register, { fresh: true }));
      for (const [index, name] of names.entries()) {
        if (index !== first) note(await client.read(name, register, { carry: true }));
      }
    }
    for (const { key, recipient } of this.#sent) {
      const [reader] = this.#payloadClients[recipient] ?? [];
      if (reader !== undefined) note(await reader.receive(key));
    }
    return unanswered;
  }

  /** Answers that no client should have been given. */
  unexpected(): readonly string[] {
    return [...this.#logClients, ...this.#payloadClients.flat()].flatMap(
      (client) => client.unexpected,
    );
  }

  close(): void {
    for (const client of [...this.#logClients, ...this.#payloadClients.flat()]) client.close();
  }

  #logClient(client: number, at: number): LogClient {
    const { organisations, nodes, certificate } = this.#service;
    const organisation = organisations[at % organisations.length];
    if (organisation === undefined) throw new Error('the service has no organisations');
    const identity = {
      ca: readFileSync(certificate, 'utf8'),
      cert: readFileSync(organisation.certificate, 'utf8'),
      key: readFileSync(organisation.key, 'utf8'),
    };
    return new LogClient({ client, nodes, identity, history: this.#history });
  }

  #renew(at: number): Live {
    const number = this.#registers.length + 1;
    const register = `${number % 2 === 0 ? 'public' : 'private'}/${number}`;
    const live = { register, writes: 0 };
    this.#registers.push(register);
    this.#live[at] = live;
    return live;
  }

  async #useLog(client: LogClient): Promise<void> {
    const random = this.#random;
    const names = [...this.#service.nodes.keys()];
    let node = random.pick(names);
    while (!this.#stopping) {
      if (random.oneIn(this.#options.movesOneIn)) node = random.pick(names);
      const at = random.below(this.#live.length);
      let live = this.#live[at];
      if (live === undefined || live.writes >= this.#options.writesPerRegister) {
        live = this.#renew(at);
      }
      const call = await this.#callLog(client, node, live);
      if (call.outcome !== 'ok' && random.oneIn(2)) node = random.pick(names);
      await this.#pause(call);
    }
  }

  async #callLog(client: LogClient, node: string, live: Live): Promise<Call> {
    const random = this.#random;
    if (random.oneIn(2)) {
      live.writes += 1;
      this.#values += 1;
      return await client.write(node, live.register, `v${this.#values}`);
    }
    // Those who only lately left a register are looked at, too.
    const register = random.oneIn(6)
      ? random.pick(this.#registers.slice(-4 * this.#options.registers))
      : live.register;
    if (random.oneIn(2)) return await client.read(node, register, { fresh: true });
    return await client.read(node, register, { carry: random.oneIn(2) });
  }

  async #usePayloads(client: PayloadClient, organisation: number): Promise<void> {
    while (!this.#stopping) {
      await this.#pause(await this.#callManager(client, organisation));
    }
  }

  async #callManager(client: PayloadClient, organisation: number): Promise<Call> {
    const random = this.#random;
    const { organisations } = this.#service;
    const recent = this.#sent.slice(-50);
    if (recent.length > 0 && random.oneIn(2)) {
      const { key, sender, recipient } = random.pick(recent);
      const isParty = organisation === sender || organisation === recipient;
      return await client.receive(key, !isParty);
    }
    const recipient =
      (organisation + 1 + random.below(organisations.length - 1)) % organisations.length;
    this.#values += 1;
    const call = await client.send(
      `p${this.#values}`,
      random.below(PAYLOAD_BYTES_MAX),
      organisations[organisation]?.partyKeys[0] ?? '',
      [organisations[recipient]?.partyKeys[0] ?? ''],
    );
    if (call.outcome === 'ok')
      this.#sent.push({ key: call.key, sender: organisation, recipient });
    return call;
  }

  async #pause({ outcome }: Call): Promise<void> {
    const { thinkMsMax, retryMsMax } = this.#options;
    await sleep(this.#random.below(1 + (outcome === 'ok' ? thinkMsMax : retryMsMax)));
  }
}
