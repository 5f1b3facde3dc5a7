/**
 * What a node does to its stable storage, one thing after the other in the order that consensus
 * gave (obligations 1 and 3 of `consensus/consensus.ts`). What has gathered while the disk was busy
 * is written with one flush.
 */
import { invariant } from '../../base/assert.ts';
import { CodedError } from '../../base/errors.ts';
import type { Seqno } from '../../base/ids.ts';
import type { VoteRecord } from '../../consensus/outputs.ts';
import type { ChunkStore } from '../../ledger/chunk-store.ts';

export type StorageJob =
  | {
      readonly kind: 'append';
      readonly operation: number;
      readonly first: Seqno;
      readonly entries: readonly Uint8Array[];
      /** What must be found good before these entries count as stored. */
      readonly checks: readonly Promise<void>[];
    }
  | { readonly kind: 'truncate'; readonly operation: number; readonly seqno: Seqno }
  | { readonly kind: 'record'; readonly operation: number; readonly record: VoteRecord }
  /** Entries up to here are committed: their chunks get their final names. */
  | { readonly kind: 'commit'; readonly seqno: Seqno }
  /** It is to be kept in mind that entries up to here are committed. */
  | { readonly kind: 'note'; readonly seqno: Seqno }
  /** Somebody waits until all before it is done. */
  | {
      readonly kind: 'wait';
      readonly resolve: () => void;
      readonly reject: (error: unknown) => void;
    };

type AppendJob = Extract<StorageJob, { kind: 'append' }>;

export interface StorageDependencies {
  readonly chunks: ChunkStore;
  readonly writeRecord: (record: VoteRecord) => Promise<void>;
  readonly noteCommitted?: (seqno: Seqno) => Promise<void>;
  /** All operations up to this number are on stable storage. */
  readonly onStored: (operation: number) => void;
  /** Nothing more is done: what was promised can no longer be kept. */
  readonly onFailure: (error: unknown) => void;
}

export class StorageQueue {
  readonly #deps: StorageDependencies;
  readonly #jobs: StorageJob[] = [];
  #isRunning = false;
  #hasFailed = false;
  #stored = 0;
  #onIdle: (() => void)[] = [];

  constructor(dependencies: StorageDependencies) {
    this.#deps = dependencies;
  }

  /** The last operation on stable storage. */
  get stored(): number {
    return this.#stored;
  }

  push(job: StorageJob): void {
    if (this.#hasFailed) return;
    this.#jobs.push(job);
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#run().catch((error: unknown) => {
      this.#hasFailed = true;
      for (const left of this.#jobs.splice(0)) if (left.kind === 'wait') left.reject(error);
      this.#wake();
      this.#deps.onFailure(error);
    });
  }

  /** Resolves when all that was asked for so far is on stable storage; rejects if it never will. */
  async done(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      if (this.#hasFailed) reject(new CodedError('DiskFailed', 'the disk has failed before'));
      else this.push({ kind: 'wait', resolve, reject });
    });
  }

  /** Resolves when nothing waits for the disk any more, or nothing will ever be done. */
  async idle(): Promise<void> {
    while (this.#isRunning && !this.#hasFailed) {
      await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    }
  }

  async #run(): Promise<void> {
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
      const done = await this.#do(job);
      if (done === undefined) continue;
      this.#stored = done;
      this.#deps.onStored(done);
    }
    this.#isRunning = false;
    this.#wake();
  }

  /** The number of the last operation that was done. */
  async #do(job: StorageJob): Promise<number | undefined> {
    const { chunks, writeRecord } = this.#deps;
    switch (job.kind) {
      case 'append':
        return await this.#append([job, ...this.#takeAppends()]);
      case 'truncate':
        await chunks.truncate(job.seqno);
        return job.operation;
      case 'record':
        await writeRecord(job.record);
        return job.operation;
      case 'commit':
        await chunks.commit(job.seqno);
        return undefined;
      case 'note':
        await this.#deps.noteCommitted?.(job.seqno);
        return undefined;
      case 'wait':
        job.resolve();
        return undefined;
    }
  }

  #takeAppends(): AppendJob[] {
    const appends: AppendJob[] = [];
    for (let next = this.#jobs[0]; next?.kind === 'append'; next = this.#jobs[0]) {
      appends.push(next);
      this.#jobs.shift();
    }
    return appends;
  }

  async #append(jobs: readonly AppendJob[]): Promise<number> {
    const [first] = jobs;
    const last = jobs.at(-1);
    invariant(first !== undefined && last !== undefined, 'there is something to append');
    const entries = jobs.length === 1 ? first.entries : jobs.flatMap((job) => job.entries);
    const checks = jobs.flatMap((job) => job.checks);
    await Promise.all([this.#deps.chunks.append(entries, first.first), ...checks]);
    return last.operation;
  }

  #wake(): void {
    for (const wake of this.#onIdle.splice(0)) wake();
  }
}
