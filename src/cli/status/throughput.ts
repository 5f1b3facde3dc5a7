/**
 * Committed transactions a second over the last looks at a cluster. A node counts from its
 * process's start, so only looks at the same process are compared; of several nodes the busiest
 * counts, since each of them commits what all commit.
 */
import type { SeenNode } from './cluster.ts';

/** So many looks are kept: what a line of a terminal shows. */
export const LOOKS_MAX = 30;

export class Throughput {
  readonly #rates: number[] = [];
  #lastMs: number | undefined;
  #counts: ReadonlyMap<number, number> = new Map();

  /** Notes a look at the nodes. */
  note(nodes: readonly SeenNode[], nowMs: number): void {
    const counts = new Map<number, number>();
    for (const { status } of nodes) {
      if (status !== undefined) counts.set(status.pid, status.transactions);
    }
    const passedMs = this.#lastMs === undefined ? 0 : nowMs - this.#lastMs;
    if (passedMs > 0) {
      const grown = [...counts].map(([pid, count]) => count - (this.#counts.get(pid) ?? count));
      this.#rates.push(Math.max(0, ...grown) / (passedMs / 1000));
      if (this.#rates.length > LOOKS_MAX) this.#rates.shift();
    }
    this.#lastMs = nowMs;
    this.#counts = counts;
  }

  /** Transactions a second, oldest first. */
  get rates(): readonly number[] {
    return this.#rates;
  }
}

const BARS = '▁▂▃▄▅▆▇█';

/** Numbers as a line of bars, the greatest being a whole one. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(0, ...values);
  return values
    .map((value) => {
      const share = most === 0 ? 0 : value / most;
      return BARS[Math.min(BARS.length - 1, Math.floor(share * BARS.length))] ?? '';
    })
    .join('');
}
