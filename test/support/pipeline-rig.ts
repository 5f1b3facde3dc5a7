// A write pipeline on a ledger whose chunk files lie on a disk in memory, with a host that does
// what a replica does on a service of one node.

import { expect } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { type Seqno, seqnoOf, type View, viewOf } from '../../src/base/ids.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { ChunkStore } from '../../src/ledger/chunk-store.ts';
import type { LedgerState } from '../../src/node/ledger-state.ts';
import { SIGNATURE_DEFAULTS } from '../../src/node/node-options.ts';
import { CommitWaiters } from '../../src/node/replication/commit-waiters.ts';
import type { WrittenEntry } from '../../src/node/replication/replication.ts';
import { StorageQueue } from '../../src/node/replication/storage-queue.ts';
import { type PipelineOptions, WritePipeline } from '../../src/node/write-pipeline.ts';
import { CrashingDisk } from './crashing-disk.ts';
import { emptyState } from './ledger-in-memory.ts';
import { ManualTime } from './manual-time.ts';

export const FOLDER = '/ledger';
const nodeKey = SigningKey.generate('P-256');
const serviceKey = SigningKey.generate('P-384');

/** A signer that can be held up, as a slow key would. */
export class SlowSigner {
  readonly algorithm = serviceKey.algorithm;
  readonly publicKeyDer = serviceKey.publicKeyDer;
  signed = 0;
  held: (() => void) | undefined;
  holds = false;

  async sign(message: Uint8Array): Promise<Uint8Array> {
    this.signed += 1;
    if (this.holds) {
      await new Promise<void>((resolve) => {
        this.held = resolve;
      });
    }
    return await serviceKey.sign(message);
  }

  signSha256Der(message: Uint8Array): Uint8Array {
    return serviceKey.signSha256Der(message);
  }
}

/** What is handed over is stored, and committed once it is. */
export class Host {
  readonly state: LedgerState = emptyState();
  readonly fatal: unknown[] = [];
  /** Transactions of each round that was committed. */
  readonly rounds: number[] = [];
  /** Seqnos as they were handed over, one list a round. */
  readonly handedOver: number[][] = [];
  /** The last entry handed over. */
  logEnd: Seqno = seqnoOf(0);
  readonly waiters: CommitWaiters;
  readonly storage: StorageQueue;
  readonly #chunks: ChunkStore;
  readonly #flying: { readonly operation: number; readonly signature: Seqno }[] = [];
  #pipeline: WritePipeline | undefined;

  constructor(chunks: ChunkStore, time: ManualTime) {
    this.#chunks = chunks;
    this.waiters = new CommitWaiters(this.state, time);
    this.storage = new StorageQueue({
      chunks,
      writeRecord: async () => undefined,
      onStored: (operation) => this.#onStored(operation),
      onFailure: (cause) => this.fail(cause),
    });
  }

  leads(pipeline: WritePipeline): void {
    this.#pipeline = pipeline;
  }

  replicate(entries: readonly WrittenEntry[]): void {
    const seqnos = entries.map(({ facts }) => facts.seqno);
    const [first, signature] = [seqnos[0], seqnos.at(-1)];
    if (first === undefined || signature === undefined) throw new Error('an empty round');
    expect(first, 'rounds follow each other').toBe(this.logEnd + 1);
    expect(entries.at(-1)?.facts.isSignature, 'a round ends with a signature').toBe(true);
    this.handedOver.push(seqnos);
    this.logEnd = signature;
    for (const { facts, bytes } of entries) this.#chunks.recent.add(facts.seqno, bytes);
    const operation = this.handedOver.length;
    this.#flying.push({ operation, signature });
    const bytes = entries.map((entry) => entry.bytes);
    this.storage.push({ kind: 'append', operation, first, entries: bytes, checks: [] });
  }

  /** The view is over: what was not handed over is undone before the pipeline hears of it. */
  follow(): void {
    this.state.rollback(this.logEnd);
    this.#pipeline?.abandon();
    this.#pipeline = undefined;
    this.waiters.look();
  }

  fail(cause: unknown): void {
    const failure = new CodedError('LedgerWriteFailed', 'this node stops', {}, { cause });
    this.#pipeline?.abandon();
    this.waiters.fail(failure);
    this.fatal.push(cause);
  }

  #onStored(operation: number): void {
    for (const { signature } of this.#flying.splice(0)) {
      this.state.commit(signature, ({ seqno, transactions, endsChunk }) => {
        this.rounds.push(transactions);
        if (endsChunk) this.storage.push({ kind: 'commit', seqno });
        this.#pipeline?.noteCommitted(seqno);
      });
    }
    expect(this.handedOver.length).toBe(operation);
    this.waiters.look();
  }
}

export interface PipelineRig {
  readonly pipeline: WritePipeline;
  readonly host: Host;
  readonly state: LedgerState;
  readonly chunks: ChunkStore;
  readonly disk: CrashingDisk;
  readonly time: ManualTime;
  readonly signer: SlowSigner;
}

/** A ledger with nothing in it, and a pipeline that has not begun yet. */
export async function pipelineRig(
  options: Partial<PipelineOptions> = {},
  flush = true,
): Promise<PipelineRig> {
  const disk = new CrashingDisk();
  await disk.makeFolder(FOLDER);
  const time = new ManualTime();
  const signer = new SlowSigner();
  const chunks = await ChunkStore.open(disk, FOLDER, flush, [], undefined);
  const host = new Host(chunks, time);
  const rig = { host, state: host.state, chunks, disk, time, signer };
  return { ...rig, pipeline: pipelineIn(rig, viewOf(2), options) };
}

/** What writes in another view. */
export function pipelineIn(
  { host, time, signer }: Pick<PipelineRig, 'host' | 'time' | 'signer'>,
  view: View,
  options: Partial<PipelineOptions> = {},
): WritePipeline {
  const pipeline = new WritePipeline(
    {
      ...SIGNATURE_DEFAULTS,
      nodeId: nodeKey.fingerprint,
      view,
      chunkBytes: 1_000_000,
      ...options,
    },
    {
      state: host.state,
      nodeKey,
      serviceKey: signer,
      nodeCertificatePem: 'a certificate',
      clock: time,
      timers: time,
      onFatal: (error) => host.fail(error),
      replicate: (entries) => host.replicate(entries),
      isAwaited: () => host.waiters.count > 0,
    },
  );
  host.leads(pipeline);
  return pipeline;
}
