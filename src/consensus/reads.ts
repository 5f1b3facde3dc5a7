/**
 * Read index (design decision 10): a read is fresh from the leader's commit position on, once the
 * leader has heard from a quorum that began to listen after the read did, and has committed a
 * signature of its own view. Only then can no other leader have committed more before the read.
 */

import type { NodeId } from '../base/ids.ts';
import { isQuorumOfEach } from './configurations.ts';
import type { ReadAnswer, ReadRequest } from './messages.ts';
import type { Leading, Replica } from './replica.ts';
import { sendHeartbeats } from './sending.ts';

export function requestRead(replica: Replica, id: number): void {
  if (replica.reads.add({ kind: 'here', id })) return;
  replica.emit({ kind: 'refused', reason: 'TooManyReads' });
}

export function receiveReadRequest(replica: Replica, from: NodeId, message: ReadRequest): void {
  // A node that does not lead, or has too many, says nothing; the asking node asks again.
  if (replica.leading === undefined) return;
  const { batch, incarnation } = message;
  replica.reads.add({ kind: 'there', node: from, batch, incarnation });
}

export function receiveReadAnswer(replica: Replica, message: ReadAnswer): void {
  const { reads } = replica;
  if (replica.leading !== undefined || message.batch !== reads.round?.number) return;
  if (message.incarnation !== replica.incarnation) return;
  for (const reader of reads.end()) {
    if (reader.kind === 'here') reads.answer(reader.id, message.seqno);
  }
}

/**
 * A follower's question, or the answer, may be lost: it asks again under the same number, so that a
 * late answer still counts. A leader's heartbeats repeat its round anyway.
 */
export function repeatReads(replica: Replica): void {
  const { reads, leading, leader } = replica;
  const { round } = reads;
  if (leading !== undefined || leader === undefined || round === undefined) return;
  sendRequest(replica, leader, round.number);
}

/** Starts a confirmation when none is under way, and ends one that a quorum has given. */
export function driveReads(replica: Replica): void {
  const { reads, leading, log } = replica;
  if (reads.hasWaiting && reads.round === undefined) ask(replica);
  if (leading !== undefined) confirm(replica, leading);
  for (const { id, seqno } of reads.takeReady(log.commit)) {
    replica.emit({ kind: 'read-ready', id, seqno });
  }
}

function ask(replica: Replica): void {
  const { reads, leading, leader, log, view } = replica;
  if (leading !== undefined) {
    if (log.viewAt(log.commit) !== view) return;
    reads.begin(log.commit);
    sendHeartbeats(replica, leading);
  } else if (leader !== undefined) {
    reads.begin(log.commit);
    replica.sinceReadsMs = 0;
    sendRequest(replica, leader, reads.rounds);
  }
}

function sendRequest(replica: Replica, leader: NodeId, batch: number): void {
  const { view, incarnation } = replica;
  replica.send(leader, { kind: 'read-request', view, batch, incarnation }, 'at-once');
}

function confirm(replica: Replica, leading: Leading): void {
  const { reads, configurations, self, view } = replica;
  const { round } = reads;
  if (round === undefined) return;
  const isConfirmed = isQuorumOfEach(
    configurations.active,
    (node) => node === self || (leading.peers.get(node)?.round ?? 0) >= round.number,
  );
  if (!isConfirmed) return;
  const { seqno } = round;
  for (const reader of reads.end()) {
    if (reader.kind === 'here') reads.answer(reader.id, seqno);
    else {
      const { node, batch, incarnation } = reader;
      replica.send(node, { kind: 'read-answer', view, batch, incarnation, seqno }, 'at-once');
    }
  }
}
