/**
 * Becoming a follower: on a higher view, on a living leader, or on losing touch with a quorum.
 */

import type { NodeId, View } from '../base/ids.ts';
import type { Replica } from './replica.ts';

/** Follows `leader`, or nobody yet, in `view`. */
export function follow(replica: Replica, view: View, leader?: NodeId): void {
  const wasFollowing = replica.role === 'follower' && replica.view === view;
  if (view > replica.view) replica.setRecord(view);
  if (leader !== undefined) replica.isUnproven = false;
  if (wasFollowing && replica.leader === leader) return;
  // A leader or candidate that gives up waits like everyone; a follower's patience is its own.
  if (replica.role !== 'follower') replica.resetPatience();
  replica.role = 'follower';
  replica.leader = leader;
  replica.leading = undefined;
  replica.votes.clear();
  replica.reads.abandon();
  replica.emit({ kind: 'follows', view, ...(leader === undefined ? {} : { leader }) });
}

/** Whether this node leads, or heard its leader too recently to help replace it. */
export function hearsLeader(replica: Replica): boolean {
  if (replica.role === 'leader') return true;
  return (
    replica.leader !== undefined && replica.silentMs < replica.options.electionTimeoutMs / 2
  );
}
