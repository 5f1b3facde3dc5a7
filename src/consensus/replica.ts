/**
 * The state of one consensus node, and what its current step has put out so far. The rules that
 * change it lie in the files beside this one, each with one concern.
 */

import { invariant } from '../base/assert.ts';
import {
  type NodeId,
  type Seqno,
  seqnoAfter,
  type TxId,
  type View,
  viewOf,
} from '../base/ids.ts';
import { type Configuration, Configurations } from './configurations.ts';
import type { Entry, Message } from './messages.ts';
import type {
  Event,
  LedgerPoint,
  Outgoing,
  Outputs,
  Role,
  StorageOperation,
  VoteRecord,
} from './outputs.ts';
import { LogPositions, laterPosition, lower, NOWHERE } from './positions.ts';
import type { Progress } from './progress.ts';
import { ReadQueue } from './read-queue.ts';
import type { Inquest } from './restart.ts';
import { type RetirementPhase, Retirements } from './retirement.ts';

export interface ConsensusOptions {
  readonly self: NodeId;
  /** Larger than in any former life of the node: the time of its start, say. */
  readonly incarnation: number;
  /** Chance, by which two lives are told apart when disk and clock both went back. */
  readonly nonce: number;
  /** A leader unheard for this long is replaced; followers wait between half of it and all. */
  readonly electionTimeoutMs: number;
  /** Heartbeats, and repetitions of what may have been lost. */
  readonly messageTimeoutMs: number;
  /** Entries that may wait for commit before new transactions are refused. */
  readonly uncommittedMax: number;
  /** Entries in one append message. */
  readonly batchEntriesMax: number;
  /** Entries sent to a node and not yet answered. */
  readonly inFlightEntriesMax: number;
  /** Reads that may wait for their seqno. */
  readonly readsMax: number;
  /** Whether a restart whose freshness cannot be proven goes on by itself. */
  readonly unproven: 'allow' | 'refuse';
}

export interface ConsensusDependencies {
  /** A fresh random number from 0 to below 1, spreading elections. */
  spread(): number;
  /** How many views an unproven restart leaves out, chosen at random (`viewFarAbove`). */
  viewLeap(): number;
  /** Where the caller cuts a batch by bytes: a seqno from `first` to `last`. */
  batchEnd?(first: Seqno, last: Seqno): Seqno;
}

/** What a node keeps only while it leads. */
export interface Leading {
  readonly peers: Map<NodeId, Progress>;
  /** Entries that the caller may still write before the view's first signature. */
  prefaceLeft: number;
  isSigned: boolean;
  sinceHeartbeatMs: number;
  /** Retirements that the caller was asked to record. */
  readonly asked: Set<NodeId>;
}

export class Replica {
  readonly options: ConsensusOptions;
  readonly dependencies: ConsensusDependencies;
  /** Larger than those of all former lives that anybody who leads has heard. */
  incarnation: number;
  log: LogPositions;
  configurations: Configurations;
  retirements: Retirements;
  role: Role = 'follower';
  leader: NodeId | undefined;
  leading: Leading | undefined;
  /** Those who granted the pre-vote or vote under way. */
  readonly votes = new Set<NodeId>();
  isElectionUnproven = false;
  /** The highest view for which this node granted a pre-vote. */
  preVoted: View = viewOf(0);
  /** Milliseconds since a leader was heard or a vote given, and how long to bear that. */
  silentMs = 0;
  patienceMs = 0;
  /** While restarting: what is being asked of the others. */
  inquest: Inquest | undefined;
  /** The restart ended without proof, and no leader has been followed since. */
  isUnproven = false;
  /**
   * The view in which it ended so, until something of a later view is committed: only then it is
   * recorded for good. A leader may die before that, and whoever comes next has to do it.
   */
  unrecordedView: View | undefined;
  /**
   * This node votes for nobody below this position: it may have acknowledged it in a former
   * life.
   */
  voteFloor: TxId = NOWHERE;
  readonly reads: ReadQueue;
  /** Milliseconds since this follower last looked after its unanswered reads. */
  sinceReadsMs = 0;
  #record: VoteRecord;
  #operations = 0;
  #storedOperations = 0;
  /** The operation that stores the vote record. */
  #recordOperation = 0;
  /** Appends not yet on stable storage: the operation, and the last entry it brought. */
  #unstored: { readonly operation: number; readonly last: Seqno }[] = [];
  #stored: Seqno;
  #phase: RetirementPhase | undefined;
  #storage: StorageOperation[] = [];
  #messages: Outgoing[] = [];
  #events: Event[] = [];

  constructor(
    options: ConsensusOptions,
    dependencies: ConsensusDependencies,
    point: LedgerPoint,
    record: VoteRecord,
  ) {
    this.options = options;
    this.incarnation = options.incarnation;
    this.dependencies = dependencies;
    this.log = new LogPositions(point);
    this.configurations = new Configurations(point.configuration);
    this.retirements = new Retirements(point.retirements);
    this.reads = new ReadQueue(options.readsMax);
    this.#record = record;
    this.#stored = point.committed;
    this.resetPatience();
  }

  get self(): NodeId {
    return this.options.self;
  }

  get view(): View {
    return this.#record.view;
  }

  get votedFor(): NodeId | undefined {
    return this.#record.votedFor;
  }

  /** The last entry of its own that is on stable storage. */
  get stored(): Seqno {
    return this.#stored;
  }

  /** Whether its vote, if it gave one, would survive a crash. */
  get isRecordStored(): boolean {
    return this.#recordOperation <= this.#storedOperations;
  }

