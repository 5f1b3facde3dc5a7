// The local index in memory: each write is atomic, and the newest may be lost with the machine.

import type { IndexChange, LocalIndex } from '../../src/base/environment.ts';

export class MemoryIndex implements LocalIndex {
  #rows: Map<string, Uint8Array>;
  #before: Map<string, Uint8Array>;
  writes = 0;

  constructor(rows: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.#rows = new Map(rows);
    this.#before = this.#rows;
  }

  /** What is left after a crash; a crash of the machine may take the newest write with it. */
  survivor(losesLastWrite: boolean): MemoryIndex {
    return new MemoryIndex(losesLastWrite ? this.#before : this.#rows);
  }

  rows(): Map<string, Uint8Array> {
    return this.#rows;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return this.#rows.get(key);
  }

  async keys(prefix: string): Promise<readonly string[]> {
    return [...this.#rows.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  async write(changes: readonly IndexChange[]): Promise<void> {
    this.#before = this.#rows;
    this.#rows = new Map(this.#rows);
    this.writes += 1;
    for (const { key, value } of changes) {
      if (value === undefined) this.#rows.delete(key);
      else this.#rows.set(key, value);
    }
  }

  async close(): Promise<void> {}
}
