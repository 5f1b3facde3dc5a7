/**
 * Warm sessions with the service: a request takes an idle one, or opens another up to a bound, or
 * waits its turn. When a node cannot be reached the next one is tried.
 */
import { createSecureContext, type SecureContext } from 'node:tls';
import { CodedError, isCoded } from '../base/errors.ts';
import type { Answer } from './answer-reader.ts';
import {
  type ExchangeFailure,
  type NodeAddress,
  Session,
  type WireRequest,
} from './session.ts';

export interface PoolOptions {
  /** The nodes of the service, `https://host:port`; the first that answers is used. */
  readonly nodeUrls: readonly string[];
  /** The only trust anchor (PEM). */
  readonly serviceCertificate: string;
  /** The client's certificate and key (PEM); without them requests are anonymous. */
  readonly certificate?: string;
  readonly key?: string;
  /** Sessions that may be open at once; the front door allows a node 1000 of all clients. */
  readonly sessionsMax?: number;
  /** Sessions that are kept open while nothing is asked. */
  readonly sessionsWarm?: number;
}

const SESSIONS_MAX_DEFAULT = 64;
const SESSIONS_WARM_DEFAULT = 2;
/** A session is closed before the node does it (its bound is 60 s), so that none is found dead. */
const IDLE_MS_MAX = 50_000;
/** How often overdue and idle sessions are looked for. */
const SWEEP_MS = 100;
/** A handshake that takes longer is given up. */
const CONNECT_MS_MAX = 2_000;

export class SessionPool {
  readonly #nodes: readonly NodeAddress[];
  readonly #secureContext: SecureContext;
  readonly #sessionsMax: number;
  readonly #sessionsWarm: number;
  readonly #idle: Session[] = [];
  readonly #open = new Set<Session>();
  readonly #waiting: (() => void)[] = [];
  readonly #sweeper: NodeJS.Timeout;
  #opening = 0;
  #node = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    const { nodeUrls, certificate, key, serviceCertificate } = options;
    this.#nodes = nodeUrls.map(addressOf);
    this.#secureContext = createSecureContext({
      ca: serviceCertificate,
      minVersion: 'TLSv1.2',
      ...(certificate === undefined ? {} : { cert: certificate }),
      ...(key === undefined ? {} : { key }),
    });
    this.#sessionsMax = options.sessionsMax ?? SESSIONS_MAX_DEFAULT;
    this.#sessionsWarm = options.sessionsWarm ?? SESSIONS_WARM_DEFAULT;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweeper.unref();
  }

  /** Opens the warm sessions; rejects when the service cannot be reached. */
  async warmUp(): Promise<void> {
    const sessions = Array.from({ length: this.#sessionsWarm }, () => this.#openSession());
    for (const session of await Promise.all(sessions)) this.#giveBack(session);
  }

  /**
   * Sends a request. Rejects with `ServiceUnreachable`, whose fields say whether a node may have
   * acted on the request, when none answers by `deadlineMs` (of `Date.now()`).
   */
  async exchange(request: WireRequest, deadlineMs: number): Promise<Answer> {
    const session = await this.#take(deadlineMs);
    try {
      return await session.exchange(request, deadlineMs);
    } finally {
      this.#giveBack(session);
    }
  }

  /** Closes all sessions; exchanges under way fail. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#sweeper);
    for (const session of [...this.#open]) session.close();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #take(deadlineMs: number): Promise<Session> {
    for (;;) {
      if (this.#closed) throw unreachable('the client was closed');
      for (let session = this.#idle.pop(); session !== undefined; session = this.#idle.pop()) {
        if (!session.closed) return session;
      }
      if (this.#open.size + this.#opening < this.#sessionsMax) return await this.#openSession();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      if (Date.now() < deadlineMs) continue;
      // The turn is passed on to one who still wants it.
      this.#waiting.shift()?.();
      throw unreachable('all sessions were busy');
    }
  }

  #giveBack(session: Session): void {
    if (!session.closed) this.#idle.push(session);
    this.#waiting.shift()?.();
  }

  async #openSession(): Promise<Session> {
    this.#opening += 1;
    try {
      return await this.#openAnywhere();
    } finally {
      this.#opening -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #openAnywhere(): Promise<Session> {
    let failure: unknown = unreachable('no node is named');
    for (let tries = 0; tries < this.#nodes.length; tries += 1) {
      const address = this.#nodes[this.#node % this.#nodes.length];
      if (address === undefined) break;
      try {
        const session = await Session.open(address, this.#secureContext, CONNECT_MS_MAX);
        this.#open.add(session);
        session.onClose = () => this.#open.delete(session);
        if (this.#closed) session.close();
        return session;
      } catch (thrown) {
        failure = thrown;
        this.#node += 1;
      }
    }
    throw failure;
  }

  #sweep(): void {
    const nowMs = Date.now();
    for (const session of [...this.#open]) {
      if (session.isOverdue(nowMs)) session.close('no answer in time');
    }
    this.#closeIdle(nowMs);
    // One at a time: a service that is not there is not to be stormed.
    if (!this.#closed && this.#opening === 0 && this.#open.size < this.#sessionsWarm) {
      void this.#openSession().then(
        (session) => this.#giveBack(session),
        () => undefined,
      );
    }
    // Whoever waits for a session looks at the time again.
    if (this.#waiting.length > 0 && this.#open.size + this.#opening < this.#sessionsMax) {
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  #closeIdle(nowMs: number): void {
    // The first in line has been idle longest.
    for (let first = this.#idle[0]; first !== undefined; first = this.#idle[0]) {
      if (!first.closed && nowMs - first.idleSinceMs < IDLE_MS_MAX) return;
      this.#idle.shift();
      first.close();
    }
  }
}

/** Whether a failed exchange may have had an effect all the same. */
export function mayHaveActed(thrown: unknown): boolean {
  return !isCoded(thrown, 'ServiceUnreachable') || thrown.fields.mayHaveActed !== false;
}

function unreachable(why: string): CodedError {
  const failure: ExchangeFailure = { mayHaveActed: false };
  return new CodedError('ServiceUnreachable', `the service cannot be reached: ${why}`, {
    ...failure,
  });
}

function addressOf(url: string): NodeAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || parsed.protocol !== 'https:' || parsed.pathname !== '/') {
    throw new CodedError(
      'BadServiceUrl',
      `"${url}" is no address of a node: https://host:port`,
    );
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  return { host, port: parsed.port === '' ? 443 : Number(parsed.port) };
}
