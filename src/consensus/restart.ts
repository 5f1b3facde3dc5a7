/**
 * Restart in place (design decision 11): a restarting node trusts the quorum, not its disk.
 *
 * What its former life may have promised is learned from a majority of the others: every quorum
 * that the former life helped to form has a member among them. From their reports comes a *bound*,
 * a view above which the former life took no part. Then either
 *  - the leader of a view not below the bound has reported: it counts nothing of the former life
 *    any more, and has all that could be committed before; or
 *  - no leader lives, and a majority of the others has moved above the bound: no older leader can
 *    commit anything more, and their positions cover whatever was committed.
 * Either way the node takes part from that view on, and votes for nobody below the highest position
 * reported. It does not wait to hold that position before it votes: two nodes of which one
 * restarted would wait for each other for ever; but it does not stand before it holds it.
 */

import type { NodeId, TxId, View } from '../base/ids.ts';
import { VIEW_MAX, viewOf } from '../base/ids.ts';
import { type Configuration, isQuorumOfEach, majorityOf } from './configurations.ts';
import { startPreVote } from './elections.ts';
import type { Inquiry, Outlived, Report } from './messages.ts';
import { comparePositions, higher, laterPosition, NOWHERE } from './positions.ts';
import type { Replica } from './replica.ts';
import { follow, hearsLeader } from './roles.ts';

/**
 * A sealed entry's nonce has 31 bits for its view (ledger-format.md §3.2); some stay for
 * others.
 */
const VIEW_LEAPS_END = VIEW_MAX / 2;

/** What a restarting node has asked and heard. */
export interface Inquest {
  readonly reports: Map<NodeId, Report>;
  /** Nodes that spoke to it; a leader may be one that its old disk does not know. */
  readonly met: Set<NodeId>;
  /** The former life took no part in any view above. */
  bound: View | undefined;
  /** The view to which the others are asked to move. */
  atLeast: View;
  /**
   * Who lets an unproven restart go on: nobody yet; this node's options, once nobody can ever prove
   * it; the operator, who knows better than this node who is gone for good.
   */
  acceptedBy: 'nobody' | 'options' | 'operator';
  sinceAskedMs: number;
  /** How long it has been asking; one that can be reached has answered after a while. */
  ageMs: number;
  /** What was last said about waiting, so that it is said once. */
  said: string;
}

export function beginInquest(replica: Replica): void {
  replica.inquest = {
    reports: new Map(),
    met: new Set(),
    bound: undefined,
    atLeast: viewOf(0),
    acceptedBy: replica.options.unproven === 'allow' ? 'options' : 'nobody',
    sinceAskedMs: 0,
    ageMs: 0,
    said: '',
  };
  ask(replica, replica.inquest);
  evaluate(replica, replica.inquest);
}

export function tickInquest(replica: Replica, inquest: Inquest, elapsedMs: number): void {
  inquest.sinceAskedMs += elapsedMs;
  inquest.ageMs += elapsedMs;
  if (inquest.sinceAskedMs < replica.options.messageTimeoutMs) return;
  ask(replica, inquest);
  evaluate(replica, inquest);
}

export function acceptUnproven(replica: Replica): void {
  const { inquest } = replica;
  if (inquest === undefined) return;
  inquest.acceptedBy = 'operator';
  evaluate(replica, inquest);
}

/** Somebody speaks to a restarting node: it may know what is to be known. */
export function meet(replica: Replica, inquest: Inquest, node: NodeId): void {
  if (inquest.met.has(node)) return;
  inquest.met.add(node);
  askOne(replica, inquest, node);
}

/** Answers a restarting node, and forgets what its former life acknowledged. */
export function receiveInquiry(replica: Replica, from: NodeId, message: Inquiry): void {
  const { inquest, leading, log, isUnproven, unrecordedView, preVoted } = replica;
  // Nor does its word prove anything while its new leader may still die before the record is made.
  const isUnrecorded = replica.view > (unrecordedView ?? replica.view);
  const isRestarting = inquest !== undefined || isUnproven || isUnrecorded;
  // A leader that hears of a higher view gives way; who hears a leader leaves that to him.
  if (!isRestarting && message.atLeast > replica.view) {
    if (leading !== undefined || !hearsLeader(replica)) follow(replica, message.atLeast);
  }
  const progress = replica.leading?.peers.get(from);
  const { incarnation, nonce } = message;
  if (progress?.isPresentLifeAsking(incarnation, nonce, log.last) === false) {
    const { nextIncarnation } = progress;
    replica.send(from, { kind: 'outlived', incarnation: nextIncarnation }, 'at-once');
    return;
  }
  const heardLeader = hearsLeader(replica) ? replica.leader : undefined;
  replica.send(
    from,
    {
      kind: 'report',
      incarnation,
      restarting: isRestarting,
      view: replica.view,
      heard: higher(replica.view, preVoted),
      position: replica.votingPosition,
      ...(heardLeader === undefined ? {} : { leader: heardLeader }),
      configurations: configurationsInEffect(replica),
    },
    'when-stored',
  );
}

