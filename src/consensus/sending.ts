/**
 * The leader's sending: batches that never span two views, several of them on the way to a node
 * whose log is known to match, one at a time to a node whose log is still being probed. Each node
 * is served at its own pace, so a slow one slows no other.
 */

import { invariant } from '../base/assert.ts';
import { type NodeId, type Seqno, seqnoAfter } from '../base/ids.ts';
import { lower } from './positions.ts';
import { Progress } from './progress.ts';
import type { Leading, Replica } from './replica.ts';

/**
 * Who gets the leader's messages: all who vote, and the retired until they may be shut down. With
 * those who are new, probing starts at `guess`.
 */
export function refreshPeers(replica: Replica, leading: Leading, guess: Seqno): void {
  const { configurations, retirements, log } = replica;
  for (const node of [...configurations.members(), ...retirements.stillServed(log)]) {
    if (node === replica.self || leading.peers.has(node)) continue;
    leading.peers.set(node, new Progress(guess));
  }
}

/** Forgets nodes that count no more, once they know it or are silent. */
export function dropPeers(replica: Replica, leading: Leading): void {
  const { configurations, retirements, log, options } = replica;
  const needed = new Set([...configurations.members(), ...retirements.stillServed(log)]);
  for (const [node, progress] of leading.peers) {
    if (needed.has(node)) continue;
    const recorded = retirements.all.find((retirement) => retirement.node === node)?.recorded;
    const knows = recorded === undefined || progress.commit >= recorded;
    if (knows || progress.silentMs >= options.electionTimeoutMs) leading.peers.delete(node);
  }
}

/** Sends a node what it lacks, as far as its window allows. */
export function pump(replica: Replica, to: NodeId, progress: Progress): void {
  const { log, options } = replica;
  if (progress.isProbing) {
    if (progress.hasProbed || progress.sent >= log.last) return;
    progress.hasProbed = true;
    sendAppend(replica, to, progress, endOfBatch(replica, progress.sent));
    return;
  }
  while (
    progress.sent < log.last &&
    progress.sent - progress.match < options.inFlightEntriesMax
  ) {
    const last = endOfBatch(replica, progress.sent);
    sendAppend(replica, to, progress, last);
    progress.noteSent(last);
  }
}

export function pumpAll(replica: Replica, leading: Leading): void {
  for (const [node, progress] of leading.peers) pump(replica, node, progress);
}

/** Reminds every node that this one leads, and up to where the log is committed. */
export function sendHeartbeats(replica: Replica, leading: Leading): void {
  leading.sinceHeartbeatMs = 0;
  for (const [node, progress] of leading.peers) {
    progress.hasProbed = false;
    sendAppend(replica, node, progress, progress.sent);
  }
}

/** Tells those who have everything that more of it is committed; the others learn with the rest. */
export function announceCommit(replica: Replica, leading: Leading): void {
  for (const [node, progress] of leading.peers) {
    if (progress.match < replica.log.last) continue;
    sendAppend(replica, node, progress, progress.sent);
  }
}

function endOfBatch(replica: Replica, previous: Seqno): Seqno {
  const { log, options, dependencies } = replica;
  const first = seqnoAfter(previous);
  const most = lower(log.lastOfViewAt(first), seqnoAfter(previous, options.batchEntriesMax));
  const end = dependencies.batchEnd?.(first, most) ?? most;
  invariant(
    end >= first && end <= most,
    `a batch from ${first} ends by ${most}, not at ${end}`,
  );
  return end;
}

function sendAppend(replica: Replica, to: NodeId, progress: Progress, last: Seqno): void {
  const { log, view, reads } = replica;
  const previous = log.positionAt(progress.sent);
  invariant(
    last === previous.seqno || log.viewAt(last) === log.viewAt(seqnoAfter(previous.seqno)),
    'a batch is of one view',
  );
  replica.send(
    to,
    { kind: 'append', view, previous, last, commit: log.commit, round: reads.rounds },
    'at-once',
  );
}
