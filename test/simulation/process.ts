// One life of one process: what it waits for comes to it while it lives and is not paused. After
// its death nothing reaches it and nothing it still tries has any effect, although its code may
// run on to the end of what it was just doing.

import type { Clock, Timers } from '../../src/base/environment.ts';
import type { Timeline } from './timeline.ts';

/** A machine's own idea of time: how fast its clock runs, and how wrong it is. */
export class MachineClock implements Clock {
  readonly #timeline: Timeline;
  /** What the wall clock shows beyond virtual time. */
  offsetMs: number;
  /** Milliseconds that this machine counts while one passes; fixed, or time would run back. */
  readonly rate: number;
  #frozenAtMs: number | undefined;

  constructor(timeline: Timeline, offsetMs: number, rate = 1) {
    this.#timeline = timeline;
    this.offsetMs = offsetMs;
    this.rate = rate;
  }

  nowMs(): number {
    return Math.floor(this.#frozenAtMs ?? this.#timeline.nowMs() * this.rate + this.offsetMs);
  }

  freeze(): void {
    this.#frozenAtMs = this.nowMs();
  }

  thaw(): void {
    this.#frozenAtMs = undefined;
  }

  /** What no setting of the clock changes. */
  elapsedMs(): number {
    return this.#timeline.nowMs() * this.rate;
  }

  /** How long a timer of this machine takes. */
  durationMs(delayMs: number): number {
    return delayMs / this.rate;
  }
}

export class Process implements Timers {
  readonly name: string;
  readonly #timeline: Timeline;
  readonly #clock: MachineClock;
  #isDead = false;
  /** What waits until the process is let go on; undefined while it runs. */
  #held: (() => void)[] | undefined;

  constructor(name: string, timeline: Timeline, clock: MachineClock) {
    this.name = name;
    this.#timeline = timeline;
    this.#clock = clock;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get isPaused(): boolean {
    return this.#held !== undefined;
  }

  die(): void {
    this.#isDead = true;
    this.#held = undefined;
  }

  pause(): void {
    this.#held ??= [];
  }

  resume(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    // One event each, in the order in which they came due.
    for (const action of held) this.#timeline.soon(() => this.deliver(action));
  }

  /** Something comes from outside, now. */
  deliver(action: () => void): void {
    if (this.#isDead) return;
    if (this.#held === undefined) action();
    else this.#held.push(action);
  }

  elapsedMs(): number {
    return this.#clock.elapsedMs();
  }

  after(delayMs: number, action: () => void): () => void {
    let isCancelled = false;
    const run = (): void => {
      if (!isCancelled) action();
    };
    const cancel = this.#timeline.after(this.#clock.durationMs(delayMs), () =>
      this.deliver(run),
    );
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  soon(action: () => void): void {
    this.#timeline.soon(() => this.deliver(action));
  }
}
