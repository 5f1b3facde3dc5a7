/**
 * One node of the service, as a client knows it: its warm sessions, how it stands, and what it is
 * being asked. A request goes with others in a session that takes many, or takes an idle one, or
 * opens another up to a bound, or waits its turn.
 */
import type { SecureContext } from 'node:tls';
import type { Timers } from '../base/environment.ts';
import { messageOf } from '../base/errors.ts';
import type { Answer } from './answer-reader.ts';
import type { Attempt } from './attempt.ts';
import { addressOf, type NodeAddress } from './node-address.ts';
import type { NodeJudge } from './node-judge.ts';
import { isLight, Session, unreachable, type WireRequest } from './session.ts';

/**
 * `good`: answers as it should. `behind`: answers, but was too slow or unable where another was
 * not, and must show by a fresh read that it is up to date. `silent`: does not answer at all.
 */
export type Standing = 'good' | 'behind' | 'silent';

export interface NodeOptions {
  /** For sessions from now on. */
  readonly secureContext: () => SecureContext;
  /** Asked of every session before anything else is said in it. */
  readonly judge: NodeJudge;
  /** Sessions that may be open at once. */
  readonly sessionsMax: number;
  /** Sessions that are kept open while nothing is asked. */
  readonly sessionsWarm: number;
}

/** A request on its way to a session. */
interface Order {
  wanted: boolean;
  session: Session | undefined;
}

interface Waiting {
  readonly order: Order;
  readonly deadlineMs: number;
  readonly wake: () => void;
}

/** A session is closed before the node does it (its bound is 60 s), so that none is found dead. */
const IDLE_MS_MAX = 50_000;
/** A handshake that takes longer is given up. */
const CONNECT_MS_MAX = 2_000;

export class ServiceNode {
  readonly url: string;
  /** As it names itself; known once it has answered. */
  nodeId: string | undefined;
  readonly #address: NodeAddress;
  readonly #options: NodeOptions;
  readonly #timers: Timers;
  /** Those that have been judged, but for the one to probe with. */
  readonly #sessions: Session[] = [];
  readonly #open = new Set<Session>();
  #waiting: Waiting[] = [];
  #probeSession: Session | undefined;
  #opening = 0;
  #asked = 0;
  #heardMs: number;
  #standing: Standing;
  #closed = false;
  /** Called when it stands worse than before. */
  onWorse: (() => void) | undefined;

  constructor(url: string, standing: Standing, options: NodeOptions, timers: Timers) {
    this.url = url;
    this.#address = addressOf(url);
    this.#options = options;
    this.#timers = timers;
    this.#standing = standing;
    this.#heardMs = timers.elapsedMs();
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** Requests that it has not answered. */
  get asked(): number {
    return this.#asked;
  }

  /** Whether it has given no answer since. */
  silentSince(sinceMs: number): boolean {
    return this.#heardMs < sinceMs;
  }

  /** What a probe has found; only it makes a standing better. */
  stand(standing: Standing): void {
    const before = this.#standing;
    this.#standing = standing;
    // What was open to a node that fell silent may be half dead when it speaks again.
    if (standing === 'silent') this.#closeIdle();
    if (RANKS[standing] > RANKS[before]) this.onWorse?.();
  }

  /** Takes note of bad experience. */
  doubt(standing: 'behind' | 'silent'): void {
    if (RANKS[standing] > RANKS[this.#standing]) this.stand(standing);
  }

  begin(request: WireRequest, deadlineMs: number): Attempt {
    const order: Order = { wanted: true, session: undefined };
    const startedMs = this.#timers.elapsedMs();
    this.#asked += 1;
    const answer = this.#exchange(request, deadlineMs, order).finally(() => {
      this.#asked -= 1;
    });
    return {
      url: this.url,
      startedMs,
      answer,
      progress: () => {
        if (order.session === undefined) return 'waiting';
        return order.session.hearing ? 'answering' : 'sent';
      },
      abandon: () => {
        order.wanted = false;
      },
    };
  }

  /**
   * Asks for the client's own sake, in a session of its own: what such an answer shows may be
   * uncommitted, and a session that has seen what is later lost is ended by the node.
   */
  async probe(request: WireRequest, deadlineMs: number): Promise<Answer> {
    const session = await this.#sessionToProbe(deadlineMs);
    const answer = await session.exchange(request, deadlineMs);
    this.#heardMs = this.#timers.elapsedMs();
    return answer;
  }

  async #sessionToProbe(deadlineMs: number): Promise<Session> {
    const kept = this.#probeSession;
    if (kept !== undefined && !kept.closed) return kept;
    const opened = await this.#openSession(deadlineMs);
    this.#probeSession = opened;
    return opened;
  }

