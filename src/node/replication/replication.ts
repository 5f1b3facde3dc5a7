/**
 * Drives consensus: feeds it time, messages, what this node wrote and what its disk has done, and
 * carries out what it says, within the obligations numbered in `consensus/consensus.ts`.
 *
 * One input is worked off wholly before the next: what the ledger has in memory is rolled back and
 * extended, then storage is told, then messages leave (or wait for the disk), then everyone learns
 * of roles and commits.
 */
import { invariant } from '../../base/assert.ts';
import type { Timers } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import { type NodeId, type Seqno, seqnoOf, type TxId, type View } from '../../base/ids.ts';
import { REQUEST_WAIT_MS_MAX } from '../../base/limits.ts';
import type { Consensus } from '../../consensus/consensus.ts';
import type { Append, Entry, Message } from '../../consensus/messages.ts';
import type { Event, Input, Outgoing, Outputs } from '../../consensus/outputs.ts';
import type { RetirementPhase } from '../../consensus/retirement.ts';
import type { ChunkStore } from '../../ledger/chunk-store.ts';
import type { CommittedSignature } from '../ledger-state.ts';
import type { ConsensusMessage } from '../peers/messages.ts';
import { AppendSender } from './append-sender.ts';
import {
  applyEntry,
  type IntakeDependencies,
  type ReceivedEntry,
  readEntries,
} from './entry-intake.ts';
import { type StorageDependencies, StorageQueue } from './storage-queue.ts';

/** An entry that this leader wrote: it is in the ledger's memory already. */
export interface WrittenEntry {
  readonly facts: Entry;
  readonly bytes: Buffer;
}

/** What the node behind it does about what happens. */
export interface ReplicationEvents {
  /** This node leads in `view` from here on; the ledger ends at its last signature. */
  leads(view: View, isUnproven: boolean): void;
  /** It does not, or no more; what it had not yet handed over is gone. */
  follows(leader: NodeId | undefined): void;
  /** Told for one signature after the other, while the state stands there. */
  committed(signature: CommittedSignature): void;
  /** The ledger has moved: something was appended, committed or rolled back. */
  moved(): void;
  recordRetired(nodes: readonly NodeId[]): void;
  retirement(phase: RetirementPhase): void;
  restartWaits(nodes: readonly NodeId[], forOperator: boolean): void;
  restarted(isUnproven: boolean): void;
  needsSnapshot(oldest: TxId): void;
  /** The others' ledger is another, or ends before what is committed here at `at`. */
  forked(at: TxId): void;
}

export interface ReplicationDependencies extends IntakeDependencies {
  readonly consensus: Consensus;
  readonly chunks: ChunkStore;
  readonly writeRecord: StorageDependencies['writeRecord'];
  readonly noteCommitted?: StorageDependencies['noteCommitted'];
  readonly send: (to: NodeId, message: ConsensusMessage) => boolean;
  readonly timers: Timers;
  readonly events: ReplicationEvents;
  /** What must not happen has: the process should end. */
  readonly onFatal: (error: unknown) => void;
}

const TICK_MS = 10;

/** What comes with an input and not through consensus. */
type Cargo =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'written'; readonly entries: readonly WrittenEntry[] }
  | { readonly kind: 'received'; readonly entries: readonly ReceivedEntry[] };

const NOTHING: Cargo = { kind: 'nothing' };

interface FreshRead {
  readonly resolve: (seqno: Seqno) => void;
  readonly reject: (error: CodedError) => void;
  readonly cancel: () => void;
}

export class Replication {
  readonly #deps: ReplicationDependencies;
  readonly #storage: StorageQueue;
  readonly #sender: AppendSender;
  readonly #inbox: { readonly input: Input; readonly cargo: Cargo }[] = [];
  readonly #held: Outgoing[] = [];
  readonly #reads = new Map<number, FreshRead>();
  #readIds = 0;
  #isBusy = false;
  #isStopped = false;
  #tickedMs: number;
  #cancelTick: () => void = () => undefined;
  /** The last entry that consensus and the ledger in memory both have. */
  #logEnd: Seqno;
  /** The configuration that was last noted to be committed. */
  #configuredAt: Seqno | undefined;
  /** The highest commit position that a leader has told this life. */
  #toldCommit: Seqno = seqnoOf(0);

