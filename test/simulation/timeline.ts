// Virtual time: a queue of events, run one by one in order of time and then of arrival.

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

  /** Runs events until the given time, or until nothing is left. */
  runUntil(endMs: number): void {
    for (;;) {
      const [next] = this.#heap;
      if (next === undefined || next.atMs > endMs) break;
      this.#pop();
      this.#nowMs = next.atMs;
      if (!next.isCancelled) next.action();
    }
    this.#nowMs = Math.max(this.#nowMs, endMs);
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
