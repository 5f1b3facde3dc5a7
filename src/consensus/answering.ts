/**
 * The leader's side of replication: new entries from its caller, and the followers' answers.
 */

import { invariant } from '../base/assert.ts';
import type { NodeId } from '../base/ids.ts';
import { advanceCommit } from './committing.ts';
import type { AppendAnswer, Entry } from './messages.ts';
import type { Refusal } from './outputs.ts';
import type { Leading, Replica } from './replica.ts';
import { pump, pumpAll, refreshPeers } from './sending.ts';

/** Takes entries that this leader wrote, or says why not. */
export function replicate(replica: Replica, entries: readonly Entry[]): void {
  const { leading, log, view } = replica;
  const reason = refusalOf(replica, entries);
  if (leading === undefined || reason !== undefined) {
    replica.emit({ kind: 'refused', reason: reason ?? 'NotLeader' });
    return;
  }
  for (const [index, entry] of entries.entries()) {
    invariant(entry.seqno === log.last + 1 + index, `entry ${entry.seqno} is the next one`);
    invariant(
      entry.view === view,
      `a leader of view ${view} writes in it, not in ${entry.view}`,
    );
    if (entry.isSignature) leading.isSigned = true;
    else if (!leading.isSigned) leading.prefaceLeft -= 1;
  }
  replica.append(entries);
  refreshPeers(replica, leading, log.commit);
  pumpAll(replica, leading);
}

/** Why entries like these cannot be written now. */
export function refusalOf(replica: Replica, entries: readonly Entry[]): Refusal | undefined {
  const { leading, log, view, options } = replica;
  const [first] = entries;
  if (leading === undefined) return 'NotLeader';
  if (first === undefined) return undefined;
  if (first.view < view) return 'NotLeader';
  const unsigned = entries.findIndex(({ isSignature }) => isSignature);
  const preface = unsigned === -1 ? entries.length : unsigned;
  if (!leading.isSigned && preface > leading.prefaceLeft) return 'SignatureFirst';
  const isHousekeeping = entries.every(
    ({ isSignature, retiredCommitted }) => isSignature || retiredCommitted !== undefined,
  );
  const uncommitted = log.last - log.commit;
  if (!isHousekeeping && uncommitted + entries.length > options.uncommittedMax) {
    return 'TooManyUncommitted';
  }
  return undefined;
}

/** Takes an answer of the present view; higher and lower views were dealt with before. */
export function receiveAppendAnswer(
  replica: Replica,
  leading: Leading,
  from: NodeId,
  message: AppendAnswer,
): void {
  const { log } = replica;
  const progress = leading.peers.get(from);
  if (progress === undefined || !progress.isPresentLife(message.incarnation, log.last)) return;
  progress.silentMs = 0;
  progress.round = Math.max(progress.round, message.round);
  if (message.commit > progress.commit) progress.commit = message.commit;
  if (message.accepted) {
    // It has committed what an unproven restart left behind, and stops when it learns of that.
    if (message.position.seqno > log.last) return;
    progress.accept(message.position.seqno);
    advanceCommit(replica, leading);
  } else {
    const { position } = message;
    const match = log.highestPossibleMatch(position);
    // Even where this log begins, the other has nothing, or something else.
    if (match.seqno > position.seqno || match.view > position.view) {
      const { view } = replica;
      replica.send(from, { kind: 'behind', view, oldest: log.oldest }, 'at-once');
    }
    progress.refuse(match.seqno);
  }
  if (replica.leading !== undefined) pump(replica, from, progress);
}
