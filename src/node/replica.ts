/**
 * One node's part in a replicated ledger: it follows, or leads and writes; what it shows of the
 * ledger in memory is always what consensus has it hold.
 */
import { invariant } from '../base/assert.ts';
import type { Clock, Random, Timers } from '../base/environment.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import {
  type NodeId,
  type Seqno,
  seqnoAfter,
  seqnoOf,
  type TxId,
  textOfTxId,
  type View,
} from '../base/ids.ts';
import {
  APPEND_ENTRIES_IN_FLIGHT_MAX,
  APPEND_ENTRIES_MAX,
  FRESH_READS_MAX,
  REQUEST_WAIT_MS_MAX,
  UNCOMMITTED_TRANSACTIONS_MAX,
} from '../base/limits.ts';
import { Consensus } from '../consensus/consensus.ts';
import type { Verifier } from '../crypto/verifier.ts';
import type { MapWrites } from '../kv/write-set.ts';
import { NO_CLAIMS } from '../ledger/entry.ts';
import type { CommittedSignature, LedgerState } from './ledger-state.ts';
import { type KnownNodes, NO_NODES } from './membership.ts';
import type { NodeLog } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import type { ConsensusMessage } from './peers/messages.ts';
import { endOfBatch } from './replication/batch-end.ts';
import { CommitWaiters } from './replication/commit-waiters.ts';
import { Replication } from './replication/replication.ts';
import type { WritePipeline } from './write-pipeline.ts';

export interface ReplicaOptions {
  /** Milliseconds. */
  readonly messageTimeoutMs: number;
  readonly electionTimeoutMs: number;
  /** Whether a restart whose freshness cannot be proven goes on by itself. */
  readonly unproven: 'allow' | 'refuse';
}

/** What the node decides about the replica's writing. */
export interface ReplicaDuties {
  /** A pipeline that writes in `view` from the end of the ledger on. */
  newPipeline(view: View, replicate: WritePipelineLinks): WritePipeline;
  /**
   * What a view begins with before its first signature: the creation of the service, or, after an
   * unproven restart, a fresh secret, which is on stable storage and in force when this resolves.
   */
  firstWrites(view: View, isUnproven: boolean): Promise<readonly MapWrites[] | undefined>;
  /** Rows which say that these nodes' retirement was committed. */
  retiredWrites(nodes: readonly NodeId[]): readonly MapWrites[];
  /** One signature after the other, while the state stands there. */
  onCommitted(signature: CommittedSignature): void;
  /** This node does not lead any more. */
  onFollows(): void;
  /** Whom the node talks to has changed. */
  onNodes(nodes: KnownNodes): void;
  /** This node's own retirement is recorded for good: it may be shut down. */
  onRetired(): void;
}

/** What a pipeline needs of the replica. */
export interface WritePipelineLinks {
  readonly replicate: Replication['replicate'];
  readonly isAwaited: () => boolean;
  /** The pipeline cannot go on, and so this node cannot. */
  readonly onFatal: (error: unknown) => void;
}

export interface ReplicaDependencies {
  readonly ledger: OpenedLedger;
  readonly verifier: Verifier;
  readonly send: (to: NodeId, message: ConsensusMessage) => boolean;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: NodeLog;
  readonly duties: ReplicaDuties;
  readonly onFatal: (error: unknown) => void;
}

/**
 * Views that an unproven restart leaves out: more than a lost history is likely to have gone
 * through, and chosen at random, for that one may have begun with such a restart itself. Not
 * more, because snapshots and answers in CCF's formats name the beginning of every view, empty
 * ones included.
 */
const VIEW_LEAP_MIN = 16;
const VIEW_LEAP_SPAN = 112;
const NONCE_BYTES = 6;

/** How the last restart was judged, once it was. */
export interface RestartVerdict {
  readonly proven: boolean;
  readonly view: View;
  readonly seqno: Seqno;
}

