/**
 * From write set to committed entry: one node's writing half.
 *
 * Transactions are sealed and applied one by one as they come. A round then signs all that arrived
 * meanwhile, writes it with one flush and commits it; while one round is on its way to the
 * disk, the next gathers. Replies that wait leave together when their round commits (design
 * decision 5).
 *
 * A round's signature is the node's own (P-256, some 30 µs, on this thread). The service's slower
 * COSE signature is added now and then: its seqno is reserved while a worker of the thread pool
 * signs, and entries sealed meanwhile queue up behind it.
 */
import { invariant } from '../base/assert.ts';
import type { Clock, Signer, Timers } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoAfter, type TxId, type View } from '../base/ids.ts';
import { UNCOMMITTED_TRANSACTIONS_MAX } from '../base/limits.ts';
import type { Store } from '../kv/store.ts';
import { isPublicName, type MapWrites } from '../kv/write-set.ts';
import type { ChunkStore } from '../ledger/chunk-store.ts';
import { FLAG_CHUNK_AFTER, NO_CLAIMS, sealTransaction } from '../ledger/entry.ts';
import type { LeafIndex } from '../ledger/leaf-index.ts';
import type { MerkleTree } from '../ledger/merkle.ts';
import type { SecretHistory } from '../ledger/secret-history.ts';
import { signatureMaps } from '../ledger/signature.ts';
import type { ViewHistory } from '../ledger/view-history.ts';
import { type SignatureKind, signRootCose, signRootRaw } from './root-signing.ts';

export interface PipelineOptions {
  readonly nodeId: string;
  readonly view: View;
  readonly kind: SignatureKind;
  /** Transactions after which a round is cut although nobody waits. */
  readonly transactionsMax: number;
  /** Milliseconds after which a round is cut although nobody waits. */
  readonly delayMs: number;
  /** Milliseconds after which transactions without a service signature get one. */
  readonly serviceSignatureMs: number;
  /** Transactions after which they get one sooner. */
  readonly serviceSignatureTransactions: number;
  /** A chunk ends at the first signature from which on it has this many bytes. */
  readonly chunkBytes: number;
  /** Issuer and subject in the COSE signatures' CWT claims. */
  readonly issuer: string;
  readonly subject: string;
}

export interface PipelineDependencies {
  readonly store: Store;
  readonly tree: MerkleTree;
  readonly leaves: LeafIndex;
  readonly views: ViewHistory;
  readonly secrets: SecretHistory;
  readonly chunks: ChunkStore;
  readonly nodeKey: Signer;
  readonly serviceKey: Signer;
  /** The node's certificate as the ledger has it. */
  readonly nodeCertificatePem: string;
  readonly clock: Clock;
  readonly timers: Timers;
  /** The disk failed: what was promised can no longer be kept, so the node must stop. */
  readonly onFatal: (error: unknown) => void;
  /** A round was committed: its signature's seqno, its transactions, the bytes of its entries. */
  readonly onCommit?: (seqno: Seqno, transactions: number, bytes: number) => void;
  /** Asked of each signature before it is made: whether its chunk must end with it. */
  readonly endsChunkAt?: (signature: Seqno) => boolean;
}

interface Waiter {
  readonly seqno: Seqno;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface SealedEntry {
  readonly seqno: Seqno;
  readonly bytes: Buffer;
  readonly leaf: Buffer;
  readonly signature: 'none' | 'raw' | 'dual';
}

export class WritePipeline {
  readonly #options: PipelineOptions;
  readonly #deps: PipelineDependencies;
  /** Seqno that the next entry gets. */
  #next: Seqno;
  #unwritten: SealedEntry[] = [];
  /** Entries behind a signature whose COSE part is still being made. */
  #behind: SealedEntry[] | undefined;
  /** Transactions that no signature covers yet. */
  #unsigned = 0;
  #unsignedByService = 0;
  #bytesInChunk: number;
  #waiters: Waiter[] = [];
  #round: 'idle' | 'due' | 'running' = 'idle';
  #dualDue: boolean;
  #cancelDelay: (() => void) | undefined;
  #cancelDualDelay: (() => void) | undefined;
  #failure: CodedError | undefined;
  #stopping = false;
  #onIdle: (() => void)[] = [];

  constructor(options: PipelineOptions, dependencies: PipelineDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.#next = seqnoAfter(dependencies.store.newest);
    this.#dualDue = options.kind !== 'raw';
    this.#bytesInChunk = dependencies.chunks.openBytes;
  }

