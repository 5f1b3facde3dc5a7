// Time that stands still until a test moves it.

import type { Clock, Timers } from '../../src/base/environment.ts';

interface Waiting {
  readonly atMs: number;
  readonly action: () => void;
}

export class ManualTime implements Clock, Timers {
  #nowMs: number;
  #waiting: Waiting[] = [];

  constructor(nowMs: number = Date.now()) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  elapsedMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const waiting = { atMs: this.#nowMs + delayMs, action };
    this.#waiting.push(waiting);
    return () => {
      this.#waiting = this.#waiting.filter((each) => each !== waiting);
    };
  }

  soon(action: () => void): void {
    setImmediate(action);
  }

  /** Timers that have not gone off. */
  get pending(): number {
    return this.#waiting.length;
  }

  /** Moves on, and lets what is due happen, with all that follows from it. */
  async advance(ms: number): Promise<void> {
    this.#nowMs += ms;
    for (;;) {
      const due = this.#waiting.find(({ atMs }) => atMs <= this.#nowMs);
      if (due === undefined) break;
      this.#waiting = this.#waiting.filter((each) => each !== due);
      due.action();
    }
    await settle();
  }
}

/** Lets everything that is ready happen; work on the thread pool is given a little real time. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
