// Virtual time: a queue of events, run one by one in order of time and then of arrival. Code that
// waits for promises gets its turn between two events: `play` lets everything that an event made
// ready happen before the next one, so that the order of all steps follows from the events alone.

import type { Clock, Timers } from '../../src/base/environment.ts';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
  isCancelled: boolean;
}

export class Timeline implements Timers, Clock {
  /** A binary heap: the earliest event is first. */
  readonly #heap: Event[] = [];
  #nowMs = 0;
  #order = 0;
  #outside = 0;
  #events = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  elapsedMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const event = {
      atMs: this.#nowMs + Math.max(0, delayMs),
      order: this.#order,
      action,
      isCancelled: false,
    };
    this.#order += 1;
    this.#push(event);
    return () => {
      event.isCancelled = true;
    };
  }

  soon(action: () => void): void {
    this.after(0, action);
  }

  /** Events that have happened. */
  get events(): number {
    return this.#events;
  }

  /** Runs events until the given time, or until nothing is left. */
  runUntil(endMs: number): void {
    while (this.#runNext(endMs));
    this.#nowMs = Math.max(this.#nowMs, endMs);
  }

  /** The same for code that waits; ends early when `isOver` says so. */
  async play(endMs: number, isOver: () => boolean = () => false): Promise<void> {
    await this.#quiet();
    while (!isOver() && this.#runNext(endMs)) await this.#quiet();
    if (!isOver()) this.#nowMs = Math.max(this.#nowMs, endMs);
  }

  /** Keeps virtual time from going on before work that takes real time has ended. */
  outside = async <Result>(work: Promise<Result>): Promise<Result> => {
    this.#outside += 1;
    try {
      return await work;
    } finally {
      this.#outside -= 1;
    }
  };

  /** A turn of Node's event loop begins when no promise is left to run. */
  async #quiet(): Promise<void> {
    do {
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#outside > 0);
  }

  #runNext(endMs: number): boolean {
    for (;;) {
      const [next] = this.#heap;
      if (next === undefined || next.atMs > endMs) return false;
      this.#pop();
      if (next.isCancelled) continue;
      this.#nowMs = next.atMs;
      this.#events += 1;
      next.action();
      return true;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(event);
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, event)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let place = 0;
    for (;;) {
      const left = 2 * place + 1;
      let child = left;
      const [leftEvent, rightEvent] = [heap[left], heap[left + 1]];
      if (leftEvent === undefined) break;
      if (rightEvent !== undefined && isBefore(rightEvent, leftEvent)) child = left + 1;
      const chosen = heap[child];
      if (chosen === undefined || isBefore(last, chosen)) break;
      heap[place] = chosen;
      place = child;
    }
    heap[place] = last;
  }
}

function isBefore(left: Event, right: Event): boolean {
  return left.atMs === right.atMs ? left.order < right.order : left.atMs < right.atMs;
}