/**
 * Its disk and its clock both went back: under its incarnation a leader would count what a former
 * life promised. It asks again under a new one.
 */
export function receiveOutlived(replica: Replica, inquest: Inquest, message: Outlived): void {
  if (message.incarnation <= replica.incarnation) return;
  replica.incarnation = message.incarnation;
  inquest.reports.clear();
  ask(replica, inquest);
}

export function receiveReport(replica: Replica, from: NodeId, message: Report): void {
  const { inquest } = replica;
  if (inquest === undefined || message.incarnation !== replica.incarnation) return;
  inquest.reports.set(from, message);
  evaluate(replica, inquest);
}

function ask(replica: Replica, inquest: Inquest): void {
  inquest.sinceAskedMs = 0;
  const nodes = new Set([...replica.configurations.members(), ...inquest.met]);
  for (const report of inquest.reports.values()) {
    for (const node of report.configurations.flatMap(({ nodes: all }) => all)) nodes.add(node);
  }
  nodes.delete(replica.self);
  for (const node of nodes) askOne(replica, inquest, node);
}

function askOne(replica: Replica, inquest: Inquest, node: NodeId): void {
  const { incarnation } = replica;
  const { atLeast } = inquest;
  const { nonce } = replica.options;
  replica.send(node, { kind: 'inquiry', incarnation, nonce, atLeast }, 'at-once');
}

/** The report of the leader of the newest view among them, if a leader has reported. */
function leaderReport(inquest: Inquest): { node: NodeId; report: Report } | undefined {
  let best: { node: NodeId; report: Report } | undefined;
  for (const [node, report] of inquest.reports) {
    if (report.leader !== node || report.restarting) continue;
    if (best === undefined || report.view > best.report.view) best = { node, report };
  }
  return best;
}

/** Its active configurations; the committed one bears the commit position (see `Report`). */
function configurationsInEffect({ configurations, log }: Replica): readonly Configuration[] {
  return configurations.active.map(({ seqno, nodes }) => ({
    seqno: seqno <= log.commit ? log.commit : seqno,
    nodes,
  }));
}

/**
 * The configurations that count: its own and those it was told of, less those before the highest
 * commit position among them: these are out of effect, or of a branch that can never commit. What
 * is committed is known to a majority, so that some member of a majority of the others tells it.
 */
function basesOf(replica: Replica, inquest: Inquest): readonly Configuration[] {
  const told = [...inquest.reports.values()].map(({ configurations }) => configurations);
  const bases = [configurationsInEffect(replica), ...told];
  const committed = bases.map(([first]) => first?.seqno ?? NOWHERE.seqno);
  const newest = committed.reduce(higher, NOWHERE.seqno);
  return bases.flat().filter(({ seqno }) => seqno >= newest);
}

/** Whether those for whom `holds` are a majority of the others, in each configuration. */
function isMajorityOfOthers(
  self: NodeId,
  configurations: readonly Configuration[],
  holds: (node: NodeId) => boolean,
): boolean {
  const others = configurations.map(({ nodes }) => nodes.filter((node) => node !== self));
  return (
    others.some((nodes) => nodes.length > 0) &&
    others.every((nodes) => {
      return nodes.length === 0 || nodes.filter(holds).length >= majorityOf(nodes.length);
    })
  );
}

function evaluate(replica: Replica, inquest: Inquest): void {
  const { self } = replica;
  const { reports } = inquest;
  const bases = basesOf(replica, inquest);
  const proves = (node: NodeId): boolean => reports.get(node)?.restarting === false;
  if (!isMajorityOfOthers(self, bases, proves)) {
    evaluateUnproven(replica, inquest, bases);
    return;
  }
  const words = [...reports.values()].filter(({ restarting }) => !restarting);
  const fork = forkFrom(replica, words);
  if (fork !== undefined) {
    replica.emit({ kind: 'forked', at: fork });
    return;
  }
  inquest.bound ??= words.map(({ heard }) => heard).reduce(higher, replica.view);
  const { bound } = inquest;
  const leader = leaderReport(inquest);
  if (leader !== undefined && leader.report.view >= bound) {
    finish(replica, inquest, leader.report.view, leader.node, false);
    return;
  }
  const isAbove = (node: NodeId): boolean =>
    proves(node) && (reports.get(node)?.view ?? bound) > bound;
  if (isMajorityOfOthers(self, bases, isAbove)) {
    finish(replica, inquest, words.map(({ view }) => view).reduce(higher), undefined, false);
    return;
  }
  const isLed = words.some((report) => report.leader !== undefined);
  if (!isLed || leader !== undefined) inquest.atLeast = viewOf(bound + 1);
  sayWaiting(replica, inquest, bases, false);
}