export class Replica {
  readonly state: LedgerState;
  readonly #deps: ReplicaDependencies;
  readonly #consensus: Consensus;
  readonly #replication: Replication;
  readonly #waiters: CommitWaiters;
  #pipeline: WritePipeline | undefined;
  /** Where the present view of this leader begins. */
  #viewStart: Seqno = seqnoOf(0);
  #restart: RestartVerdict | undefined;
  #waitsFor: readonly NodeId[] = [];
  #nodes: KnownNodes = NO_NODES;
  #isReady = false;
  #onReady: (() => void)[] = [];
  #failure: CodedError | undefined;

  constructor(options: ReplicaOptions, dependencies: ReplicaDependencies) {
    this.#deps = dependencies;
    const { ledger, random, timers } = dependencies;
    const { state, identity, votes, pool, chunks } = ledger;
    this.state = state;
    this.#consensus = new Consensus(
      {
        self: identity.nodeKey.fingerprint as NodeId,
        incarnation: votes.incarnation,
        nonce: Buffer.from(random.bytes(NONCE_BYTES)).readUIntBE(0, NONCE_BYTES),
        electionTimeoutMs: options.electionTimeoutMs,
        messageTimeoutMs: options.messageTimeoutMs,
        // The pipeline holds transactions back; signatures and what it had taken in come on top,
        // and all that a former life left, of which nobody knew that it was committed.
        uncommittedMax: 4 * UNCOMMITTED_TRANSACTIONS_MAX + leftIn(ledger),
        batchEntriesMax: APPEND_ENTRIES_MAX,
        inFlightEntriesMax: APPEND_ENTRIES_IN_FLIGHT_MAX,
        readsMax: FRESH_READS_MAX,
        unproven: options.unproven,
      },
      {
        spread: () => fractionOf(random),
        viewLeap: () => VIEW_LEAP_MIN + Math.floor(fractionOf(random) * VIEW_LEAP_SPAN),
        batchEnd: (first, last) => endOfBatch(chunks, first, last),
      },
      ledger.beginning,
    );
    this.#waiters = new CommitWaiters(state, timers);
    this.#replication = new Replication({
      consensus: this.#consensus,
      state,
      pool,
      chunks,
      verifier: dependencies.verifier,
      writeRecord: (record) => votes.write(record),
      noteCommitted: (seqno) => votes.noteCommitted(seqno),
      send: dependencies.send,
      timers,
      events: {
        leads: (view, isUnproven) => this.#onLeads(view, isUnproven),
        follows: () => this.#onFollows(),
        committed: (signature) => this.#onCommitted(signature),
        moved: () => this.#onMoved(),
        recordRetired: (nodes) => this.#recordRetired(nodes),
        retirement: (phase) => this.#onRetirement(phase),
        restartWaits: (nodes, forOperator) => this.#onRestartWaits(nodes, forOperator),
        restarted: (isUnproven) => this.#onRestarted(isUnproven),
        forked: (at) => this.#fail(forkedFrom(at)),
        needsSnapshot: () => {
          const { log } = dependencies;
          log.warn('the primary no longer has what this node lacks: join as a new node');
        },
      },
      onFatal: (error) => this.#fail(error),
    });
  }

  /** Begins this life. */
  start(): void {
    this.#replication.start();
    this.#onMoved();
    // Its own ledger says that it has left for good: nobody will ever ask it again.
    if (this.#consensus.role === 'retired') this.#deps.duties.onRetired();
  }

  get consensus(): Consensus {
    return this.#consensus;
  }

  /** Nodes whose word this restart waits for. */
  get waitsFor(): readonly NodeId[] {
    return this.#waitsFor;
  }

  get restart(): RestartVerdict | undefined {
    return this.#restart;
  }

  /** Whether this node takes transactions. */
  get isPrimary(): boolean {
    return this.#pipeline?.isOpen === true;
  }

  get uncommitted(): number {
    return this.#pipeline?.uncommitted ?? this.state.store.newest - this.state.store.committed;
  }

  /** Whether this node has, in this life, held what its leader had committed. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Resolves when it is ready; rejects when it never will be. */
  ready(): Promise<void> {
    if (this.#isReady) return Promise.resolve();
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#onReady.push(() => {
        if (this.#failure === undefined) resolve();
        else reject(this.#failure);
      });
    });
  }

  /**
   * Takes a write set as the next entry. Throws `NotPrimary` when this node does not lead,
   * `TooManyPendingTransactions` under back-pressure.
   */
  submit(writeSet: readonly MapWrites[], claimsDigest: Uint8Array = NO_CLAIMS): TxId {
    return this.#writing().submit(writeSet, claimsDigest);
  }

  wantServiceSignature(): void {
    this.#pipeline?.wantServiceSignature();
  }

  /** See `CommitWaiters.whenCommitted`. */
  whenCommitted(txId: TxId, maxMs?: number): Promise<void> {
    const waiting = this.#waiters.whenCommitted(txId, maxMs);
    this.#pipeline?.hurry();
    return waiting;
  }

  /** Resolves once this node holds a transaction, committed or not yet. */
  whenHeld(txId: TxId): Promise<void> {
    return this.#waiters.whenHeld(txId);
  }

  /** Resolves once this node knows that everything up to `seqno` is committed. */
  whenReached(seqno: Seqno, maxMs?: number): Promise<void> {
    const waiting = this.#waiters.whenReached(seqno, maxMs);
    this.#pipeline?.hurry();
    return waiting;
  }

  /** See `Replication.stored`. */
  stored(): Promise<void> {
    return this.#replication.stored();
  }

  /** See `Replication.readIndex`. */
  readIndex(): Promise<Seqno> {
    return this.#replication.readIndex();
  }

  receive(from: NodeId, message: ConsensusMessage): void {
    this.#replication.receive(from, message);
  }

  acceptUnproven(): void {
    this.#replication.acceptUnproven();
  }

  /** Commits what is there, if that can be done soon, and hands over. */
  async stop(): Promise<void> {
    const { timers } = this.#deps;
    const pipeline = this.#pipeline;
    if (pipeline !== undefined) {
      let cancel: () => void = () => undefined;
      const late = new Promise<void>((resolve) => {
        cancel = timers.after(REQUEST_WAIT_MS_MAX, resolve);
      });
      await Promise.race([pipeline.stop(), late]);
      cancel();
      this.#replication.nominate();
      // The committed position is told with the next message; give it a moment to leave.
      await this.#replication.idle();
    }
    await this.#replication.stop();
    this.#end(new CodedError('NodeStopping', 'this node has stopped', { status: 503 }));
  }

  #writing(): WritePipeline {
    if (this.#pipeline?.isOpen !== true) {
      if (this.#failure !== undefined) throw this.#failure;
      throw new CodedError('NotPrimary', 'this node is not the primary; ask again', {
        status: 503,
        retryAfterSeconds: 1,
        retryable: true,
      });
    }
    return this.#pipeline;
  }

  #onLeads(view: View, isUnproven: boolean): void {
    this.#viewStart = seqnoAfter(this.state.newest);
    this.#deps.log.info(`this node is the primary of view ${view}`);
    if (isUnproven) {
      this.#restart = { proven: false, view, seqno: this.#viewStart };
    }
    this.#deps.duties
      .firstWrites(view, isUnproven)
      .then((writes) => this.#beginView(view, writes))
      .catch((error: unknown) => this.#fail(error));
  }

  /** Whether this node still leads in `view`. */
  leadsIn(view: View): boolean {
    const { role, view: present } = this.#consensus;
    return this.#failure === undefined && role === 'leader' && present === view;
  }

  /** Unless the view was over before it could begin. */
  #beginView(view: View, writes: readonly MapWrites[] | undefined): void {
    if (!this.leadsIn(view)) return;
    invariant(this.#pipeline === undefined, 'one view is written at a time');
    this.#pipeline = this.#deps.duties.newPipeline(view, {
      replicate: (entries) => this.#replication.replicate(entries),
      isAwaited: () => this.#waiters.count > 0,
      onFatal: (error) => this.#fail(error),
    });
    this.#pipeline.begin(writes);
  }

  #onFollows(): void {
    const wasWriting = this.#pipeline !== undefined;
    this.#pipeline?.abandon();
    this.#pipeline = undefined;
    if (wasWriting) this.#deps.duties.onFollows();
  }

  #onCommitted(signature: CommittedSignature): void {
    this.#deps.duties.onCommitted(signature);
    this.#pipeline?.noteCommitted(signature.seqno);
  }

  #onMoved(): void {
    const { nodes } = this.state;
    if (nodes !== this.#nodes) {
      this.#nodes = nodes;
      this.#deps.duties.onNodes(nodes);
    }
    this.#waiters.look();
    if (!this.#isReady && this.#isCaughtUp()) {
      this.#isReady = true;
      for (const tell of this.#onReady.splice(0)) tell();
    }
  }

  /**
   * Something of the present view is committed here, and all that its leader had told to be: so
   * nothing that any client was ever told to be committed is missing.
   */
  #isCaughtUp(): boolean {
    const { leader, role, view } = this.#consensus;
    const { committed } = this.state;
    if (leader === undefined && role !== 'leader') return false;
    return committed.view === view && committed.seqno >= this.#replication.toldCommit;
  }

  #recordRetired(nodes: readonly NodeId[]): void {
    try {
      this.submit(this.#deps.duties.retiredWrites(nodes));
    } catch (error) {
      // The next leader asks for it again.
      this.#deps.log.warn(`a retirement is not recorded yet: ${messageOf(error)}`);
    }
  }

  #onRetirement(phase: string): void {
    this.#deps.log.info(`this node is being retired: ${phase}`);
    if (phase === 'RetiredCommitted') this.#deps.duties.onRetired();
  }

  #onRestartWaits(nodes: readonly NodeId[], forOperator: boolean): void {
    this.#waitsFor = nodes;
    const whom =
      nodes.length === 0 ? 'any other node' : nodes.map((id) => id.slice(0, 8)).join();
    const { log } = this.#deps;
    if (forOperator) {
      log.warn(
        `nobody can prove that this node holds the newest state; it waits for ${whom}, or for ` +
          '`concordat node restart --accept-unproven`',
      );
    } else if (this.#deps.ledger.startupSeqno > 0) {
      log.info(`this node restarts: it waits for the word of ${whom}`);
    }
  }

  #onRestarted(isUnproven: boolean): void {
    this.#waitsFor = [];
    const { view } = this.#consensus;
    this.#restart = { proven: !isUnproven, view, seqno: this.state.newest };
  }

  #fail(cause: unknown): void {
    if (this.#failure !== undefined) return;
    this.#end(
      new CodedError(
        'LedgerWriteFailed',
        'the ledger cannot be gone on with; this node stops',
        { status: 503 },
        { cause },
      ),
    );
    this.#deps.onFatal(cause);
  }

  #end(failure: CodedError): void {
    this.#failure ??= failure;
    this.#pipeline?.abandon();
    this.#waiters.fail(failure);
    for (const tell of this.#onReady.splice(0)) tell();
  }
}

function forkedFrom(at: TxId): CodedError {
  const position = textOfTxId(at);
  return new CodedError(
    'LedgerForked',
    `the other nodes do not have ${position}, which is committed here: the service went on ` +
      'from an older state, after an unproven restart. Keep this folder, for it proves what was ' +
      'lost, and join again as a new node, with an empty one',
    { position },
  );
}

/** Entries of a former life that are not known to be committed. */
function leftIn({ beginning }: OpenedLedger): number {
  return beginning.kind === 'restart' ? beginning.entries.length : 0;
}

/** From 0 to below 1. */
function fractionOf(random: Random): number {
  return Buffer.from(random.bytes(4)).readUInt32BE(0) / 0x1_0000_0000;
}