  /** Transactions that are not yet committed. */
  get uncommitted(): number {
    return this.#next - 1 - this.#deps.store.committed;
  }

  /**
   * Takes a write set as the next entry; the state shows it at once. Throws
   * `TooManyPendingTransactions` under back-pressure and `NodeStopping` when it is too late.
   */
  submit(writeSet: readonly MapWrites[], claimsDigest: Uint8Array = NO_CLAIMS): TxId {
    this.#mustAccept();
    invariant(writeSet.length > 0, 'a transaction without writes makes no entry');
    const { view } = this.#options;
    const seqno = this.#next;
    const sealed = this.#seal(seqno, writeSet, claimsDigest, 0, 'none');
    this.#next = seqnoAfter(seqno);
    this.#deps.store.apply(seqno, writeSet);
    this.#unsigned += 1;
    if (this.#options.kind !== 'raw') this.#unsignedByService += 1;
    if (this.#behind === undefined) this.#append(sealed);
    else this.#behind.push(sealed);
    this.#schedule();
    return { view, seqno };
  }

  /** Resolves once the entry at `seqno` is committed; rejects if that can no longer happen. */
  whenCommitted(seqno: Seqno): Promise<void> {
    if (seqno <= this.#deps.store.committed) return Promise.resolve();
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ seqno, resolve, reject });
      this.#schedule();
    });
  }

  /** The service's key is to sign the next signature that covers what is there now. */
  wantServiceSignature(): void {
    if (this.#options.kind === 'mixed') this.#dualDue = true;
  }

  /** Signs and commits what is there, then takes nothing more. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#cancelDelay?.();
    this.#cancelDualDelay?.();
    if (this.#unsignedByService > 0) this.#dualDue = true;
    while (this.#failure === undefined && (this.#round !== 'idle' || this.#wantsRound())) {
      const idle = new Promise<void>((resolve) => this.#onIdle.push(resolve));
      if (this.#round === 'idle') this.#makeDue();
      await idle;
    }
  }

  #mustAccept(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#stopping) {
      throw new CodedError('NodeStopping', 'this node is stopping; ask another one', {
        status: 503,
        retryAfterSeconds: 1,
      });
    }
    if (this.uncommitted >= UNCOMMITTED_TRANSACTIONS_MAX) {
      throw new CodedError(
        'TooManyPendingTransactions',
        `${this.uncommitted} transactions wait to be committed; try again shortly`,
        { status: 503 },
      );
    }
  }

  #seal(
    seqno: Seqno,
    maps: readonly MapWrites[],
    claimsDigest: Uint8Array,
    flags: number,
    signature: SealedEntry['signature'],
  ): SealedEntry {
    const secret = this.#deps.secrets.at(seqno);
    invariant(secret !== undefined, `there is a ledger secret for entry ${seqno}`);
    const { bytes, leaf } = sealTransaction({
      secret,
      view: this.#options.view,
      seqno,
      flags,
      claimsDigest,
      publicMaps: maps.filter((map) => isPublicName(map.name)),
      privateMaps: maps.filter((map) => !isPublicName(map.name)),
    });
    return { seqno, bytes, leaf, signature };
  }

  /** Puts a sealed entry at the end of the ledger in memory. */
  #append(sealed: SealedEntry): void {
    const { tree, leaves, views } = this.#deps;
    invariant(sealed.seqno === tree.size, `entry ${sealed.seqno} is the next leaf`);
    tree.append(sealed.leaf);
    leaves.append(sealed.leaf);
    if (sealed.signature !== 'none') leaves.noteSignature(sealed.signature === 'dual');
    views.note(this.#options.view, sealed.seqno);
    this.#unwritten.push(sealed);
    this.#bytesInChunk += sealed.bytes.length;
  }

  #wantsRound(): boolean {
    return this.#unsigned > 0 || (this.#dualDue && this.#unsignedByService > 0);
  }

