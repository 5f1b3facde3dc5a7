/**
 * Takes snapshots (design decision 12, ledger-format.md §10): decides when one is due, has a chunk
 * end at its signature, reads the state as it was there in steps, vouches for the bytes with a
 * transaction, and writes the file once that is committed.
 */
import { invariant } from '../base/assert.ts';
import { hexOf, utf8 } from '../base/bytes.ts';
import type { Timers } from '../base/environment.ts';
import { isCoded, messageOf } from '../base/errors.ts';
import type { Seqno, TxId } from '../base/ids.ts';
import { SNAPSHOTS_PENDING_MAX } from '../base/limits.ts';
import { jsonRow, SINGLETON } from '../governance/tables.ts';
import type { Capture } from '../kv/capture.ts';
import type { Store } from '../kv/store.ts';
import { StoreTransaction } from '../kv/transaction.ts';
import type { MerkleTree } from '../ledger/merkle.ts';
import type { SecretHistory } from '../ledger/secret-history.ts';
import { SNAPSHOT_EVIDENCE } from '../ledger/snapshot.ts';
import { type WrittenSnapshot, writeSnapshot } from '../ledger/snapshot-writer.ts';
import type { ViewHistory } from '../ledger/view-history.ts';
import type { NodeLog } from './node-options.ts';
import type { ReceiptBuilder } from './receipt-builder.ts';
import type { Replica } from './replica.ts';
import { inSlices } from './slices.ts';
import type { SnapshotFolder } from './snapshot-folder.ts';

/** How long to wait before evidence is offered again to a service that is too busy for it. */
const BUSY_MS = 50;
/** How long the evidence may take to commit: another primary may have to be elected first. */
const EVIDENCE_MS_MAX = 60_000;

export interface SnapshotOptions {
  /** Entries after which a snapshot is due. */
  readonly entries: number;
  /** What receipts the service gives. */
  readonly receiptForm: 'json' | 'cose';
  /** Bytes the ledger has grown by since the newest snapshot in the folder. */
  readonly grownBytes: number;
}

export interface SnapshotDependencies {
  readonly store: Store;
  readonly tree: MerkleTree;
  readonly views: ViewHistory;
  readonly secrets: SecretHistory;
  readonly replica: Pick<Replica, 'submit' | 'whenCommitted' | 'wantServiceSignature'>;
  readonly receipts: ReceiptBuilder;
  readonly folder: SnapshotFolder;
  readonly timers: Timers;
  readonly log: NodeLog;
}

export class SnapshotTaker {
  readonly #options: SnapshotOptions;
  readonly #deps: SnapshotDependencies;
  /** Where the snapshot before was taken. */
  #lastSeqno: number;
  /** How large it came out; undefined until that is known. */
  #lastBytes: number | undefined;
  #grownBytes: number;
  #isRequested = false;
  /** The signature at which the next one is taken, once it is committed. */
  #planned: Seqno | undefined;
  readonly #pending = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: SnapshotOptions, dependencies: SnapshotDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    const { newest } = dependencies.folder;
    this.#lastSeqno = newest?.seqno ?? 0;
    this.#lastBytes = newest?.bytes ?? 0;
    this.#grownBytes = options.grownBytes;
  }

  /** Has a snapshot taken at the next signature, whether it is due or not. */
  request(): void {
    this.#isRequested = true;
  }

  /** Whether a snapshot is to be taken at this signature, which then ends its chunk. */
  endsChunkAt(signature: Seqno): boolean {
    this.#planned = this.#isDue(signature) ? signature : undefined;
    return this.#planned !== undefined;
  }

  /** This node does not write any more: what was planned is not. */
  forget(): void {
    this.#planned = undefined;
  }

  /** Notes a commit, in the turn in which it happens: the state is the one at `seqno`. */
  onCommit(seqno: Seqno, bytes: number): void {
    this.#grownBytes += bytes;
    if (seqno !== this.#planned) return;
    this.#planned = undefined;
    const capture = this.#deps.store.capture();
    if (capture === undefined) return;
    invariant(capture.seqno === seqno, 'a snapshot is of the state at its signature');
    this.#isRequested = false;
    this.#grownBytes = 0;
    this.#lastSeqno = seqno;
    const bytesBefore = this.#lastBytes;
    this.#lastBytes = undefined;
    const taken: Promise<void> = this.#take(capture)
      .catch((error: unknown) => {
        this.#lastBytes ??= bytesBefore;
        if (this.#stop.signal.aborted) return;
        this.#deps.log.warn(`no snapshot was written at ${seqno}: ${messageOf(error)}`);
      })
      .finally(() => {
        this.#pending.delete(taken);
      });
    this.#pending.add(taken);
  }

  /** Gives up what is still being read, and finishes what only waits for its evidence. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the node stops'));
    await this.idle();
  }

  /** Resolves when no snapshot is under way. */
  async idle(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  #isDue(signature: Seqno): boolean {
    if (this.#stop.signal.aborted || this.#pending.size >= SNAPSHOTS_PENDING_MAX) return false;
    if (this.#deps.store.isCaptured) return false;
    if (this.#isRequested) return true;
    const bytes = this.#lastBytes;
    if (bytes === undefined || signature - this.#lastSeqno < this.#options.entries)
      return false;
    return this.#grownBytes >= 2 * bytes;
  }

  async #take(capture: Capture): Promise<void> {
    const { receipts, folder, log, replica } = this.#deps;
    const snapshot = await this.#read(capture);
    this.#lastBytes = snapshot.bytes.length;
    const { seqno } = snapshot;
    const evidence = await this.#vouch(snapshot);
    await replica.whenCommitted(evidence, EVIDENCE_MS_MAX);
    const receipt = await receipts.receipt(evidence.seqno, this.#options.receiptForm);
    invariant(typeof receipt !== 'string', 'a committed signature covers the evidence');
    const trailer =
      receipt.form === 'json' ? utf8(JSON.stringify(receipt.json)) : receipt.bytes;
    const written = await folder.write(seqno, evidence.seqno, snapshot.bytes, trailer);
    log.info(`snapshot ${written.name} (${written.bytes} bytes) is written`);
  }

  async #read(capture: Capture): Promise<WrittenSnapshot> {
    const { tree, views, secrets, timers } = this.#deps;
    const { seqno } = capture;
    try {
      const leaf = tree.leaf(seqno);
      const secret = secrets.at(seqno);
      invariant(leaf !== undefined, `the leaf of signature ${seqno} is held`);
      invariant(secret !== undefined, `there is a ledger secret for ${seqno}`);
      const viewHistory = views
        .complete()
        .map((start) => start.seqno)
        .filter((start) => start <= seqno);
      const work = writeSnapshot({ capture, leaf, secret, viewHistory });
      return await inSlices(timers, work, this.#stop.signal);
    } finally {
      capture.release();
    }
  }

  /** Writes the evidence; the signature that covers it is the service's as well. */
  async #vouch({ seqno, digest }: WrittenSnapshot): Promise<TxId> {
    const { store, replica, timers } = this.#deps;
    const transaction = new StoreTransaction(store, 'service');
    const row = jsonRow({ hash: hexOf(digest), version: seqno });
    transaction.table(SNAPSHOT_EVIDENCE).put(SINGLETON, row);
    for (;;) {
      try {
        const txId = replica.submit(transaction.writeSet(), digest);
        replica.wantServiceSignature();
        return txId;
      } catch (error) {
        if (!isCoded(error, 'TooManyPendingTransactions')) throw error;
        await new Promise<void>((resolve) => timers.after(BUSY_MS, resolve));
      }
    }
  }
}
