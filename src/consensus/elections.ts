/**
 * Elections: a pre-vote that changes nothing, then a vote in the next view (node-lifecycle.md §6).
 * Votes are counted in each configuration for itself, and compare last committable positions.
 */

import { invariant } from '../base/assert.ts';
import { type NodeId, viewOf } from '../base/ids.ts';
import { isQuorumOfEach } from './configurations.ts';
import type { ProposeVote, VoteAnswer, VoteRequest } from './messages.ts';
import { comparePositions, higher } from './positions.ts';
import type { Replica } from './replica.ts';
import { follow, hearsLeader } from './roles.ts';
import { refreshPeers, sendHeartbeats } from './sending.ts';

/**
 * Whether this node may stand: it votes somewhere, and holds what it must not vote below. So may a
 * node whose retirement is committed but not recorded: another that does not know of the commit may
 * still need its vote, and not get it because its log is the longer one.
 */
export function mayStand(replica: Replica): boolean {
  const { role, inquest, log, voteFloor, votingConfigurations, self, phase } = replica;
  if (role === 'retired' || role === 'leader' || inquest !== undefined) return false;
  if (comparePositions(log.lastCommittable, voteFloor) < 0) return false;
  return (
    phase === 'Completed' || votingConfigurations.some(({ nodes }) => nodes.includes(self))
  );
}

/** Asks whether an election would be won, without disturbing anyone. */
export function startPreVote(replica: Replica): void {
  replica.resetPatience();
  if (!mayStand(replica)) return;
  if (replica.leader !== undefined) follow(replica, replica.view);
  replica.role = 'pre-candidate';
  const proposed = viewOf(replica.view + 1);
  replica.preVoted = higher(replica.preVoted, proposed);
  requestVotes(replica, 'pre');
  if (hasWon(replica)) stand(replica);
}

/** Stands for election in the next view. */
export function stand(replica: Replica): void {
  invariant(mayStand(replica), 'only a voter that holds what it promised stands');
  if (replica.leader !== undefined) follow(replica, replica.view);
  replica.resetPatience();
  replica.role = 'candidate';
  replica.setRecord(viewOf(replica.view + 1), replica.self);
  requestVotes(replica, 'regular');
}

/**
 * Its own vote counts once it would survive a crash: alone, a node could else lead a view twice.
 */
export function countOwnVote(replica: Replica): void {
  if (replica.role === 'candidate' && hasWon(replica)) lead(replica, 0);
}

export function receiveVoteRequest(replica: Replica, from: NodeId, message: VoteRequest): void {
  const { election } = message;
  if (election === 'regular' && message.view > replica.view) follow(replica, message.view);
  const isUpToDate = comparePositions(message.position, replica.votingPosition) >= 0;
  const granted =
    isUpToDate &&
    (election === 'pre' ? grantsPre(replica, message) : grants(replica, from, message));
  if (granted && election === 'pre') {
    replica.preVoted = higher(replica.preVoted, message.view);
  } else if (granted) {
    replica.setRecord(message.view, from);
    replica.resetPatience();
  }
  const view = granted ? message.view : replica.view;
  const unproven = replica.unrecordedView !== undefined;
  replica.send(
    from,
    { kind: 'vote-answer', election, view, granted, unproven },
    granted && election === 'regular' ? 'when-stored' : 'at-once',
  );
}

export function receiveVoteAnswer(replica: Replica, from: NodeId, message: VoteAnswer): void {
  if (!message.granted) {
    if (message.view > replica.view) follow(replica, message.view);
    return;
  }
  const isPre = message.election === 'pre';
  if (replica.role !== (isPre ? 'pre-candidate' : 'candidate')) return;
  if (message.view !== replica.view + (isPre ? 1 : 0)) return;
  replica.votes.add(from);
  if (message.unproven) replica.isElectionUnproven = true;
  if (!hasWon(replica)) return;
  if (isPre) stand(replica);
  else lead(replica, 0);
}

/** The leader asks this node to take over. A proposal of an earlier view comes too late. */
export function receiveProposal(replica: Replica, from: NodeId, message: ProposeVote): void {
  if (message.view !== replica.view || replica.leader !== from) return;
  if (mayStand(replica)) stand(replica);
}

/** Leads, with the log cut back to the last signature; `preface` entries may precede the next. */
export function lead(replica: Replica, preface: number): void {
  const { log } = replica;
  const unproven = replica.isElectionUnproven || replica.unrecordedView !== undefined;
  replica.truncate(log.lastCommittable.seqno);
  replica.isUnproven = false;
  replica.role = 'leader';
  replica.leader = replica.self;
  replica.votes.clear();
  replica.reads.abandon();
  const leading = {
    peers: new Map(),
    prefaceLeft: unproven ? Math.max(preface, 1) : preface,
    isSigned: false,
    sinceHeartbeatMs: 0,
    asked: new Set<NodeId>(),
  };
  replica.leading = leading;
  refreshPeers(replica, leading, log.last);
  replica.emit({ kind: 'leads', view: replica.view, last: log.lastPosition, unproven });
  sendHeartbeats(replica, leading);
}

function requestVotes(replica: Replica, election: 'pre' | 'regular'): void {
  const { self, log, votingConfigurations } = replica;
  replica.votes.clear();
  replica.votes.add(self);
  replica.isElectionUnproven = false;
  const view = election === 'pre' ? viewOf(replica.view + 1) : replica.view;
  const position = log.lastCommittable;
  for (const node of new Set(votingConfigurations.flatMap(({ nodes }) => nodes))) {
    if (node === self) continue;
    const message: VoteRequest = { kind: 'vote-request', election, view, position };
    replica.send(node, message, election === 'pre' ? 'at-once' : 'when-stored');
  }
}

function hasWon(replica: Replica): boolean {
  const { votes, self, role, isRecordStored, votingConfigurations } = replica;
  return isQuorumOfEach(
    votingConfigurations,
    (node) => votes.has(node) && (node !== self || role === 'pre-candidate' || isRecordStored),
  );
}

function grantsPre(replica: Replica, message: VoteRequest): boolean {
  return message.view > replica.view && !hearsLeader(replica);
}

function grants(replica: Replica, from: NodeId, message: VoteRequest): boolean {
  if (message.view !== replica.view || replica.leader !== undefined) return false;
  return replica.votedFor === undefined || replica.votedFor === from;
}
