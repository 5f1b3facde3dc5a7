/**
 * From write set to committed entry: the writing half of a node that leads, for as long as its view
 * lasts.
 *
 * Transactions are sealed and applied one by one as they come. A round then signs all that arrived
 * meanwhile and hands it over to be replicated; while one round is on its way to the disks, the
 * next gathers. Replies that wait leave together when their round commits (design decision 5).
 *
 * A round's signature is the node's own (P-256, some 30 µs, on this thread). The service's slower
 * COSE signature is added now and then: its seqno is reserved while a worker of the thread pool
 * signs, and entries sealed meanwhile queue up behind it.
 */
import { invariant } from '../base/assert.ts';
import type { Clock, Signer, Timers } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoAfter, type TxId, type View } from '../base/ids.ts';
import { REPLICATED_ENTRY_BYTES_MAX, UNCOMMITTED_TRANSACTIONS_MAX } from '../base/limits.ts';
import { isPublicName, type MapWrites } from '../kv/write-set.ts';
import {
  FLAG_CHUNK_AFTER,
  FLAG_CHUNK_BEFORE,
  NO_CLAIMS,
  sealTransaction,
} from '../ledger/entry.ts';
import { signatureMaps } from '../ledger/signature.ts';
import type { LedgerState } from './ledger-state.ts';
import { factsOf, type KnownNodes, nodesAfter } from './membership.ts';
import type { WrittenEntry } from './replication/replication.ts';
import { type SignatureKind, signRootCose, signRootRaw } from './root-signing.ts';
import type { SecretPool } from './secret-pool.ts';

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
  /** Whether the view's first entry says that it begins a chunk (ledger-format.md §12). */
  readonly begins?: boolean;
  /** Issuer and subject in the COSE signatures' CWT claims. */
  readonly issuer: string;
  readonly subject: string;
}

export interface PipelineDependencies {
  readonly state: LedgerState;
  /** Learns new ledger secrets from what is written; without it there are none. */
  readonly pool?: SecretPool;
  readonly nodeKey: Signer;
  readonly serviceKey: Signer;
  /** The node's certificate as the ledger has it. */
  readonly nodeCertificatePem: string;
  readonly clock: Clock;
  readonly timers: Timers;
  /** What must not happen has, so the node must stop. */
  readonly onFatal: (error: unknown) => void;
  /** Has entries stored here and on the other nodes; `noteCommitted` tells when they are. */
  readonly replicate: (entries: readonly WrittenEntry[]) => void;
  /** Whether somebody waits for a commit: then a round is cut at once. */
  readonly isAwaited: () => boolean;
  /** A round took so many milliseconds from its first transaction to its commit. */
  readonly onRound?: (ms: number) => void;
  /** Asked of each signature before it is made: whether its chunk must end with it. */
  readonly endsChunkAt?: (signature: Seqno) => boolean;
}

interface SealedEntry {
  readonly seqno: Seqno;
  readonly bytes: Buffer;
  readonly leaf: Buffer;
  readonly flags: number;
  readonly signature?: { readonly maps: readonly MapWrites[]; readonly isDual: boolean };
  /** The nodes from this entry on, if it changes them. */
  readonly nodes?: KnownNodes;
}

export class WritePipeline {
  readonly #options: PipelineOptions;
  readonly #deps: PipelineDependencies;
  /** Seqno that the next entry gets. */
  #next: Seqno;
  #unwritten: WrittenEntry[] = [];
  /** Entries behind a signature whose COSE part is still being made. */
  #behind: SealedEntry[] | undefined;
  /** Transactions that no signature covers yet. */
  #unsigned = 0;
  #unsignedByService = 0;
  /** The nodes as the newest sealed entry leaves them. */
  #nodes: KnownNodes;
  /** The view's first signature is made: what follows may be written. */
  #isOpen = false;
  #round: 'idle' | 'due' | 'running' = 'idle';
  /** When the first transaction came that no signature covers. */
  #gatheringSinceMs: number | undefined;
  /** The signature of the round on its way, and who learns that it is committed. */
  #flying: { readonly signature: Seqno; readonly land: () => void } | undefined;
  #isSignatureDue = false;
  #dualDue: boolean;
  #cancelDelay: (() => void) | undefined;
  #cancelDualDelay: (() => void) | undefined;
  #failure: CodedError | undefined;
  #stopping = false;
  #onIdle: (() => void)[] = [];

