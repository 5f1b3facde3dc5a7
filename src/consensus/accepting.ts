/**
 * A follower's side of replication. It keeps what it has unless an entry of the leader really
 * differs, and it acknowledges no more than one message has shown to agree (the mistakes that
 * CCF's trace validation found: node-lifecycle.md §7).
 */

import { invariant } from '../base/assert.ts';
import { type NodeId, type Seqno, seqnoAfter, type TxId } from '../base/ids.ts';
import type { Append, Behind, Entry } from './messages.ts';
import { higher, lower } from './positions.ts';
import type { Replica } from './replica.ts';
import { follow } from './roles.ts';

export function receiveAppend(
  replica: Replica,
  from: NodeId,
  message: Append,
  entries: readonly Entry[],
): void {
  checkEntries(message, entries);
  const { log } = replica;
  if (message.view < replica.view) {
    answer(replica, from, message, false, log.lastCommittable);
    return;
  }
  invariant(
    message.view > replica.view || replica.role !== 'leader',
    `one leader in view ${message.view}, not ${from} and this node`,
  );
  follow(replica, message.view, from);
  replica.resetPatience();
  const { previous } = message;
  const fork = forkAt(replica, previous, entries);
  if (fork !== undefined) {
    replica.emit({ kind: 'forked', at: fork });
    return;
  }
  // What is committed is in every later leader's log: there is nothing more to compare.
  if (previous.seqno > log.commit && log.viewAt(previous.seqno) !== previous.view) {
    answer(replica, from, message, false, log.highestPossibleMatch(previous));
    return;
  }
  appendNew(replica, entries);
  const agreed = higher(message.last, log.commit);
  commitKnown(replica, lower(message.commit, agreed));
  answer(replica, from, message, true, log.positionAt(agreed));
}

export function receiveBehind(replica: Replica, from: NodeId, message: Behind): void {
  if (message.view !== replica.view || replica.leader !== from) return;
  if (message.oldest.seqno <= replica.log.commit) return;
  replica.emit({ kind: 'needs-snapshot', oldest: message.oldest });
}

function checkEntries(message: Append, entries: readonly Entry[]): void {
  invariant(
    entries.length === message.last - message.previous.seqno,
    'the caller hands in the entries that an append message names',
  );
  for (const [index, { seqno, view }] of entries.entries()) {
    invariant(seqno === message.previous.seqno + 1 + index, `entry ${seqno} is in its place`);
    invariant(view === entries[0]?.view && view <= message.view, 'a batch is of one view');
  }
}

/**
 * Where a leader has something else than what this node knows to be committed. No crash brings that
 * about: the others went on from an older state, after an unproven restart.
 */
function forkAt({ log }: Replica, previous: TxId, entries: readonly Entry[]): TxId | undefined {
  for (const { seqno, view } of [previous, ...entries]) {
    if (seqno > log.commit) return undefined;
    const known = log.viewAt(seqno);
    if (known !== undefined && known !== view) return { view: known, seqno };
  }
  return undefined;
}

/** Appends what this node lacks; cuts its log only where an entry differs from the leader's. */
function appendNew(replica: Replica, entries: readonly Entry[]): void {
  const { log } = replica;
  const start = entries.findIndex(
    ({ seqno, view }) => seqno > log.commit && log.viewAt(seqno) !== view,
  );
  const first = entries[start];
  if (first === undefined) return;
  if (first.seqno <= log.last) replica.truncate(seqnoAfter(first.seqno, -1));
  replica.append(entries.slice(start));
}

/** Commits up to the last signature that the leader has committed and this node has as well. */
function commitKnown(replica: Replica, seqno: Seqno): void {
  const signature = replica.log.signatureAtMost(seqno);
  if (signature !== undefined) replica.commitTo(signature);
}

function answer(
  replica: Replica,
  to: NodeId,
  message: Append,
  accepted: boolean,
  position: TxId,
): void {
  const { view, log, incarnation } = replica;
  replica.send(
    to,
    {
      kind: 'append-answer',
      ...{ view, accepted, position, commit: log.commit, round: message.round, incarnation },
    },
    accepted ? 'when-stored' : 'at-once',
  );
}
