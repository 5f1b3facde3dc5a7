/**
 * One request on its way through the nodes of the service, until one gives an answer for the client
 * or time is up. All attempts carry the same request id, if any, so that however many reach the
 * service it is carried out once (design decision 13).
 *
 * Another attempt is made at once when one fails, after a pause when all nodes were tried, and when
 * the newest has taken too long: a node that is dead without its connections being cut says
 * nothing.
 */
import type { Timers } from '../base/environment.ts';
import { messageOf } from '../base/errors.ts';
import { CONNECTOR_ANSWER_MS_MAX, CONNECTOR_REACH_MS_MAX } from '../base/limits.ts';
import type { Answer } from '../client/answer-reader.ts';
import type { Attempt, Purpose, ServiceNodes } from '../client/attempt.ts';
import { mayHaveActed, type WireRequest } from '../client/session.ts';
import type { Counters } from './counters.ts';
import { type Verdict, verdictOn } from './verdict.ts';

/** A read that has no answer after so long goes to another node too: a dead one is left in 1 s. */
const READ_PATIENCE_MS = 600;
/** The same for a write whose node has said nothing to anybody; twice that if it has. */
const WRITE_PATIENCE_MS = 1_000;
/** Patience with every further attempt. */
const HEDGE_PATIENCE_MS = 700;
/** So many more bytes of a body are waited for one millisecond longer: a slow line's 80 Mbit/s. */
const BODY_BYTES_PER_MS = 10_000;
/** Attempts of one request that may be under way. */
const ATTEMPTS_MAX = 4;
/** How long it waits before it looks for a node again, at first and in the long run. */
const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 200;

export type Outcome =
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** The id is too old, and nothing was done under it. */
  | { readonly kind: 'too old' }
  /** The service has lost what it had committed. */
  | { readonly kind: 'lost' }
  /**
   * No answer in time. `doubt`: the request may have been carried out; `refusal`: what a node last
   * said.
   */
  | {
      readonly kind: 'none';
      readonly doubt: boolean;
      readonly refusal: Answer | undefined;
      readonly why: string;
    };

export interface ErrandOptions {
  readonly purpose: Purpose;
  /** The request as it is to be sent now. */
  readonly request: () => WireRequest;
  /** Bytes of its body. */
  readonly bodyBytes: number;
  /** When the client's request came in: from then on time is counted. */
  readonly arrivedMs: number;
  readonly isWanted: () => boolean;
  /** Asks whether it is true that the service has lost what it had shown as committed. */
  readonly confirmLoss: () => Promise<boolean>;
}

export interface ErrandDependencies {
  readonly nodes: ServiceNodes;
  readonly timers: Timers;
  readonly counters: Counters;
}

/** Sends a request until it is answered. Never rejects. */
export function runErrand(options: ErrandOptions, deps: ErrandDependencies): Promise<Outcome> {
  return new Promise((resolve) => new Errand(options, deps, resolve).start());
}

class Errand {
  readonly #options: ErrandOptions;
  readonly #deps: ErrandDependencies;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #underWay = new Map<Attempt, () => void>();
  /** Nodes that were tried since the last pause. */
  readonly #tried = new Set<string>();
  #cancelEnd: () => void = () => undefined;
  #cancelPause: (() => void) | undefined;
  #pauseMs = PAUSE_MS_MIN;
  #first: string | undefined;
  #confirming = false;
  #doubt = false;
  #tooOld = false;
  #refusal: Answer | undefined;
  #why = 'no node could be reached';
  #done = false;

  constructor(
    options: ErrandOptions,
    deps: ErrandDependencies,
    resolve: (outcome: Outcome) => void,
  ) {
    this.#options = options;
    this.#deps = deps;
    this.#resolve = resolve;
  }

  start(): void {
    const { timers } = this.#deps;
    const leftMs = this.#options.arrivedMs + CONNECTOR_ANSWER_MS_MAX - timers.elapsedMs();
    this.#cancelEnd = timers.after(Math.max(0, leftMs), () => this.#giveUp());
    this.#goOn();
  }

