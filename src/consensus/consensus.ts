/**
 * Consensus: Raft as a pure state machine, `step(input) → outputs`. No clock, no disk, no network,
 * no chance of its own. Terms are views, indices are seqnos, and only signatures of the present
 * view commit (contract: node-lifecycle.md §6; restart and reads: design decisions 10 and 11).
 *
 * The caller's obligations. Each has a test that breaks it and shows the damage.
 *
 *  1. Storage operations are carried out in the order of their numbers, and survive a crash in
 *     that order: none without all before it.
 *  2. A message with `after: n` leaves only when operation n is on stable storage: a vote, a
 *     request for votes (the candidate voted for itself), an acknowledgement, a report to a
 *     restarting node. Others may leave at once, and any message may be lost.
 *  3. `stored` is reported only when the operation, and all before it, are on stable storage: by
 *     it a candidate counts its own vote, and a leader its own entries.
 *  4. With an append message go the bytes of exactly the entries it names; when the ledger no
 *     longer holds them, the message is dropped. The receiving caller hands in what it read from
 *     them.
 *  5. On `rolled-back` the caller undoes what it executed after that seqno, and never shows it.
 *  6. Only what a `committed` event covers is told to clients as committed.
 *  7. After `leads` the leader writes a signature first. After an unproven restart, and on
 *     starting a service, it may write one entry before it.
 *  8. A node that ever answered anything starts again as `restart`, with the last vote record and
 *     all entries that its disk has, under an incarnation larger than all before; where disk and
 *     clock both went back, its leader tells it a larger one. Only a new node joins.
 *  9. Inputs come one at a time. Ticks tell all the time that passed, pauses included, before
 *     anything that arrived meanwhile.
 * 10. A read is served only from what is applied up to the seqno of its `read-ready`, or later.
 * 11. On `record-retired` the leader writes an entry that says so; a node is shut down for good
 *     only when that is committed.
 */

import { invariant, unreachable } from '../base/assert.ts';
import type { NodeId, Seqno, TxId, View } from '../base/ids.ts';
import { receiveAppend, receiveBehind } from './accepting.ts';
import { receiveAppendAnswer, refusalOf, replicate } from './answering.ts';
import { advanceCommit, nominate } from './committing.ts';
import { type Configuration, isQuorumOfEach } from './configurations.ts';
import {
  countOwnVote,
  lead,
  receiveProposal,
  receiveVoteAnswer,
  receiveVoteRequest,
  startPreVote,
} from './elections.ts';
import type { Entry, Message } from './messages.ts';
import type { Input, LedgerPoint, Outputs, Refusal, Role, VoteRecord } from './outputs.ts';
import type { Progress } from './progress.ts';
import {
  driveReads,
  receiveReadAnswer,
  receiveReadRequest,
  repeatReads,
  requestRead,
} from './reads.ts';
import { type ConsensusDependencies, type ConsensusOptions, Replica } from './replica.ts';
import {
  acceptUnproven,
  beginInquest,
  meet,
  receiveInquiry,
  receiveOutlived,
  receiveReport,
  tickInquest,
} from './restart.ts';
import type { RetirementPhase } from './retirement.ts';
import { follow } from './roles.ts';
import { checkReplica } from './self-check.ts';
import { dropPeers, pumpAll, sendHeartbeats } from './sending.ts';

/** How a node's life begins. */
export type Beginning =
  /** It creates the service, or recovers one from its ledger: it leads at once, in this view. */
  | { readonly kind: 'found'; readonly point: LedgerPoint; readonly view: View }
  /** It is new, and knows the ledger up to a snapshot or nothing. */
  | { readonly kind: 'join'; readonly point: LedgerPoint }
  /** It has lived before; `entries` follow the point in its ledger. */
  | {
      readonly kind: 'restart';
      readonly point: LedgerPoint;
      readonly record: VoteRecord;
      readonly entries: readonly Entry[];
    };

export class Consensus {
  readonly #replica: Replica;
  readonly #beginning: Beginning;
  #hasStarted = false;