  /** Decides when the next round is cut: at once when somebody waits, else by count and time. */
  #schedule(): void {
    if (this.#round !== 'idle' || !this.#wantsRound()) return;
    const { transactionsMax, delayMs } = this.#options;
    if (this.#waiters.length > 0 || this.#unsigned >= transactionsMax) {
      this.#makeDue();
      return;
    }
    this.#cancelDelay ??= this.#deps.timers.after(delayMs, () => {
      this.#cancelDelay = undefined;
      if (this.#round === 'idle' && this.#wantsRound()) this.#makeDue();
    });
  }

  #makeDue(): void {
    this.#cancelDelay?.();
    this.#cancelDelay = undefined;
    this.#round = 'due';
    this.#deps.timers.soon(() => {
      this.#runRound().then(
        () => this.#endRound(),
        (error: unknown) => this.#fail(error),
      );
    });
  }

  async #runRound(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#round = 'running';
    const transactions = this.#unsigned;
    const asked = this.#deps.endsChunkAt?.(this.#next) ?? false;
    const closes = asked || this.#bytesInChunk >= this.#options.chunkBytes;
    const { sealed: signature, maps } = await this.#sign(closes);
    const batch = this.#unwritten;
    const behindStart = batch.indexOf(signature) + 1;
    this.#unwritten = batch.slice(behindStart);
    const written = batch.slice(0, behindStart);
    const first = written[0];
    invariant(first !== undefined, 'a round holds at least its signature');
    const { chunks, store, tree } = this.#deps;
    await chunks.append(
      written.map((entry) => entry.bytes),
      first.seqno,
    );
    store.commit(signature.seqno, maps);
    tree.flushTo(signature.seqno);
    const bytes = written.reduce((sum, entry) => sum + entry.bytes.length, 0);
    this.#deps.onCommit?.(signature.seqno, transactions, bytes);
    this.#releaseWaiters(signature.seqno);
    if (closes) {
      await chunks.commit(signature.seqno);
      this.#bytesInChunk = this.#unwritten.reduce((sum, entry) => sum + entry.bytes.length, 0);
    }
  }

  /** Makes the round's signature over all leaves so far and appends it. */
  async #sign(closes: boolean): Promise<{ sealed: SealedEntry; maps: readonly MapWrites[] }> {
    const { tree, store } = this.#deps;
    const { kind, view } = this.#options;
    const seqno = this.#next;
    this.#next = seqnoAfter(seqno);
    store.apply(seqno, []);
    this.#unsigned = 0;
    const withService = this.#wantsServiceSignature(closes);
    if (withService) {
      this.#unsignedByService = 0;
      this.#dualDue = false;
      this.#cancelDualDelay?.();
      this.#cancelDualDelay = undefined;
    }
    const txId = { view, seqno };
    const raw =
      kind === 'cose' ? undefined : signRootRaw(tree, txId, this.#deps, this.#options);
    const treeRow = tree.serialise();
    let cose: Uint8Array | undefined;
    if (withService) {
      this.#behind = [];
      cose = await signRootCose(tree, txId, this.#deps, this.#options);
    }
    const maps = signatureMaps({
      ...(raw === undefined ? {} : { raw }),
      ...(cose === undefined ? {} : { cose }),
      tree: treeRow,
    });
    const flags = closes ? FLAG_CHUNK_AFTER : 0;
    const sealed = this.#seal(seqno, maps, NO_CLAIMS, flags, withService ? 'dual' : 'raw');
    this.#append(sealed);
    const behind = this.#behind ?? [];
    this.#behind = undefined;
    for (const entry of behind) this.#append(entry);
    return { sealed, maps };
  }

  #wantsServiceSignature(closes: boolean): boolean {
    const { kind, serviceSignatureTransactions } = this.#options;
    if (kind === 'raw') return false;
    if (kind !== 'mixed') return true;
    return closes || this.#dualDue || this.#unsignedByService >= serviceSignatureTransactions;
  }

  #releaseWaiters(seqno: Seqno): void {
    const waiting: Waiter[] = [];
    const released: Waiter[] = [];
    for (const waiter of this.#waiters)
      (waiter.seqno <= seqno ? released : waiting).push(waiter);
    this.#waiters = waiting;
    for (const waiter of released) waiter.resolve();
  }

  #endRound(): void {
    this.#round = 'idle';
    if (this.#options.kind === 'mixed' && this.#unsignedByService > 0) {
      this.#cancelDualDelay ??= this.#deps.timers.after(
        this.#options.serviceSignatureMs,
        () => {
          this.#cancelDualDelay = undefined;
          this.#dualDue = true;
          if (this.#round === 'idle' && this.#wantsRound()) this.#makeDue();
        },
      );
    }
    this.#schedule();
    if (this.#round === 'idle') for (const wake of this.#onIdle.splice(0)) wake();
  }

  #fail(cause: unknown): void {
    this.#failure = new CodedError(
      'LedgerWriteFailed',
      'the ledger could not be written; this node stops',
      { status: 503 },
      { cause },
    );
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#failure);
    for (const wake of this.#onIdle.splice(0)) wake();
    this.#deps.onFatal(cause);
  }
}