/**
 * What this node knows to be committed, if those who speak for a majority have less: one of
 * them had it once, and only an unproven restart from an older state takes that away.
 */
function forkFrom({ log }: Replica, words: readonly Report[]): TxId | undefined {
  const known = words.map(({ position }): TxId => position).reduce(laterPosition, NOWHERE);
  const committed = log.positionAt(log.commit);
  return comparePositions(committed, known) > 0 ? committed : undefined;
}

/**
 * Freshness is unproven when a quorum is connected, and so many of the others restart as well that
 * the rest can never be a majority of the others. A configuration of this node alone has no others.
 * Nodes that are merely unreachable are waited for, unless the operator says otherwise: one that is
 * gone for good would else keep all others from ever going on. Nor does it go on before a node that
 * may know more had the time to say so: below the position of one that did not restart nobody
 * votes.
 */
function evaluateUnproven(
  replica: Replica,
  inquest: Inquest,
  bases: readonly Configuration[],
): void {
  const { self } = replica;
  const { reports, acceptedBy } = inquest;
  const isConnected = isQuorumOfEach(bases, (node) => node === self || reports.has(node));
  const canNeverProve = bases.some(({ nodes }) => {
    const others = nodes.filter((node) => node !== self);
    const able = others.filter((node) => reports.get(node)?.restarting !== true);
    return able.length < majorityOf(others.length);
  });
  const isUnproven = isConnected && canNeverProve;
  const haveAllSpoken = bases
    .flatMap(({ nodes }) => nodes)
    .every((node) => node === self || reports.has(node));
  const isHeard = haveAllSpoken || inquest.ageMs >= replica.options.electionTimeoutMs;
  const isAccepted =
    acceptedBy === 'operator' ? isConnected : isUnproven && isHeard && acceptedBy === 'options';
  if (!isAccepted) {
    sayWaiting(replica, inquest, bases, isUnproven);
    return;
  }
  const highest = [...reports.values()].map(({ heard }) => heard).reduce(higher, replica.view);
  finish(replica, inquest, viewFarAbove(replica, highest), undefined, true);
}

/**
 * A view that no lost history is likely to have used: what was rolled back may have gone on for
 * views that nobody here knows, and a TxID of those must never name another transaction.
 */
function viewFarAbove({ dependencies }: Replica, view: View): View {
  const far = view + dependencies.viewLeap();
  return far < VIEW_LEAPS_END ? viewOf(far) : view;
}

function finish(
  replica: Replica,
  inquest: Inquest,
  view: View,
  leader: NodeId | undefined,
  unproven: boolean,
): void {
  const floor = [...inquest.reports.values()]
    .filter(({ restarting }) => !restarting)
    .map(({ position }): TxId => position)
    .reduce(laterPosition, replica.voteFloor);
  replica.inquest = undefined;
  replica.voteFloor = floor;
  replica.isUnproven = unproven;
  // In a view that the former life may have voted in, this one votes for nobody else.
  if (view > replica.view || replica.votedFor === undefined) {
    if (leader !== undefined) replica.setRecord(view, leader);
    else if (unproven) replica.setRecord(view, replica.self);
    else replica.setRecord(view);
  }
  replica.unrecordedView = unproven ? replica.view : undefined;
  replica.emit({ kind: 'restarted', unproven });
  replica.leader = leader;
  replica.resetPatience();
  const isAlone = replica.configurations.active.every(
    ({ nodes }) => nodes.length === 1 && nodes[0] === replica.self,
  );
  if (isAlone) startPreVote(replica);
}

/** Tells the operator whom the restart waits for, whenever that changes. */
function sayWaiting(
  replica: Replica,
  inquest: Inquest,
  bases: readonly Configuration[],
  forOperator: boolean,
): void {
  const nodes = [...new Set(bases.flatMap(({ nodes: all }) => all))]
    .filter((node) => node !== replica.self && inquest.reports.get(node)?.restarting !== false)
    .sort();
  const said = `${forOperator} ${nodes.join(' ')}`;
  if (said === inquest.said) return;
  inquest.said = said;
  replica.emit({ kind: 'restart-waits', nodes, forOperator });
}
