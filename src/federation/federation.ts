/**
 * Federation put together: the listener for peers, party information, the outbox's worker, and what
 * an operator is told of them.
 */
import { base64Of } from '../base/bytes.ts';
import type { Random, Timers } from '../base/environment.ts';
import { messageOf } from '../base/errors.ts';
import { type FederationCounters, newCounters } from './counters.ts';
import { OutboxWorker } from './outbox-worker.ts';
import { PartyInfoExchange } from './party-info-exchange.ts';
import type { PeerClient } from './peer-client.ts';
import { PeerServer, type PeerServerOptions } from './peer-server.ts';
import { type PeerRules, Peers } from './peers.ts';
import { Resender } from './resender.ts';
import type { FederationService } from './service.ts';
import { type PeerRequest, type PeerResponse, PeerSurface } from './surface.ts';

export interface FederationOptions {
  readonly server: PeerServerOptions;
  /** Where peers reach the service; made from where the listener is when absent. */
  readonly url?: string;
  readonly peers: readonly string[];
  readonly discovery: boolean;
  readonly validatesKeys: boolean;
  readonly partyInfoMs: number;
  /** Whether a send waits until every outside recipient has its payload. */
  readonly send: 'strict' | 'queued';
}

export interface FederationDependencies {
  readonly service: FederationService;
  readonly client: PeerClient;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: { info(text: string): void; warn(text: string): void };
  /** Has the primary answer a request. */
  readonly forward: (request: PeerRequest) => Promise<PeerResponse>;
  readonly onFault: (fault: unknown, where: string) => void;
}

/** How long a peer may take to say that it is up before a strict send. */
const UPCHECK_MS_MAX = 1_000;

/** What an operator is told (`concordat federation status`). */
export interface FederationStatus {
  readonly url: string;
  readonly send: 'strict' | 'queued';
  readonly keyValidation: boolean;
  /** Only the primary speaks to peers: the others know no more than the ledger says. */
  readonly isPrimary: boolean;
  readonly outbox: number;
  readonly lastError?: string;
  readonly peers: readonly {
    readonly url: string;
    readonly keys: readonly string[];
    /** Deliveries that wait for it. */
    readonly waiting: number;
    readonly answeredSecondsAgo?: number;
    readonly error?: string;
  }[];
  readonly counters: FederationCounters;
}

/** For a scrape. */
export interface FederationFigures {
  readonly outbox: number;
  readonly peers: number;
  readonly counters: Readonly<FederationCounters>;
}

export class Federation {
  readonly #options: FederationOptions;
  readonly #deps: FederationDependencies;
  readonly #counters = newCounters();
  readonly #server: PeerServer;
  #running: Running | undefined;