  async #exchange(request: WireRequest, deadlineMs: number, order: Order): Promise<Answer> {
    const light = isLight(request);
    let session = this.#withRoom(light);
    while (session === undefined) {
      await this.#makeRoom(order, deadlineMs);
      // Who came meanwhile may have taken it.
      session = this.#withRoom(light);
    }
    try {
      if (!order.wanted) throw unreachable(this.#address, 'nobody waits for it any more');
      order.session = session;
      const answer = await session.exchange(request, deadlineMs);
      this.#heardMs = this.#timers.elapsedMs();
      return answer;
    } catch (thrown) {
      // Whoever waits in vain to the end has judged the node long before.
      if (session.closed && this.#timers.elapsedMs() < deadlineMs) this.doubt('silent');
      throw thrown;
    } finally {
      this.#wakeNext();
    }
  }

  /**
   * The session for a request: the first that takes many things, so that what is asked together
   * goes together; what must go alone takes one that takes no more than that, if there is one.
   */
  #withRoom(light: boolean): Session | undefined {
    if (this.#closed) return undefined;
    let second: Session | undefined;
    for (const session of this.#sessions) {
      if (!session.hasRoomFor(light)) continue;
      if (session.takesMany === light) return session;
      second ??= session;
    }
    return second;
  }

  /** Opens another session, or waits until there may be room in one. */
  async #makeRoom(order: Order, deadlineMs: number): Promise<void> {
    if (this.#closed) throw unreachable(this.#address, 'the client was closed');
    if (this.#open.size + this.#opening < this.#options.sessionsMax) {
      await this.#openCounted(deadlineMs);
      return;
    }
    await new Promise<void>((wake) => {
      this.#waiting.push({ order, deadlineMs, wake });
    });
    if (order.wanted && this.#timers.elapsedMs() < deadlineMs) return;
    // The turn is passed on to one who still wants it.
    this.#wakeNext();
    throw unreachable(this.#address, 'all sessions were busy');
  }

  #wakeNext(): void {
    this.#waiting.shift()?.wake();
  }

  async #openCounted(deadlineMs: number): Promise<void> {
    this.#opening += 1;
    try {
      const session = await this.#openSession(deadlineMs);
      if (!session.closed) this.#sessions.push(session);
    } catch (thrown) {
      this.doubt('silent');
      throw thrown;
    } finally {
      this.#opening -= 1;
      this.#wakeNext();
    }
  }

  async #openSession(deadlineMs: number): Promise<Session> {
    const leftMs = Math.max(1, deadlineMs - this.#timers.elapsedMs());
    const secureContext = this.#options.secureContext();
    const timeoutMs = Math.min(leftMs, CONNECT_MS_MAX);
    const session = await Session.open(this.#address, secureContext, timeoutMs, this.#timers);
    this.#open.add(session);
    session.onClose = () => this.#forget(session);
    if (this.#closed) session.close();
    await this.#judge(session, deadlineMs);
    return session;
  }

  async #judge(session: Session, deadlineMs: number): Promise<void> {
    const { publicKeyDer } = session;
    if (publicKeyDer === undefined) throw unreachable(this.#address, 'it has shown no key');
    try {
      await this.#options.judge(publicKeyDer, (request) =>
        session.exchange(request, deadlineMs),
      );
    } catch (thrown) {
      session.close();
      // Whatever the reason, the request itself was never sent.
      throw unreachable(this.#address, messageOf(thrown));
    }
  }

  /** Opens the warm sessions; rejects when the node cannot be reached. */
  async warmUp(): Promise<void> {
    const deadlineMs = this.#timers.elapsedMs() + CONNECT_MS_MAX;
    const sessions = Array.from({ length: this.#options.sessionsWarm }, () =>
      this.#openCounted(deadlineMs),
    );
    await Promise.all(sessions);
  }

  /** Ends what is overdue or idle too long, and keeps warm what is to be. Called now and then. */
  sweep(nowMs: number): void {
    for (const session of [...this.#open]) session.endOverdue(nowMs);
    this.#closeIdle(nowMs - IDLE_MS_MAX);
    this.#dismissWaiting(nowMs);
    const { sessionsWarm } = this.#options;
    const ordinary = this.#open.size - (this.#probeSession?.closed === false ? 1 : 0);
    // One at a time: a node that is not there is not to be stormed.
    if (this.#closed || this.#standing === 'silent') return;
    if (this.#opening > 0 || ordinary >= sessionsWarm) return;
    this.#openCounted(nowMs + CONNECT_MS_MAX).catch(() => undefined);
  }

  #dismissWaiting(nowMs: number): void {
    const gone = this.#waiting.filter(
      ({ order, deadlineMs }) => !order.wanted || deadlineMs <= nowMs,
    );
    if (gone.length > 0) this.#waiting = this.#waiting.filter((one) => !gone.includes(one));
    for (const { wake } of gone) wake();
    // Sessions that were lost leave room for whoever waits.
    if (this.#open.size + this.#opening < this.#options.sessionsMax) this.#wakeNext();
  }

  /** Closes sessions in which nothing was asked since, or that are idle at all. */
  #closeIdle(sinceMs = Number.POSITIVE_INFINITY): void {
    for (const session of [...this.#sessions]) {
      if (session.idle && session.idleSinceMs <= sinceMs) session.close();
    }
  }

  #forget(session: Session): void {
    this.#open.delete(session);
    const at = this.#sessions.indexOf(session);
    if (at >= 0) this.#sessions.splice(at, 1);
  }

  /** Closes all sessions; exchanges under way fail. */
  close(): void {
    this.#closed = true;
    for (const session of [...this.#open]) session.close();
    for (const { wake } of this.#waiting.splice(0)) wake();
  }
}

const RANKS: Readonly<Record<Standing, number>> = { good: 0, behind: 1, silent: 2 };

/** Orders nodes by how they stand, the better ones first. */
export function compareStanding(left: Standing, right: Standing): number {
  return RANKS[left] - RANKS[right];
}
