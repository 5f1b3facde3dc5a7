// The invariants of node-lifecycle.md §7, checked after every step of every node. The names in
// capitals are those of the TLA+ specification ccfraft.

import type { NodeId, Seqno, View } from '../../src/base/ids.ts';
import { majorityOf } from '../../src/consensus/configurations.ts';
import type { Message } from '../../src/consensus/messages.ts';
import type { Input, Outputs, Role } from '../../src/consensus/outputs.ts';
import type { RetirementPhase } from '../../src/consensus/retirement.ts';
import type { Host, Written } from './host.ts';

/** An invariant that did not hold. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly invariantName: string;

  constructor(invariantName: string, what: string) {
    super(`${invariantName}: ${what}`);
    this.invariantName = invariantName;
  }
}

/** What the last look at a node showed. */
interface Seen {
  readonly life: number;
  readonly view: View;
  readonly role: Role;
  readonly commit: Seqno;
  readonly last: Seqno;
  readonly phase: RetirementPhase | undefined;
  /** For each peer of a leader: its match. */
  readonly matches: ReadonlyMap<NodeId, Seqno>;
}

const PHASES: readonly (RetirementPhase | undefined)[] = [
  undefined,
  'Ordered',
  'Signed',
  'Completed',
  'RetiredCommitted',
];

export interface CheckerOptions {
  readonly electionTimeoutMs: number;
  readonly uncommittedMax: number;
  readonly hostOf: (node: NodeId) => Host | undefined;
}

export class Checkers {
  readonly #options: CheckerOptions;
  readonly #seen = new Map<NodeId, Seen>();
  readonly #leaders = new Map<View, NodeId>();
  /** For each entry that ever was: what it says, and what came before it. */
  readonly #histories = new Map<string, string>();
  /** Chains of the entries in each node's memory, by seqno. */
  readonly #chains = new Map<NodeId, Map<Seqno, string>>();
  readonly #committed: { readonly view: View; readonly payload: string }[] = [];
  readonly #votes = new Map<string, NodeId>();
  readonly #appendHeardMs = new Map<NodeId, number>();
  readonly #reads = new Map<string, { readonly bound: number; readonly life: number }>();
  readonly #oldDisks = new Set<NodeId>();
  readonly #clocksMs = new Map<NodeId, number>();
  readonly #inquiries = new Set<string>();
  readonly #answeredMs = new Map<string, number>();
  readonly #leadsSinceMs = new Map<NodeId, number>();
  readonly #configuredMs = new Map<string, number>();
  steps = 0;
  elections = 0;
  readsServed = 0;

  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  /** Entries that some node knows to be committed. */
  get committedCount(): number {
    return this.#committed.length;
  }

  committedAt(seqno: Seqno): { readonly view: View; readonly payload: string } | undefined {
    return this.#committed[seqno - 1];
  }

  /** The node came back with a disk that forgot: what it held is not held any more. */
  noteOldDisk(node: NodeId): void {
    this.#oldDisks.add(node);
  }

  /** A read begins: it must see at least what is committed anywhere by now. */
  noteRead(host: Host, id: number): void {
    this.#reads.set(`${host.id} ${id}`, { bound: this.#committed.length, life: host.lives });
  }

