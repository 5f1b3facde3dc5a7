// The local index of a machine on virtual time: each write is atomic, the newest may be lost with
// the machine's power, and one process at a time has it, which is what guards a node's folder.

import type { IndexChange, LocalIndex } from '../../src/base/environment.ts';
import { CodedError } from '../../src/base/errors.ts';
import type { Chance } from './chance.ts';
import type { FaultCounts } from './fault-counts.ts';
import type { Process } from './process.ts';

type Rows = ReadonlyMap<string, Uint8Array>;

export class SimulatedIndex {
  readonly #chance: Chance;
  readonly #faults: FaultCounts;
  readonly #onWrite: (key: string, value: Uint8Array) => void;
  #rows = new Map<string, Uint8Array>();
  /** What the rows were before each write that may still be lost, oldest first. */
  #before: Rows[] = [];
  #holder: Process | undefined;

  constructor(
    chance: Chance,
    faults: FaultCounts,
    onWrite: (key: string, value: Uint8Array) => void = () => undefined,
  ) {
    this.#chance = chance;
    this.#faults = faults;
    this.#onWrite = onWrite;
  }

  image(): Rows {
    return new Map(this.#before[0] ?? this.#rows);
  }

  restore(image: Rows): void {
    this.#rows = new Map(image);
    this.#before = [];
  }

  /** Decides which of the newest writes are lost. */
  losePower(): void {
    const lost = this.#chance.below(this.#before.length + 1);
    const rows = lost === 0 ? undefined : this.#before.at(-lost);
    if (rows !== undefined) {
      this.#faults.count('index: newest writes lost');
      this.#rows = new Map(rows);
    }
    this.#before = [];
  }

  /** Opens it for a process, as `openLevelIndex` does. */
  async open(process: Process, folder: string): Promise<LocalIndex> {
    await this.#wait(process);
    if (this.#holder !== undefined && !this.#holder.isDead) {
      throw new CodedError('FolderInUse', `another process has ${folder}`, { folder });
    }
    this.#holder = process;
    return {
      get: async (key) => {
        await this.#wait(process);
        return this.#rows.get(key);
      },
      keys: async (prefix) => {
        await this.#wait(process);
        return [...this.#rows.keys()].filter((key) => key.startsWith(prefix)).sort();
      },
      write: async (changes) => {
        await this.#wait(process);
        this.#write(changes);
      },
      close: async () => {
        await this.#wait(process);
        if (this.#holder === process) this.#holder = undefined;
      },
    };
  }

  #write(changes: readonly IndexChange[]): void {
    this.#before.push(new Map(this.#rows));
    // The database writes its log out in the end.
    if (this.#before.length > 3) this.#before.shift();
    for (const { key, value } of changes) {
      if (value === undefined) this.#rows.delete(key);
      else {
        this.#onWrite(key, value);
        this.#rows.set(key, value);
      }
    }
  }

  #wait(process: Process): Promise<void> {
    return new Promise((resolve) => {
      process.after(this.#chance.next() * 0.2, resolve);
    });
  }
}
