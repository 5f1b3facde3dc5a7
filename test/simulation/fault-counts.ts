// How often each fault was injected: a run in which one never happened shows nothing about it.

export class FaultCounts {
  readonly #counts = new Map<string, number>();

  count(fault: string, times = 1): void {
    this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + times);
  }

  of(fault: string): number {
    return this.#counts.get(fault) ?? 0;
  }

  add(others: FaultCounts): void {
    for (const [fault, times] of others.#counts) this.count(fault, times);
  }

  get table(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
