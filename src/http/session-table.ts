/**
 * All sessions of an interface: their caps and their time limits (http-api.md §9).
 *
 * Time is counted in sweeps of one timer rather than per session, so that a request costs no timer
 * and a limit is kept to within two sweeps. The hard cap is the server's own: what is beyond it is
 * dropped before TLS. Between the caps a session is let in to be told that there is no room.
 */
import type { TLSSocket } from 'node:tls';
import type { Timers } from '../base/environment.ts';
import { type Overdue, Session, type SessionRequest, type SilenceLimits } from './session.ts';

export interface SessionLimits {
  readonly softMax: number;
  readonly idleMsMax: number;
  readonly headersMsMax: number;
  readonly bodyMsMax: number;
  readonly lingerMsMax: number;
  readonly sweepMs: number;
}

export class SessionTable<Request extends SessionRequest> {
  readonly #limits: SessionLimits;
  readonly #silence: SilenceLimits;
  readonly #timers: Timers;
  readonly #onOverdue: (session: Session<Request>, what: Overdue) => void;
  readonly #sessions = new Map<object, Session<Request>>();
  #sweep = 0;
  #peak = 0;
  #stopTimer: () => void;

  constructor(
    limits: SessionLimits,
    timers: Timers,
    onOverdue: (session: Session<Request>, what: Overdue) => void,
  ) {
    const { sweepMs, idleMsMax, headersMsMax, bodyMsMax, lingerMsMax } = limits;
    this.#limits = limits;
    this.#silence = {
      idle: Math.ceil(idleMsMax / sweepMs),
      headers: Math.ceil(headersMsMax / sweepMs),
      body: Math.ceil(bodyMsMax / sweepMs),
      linger: Math.ceil(lingerMsMax / sweepMs),
    };
    this.#timers = timers;
    this.#onOverdue = onOverdue;
    this.#stopTimer = timers.after(sweepMs, () => this.#sweepNow());
  }

  /** How many sweeps there have been: the table's clock. */
  get sweep(): number {
    return this.#sweep;
  }

  get active(): number {
    return this.#sessions.size;
  }

  get peak(): number {
    return this.#peak;
  }

  open(socket: TLSSocket): Session<Request> {
    const beyondCap = this.#sessions.size >= this.#limits.softMax;
    const session = new Session<Request>(socket, beyondCap, this.#sweep);
    this.#sessions.set(socket, session);
    this.#peak = Math.max(this.#peak, this.#sessions.size);
    return session;
  }

  of(socket: object): Session<Request> | undefined {
    return this.#sessions.get(socket);
  }

  forget(socket: object): void {
    this.#sessions.delete(socket);
  }

  all(): Iterable<Session<Request>> {
    return this.#sessions.values();
  }

  stop(): void {
    this.#stopTimer();
  }

  #sweepNow(): void {
    this.#sweep += 1;
    this.#stopTimer = this.#timers.after(this.#limits.sweepMs, () => this.#sweepNow());
    for (const session of this.#sessions.values()) {
      const what = session.overdue(this.#sweep, this.#silence);
      if (what !== undefined) this.#onOverdue(session, what);
    }
  }
}