  constructor(options: PipelineOptions, dependencies: PipelineDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.#next = seqnoAfter(dependencies.state.newest);
    this.#nodes = dependencies.state.nodes;
    this.#dualDue = options.kind !== 'raw';
  }

  /** Transactions that are not yet committed. */
  get uncommitted(): number {
    return this.#next - 1 - this.#deps.state.store.committed;
  }

  /** The view in which it writes. */
  get view(): View {
    return this.#options.view;
  }

  /** Whether it takes transactions. */
  get isOpen(): boolean {
    return this.#isOpen && this.#failure === undefined && !this.#stopping;
  }

  /**
   * Begins the view: with `first`, if it has to begin with that, and with a signature, before
   * anything else is taken.
   */
  begin(first?: readonly MapWrites[]): TxId {
    invariant(!this.#isOpen && this.#round === 'idle', 'a view begins once');
    const seqno = this.#next;
    const flags = this.#options.begins === true ? FLAG_CHUNK_BEFORE : 0;
    if (first !== undefined) this.#takeIn(first, NO_CLAIMS, flags);
    this.#isSignatureDue = true;
    this.#start();
    return { view: this.#options.view, seqno };
  }

  /**
   * Takes a write set as the next entry; the state shows it at once. Throws
   * `TooManyPendingTransactions` under back-pressure and `NodeStopping` when it is too late.
   */
  submit(writeSet: readonly MapWrites[], claimsDigest: Uint8Array = NO_CLAIMS): TxId {
    this.#mustAccept();
    invariant(writeSet.length > 0, 'a transaction without writes makes no entry');
    const seqno = this.#takeIn(writeSet, claimsDigest);
    this.#schedule();
    return { view: this.#options.view, seqno };
  }

  /** Somebody waits for what is there: the next round is not put off. */
  hurry(): void {
    this.#schedule();
  }

  /** Everything up to this signature is committed. */
  noteCommitted(signature: Seqno): void {
    if (this.#flying === undefined || signature < this.#flying.signature) return;
    const { land } = this.#flying;
    this.#flying = undefined;
    land();
  }

  /** The view is over for this node: what is not handed over is lost, and nothing more is taken. */
  abandon(): void {
    this.#failure ??= new CodedError(
      'NotPrimary',
      'this node is not the primary any more; ask again',
      { status: 503, retryAfterSeconds: 1, retryable: true },
    );
    this.#cancelDelay?.();
    this.#cancelDualDelay?.();
    for (const wake of this.#onIdle.splice(0)) wake();
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

  #takeIn(writeSet: readonly MapWrites[], claimsDigest: Uint8Array, flags = 0): Seqno {
    const seqno = this.#next;
    const nodes = nodesAfter(this.#nodes, writeSet);
    const sealed = this.#seal(seqno, writeSet, claimsDigest, flags);
    this.#deps.pool?.learnNext(writeSet, this.#options.view, seqno);
    this.#next = seqnoAfter(seqno);
    this.#deps.state.store.apply(seqno, writeSet);
    this.#unsigned += 1;
    this.#gatheringSinceMs ??= this.#deps.timers.elapsedMs();
    if (this.#options.kind !== 'raw') this.#unsignedByService += 1;
    const entry = nodes === this.#nodes ? sealed : { ...sealed, nodes };
    this.#nodes = nodes;
    if (this.#behind === undefined) this.#append(entry);
    else this.#behind.push(entry);
    return seqno;
  }

  #mustAccept(): void {
    if (this.#failure !== undefined) throw this.#failure;
    invariant(this.#isOpen, 'a view begins with a signature');
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
  ): SealedEntry {
    const { secrets } = this.#deps.state;
    const beginning = this.#deps.pool?.madeFor(this.#options.view, seqno);
    if (beginning !== undefined && secrets.latestFrom < seqno) secrets.add(beginning);
    const secret = secrets.at(seqno);
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
    if (bytes.length > REPLICATED_ENTRY_BYTES_MAX) {
      throw new CodedError(
        'EntryTooLarge',
        `this transaction makes an entry of ${bytes.length} bytes; other nodes take at most ` +
          `${REPLICATED_ENTRY_BYTES_MAX}`,
        { status: 413, bytes: bytes.length },
      );
    }
    return { seqno, bytes, leaf, flags };
  }

  /** Puts a sealed entry at the end of the ledger in memory. */
  #append({ seqno, bytes, leaf, flags, signature, nodes }: SealedEntry): void {
    const { state } = this.#deps;
    const { view } = this.#options;
    const before = state.nodes;
    state.append({
      ...{ seqno, view, flags, leaf, byteLength: bytes.length },
      ...(signature === undefined ? {} : { signature }),
      ...(nodes === undefined ? {} : { nodes }),
    });
    const isSignature = signature !== undefined;
    const facts = factsOf({ view, seqno, isSignature }, before, nodes ?? before);
    this.#unwritten.push({ facts, bytes });
  }

  #wantsRound(): boolean {
    if (this.#failure !== undefined) return false;
    const owesDual = this.#dualDue && this.#unsignedByService > 0;
    return this.#isSignatureDue || this.#unsigned > 0 || owesDual;
  }

  /** Decides when the next round is cut: at once when somebody waits, else by count and time. */
  #schedule(): void {
    if (this.#round !== 'idle' || !this.#wantsRound()) return;
    const { transactionsMax, delayMs } = this.#options;
    if (this.#deps.isAwaited() || this.#unsigned >= transactionsMax) {
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
    this.#deps.timers.soon(() => this.#start());
  }

  #start(): void {
    this.#runRound().then(
      () => this.#endRound(),
      (error: unknown) => this.#fail(error),
    );
  }

  async #runRound(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#round = 'running';
    const { state, timers, onRound } = this.#deps;
    const sinceMs = this.#gatheringSinceMs;
    this.#gatheringSinceMs = undefined;
    const asked = this.#deps.endsChunkAt?.(this.#next) ?? false;
    const closes = asked || state.bytesInChunk >= this.#options.chunkBytes;
    const signature = await this.#sign(closes);
    // The view may have ended in the very turn in which the signature was made.
    if (signature === undefined || this.#failure !== undefined) return;
    const count = this.#unwritten.findIndex(({ facts }) => facts.seqno === signature) + 1;
    const written = this.#unwritten.slice(0, count);
    this.#unwritten = this.#unwritten.slice(count);
    const landed = new Promise<void>((land) => {
      this.#flying = { signature, land };
    });
    this.#deps.replicate(written);
    await landed;
    if (sinceMs !== undefined) onRound?.(timers.elapsedMs() - sinceMs);
  }

  /**
   * Makes the round's signature over all leaves so far and appends it; undefined when the view was
   * over before the service's key had signed.
   */
  async #sign(closes: boolean): Promise<Seqno | undefined> {
    const { state } = this.#deps;
    const { tree, store } = state;
    const { kind, view } = this.#options;
    const seqno = this.#next;
    this.#next = seqnoAfter(seqno);
    store.apply(seqno, []);
    this.#unsigned = 0;
    this.#isSignatureDue = false;
    this.#isOpen = true;
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
      if (this.#failure !== undefined) return undefined;
    }
    const maps = signatureMaps({
      ...(raw === undefined ? {} : { raw }),
      ...(cose === undefined ? {} : { cose }),
      tree: treeRow,
    });
    const sealed = this.#seal(seqno, maps, NO_CLAIMS, closes ? FLAG_CHUNK_AFTER : 0);
    this.#append({ ...sealed, signature: { maps, isDual: withService } });
    const behind = this.#behind ?? [];
    this.#behind = undefined;
    for (const entry of behind) this.#append(entry);
    return seqno;
  }

  #wantsServiceSignature(closes: boolean): boolean {
    const { kind, serviceSignatureTransactions } = this.#options;
    if (kind === 'raw') return false;
    if (kind !== 'mixed') return true;
    return closes || this.#dualDue || this.#unsignedByService >= serviceSignatureTransactions;
  }

  #endRound(): void {
    this.#round = 'idle';
    if (this.#failure !== undefined) return;
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
    this.abandon();
    this.#deps.onFatal(cause);
  }
}