  constructor(
    options: ConsensusOptions,
    dependencies: ConsensusDependencies,
    beginning: Beginning,
  ) {
    const { point } = beginning;
    const { view: pointView } = point.views.at(-1) ?? point.oldest;
    const record = beginning.kind === 'restart' ? beginning.record : { view: pointView };
    invariant(record.view >= pointView, 'a vote record is not older than the ledger');
    this.#beginning = beginning;
    this.#replica = new Replica(options, dependencies, point, record);
    if (beginning.kind === 'restart') this.#load(beginning.entries);
  }

  /** The first step of a life. */
  start(): Outputs {
    invariant(!this.#hasStarted, 'a life starts once');
    this.#hasStarted = true;
    const replica = this.#replica;
    if (this.#beginning.kind === 'found') {
      replica.setRecord(this.#beginning.view, replica.self);
      lead(replica, 1);
    } else if (this.#beginning.kind === 'restart') {
      beginInquest(replica);
    }
    return this.#end();
  }

  step(input: Input): Outputs {
    invariant(this.#hasStarted, 'a life starts before it goes on');
    this.#take(input);
    return this.#end();
  }

  get view(): View {
    return this.#replica.view;
  }

  get votedFor(): NodeId | undefined {
    return this.#replica.votedFor;
  }

  get role(): Role {
    return this.#replica.role;
  }

  get leader(): NodeId | undefined {
    return this.#replica.leader;
  }

  get commit(): Seqno {
    return this.#replica.log.commit;
  }

  get last(): TxId {
    return this.#replica.log.lastPosition;
  }

  get lastCommittable(): TxId {
    return this.#replica.log.lastCommittable;
  }

  /** The view that wrote an entry, as far as this log goes. */
  viewAt(seqno: Seqno): View | undefined {
    return this.#replica.log.viewAt(seqno);
  }

  get configurations(): readonly Configuration[] {
    return this.#replica.configurations.active;
  }

  get retirement(): RetirementPhase | undefined {
    return this.#replica.phase;
  }

  /** Nodes that may be shut down for good. */
  get removable(): readonly NodeId[] {
    const { retirements, log } = this.#replica;
    return retirements.all
      .map(({ node }) => node)
      .filter((node) => retirements.phaseOf(node, log) === 'RetiredCommitted');
  }

  get isRestarting(): boolean {
    return this.#replica.inquest !== undefined;
  }

  /** What the leader knows of the others; empty elsewhere. */
  get peers(): ReadonlyMap<NodeId, Pick<Progress, 'match' | 'sent' | 'silentMs' | 'commit'>> {
    return this.#replica.leading?.peers ?? new Map();
  }

  /** Why entries like these would be refused now, if they would. */
  refusal(entries: readonly Entry[]): Refusal | undefined {
    return refusalOf(this.#replica, entries);
  }

  /** The point of a snapshot of what is committed here. */
  get committedPoint(): LedgerPoint {
    const { log, configurations, retirements } = this.#replica;
    const { commit } = log;
    const configuration = configurations.upTo(commit).at(-1);
    return {
      oldest: log.oldest,
      views: log.viewsUpTo(commit),
      committed: commit,
      ...(configuration === undefined ? {} : { configuration }),
      retirements: retirements.all
        .filter(({ ordered }) => ordered <= commit)
        .map(({ node, ordered, recorded }) =>
          recorded !== undefined && recorded <= commit
            ? { node, ordered, recorded }
            : { node, ordered },
        ),
    };
  }

  /** What its former life had stored. An entry that records a retirement proves it committed. */
  #load(entries: readonly Entry[]): void {
    const replica = this.#replica;
    const { log, retirements, configurations } = replica;
    for (const entry of entries) replica.note(entry);
    replica.noteAllStored();
    invariant(replica.view >= log.lastPosition.view, 'a vote record is not older than the log');
    for (const { ordered, recorded } of retirements.all) {
      if (recorded === undefined || ordered <= log.commit) continue;
      const proven = log.signatures.find((signature) => signature > ordered);
      invariant(proven !== undefined, 'a signature lies between a retirement and its record');
      log.commitTo(proven);
      configurations.commit(proven);
    }
  }

  #take(input: Input): void {
    const replica = this.#replica;
    const { leading } = replica;
    switch (input.kind) {
      case 'tick':
        this.#tick(input.elapsedMs);
        break;
      case 'message':
        if (replica.role !== 'retired') this.#receive(input.from, input.message, input.entries);
        break;
      case 'replicate':
        replicate(replica, input.entries);
        break;
      case 'stored':
        replica.noteStored(input.operation);
        if (leading !== undefined) advanceCommit(replica, leading);
        else countOwnVote(replica);
        break;
      case 'read':
        requestRead(replica, input.id);
        break;
      case 'forget-read':
        replica.reads.forget(input.id);
        break;
      case 'nominate':
        if (leading !== undefined) nominate(replica, leading);
        break;
      case 'install':
        if (leading === undefined && input.point.committed > replica.log.commit) {
          replica.install(input.point);
        }
        break;
      case 'accept-unproven':
        acceptUnproven(replica);
        break;
      default:
        unreachable(input, 'an input of consensus');
    }
  }

  #tick(elapsedMs: number): void {
    const replica = this.#replica;
    const { leading, inquest, options } = replica;
    invariant(elapsedMs >= 0, 'time does not run backwards');
    if (replica.role === 'retired') return;
    if (inquest !== undefined) {
      tickInquest(replica, inquest, elapsedMs);
      return;
    }
    if (leading === undefined) {
      this.#tickFollower(elapsedMs);
      return;
    }
    for (const progress of leading.peers.values()) progress.silentMs += elapsedMs;
    const hasQuorum =
      replica.configurations.active.length === 0 ||
      isQuorumOfEach(replica.configurations.active, (node) => {
        const silentMs = leading.peers.get(node)?.silentMs ?? Number.POSITIVE_INFINITY;
        return node === replica.self || silentMs < options.electionTimeoutMs;
      });
    if (!hasQuorum) {
      follow(replica, replica.view);
      return;
    }
    leading.sinceHeartbeatMs += elapsedMs;
    if (leading.sinceHeartbeatMs < options.messageTimeoutMs) return;
    dropPeers(replica, leading);
    sendHeartbeats(replica, leading);
    pumpAll(replica, leading);
  }

  #tickFollower(elapsedMs: number): void {
    const replica = this.#replica;
    replica.silentMs += elapsedMs;
    replica.sinceReadsMs += elapsedMs;
    if (replica.silentMs >= replica.patienceMs) startPreVote(replica);
    if (replica.sinceReadsMs < replica.options.messageTimeoutMs) return;
    replica.sinceReadsMs = 0;
    repeatReads(replica);
  }