  constructor(options: FederationOptions, dependencies: FederationDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    const { onFault, log } = dependencies;
    this.#server = new PeerServer(options.server, {
      answer: (request) => this.#answer(request),
      onFault,
      onTurnedAway: (address) => {
        this.#counters.refused += 1;
        log.warn(`a peer at ${address} is turned away: it is not on the whitelist`);
      },
    });
  }

  async start(): Promise<{ readonly host: string; readonly port: number }> {
    const at = await this.#server.listen();
    const scheme = this.#options.server.tls === undefined ? 'http' : 'https';
    const host = at.host.includes(':') ? `[${at.host}]` : at.host;
    const url = this.#options.url ?? `${scheme}://${host}:${at.port}/`;
    this.#running = this.#begin(url);
    this.#running.worker.start();
    this.#running.exchange.start();
    return at;
  }

  async stop(): Promise<void> {
    this.#running?.exchange.stop();
    this.#running?.worker.stop();
    await this.#server.close();
    this.#deps.client.close();
  }

  /** A payload was sent: what it left in the outbox is delivered at once. */
  poke(payload: Uint8Array): void {
    this.#running?.worker.poke(payload);
  }

  /** Answers a request that another node's peer made. */
  async answerHere(request: PeerRequest): Promise<PeerResponse> {
    const running = this.#running;
    if (running === undefined) return starting();
    return await running.surface.answer(request);
  }

  /** Whether all have a payload within a time, so that its send is done; if not, logs who has. */
  async allHave(payload: Uint8Array, timeoutMs: number): Promise<boolean> {
    const running = this.#running;
    const { service, log } = this.#deps;
    const before = service.outbox(payload).map(({ recipient }) => base64Of(recipient));
    if (before.length === 0) return true;
    const settlement = await running?.worker.settled(payload, timeoutMs);
    if (settlement === undefined) return false;
    if (settlement.missing.length === 0) return true;
    const missing = settlement.missing.map(({ recipient, refusal }) => {
      const why = refusal ?? `no receipt within ${Math.round(timeoutMs)} ms`;
      return { name: base64Of(recipient), why };
    });
    const have = before.filter((name) => !missing.some((one) => one.name === name));
    const names = missing.map(({ name, why }) => `${name} (${why})`).join(', ');
    const already = have.length === 0 ? 'nobody outside has it' : `${have.join(', ')} has it`;
    log.warn(`payload ${base64Of(payload)} is answered 410: ${already}, not ${names}`);
    return false;
  }

  /** What is cheap enough to be asked for again and again. */
  figures(): FederationFigures {
    return {
      outbox: this.#deps.service.outboxLength(),
      peers: this.#running?.peers.all.length ?? 0,
      counters: this.#counters,
    };
  }

  status(): FederationStatus {
    const { service, timers } = this.#deps;
    const outside = service.outsideKeys();
    const states = this.#running?.peers.all ?? [];
    const urls = new Set([...states.map(({ url }) => url), ...outside.map(({ url }) => url)]);
    const outbox = service.outbox();
    const waiting = new Map<string, number>();
    for (const { recipient } of outbox) {
      const name = base64Of(recipient);
      waiting.set(name, (waiting.get(name) ?? 0) + 1);
    }
    const nowMs = timers.elapsedMs();
    const lastError = this.#running?.worker.lastError;
    return {
      url: this.#running?.peers.own ?? '',
      send: this.#options.send,
      keyValidation: this.#options.validatesKeys,
      isPrimary: service.isPrimary(),
      outbox: outbox.length,
      ...(lastError === undefined ? {} : { lastError }),
      peers: [...urls].map((url) => {
        const state = states.find((one) => one.url === url);
        const keys = outside.filter((one) => one.url === url).map(({ key }) => base64Of(key));
        const { answeredMs, error } = state ?? {};
        return {
          url,
          keys,
          waiting: keys.reduce((sum, key) => sum + (waiting.get(key) ?? 0), 0),
          ...(answeredMs === undefined
            ? {}
            : { answeredSecondsAgo: Math.round((nowMs - answeredMs) / 1000) }),
          ...(error === undefined ? {} : { error }),
        };
      }),
      counters: { ...this.#counters },
    };
  }

  #begin(url: string): Running {
    const { service, client, timers, random, log } = this.#deps;
    const { server, discovery, validatesKeys, partyInfoMs } = this.#options;
    const rules: PeerRules = {
      ...{ url, discovery },
      configured: this.#options.peers,
      whitelist: server.whitelist,
    };
    const peers = new Peers(rules);
    const shared = { service, client, timers, counters: this.#counters, log };
    const exchange = new PartyInfoExchange(
      { intervalMs: partyInfoMs, validatesKeys },
      { ...shared, peers, random },
    );
    const worker = new OutboxWorker({
      ...shared,
      onPeer: (peer, error) => {
        if (error === undefined) peers.answered(peer, timers.elapsedMs());
        else peers.failed(peer, error);
      },
    });
    const resender = new Resender(service, client);
    const surface = new PeerSurface({ ...shared, exchange, resender });
    return { peers, exchange, worker, surface };
  }

  async #answer(request: PeerRequest): Promise<PeerResponse> {
    const running = this.#running;
    if (running === undefined) return starting();
    const here = this.#deps.service.isPrimary() || !running.surface.needsPrimary(request);
    return here ? await running.surface.answer(request) : await this.#deps.forward(request);
  }
}

interface Running {
  readonly peers: Peers;
  readonly exchange: PartyInfoExchange;
  readonly worker: OutboxWorker;
  readonly surface: PeerSurface;
}

function starting(): PeerResponse {
  return { status: 503, headers: { 'retry-after': '1' }, body: 'not ready yet, ask again' };
}

/** Asks peers whether they are up before a strict send; gives those that are not. */
export async function unreachablePeers(
  client: PeerClient,
  urls: readonly string[],
  warn: (text: string) => void,
): Promise<readonly string[]> {
  const asked = await Promise.all(
    urls.map(async (url) => {
      try {
        const question = { method: 'GET', url, path: 'upcheck' } as const;
        const { status } = await client.ask({ ...question, timeoutMs: UPCHECK_MS_MAX });
        if (status === 200) return [];
        warn(`a send is answered 410: ${url} answers its upcheck with ${status}`);
      } catch (error) {
        warn(`a send is answered 410: ${messageOf(error)}`);
      }
      return [url];
    }),
  );
  return asked.flat();
}
