/**
 * The newest of many durations, for their quantiles: a ring, so that it never grows, and sorted
 * only when somebody asks.
 */
import type { Quantiles } from './node-status.ts';

/** So many are kept: some seconds' worth of rounds on a busy node. */
export const RECENT_TIMES_MAX = 1024;

export class RecentTimes {
  readonly #ring = new Float64Array(RECENT_TIMES_MAX);
  #noted = 0;

  note(milliseconds: number): void {
    this.#ring[this.#noted % RECENT_TIMES_MAX] = milliseconds;
    this.#noted += 1;
  }

  /** Undefined before the first. */
  quantiles(): Quantiles | undefined {
    const count = Math.min(this.#noted, RECENT_TIMES_MAX);
    if (count === 0) return undefined;
    const sorted = this.#ring.slice(0, count).sort();
    const at = (share: number): number => sorted[Math.ceil(share * count) - 1] ?? 0;
    return { count, p50: at(0.5), p99: at(0.99) };
  }
}
