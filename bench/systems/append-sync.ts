/**
 * The append-and-flush loop as a contender: a limit for whatever waits for the disk.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Child } from '../child.ts';
import type { Contender, Slice } from '../contender.ts';
import { Histogram } from '../histogram.ts';
import type { AppendOrder, AppendResult } from './append-sync-process.ts';

export const APPEND_SYNC = 'append and sync';

export type AppendOptions = Omit<AppendOrder, 'milliseconds'>;

export class AppendSync implements Contender {
  readonly name = APPEND_SYNC;
  readonly #path: string;
  readonly #child: Child<AppendOrder, AppendResult>;
  #options: AppendOptions = { recordBytes: 1024, records: 1, sync: true };

  /** The file lies in `folder`, which should be on the ledger's own file system. */
  constructor(folder: string) {
    this.#path = join(folder, 'append-sync');
    const module = new URL('./append-sync-process.ts', import.meta.url);
    this.#child = new Child('the append-and-sync loop', module, [this.#path]);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** What it does in the slices that follow. */
  become(options: AppendOptions): void {
    this.#options = options;
  }

  async slice(milliseconds: number): Promise<Slice> {
    const result = await this.#child.ask({ ...this.#options, milliseconds });
    return {
      requests: result.records,
      elapsedMs: result.elapsedMs,
      latency: new Histogram(result.latency),
      systemCpuMs: result.cpuMs,
      generatorCpuMs: undefined,
    };
  }

  async stop(): Promise<void> {
    await this.#child.stop();
    rmSync(this.#path, { force: true });
  }
}