  /** A message leaves a node. */
  noteSent(host: Host, to: NodeId, message: Message): void {
    const { record } = host.disk;
    const isStanding = message.kind === 'vote-request' && message.election === 'regular';
    this.#require(
      !(isStanding || message.kind === 'report') || record.view >= message.view,
      'PromiseIsDurable',
      `${host.id} sends a ${message.kind}, its disk says ${record.view}`,
    );
    if (message.kind !== 'vote-answer' || message.election !== 'regular') return;
    if (!message.granted) return;
    this.#require(
      record.view > message.view || (record.view === message.view && record.votedFor === to),
      'PromiseIsDurable',
      `${host.id} votes in view ${message.view}, its disk says ${JSON.stringify(record)}`,
    );
    const key = `${host.id} ${message.view}`;
    const former = this.#votes.get(key);
    this.#require(
      former === undefined || former === to,
      'VotesGrantedMonotonicProp',
      `${host.id} voted for ${former} and for ${to} in view ${message.view}`,
    );
    this.#votes.set(key, to);
  }

  afterStep(host: Host, input: Input | undefined, outputs: Outputs): void {
    this.steps += 1;
    if (input?.kind === 'tick') {
      this.#clocksMs.set(host.id, this.#clockOf(host) + input.elapsedMs);
    }
    const { node, id } = host;
    const former = this.#seen.get(id);
    const before = former?.life === host.lives ? former : undefined;
    if (before === undefined) this.#rebuildChains(host);
    this.#checkLog(host, before, outputs);
    this.#checkRole(host, before, input, outputs);
    this.#checkCommit(host, before);
    this.#checkRetirement(host, before);
    this.#checkMatches(host, before, input);
    this.#checkReads(host, outputs);
    this.#seen.set(id, {
      life: host.lives,
      view: node.view,
      role: node.role,
      commit: node.commit,
      last: node.last.seqno,
      phase: node.retirement,
      matches: new Map([...node.peers].map(([peer, { match }]) => [peer, match])),
    });
  }

  /** Time as the node was told it. */
  #clockOf(host: Host): number {
    return this.#clocksMs.get(host.id) ?? 0;
  }

  #require(condition: boolean, name: string, what: string): asserts condition {
    if (!condition) throw new Violation(name, what);
  }

  #rebuildChains(host: Host): void {
    this.#chains.set(host.id, new Map());
    for (const written of host.written) this.#link(host, written);
  }

  /** LogMatchingInv: the same view and seqno stand for the same entry and the same past. */
  #link(host: Host, { entry, payload }: Written): void {
    const chains = this.#chains.get(host.id) ?? new Map<Seqno, string>();
    const key = `${entry.view}.${entry.seqno}`;
    const pastOfPoint = this.#committed[entry.seqno - 2];
    const past =
      entry.seqno === host.point.committed + 1
        ? `${pastOfPoint?.view ?? 0}.${entry.seqno - 1}`
        : (chains.get((entry.seqno - 1) as Seqno) ?? 'nothing');
    const history = `${payload} after ${past}`;
    const known = this.#histories.get(key);
    this.#require(
      known === undefined || known === history,
      'LogMatchingInv',
      `entry ${key} is "${history}" at ${host.id}, "${known}" elsewhere`,
    );
    this.#histories.set(key, history);
    chains.set(entry.seqno, key);
    this.#require(
      this.#leaders.has(entry.view) || host.node.role === 'leader',
      'CandidateTermNotInLogInv',
      `entry ${key} at ${host.id} is of a view that nobody led`,
    );
  }

  #checkLog(host: Host, before: Seen | undefined, outputs: Outputs): void {
    const { node, id } = host;
    this.#require(
      node.last.seqno === host.last,
      'TypeInv',
      `${id} counts ${node.last.seqno} entries, its ledger has ${host.last}`,
    );
    let isChanged = false;
    for (const operation of outputs.storage) {
      if (operation.kind === 'record') continue;
      isChanged = true;
      if (operation.kind === 'truncate') {
        this.#require(
          operation.seqno >= (before?.commit ?? 0),
          'PermittedLogChangesProp',
          `${id} cut its log at ${operation.seqno}, below what it committed`,
        );
        continue;
      }
      for (const { seqno } of operation.entries) {
        const written = host.at(seqno);
        if (written !== undefined) this.#link(host, written);
        const previous = host.at((seqno - 1) as Seqno)?.entry;
        this.#require(
          previous === undefined ||
            written === undefined ||
            previous.view <= written.entry.view,
          'MonoLogInv',
          `views fall at entry ${seqno} of ${id}`,
        );
      }
    }
    const isCommitted = outputs.events.some(({ kind }) => kind === 'committed');
    if (isChanged || isCommitted) this.#checkConfigurations(host);
  }

  /** LogConfigurationConsistentInv: the active configurations are those that the log holds. */
  #checkConfigurations(host: Host): void {
    const { node, point } = host;
    const all = [
      ...(point.configuration === undefined ? [] : [point.configuration]),
      ...host.written.flatMap(({ entry: { seqno, reconfiguration } }) =>
        reconfiguration === undefined ? [] : [{ seqno, nodes: reconfiguration }],
      ),
    ];
    const newestCommitted = all.filter(({ seqno }) => seqno <= node.commit).length - 1;
    const expected = all.slice(Math.max(0, newestCommitted));
    this.#require(
      JSON.stringify(expected) === JSON.stringify(node.configurations),
      'LogConfigurationConsistentInv',
      `${host.id} has ${JSON.stringify(node.configurations)}, its log ${JSON.stringify(expected)}`,
    );
  }

  #checkRole(
    host: Host,
    before: Seen | undefined,
    input: Input | undefined,
    outputs: Outputs,
  ): void {
    const { node, id } = host;
    const { view, role } = node;
    this.#require(
      before === undefined || view >= before.view,
      'MonotonicTermProp',
      `${id} went from view ${before?.view} back to ${view}`,
    );
    const nowMs = this.#clockOf(host);
    const isAppend = input?.kind === 'message' && input.message.kind === 'append';
    if (isAppend && input.message.view === view && node.leader === input.from) {
      this.#appendHeardMs.set(id, nowMs);
    }
    const stands = role === 'pre-candidate' || role === 'candidate';
    if (input?.kind === 'tick' && stands && before?.role === 'follower') {
      const quietMs = nowMs - (this.#appendHeardMs.get(id) ?? Number.NEGATIVE_INFINITY);
      this.#require(
        quietMs >= this.#options.electionTimeoutMs / 2,
        'ElectionTimerReset',
        `${id} stands ${quietMs} ms after it heard its leader`,
      );
    }
    for (const event of outputs.events) {
      if (event.kind !== 'leads') continue;
      this.elections += 1;
      this.#require(
        input === undefined || host.disk.record.view === event.view,
        'PromiseIsDurable',
        `${id} leads view ${event.view} by a vote that a crash would undo`,
      );
      this.#require(view >= 2, 'NoLeaderBeforeInitialTerm', `${id} leads in view ${view}`);
      const other = this.#leaders.get(event.view);
      this.#require(
        other === undefined,
        'MoreThanOneLeaderInv',
        `${id} and ${other} lead in view ${event.view}`,
      );
      this.#leaders.set(event.view, id);
      this.#checkLeaderCompleteness(host);
    }
    this.#checkQuorumIsHeard(host, input, outputs);
    if (role === 'leader') {
      this.#require(this.#leaders.get(view) === id, 'LeaderProp', `${id} was not elected`);
    }
    const isTransaction =
      input?.kind === 'replicate' &&
      input.entries.some((entry) => !entry.isSignature && entry.retiredCommitted === undefined);
    const isTaken = !outputs.events.some(({ kind }) => kind === 'refused');
    if (isTransaction && isTaken && before !== undefined) {
      const uncommitted = before.last - before.commit + input.entries.length;
      this.#require(
        uncommitted <= this.#options.uncommittedMax,
        'BackPressure',
        `${id} let ${uncommitted} entries wait`,
      );
    }
    this.#require(
      before === undefined || isPermitted(before.role, role),
      'StateTransitionsProp',
      `${id} went from ${before?.role} to ${role}`,
    );
  }

  /** CheckQuorum: who leads after a tick was answered by a quorum of each configuration lately. */
  #checkQuorumIsHeard(host: Host, input: Input | undefined, outputs: Outputs): void {
    const { node, id } = host;
    const nowMs = this.#clockOf(host);
    if (input?.kind === 'message' && input.message.kind === 'append-answer') {
      this.#answeredMs.set(`${id} ${input.from}`, nowMs);
    }
    if (outputs.events.some(({ kind }) => kind === 'leads')) this.#leadsSinceMs.set(id, nowMs);
    if (input?.kind !== 'tick' || node.role !== 'leader') return;
    const bearableMs = this.#options.electionTimeoutMs;
    for (const { seqno, nodes } of node.configurations) {
      const sinceMs = Math.max(this.#leadsSinceMs.get(id) ?? 0, this.#foundMs(host, seqno));
      const isHeard = (peer: NodeId): boolean =>
        peer === id || nowMs - (this.#answeredMs.get(`${id} ${peer}`) ?? 0) <= bearableMs;
      this.#require(
        nowMs - sinceMs <= bearableMs ||
          nodes.filter(isHeard).length >= majorityOf(nodes.length),
        'CheckQuorum',
        `${id} leads ${nodes} and hears too few of them`,
      );
    }
  }

  /** When a node first had a configuration. */
  #foundMs(host: Host, seqno: Seqno): number {
    const key = `${host.id} ${host.lives} ${seqno}`;
    const known = this.#configuredMs.get(key) ?? this.#clockOf(host);
    this.#configuredMs.set(key, known);
    return known;
  }

  #checkLeaderCompleteness(host: Host): void {
    for (let seqno = host.point.committed + 1; seqno <= this.#committed.length; seqno += 1) {
      const committed = this.#committed[seqno - 1];
      this.#require(
        host.at(seqno as Seqno)?.payload === committed?.payload,
        'LeaderCompletenessInv',
        `${host.id} leads in view ${host.node.view} without committed entry ${seqno}`,
      );
    }
    this.#require(
      host.node.last.seqno >= this.#committed.length,
      'LeaderCompletenessInv',
      `${host.id} leads with less than what is committed`,
    );
  }

  #checkCommit(host: Host, before: Seen | undefined): void {
    const { node, id } = host;
    const { commit } = node;
    const from = before?.commit ?? host.point.committed;
    this.#require(commit >= from, 'MonotonicCommitIndexProp', `${id} took back a commit`);
    if (commit === from) return;
    this.#require(
      commit <= node.last.seqno,
      'CommitCommittableIndices',
      `${id} has not ${commit}`,
    );
    const last = host.at(commit);
    this.#require(
      last === undefined ? commit === host.point.committed : last.entry.isSignature,
      'SignatureInv',
      `${id} committed up to ${commit}, which is no signature`,
    );
    // A life may begin with what its log proves to be committed.
    if (node.role === 'leader' && before !== undefined) {
      this.#require(
        last?.entry.view === node.view,
        'NeverCommitEntryPrevTermsProp',
        `${id} leads in view ${node.view} and committed up to ${commit} of an older view`,
      );
    }
    for (let seqno = from + 1; seqno <= commit; seqno += 1) {
      const written = host.at(seqno as Seqno);
      if (written === undefined) continue;
      const { view } = written.entry;
      const known = this.#committed[seqno - 1];
      this.#require(
        known === undefined || (known.view === view && known.payload === written.payload),
        'LogInv',
        `${id} committed "${written.payload}" at ${view}.${seqno}, others "${known?.payload}"`,
      );
      if (known !== undefined) continue;
      this.#require(seqno === this.#committed.length + 1, 'LogInv', `a gap before ${seqno}`);
      this.#committed.push({ view, payload: written.payload });
    }
    if (node.role === 'leader') this.#checkQuorumLog(host, commit);
  }

  /** QuorumLogInv: what the leader just committed is on the disks of a quorum. */
  #checkQuorumLog(host: Host, commit: Seqno): void {
    const committed = this.#committed[commit - 1];
    for (const { nodes } of host.node.configurations) {
      const holders = nodes.filter((node) => {
        if (this.#oldDisks.has(node)) return true;
        const disk = this.#options.hostOf(node)?.disk;
        if (disk === undefined) return false;
        if (disk.point.committed >= commit) return true;
        const held = disk.written[commit - disk.point.committed - 1];
        return held?.payload === committed?.payload;
      });
      this.#require(
        holders.length >= majorityOf(nodes.length),
        'QuorumLogInv',
        `${host.id} committed ${commit}, on the disks of ${holders} of ${nodes} only`,
      );
    }
  }

  #checkRetirement(host: Host, before: Seen | undefined): void {
    const { node, id } = host;
    const phase = node.retirement;
    const wasPlace = PHASES.indexOf(before?.phase);
    const place = PHASES.indexOf(phase);
    this.#require(
      place >= wasPlace || wasPlace < PHASES.indexOf('Completed'),
      'MembershipStateTransitionsProp',
      `${id} went from ${before?.phase} to ${phase}`,
    );
    if (place >= PHASES.indexOf('Completed')) {
      this.#require(
        node.configurations.every(({ nodes }) => !nodes.includes(id)),
        'RetirementCompletedNotInConfigsInv',
        `${id} has retired and still counts`,
      );
      if (place !== wasPlace) {
        const isLeftOut = host.written.some(
          ({ entry }) =>
            entry.seqno <= node.commit &&
            entry.reconfiguration !== undefined &&
            !entry.reconfiguration.includes(id),
        );
        this.#require(
          isLeftOut || host.point.retirements.some((retirement) => retirement.node === id),
          'RetirementCompletedAreRetirementCompletedInv',
          `${id} retires before that is committed`,
        );
      }
    }
    const isDone = phase === 'RetiredCommitted';
    this.#require(
      (node.role === 'retired') === isDone,
      'MembershipStateConsistentInv',
      `${id} is ${node.role} in phase ${phase}`,
    );
    for (const gone of before === undefined || before.commit < node.commit
      ? node.removable
      : []) {
      const isRecorded =
        host.written.some(
          ({ entry }) =>
            entry.seqno <= node.commit && (entry.retiredCommitted ?? []).includes(gone),
        ) || host.point.retirements.some((retirement) => retirement.node === gone);
      this.#require(isRecorded, 'RetiredCommittedInv', `${gone} is let go without a record`);
    }
  }

  #checkMatches(host: Host, before: Seen | undefined, input: Input | undefined): void {
    const { node, id } = host;
    if (input?.kind === 'message' && input.message.kind === 'inquiry') {
      this.#inquiries.add(`${id} ${input.from}`);
    }
    if (node.role !== 'leader') return;
    const isSameReign = before?.role === 'leader' && before.view === node.view;
    for (const [peer, { match }] of node.peers) {
      const former = isSameReign ? before.matches.get(peer) : undefined;
      const asked = `${id} ${peer}`;
      this.#require(
        match >= (former ?? 0) || this.#inquiries.has(asked),
        'MonotonicMatchIndexProp',
        `${id} forgot that ${peer} has ${former}`,
      );
      if (match === former) continue;
      this.#checkHolds(host, peer, match);
    }
    if (isSameReign) this.#inquiries.clear();
  }

  /** ReplicationInv: who is said to hold an entry has it on disk, unless it follows another. */
  #checkHolds(host: Host, peer: NodeId, match: Seqno): void {
    const other = this.#options.hostOf(peer);
    if (other === undefined || this.#oldDisks.has(peer) || match <= host.point.committed)
      return;
    if (other.disk.record.view > host.node.view || match <= other.disk.point.committed) return;
    const held = other.disk.written[match - other.disk.point.committed - 1];
    this.#require(
      held !== undefined && held.payload === host.at(match)?.payload,
      'ReplicationInv',
      `${host.id} counts ${peer} for ${match}, whose disk has "${held?.payload}" there`,
    );
  }

  #checkReads(host: Host, outputs: Outputs): void {
    for (const event of outputs.events) {
      if (event.kind !== 'read-ready') continue;
      const read = this.#reads.get(`${host.id} ${event.id}`);
      if (read === undefined || read.life !== host.lives) continue;
      this.#reads.delete(`${host.id} ${event.id}`);
      this.readsServed += 1;
      this.#require(
        event.seqno >= read.bound,
        'FreshRead',
        `${host.id} serves at ${event.seqno} a read begun when ${read.bound} was committed`,
      );
      this.#require(
        host.node.commit >= event.seqno,
        'FreshRead',
        `${host.id} serves a read before it has applied ${event.seqno}`,
      );
    }
  }
}

function isPermitted(from: Role, to: Role): boolean {
  // Whoever learns of its recorded retirement is done, through follower or not.
  if (from === to || to === 'retired') return true;
  switch (from) {
    case 'follower':
      // A node alone wins the election it starts; a proposal skips the pre-vote.
      return true;
    case 'pre-candidate':
      return to === 'follower' || to === 'candidate' || to === 'leader';
    case 'candidate':
      return to === 'follower' || to === 'leader' || to === 'pre-candidate';
    case 'leader':
      return to === 'follower';
    default:
      return false;
  }
}