  constructor(dependencies: ReplicationDependencies) {
    this.#deps = dependencies;
    const { chunks, timers, consensus } = dependencies;
    this.#storage = new StorageQueue({
      chunks,
      writeRecord: dependencies.writeRecord,
      ...(dependencies.noteCommitted && { noteCommitted: dependencies.noteCommitted }),
      onStored: (operation) => this.#onStored(operation),
      onFailure: (error) => this.#fail(error),
    });
    this.#sender = new AppendSender({
      chunks,
      recent: chunks.recent,
      send: dependencies.send,
    });
    this.#tickedMs = timers.elapsedMs();
    this.#logEnd = consensus.last.seqno;
  }

  /** Begins this life. */
  start(): void {
    const { consensus, timers } = this.#deps;
    this.#tickedMs = timers.elapsedMs();
    this.#work(() => this.#carryOut(consensus.start(), undefined, NOTHING));
    this.#keepTicking();
  }

  /** The last entry handed to consensus. */
  get logEnd(): Seqno {
    return this.#logEnd;
  }

  get toldCommit(): Seqno {
    return this.#toldCommit;
  }

  /** Hands over what this leader wrote; it must lead. */
  replicate(entries: readonly WrittenEntry[]): void {
    const facts = entries.map((entry) => entry.facts);
    this.#take({ kind: 'replicate', entries: facts }, { kind: 'written', entries });
  }

  /** Takes a message in. Throws a coded error for entries that are none. */
  receive(from: NodeId, message: ConsensusMessage): void {
    if (this.#isStopped) return;
    this.#tick();
    if (message.kind !== 'append') {
      this.#take({ kind: 'message', from, message }, NOTHING);
      return;
    }
    const { entries: bytes, ...append } = message;
    const entries = readEntries(append, bytes, this.#deps.state);
    const facts = entries.map((entry) => entry.facts);
    this.#noteCommit(append);
    this.#take(
      { kind: 'message', from, message: append, entries: facts },
      { kind: 'received', entries },
    );
  }

  /**
   * A seqno from which on a read that begins now is fresh, committed here (design decision 10).
   * Rejects with `NotConfirmed` when no leader was confirmed in time.
   */
  readIndex(): Promise<Seqno> {
    return new Promise((resolve, reject) => {
      const id = this.#readIds;
      this.#readIds += 1;
      const cancel = this.#deps.timers.after(REQUEST_WAIT_MS_MAX, () => {
        this.#reads.delete(id);
        this.#take({ kind: 'forget-read', id }, NOTHING);
        reject(notConfirmed());
      });
      this.#reads.set(id, { resolve, reject, cancel });
      this.#take({ kind: 'read', id }, NOTHING);
    });
  }

  /** Asks the best follower to take over, if this node leads. */
  nominate(): void {
    this.#take({ kind: 'nominate' }, NOTHING);
  }

  /** The operator lets an unproven restart go on. */
  acceptUnproven(): void {
    this.#take({ kind: 'accept-unproven' }, NOTHING);
  }

  /** Resolves when all entries handed over so far are on stable storage here. */
  async stored(): Promise<void> {
    await this.#storage.done();
  }

  /** Resolves when the disk has done all it was asked. */
  async idle(): Promise<void> {
    await this.#storage.idle();
  }

  /** Takes part in nothing more; what was asked of the disk is still done. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTick();
    const stopping = new CodedError('NodeStopping', 'this node is stopping; ask another one', {
      status: 503,
      retryAfterSeconds: 1,
    });
    for (const read of this.#reads.values()) {
      read.cancel();
      read.reject(stopping);
    }
    this.#reads.clear();
    await this.#storage.idle();
  }

  #noteCommit({ commit }: Append): void {
    if (commit > this.#toldCommit) this.#toldCommit = commit;
  }

  #keepTicking(): void {
    this.#cancelTick = this.#deps.timers.after(TICK_MS, () => {
      this.#tick();
      if (!this.#isStopped) this.#keepTicking();
    });
  }

  /** Tells consensus all the time that has passed. */
  #tick(): void {
    const nowMs = this.#deps.timers.elapsedMs();
    const elapsedMs = nowMs - this.#tickedMs;
    if (elapsedMs <= 0) return;
    this.#tickedMs = nowMs;
    this.#take({ kind: 'tick', elapsedMs }, NOTHING);
  }

  #take(input: Input, cargo: Cargo): void {
    if (this.#isStopped) return;
    this.#inbox.push({ input, cargo });
    if (this.#isBusy) return;
    this.#work(() => undefined);
  }

  #work(first: () => void): void {
    this.#isBusy = true;
    try {
      first();
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        if (this.#isStopped) break;
        const outputs = this.#deps.consensus.step(next.input);
        this.#carryOut(outputs, next.input, next.cargo);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isBusy = false;
    }
  }

  #carryOut(outputs: Outputs, input: Input | undefined, cargo: Cargo): void {
    for (const event of outputs.events) this.#goBack(event);
    for (const operation of outputs.storage) {
      if (operation.kind !== 'append') this.#storage.push(operation);
      else this.#append(operation.operation, operation.entries, cargo);
    }
    for (const outgoing of outputs.messages) {
      if (outgoing.after <= this.#storage.stored) this.#send(outgoing);
      else this.#held.push(outgoing);
    }
    for (const event of outputs.events) this.#tell(event, input);
    const hasMoved = outputs.storage.length > 0 || outputs.events.length > 0;
    if (hasMoved) this.#deps.events.moved();
  }

  /** What must happen before the ledger grows again. */
  #goBack(event: Event): void {
    const { state, events } = this.#deps;
    if (event.kind === 'follows') {
      // What this node wrote and had not handed over yet is nobody's.
      if (state.store.newest > this.#logEnd) state.rollback(this.#logEnd);
      events.follows(event.leader);
    }
    if (event.kind !== 'rolled-back') return;
    state.rollback(event.seqno);
    this.#deps.chunks.recent.truncate(event.seqno);
    this.#logEnd = event.seqno;
  }

  #append(operation: number, appended: readonly Entry[], cargo: Cargo): void {
    const { recent } = this.#deps.chunks;
    const first = appended[0]?.seqno;
    invariant(first !== undefined && first === this.#logEnd + 1, 'the log grows at its end');
    const entries: Buffer[] = [];
    const checks: Promise<void>[] = [];
    for (const { seqno } of appended) {
      const { bytes, check } = this.#cargoAt(cargo, seqno);
      entries.push(bytes);
      if (check !== undefined) checks.push(check);
      recent.add(seqno, bytes);
      this.#logEnd = seqno;
    }
    this.#storage.push({ kind: 'append', operation, first, entries, checks });
  }

  /** The bytes of an entry; one that was received is applied on the way. */
  #cargoAt(cargo: Cargo, seqno: Seqno): { bytes: Buffer; check: Promise<void> | undefined } {
    if (cargo.kind === 'written') {
      const written = cargo.entries[seqno - (cargo.entries[0]?.facts.seqno ?? 0)];
      invariant(written?.facts.seqno === seqno, `entry ${seqno} was written`);
      return { bytes: written.bytes, check: undefined };
    }
    invariant(cargo.kind === 'received', 'entries are written or received');
    const received = cargo.entries[seqno - (cargo.entries[0]?.facts.seqno ?? 0)];
    invariant(received?.facts.seqno === seqno, `entry ${seqno} was received`);
    const check = applyEntry(received, this.#deps);
    check?.catch(() => undefined);
    return { bytes: received.entry.bytes, check };
  }

  #send({ to, message }: Outgoing): void {
    if (message.kind === 'append') this.#sender.send(to, message);
    else this.#deps.send(to, message satisfies Exclude<Message, Append>);
  }

  #onStored(operation: number): void {
    const free = this.#held.filter(({ after }) => after <= operation);
    if (free.length > 0) {
      const waiting = this.#held.filter(({ after }) => after > operation);
      this.#held.splice(0, this.#held.length, ...waiting);
      for (const outgoing of free) this.#send(outgoing);
    }
    this.#take({ kind: 'stored', operation }, NOTHING);
  }

  #tell(event: Event, input: Input | undefined): void {
    const { events, state } = this.#deps;
    switch (event.kind) {
      case 'leads':
        events.leads(event.view, event.unproven);
        break;
      case 'committed':
        state.commit(event.seqno, (signature) => {
          if (signature.endsChunk)
            this.#storage.push({ kind: 'commit', seqno: signature.seqno });
          events.committed(signature);
        });
        this.#noteConfiguration(event.seqno);
        break;
      case 'read-ready':
        this.#endRead(event.id, (read) => read.resolve(event.seqno));
        break;
      case 'refused':
        invariant(input?.kind === 'read', `what this leader wrote is taken: ${event.reason}`);
        this.#endRead(input.id, (read) => read.reject(notConfirmed()));
        break;
      case 'record-retired':
        events.recordRetired(event.nodes);
        break;
      case 'retirement':
        events.retirement(event.phase);
        break;
      case 'forked':
        events.forked(event.at);
        break;
      case 'needs-snapshot':
        events.needsSnapshot(event.oldest);
        break;
      case 'restart-waits':
        events.restartWaits(event.nodes, event.forOperator);
        break;
      case 'restarted':
        events.restarted(event.unproven);
        break;
      case 'follows':
      case 'rolled-back':
        break;
    }
  }

  /** A committed change of nodes is worth a write of its own: a restart begins from it. */
  #noteConfiguration(committed: Seqno): void {
    const [configuration] = this.#deps.consensus.configurations;
    if (configuration === undefined || configuration.seqno === this.#configuredAt) return;
    if (configuration.seqno > committed) return;
    this.#configuredAt = configuration.seqno;
    this.#storage.push({ kind: 'note', seqno: committed });
  }

  #endRead(id: number, end: (read: FreshRead) => void): void {
    const read = this.#reads.get(id);
    if (read === undefined) return;
    this.#reads.delete(id);
    read.cancel();
    end(read);
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cancelTick();
    this.#deps.onFatal(error);
  }
}

function notConfirmed(): CodedError {
  return new CodedError(
    'NotConfirmed',
    'no primary could be confirmed, so it cannot be said that this is the newest state; try again',
    { status: 503, retryAfterSeconds: 1 },
  );
}