  /** Makes an attempt with a node that was not tried, or after a pause with any. */
  #goOn(prefer?: string): void {
    if (this.#done || this.#cancelPause !== undefined) return;
    if (!this.#tooOld && !this.#isLate() && this.#options.isWanted()) {
      if (!this.#launch(this.#avoided(), prefer)) this.#pause();
      return;
    }
    if (this.#underWay.size === 0 && !this.#confirming) this.#giveUp();
  }

  #isLate(): boolean {
    const { arrivedMs } = this.#options;
    return this.#deps.timers.elapsedMs() - arrivedMs > CONNECTOR_REACH_MS_MAX;
  }

  #pause(): void {
    this.#cancelPause = this.#deps.timers.after(this.#pauseMs, () => {
      this.#cancelPause = undefined;
      this.#tried.clear();
      this.#goOn();
    });
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MS_MAX);
  }

  #avoided(): ReadonlySet<string> {
    return new Set([...this.#tried, ...[...this.#underWay.keys()].map(({ url }) => url)]);
  }

  #launch(avoid: ReadonlySet<string>, prefer?: string): boolean {
    const { nodes, counters } = this.#deps;
    const { purpose, request, arrivedMs } = this.#options;
    const wish = { purpose, avoid, prefer };
    const attempt = nodes.begin(request(), wish, arrivedMs + CONNECTOR_ANSWER_MS_MAX);
    if (attempt === undefined) return false;
    if (this.#first !== undefined && purpose === 'write') counters.retries += 1;
    this.#first ??= attempt.url;
    this.#tried.add(attempt.url);
    this.#underWay.set(attempt, this.#waitFor(attempt, this.#patienceMs()));
    attempt.answer.then(
      (answer) => this.#take(attempt, answer),
      (thrown: unknown) => this.#fail(attempt, thrown),
    );
    return true;
  }

  #patienceMs(): number {
    const { purpose, bodyBytes } = this.#options;
    const bodyMs = Math.floor(bodyBytes / BODY_BYTES_PER_MS);
    if (this.#underWay.size > 0) return HEDGE_PATIENCE_MS + bodyMs;
    return (purpose === 'read' ? READ_PATIENCE_MS : WRITE_PATIENCE_MS) + bodyMs;
  }

  /** Gives back what ends the patience with an attempt. */
  #waitFor(attempt: Attempt, patienceMs: number, more = true): () => void {
    return this.#deps.timers.after(patienceMs, () => {
      if (!this.#underWay.has(attempt)) return;
      const { purpose } = this.#options;
      const answering = attempt.progress() === 'answering';
      const silent = !answering && this.#deps.nodes.noteSlow(attempt, purpose);
      // What comes in pieces comes; a write may take its time where other things go on.
      const wait = answering || (purpose === 'write' && !silent && more);
      if (wait) this.#underWay.set(attempt, this.#waitFor(attempt, patienceMs, answering));
      else this.#hedge();
    });
  }

  #hedge(): void {
    if (this.#tooOld || this.#isLate() || !this.#options.isWanted()) return;
    if (this.#underWay.size >= ATTEMPTS_MAX) return;
    const another = this.#launch(this.#avoided());
    // A write that hangs with all of them may pass at one of them by now.
    const anyhow =
      !another && this.#options.purpose === 'write' && this.#underWay.size > 1
        ? this.#launch(new Set())
        : another;
    if (anyhow) this.#deps.counters.hedges += 1;
  }

  #take(attempt: Attempt, answer: Answer): void {
    if (this.#done) return;
    this.#forget(attempt);
    this.#judge(attempt, answer, verdictOn(answer, this.#options.purpose));
  }

  #judge(attempt: Attempt, answer: Answer, verdict: Verdict): void {
    const { purpose, confirmLoss } = this.#options;
    const { nodes } = this.#deps;
    switch (verdict.kind) {
      case 'final':
        this.#answer(attempt, answer);
        return;
      case 'again':
        this.#refusal = answer;
        this.#doubt ||= verdict.acted;
        if (verdict.unable) nodes.noteUnable(attempt, purpose);
        this.#goOn();
        return;
      case 'fault':
        this.#refusal = answer;
        this.#doubt = true;
        nodes.noteUnable(attempt, purpose);
        if (!this.#isLate() && this.#launch(this.#avoided())) return;
        if (this.#underWay.size === 0) this.#answer(attempt, answer);
        return;
      case 'moved':
        this.#refusal = undefined;
        this.#goOn(verdict.url);
        return;
      case 'too old':
        this.#tooOld = true;
        this.#goOn();
        return;
      case 'lost':
        this.#confirming = true;
        void confirmLoss().then((isLost) => {
          this.#confirming = false;
          if (isLost) this.#settle({ kind: 'lost' });
          else this.#goOn();
        });
    }
  }

  #fail(attempt: Attempt, thrown: unknown): void {
    if (this.#done) return;
    this.#forget(attempt);
    this.#doubt ||= mayHaveActed(thrown);
    this.#why = messageOf(thrown);
    this.#goOn();
  }

  #forget(attempt: Attempt): void {
    this.#underWay.get(attempt)?.();
    this.#underWay.delete(attempt);
  }

  #answer(attempt: Attempt, answer: Answer): void {
    if (attempt.url !== this.#first) this.#deps.counters.failovers += 1;
    this.#settle({ kind: 'answer', answer });
  }

  #giveUp(): void {
    const underWay = [...this.#underWay.keys()];
    const doubt = this.#doubt || underWay.some((one) => one.progress() !== 'waiting');
    if (this.#tooOld && !doubt) this.#settle({ kind: 'too old' });
    else this.#settle({ kind: 'none', doubt, refusal: this.#refusal, why: this.#why });
  }

  #settle(outcome: Outcome): void {
    if (this.#done) return;
    this.#done = true;
    this.#cancelEnd();
    this.#cancelPause?.();
    for (const [attempt, cancel] of this.#underWay) {
      cancel();
      attempt.abandon();
    }
    this.#resolve(outcome);
  }
}