  #receive(from: NodeId, message: Message, entries: readonly Entry[] = []): void {
    const replica = this.#replica;
    const { inquest, leading } = replica;
    if (inquest !== undefined) {
      meet(replica, inquest, from);
      if (message.kind === 'inquiry') receiveInquiry(replica, from, message);
      if (message.kind === 'outlived') receiveOutlived(replica, inquest, message);
      if (message.kind === 'report') receiveReport(replica, from, message);
      return;
    }
    switch (message.kind) {
      case 'append':
        receiveAppend(replica, from, message, entries);
        break;
      case 'append-answer':
        if (message.view > replica.view) follow(replica, message.view);
        else if (message.view === replica.view && leading !== undefined) {
          receiveAppendAnswer(replica, leading, from, message);
        }
        break;
      case 'behind':
        receiveBehind(replica, from, message);
        break;
      case 'vote-request':
        receiveVoteRequest(replica, from, message);
        break;
      case 'vote-answer':
        receiveVoteAnswer(replica, from, message);
        break;
      case 'propose-vote':
        receiveProposal(replica, from, message);
        break;
      case 'read-request':
        receiveReadRequest(replica, from, message);
        break;
      case 'read-answer':
        receiveReadAnswer(replica, message);
        break;
      case 'inquiry':
        receiveInquiry(replica, from, message);
        break;
      case 'outlived':
      case 'report':
        break;
      default:
        unreachable(message, 'a message of consensus');
    }
  }

  #end(): Outputs {
    const replica = this.#replica;
    if (replica.phase === 'RetiredCommitted' && replica.role !== 'retired') {
      invariant(replica.leading === undefined, 'a retired leader has handed over');
      replica.role = 'retired';
      replica.leader = undefined;
    }
    driveReads(replica);
    checkReplica(replica);
    return replica.takeOutputs();
  }
}
