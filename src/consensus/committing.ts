/**
 * The leader's commit: the highest signature of its own view that a majority of every active
 * configuration has on stable storage. An older view's entries are committed only together with
 * such a signature, never by their count (Raft §5.4.2).
 */

import type { NodeId, Seqno } from '../base/ids.ts';
import { agreedSeqno } from './configurations.ts';
import { NOWHERE } from './positions.ts';
import type { Leading, Replica } from './replica.ts';
import { announceCommit, dropPeers, sendHeartbeats } from './sending.ts';

export function advanceCommit(replica: Replica, leading: Leading): void {
  let hasAdvanced = false;
  // Each commit may put configurations out of effect, and so allow the next.
  for (let next = committable(replica, leading); next !== undefined; ) {
    replica.commitTo(next);
    hasAdvanced = true;
    next = committable(replica, leading);
  }
  if (!hasAdvanced) return;
  askToRecordRetired(replica, leading);
  if (replica.phase === 'RetiredCommitted') {
    retireFromLeading(replica, leading);
    return;
  }
  announceCommit(replica, leading);
  dropPeers(replica, leading);
}

/** Asks the best follower to stand for election at once. */
export function nominate(replica: Replica, leading: Leading): void {
  const { configurations, options } = replica;
  const newest = configurations.newest?.nodes ?? [];
  let best: { readonly node: NodeId; readonly rank: readonly number[] } | undefined;
  for (const node of newest) {
    const progress = leading.peers.get(node);
    if (progress === undefined) continue;
    const isHeard = progress.silentMs < options.electionTimeoutMs / 2;
    const rank = [isHeard ? 1 : 0, progress.match];
    if (best === undefined || isAbove(rank, best.rank)) best = { node, rank };
  }
  if (best === undefined) return;
  replica.send(best.node, { kind: 'propose-vote', view: replica.view }, 'at-once');
}

function isAbove(left: readonly number[], right: readonly number[]): boolean {
  const [heard = 0, match = 0] = left;
  const [otherHeard = 0, otherMatch = 0] = right;
  return heard === otherHeard ? match > otherMatch : heard > otherHeard;
}

function committable(replica: Replica, leading: Leading): Seqno | undefined {
  const { log, configurations, self, view, stored } = replica;
  const agreed = agreedSeqno(configurations.active, (node) =>
    node === self ? stored : (leading.peers.get(node)?.match ?? NOWHERE.seqno),
  );
  const signature = log.signatureAtMost(agreed);
  return signature !== undefined && log.viewAt(signature) === view ? signature : undefined;
}

function askToRecordRetired(replica: Replica, leading: Leading): void {
  const nodes = replica.retirements
    .toBeRecorded(replica.log)
    .filter((node) => !leading.asked.has(node));
  if (nodes.length === 0) return;
  for (const node of nodes) leading.asked.add(node);
  replica.emit({ kind: 'record-retired', nodes });
}

/** This leader's own retirement is recorded for good: it tells all, hands over, and is done. */
function retireFromLeading(replica: Replica, leading: Leading): void {
  sendHeartbeats(replica, leading);
  nominate(replica, leading);
  replica.role = 'retired';
  replica.leader = undefined;
  replica.leading = undefined;
  replica.reads.abandon();
  replica.emit({ kind: 'follows', view: replica.view });
}
