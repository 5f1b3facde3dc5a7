/**
 * What must be true of a node after every step, by its own knowledge alone (node-lifecycle.md §7:
 * TypeInv and its kin). A node that breaks one of these stops rather than mislead the others.
 */

import { invariant } from '../base/assert.ts';
import { comparePositions } from './positions.ts';
import type { Replica } from './replica.ts';

export function checkReplica(replica: Replica): void {
  const { log, role, leading, leader, self, view, stored, inquest } = replica;
  invariant(log.oldest.seqno <= log.commit, 'what is committed is in the log or its snapshot');
  invariant(log.commit <= log.last, 'only what is in the log is committed');
  invariant(stored <= log.last, 'only what is in the log is stored');
  invariant(view >= log.lastPosition.view, `view ${view} is not older than the log`);
  invariant(
    (role === 'leader') === (leading !== undefined),
    `a ${role} keeps its own state only`,
  );
  invariant(role !== 'leader' || leader === self, 'a leader follows itself');
  invariant(
    role === 'leader' || role === 'follower' || leader === undefined,
    `a ${role} follows nobody`,
  );
  invariant(role !== 'candidate' || replica.votedFor === self, 'a candidate voted for itself');
  invariant(inquest === undefined || role !== 'candidate', 'a restarting node does not stand');
  invariant(inquest === undefined || role !== 'leader', 'a restarting node does not lead');
  invariant(
    comparePositions(log.lastCommittable, log.lastPosition) <= 0,
    'the last signature is not after the last entry',
  );
  const [first, second] = replica.configurations.active;
  invariant(
    second === undefined || second.seqno > log.commit,
    'a committed configuration puts those before it out of effect',
  );
  invariant(first === undefined || first.seqno <= log.last, 'configurations are in the log');
  invariant(
    replica.reads.count <= replica.options.readsMax,
    'reads that wait are within bounds',
  );
  for (const [peer, { match, sent }] of leading?.peers ?? []) {
    invariant(match <= sent && sent <= log.last, `${peer}: ${match} ≤ ${sent} ≤ ${log.last}`);
    invariant(peer !== self, 'a leader is no peer of its own');
  }
}
