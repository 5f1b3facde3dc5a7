/**
 * All request bodies in flight on a node, within one bound (design decision 17). A request whose
 * body does not fit waits, unread, until others have been answered; whoever came first goes first,
 * so that a large body is not starved by small ones.
 */
import { invariant } from '../base/assert.ts';

interface Waiter {
  readonly bytes: number;
  readonly start: () => void;
}

export class BodyBudget {
  readonly #bytesMax: number;
  readonly #waiting: Waiter[] = [];
  #inFlight = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytesInFlight(): number {
    return this.#inFlight;
  }

  get requestsWaiting(): number {
    return this.#waiting.length;
  }

  /**
   * Calls `start` once `bytes` are reserved. If that was at once, nothing is returned; else the
   * function that gives the wait up. What was reserved is given back with `release`.
   */
  reserve(bytes: number, start: () => void): (() => void) | undefined {
    // Every endpoint's bound is far below this one; a larger body would wait forever.
    invariant(bytes <= this.#bytesMax, 'a body fits into the bound on all bodies');
    if (this.#waiting.length === 0 && this.#inFlight + bytes <= this.#bytesMax) {
      this.#inFlight += bytes;
      start();
      return undefined;
    }
    const waiter: Waiter = { bytes, start };
    this.#waiting.push(waiter);
    return () => {
      const at = this.#waiting.indexOf(waiter);
      if (at !== -1) this.#waiting.splice(at, 1);
      this.#startWaiting();
    };
  }

  /** Reserves `bytes` if there is room for them now. */
  tryReserve(bytes: number): boolean {
    if (this.#inFlight + bytes > this.#bytesMax) return false;
    this.#inFlight += bytes;
    return true;
  }

  /** Gives back some or all of what `reserve` took. */
  release(bytes: number): void {
    this.#inFlight -= bytes;
    invariant(this.#inFlight >= 0, 'no more body bytes are released than were reserved');
    this.#startWaiting();
  }

  #startWaiting(): void {
    for (;;) {
      const next = this.#waiting[0];
      if (next === undefined || this.#inFlight + next.bytes > this.#bytesMax) return;
      this.#waiting.shift();
      this.#inFlight += next.bytes;
      next.start();
    }
  }
}