  /**
   * Configurations that a leader elected now would start with: it drops what no signature
   * covers.
   */
  get votingConfigurations(): readonly Configuration[] {
    return this.configurations.upTo(this.log.lastCommittable.seqno);
  }

  /** The position below which this node votes for nobody. */
  get votingPosition(): TxId {
    return laterPosition(this.log.lastCommittable, this.voteFloor);
  }

  get phase(): RetirementPhase | undefined {
    return this.retirements.phaseOf(this.self, this.log);
  }

  /** Waits at random between half an election timeout and a whole one, from now. */
  resetPatience(): void {
    const spread = this.dependencies.spread();
    invariant(spread >= 0 && spread < 1, `an election is spread over 0..1, not ${spread}`);
    this.silentMs = 0;
    this.patienceMs = (this.options.electionTimeoutMs * (1 + spread)) / 2;
  }

  /** Takes part in `view` from now on, with this vote or none. */
  setRecord(view: View, votedFor?: NodeId): void {
    invariant(view >= this.view, `views only grow: ${view} ≥ ${this.view}`);
    const isNewView = view > this.view;
    invariant(
      isNewView || this.votedFor === undefined || this.votedFor === votedFor,
      `one vote in view ${view}`,
    );
    if (!isNewView && this.votedFor === votedFor) return;
    this.#record = votedFor === undefined ? { view } : { view, votedFor };
    this.#store({ kind: 'record', record: this.#record });
    this.#recordOperation = this.#operations;
  }

  send(to: NodeId, message: Message, when: 'at-once' | 'when-stored'): void {
    invariant(to !== this.self, 'a node does not write to itself');
    const after = when === 'at-once' ? 0 : this.#operations;
    this.#messages.push({ to, message, after });
  }

  emit(event: Event): void {
    this.#events.push(event);
  }

  /** Appends entries that this node received, or wrote as the leader. */
  append(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    for (const entry of entries) this.note(entry);
    this.#store({ kind: 'append', entries });
    this.#unstored.push({ operation: this.#operations, last: this.log.last });
    this.notePhase();
  }

  /** Takes one entry into the books without asking for it to be stored. */
  note(entry: Entry): void {
    this.log.append(entry, entry.isSignature);
    const { seqno, reconfiguration, retiredCommitted } = entry;
    for (const node of retiredCommitted ?? []) this.retirements.record(node, seqno);
    if (reconfiguration === undefined) return;
    for (const node of reconfiguration) {
      invariant(!this.retirements.isRetired(node), `${node} has retired and cannot come back`);
    }
    for (const node of this.configurations.newest?.nodes ?? []) {
      if (!reconfiguration.includes(node)) this.retirements.order(node, seqno);
    }
    this.configurations.add({ seqno, nodes: reconfiguration });
  }

  /** Removes the entries after `seqno`. */
  truncate(seqno: Seqno): void {
    if (seqno === this.log.last) return;
    this.log.truncate(seqno);
    this.configurations.truncate(seqno);
    this.retirements.truncate(seqno);
    this.#stored = lower(this.#stored, seqno);
    this.#unstored = this.#unstored.map(({ operation, last }) => ({
      operation,
      last: lower(last, seqno),
    }));
    this.#store({ kind: 'truncate', seqno });
    this.emit({ kind: 'rolled-back', seqno });
    this.notePhase();
  }

  /** Starts over from a snapshot that the caller has already put on stable storage. */
  install(point: LedgerPoint): void {
    invariant(point.committed > this.log.commit, 'a snapshot leads forward');
    this.log = new LogPositions(point);
    this.configurations = new Configurations(point.configuration);
    this.retirements = new Retirements(point.retirements);
    this.#stored = point.committed;
    this.#unstored = [];
    this.emit({ kind: 'committed', seqno: point.committed });
    this.notePhase();
  }

  /** What was in the log when the process started is on stable storage. */
  noteAllStored(): void {
    this.#stored = this.log.last;
  }

  noteStored(operation: number): void {
    invariant(operation <= this.#operations, `operation ${operation} was asked for`);
    this.#storedOperations = Math.max(this.#storedOperations, operation);
    while ((this.#unstored[0]?.operation ?? Number.POSITIVE_INFINITY) <= operation) {
      const { last = this.#stored } = this.#unstored.shift() ?? {};
      this.#stored = last;
    }
    invariant(this.#stored <= this.log.last, 'no more is stored than the log holds');
  }

  /** Moves the commit position, and with it what depends on it. */
  commitTo(seqno: Seqno): void {
    this.log.commitTo(seqno);
    this.configurations.commit(seqno);
    const { view } = this.log.positionAt(seqno);
    if (view > (this.unrecordedView ?? view)) this.unrecordedView = undefined;
    this.emit({ kind: 'committed', seqno });
    this.notePhase();
  }

  /** Tells the caller when its own retirement has moved to another phase. */
  notePhase(): void {
    const { phase } = this;
    if (phase === this.#phase) return;
    this.#phase = phase;
    if (phase !== undefined) this.emit({ kind: 'retirement', phase });
  }

  /** The entry after the last one. */
  get next(): Seqno {
    return seqnoAfter(this.log.last);
  }

  /** What this step put out. */
  takeOutputs(): Outputs {
    const outputs = {
      storage: this.#storage,
      messages: this.#messages,
      events: this.#events,
    };
    this.#storage = [];
    this.#messages = [];
    this.#events = [];
    return outputs;
  }

  #store(
    what:
      | { readonly kind: 'record'; readonly record: VoteRecord }
      | { readonly kind: 'truncate'; readonly seqno: Seqno }
      | { readonly kind: 'append'; readonly entries: readonly Entry[] },
  ): void {
    this.#operations += 1;
    this.#storage.push({ ...what, operation: this.#operations });
  }
}
