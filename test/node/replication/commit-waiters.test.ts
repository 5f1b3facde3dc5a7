// Who waits for a transaction learns what became of it: committed, under whichever leader, lost for
// good, or not decided in time (http-api.md §5.2).

import { beforeEach, describe, expect, test } from 'vitest';
import { CodedError, isCoded } from '../../../src/base/errors.ts';
import { seqnoOf, type TxId, viewOf } from '../../../src/base/ids.ts';
import { sha256Text } from '../../../src/crypto/hash.ts';
import type { LedgerState } from '../../../src/node/ledger-state.ts';
import { CommitWaiters } from '../../../src/node/replication/commit-waiters.ts';
import { emptyState } from '../../support/ledger-in-memory.ts';
import { ManualTime, settle } from '../../support/manual-time.ts';

let state: LedgerState;
let time: ManualTime;
let waiters: CommitWaiters;

beforeEach(() => {
  state = emptyState();
  time = new ManualTime();
  waiters = new CommitWaiters(state, time);
});

/** Appends entries of a view: `t` a transaction, `s` a signature. */
function append(view: number, kinds: string): void {
  for (const kind of kinds) {
    const seqno = seqnoOf(state.newest + 1);
    state.store.apply(seqno, []);
    state.append({
      ...{ seqno, view: viewOf(view), flags: 0, byteLength: 1 },
      leaf: sha256Text(`${view}.${seqno}`),
      ...(kind === 's' ? { signature: { maps: [], isDual: false } } : {}),
    });
  }
  waiters.look();
}

function commit(seqno: number): void {
  state.commit(seqnoOf(seqno), () => undefined);
  waiters.look();
}

function rollBack(seqno: number): void {
  state.rollback(seqnoOf(seqno));
  waiters.look();
}

const txId = (view: number, seqno: number): TxId => ({
  view: viewOf(view),
  seqno: seqnoOf(seqno),
});

/** What becomes of a promise, once it is decided. */
function followed(promise: Promise<void>): { outcome: string | undefined; fields?: unknown } {
  const seen: { outcome: string | undefined; fields?: unknown } = { outcome: undefined };
  promise.then(
    () => {
      seen.outcome = 'done';
    },
    (error: unknown) => {
      seen.outcome = isCoded(error) ? error.code : String(error);
      seen.fields = isCoded(error) ? error.fields : undefined;
    },
  );
  return seen;
}

const waiting = (view: number, seqno: number, maxMs?: number): ReturnType<typeof followed> =>
  followed(waiters.whenCommitted(txId(view, seqno), maxMs));

describe('a transaction', () => {
  test('is committed with the signature that covers it, and not before', async () => {
    append(2, 'tst');
    const [covered, later] = [waiting(2, 1), waiting(2, 3)];
    commit(2);
    await settle();
    expect([covered.outcome, later.outcome]).toEqual(['done', undefined]);
    expect(waiters.count).toBe(1);
    append(2, 's');
    commit(4);
    await settle();
    expect(later.outcome).toBe('done');
    expect(waiters.count).toBe(0);
  });

  test('may be committed by the next leader, who had it already', async () => {
    append(2, 'tst');
    commit(2);
    append(2, 's');
    const kept = waiting(2, 3);
    append(5, 's');
    commit(5);
    await settle();
    expect(kept.outcome).toBe('done');
  });

  test('is lost when another view has committed in its place', async () => {
    append(2, 'tst');
    commit(2);
    const lost = waiting(2, 3);
    rollBack(2);
    await settle();
    expect(lost.outcome, 'another leader may still bring it').toBeUndefined();
    append(3, 's');
    await settle();
    expect(lost.outcome, 'what is in its place may go as well').toBeUndefined();
    commit(3);
    await settle();
    expect(lost).toMatchObject({ outcome: 'TransactionInvalid', fields: { status: 500 } });
  });

  test('is lost as well when a later view has committed before it', async () => {
    append(2, 'tsttt');
    commit(2);
    const lost = waiting(2, 5);
    rollBack(2);
    append(4, 's');
    commit(3);
    await settle();
    expect(lost.outcome).toBe('TransactionInvalid');
  });

  test('that comes back with another leader is committed after all', async () => {
    append(2, 'tst');
    commit(2);
    const kept = waiting(2, 3);
    rollBack(2);
    append(2, 'ts');
    append(4, 's');
    commit(5);
    await settle();
    expect(kept.outcome).toBe('done');
  });

  test('that this node has never seen is waited for', async () => {
    append(2, 'ts');
    commit(2);
    const unseen = waiting(2, 4);
    append(2, 'tts');
    await settle();
    expect(unseen.outcome).toBeUndefined();
    commit(5);
    await settle();
    expect(unseen.outcome).toBe('done');
  });

  test('that is decided already is answered at once', async () => {
    append(2, 'ts');
    append(3, 's');
    commit(3);
    const outcomes = [waiting(2, 1), waiting(3, 3), waiting(2, 3), waiting(2, 9)];
    await settle();
    expect(outcomes.map(({ outcome }) => outcome)).toEqual([
      'done',
      'done',
      'TransactionInvalid',
      'TransactionInvalid',
    ]);
    expect(waiters.count).toBe(0);
    expect(time.pending, 'nothing is left to look after').toBe(0);
  });
});

describe('how long', () => {
  test('four seconds, and no more than a tenth of one longer', async () => {
    append(2, 't');
    const late = waiting(2, 1);
    for (let ms = 0; ms < 3_990; ms += 10) await time.advance(10);
    expect(late.outcome).toBeUndefined();
    for (let ms = 0; ms < 120; ms += 10) await time.advance(10);
    expect(late).toMatchObject({
      outcome: 'TransactionPendingOrUnknown',
      fields: { status: 503, retryAfterSeconds: 1 },
    });
    expect(waiters.count).toBe(0);
    append(2, 's');
    commit(2);
    await settle();
    expect(late.outcome, 'what was said stands').toBe('TransactionPendingOrUnknown');
  });

  test('each its own time, and nobody is forgotten', async () => {
    append(2, 't');
    const soon = waiting(2, 1, 200);
    await time.advance(100);
    const later = waiting(2, 1, 1_000);
    for (let ms = 0; ms < 300; ms += 100) await time.advance(100);
    expect([soon.outcome, later.outcome]).toEqual(['TransactionPendingOrUnknown', undefined]);
    for (let ms = 0; ms < 1_000; ms += 100) await time.advance(100);
    expect(later.outcome).toBe('TransactionPendingOrUnknown');
    expect(time.pending, 'nobody waits, so nobody looks').toBe(0);
  });
});

describe('other things to wait for', () => {
  test('a place: whatever is committed there', async () => {
    append(2, 'ts');
    const reached = followed(waiters.whenReached(seqnoOf(3)));
    commit(2);
    rollBack(2);
    append(4, 'ts');
    await settle();
    expect(reached.outcome).toBeUndefined();
    commit(4);
    await settle();
    expect(reached.outcome).toBe('done');
  });

  test('that this node holds a transaction, committed or not', async () => {
    append(2, 'ts');
    commit(2);
    const held = followed(waiters.whenHeld(txId(2, 3)));
    const never = followed(waiters.whenHeld(txId(2, 4)));
    append(2, 't');
    await settle();
    expect([held.outcome, never.outcome]).toEqual(['done', undefined]);
    rollBack(2);
    append(3, 'ss');
    commit(4);
    await settle();
    expect(never.outcome).toBe('TransactionInvalid');
  });
});

test('when the node fails, all who wait and all who come are told', async () => {
  append(2, 't');
  const before = [waiting(2, 1), followed(waiters.whenReached(seqnoOf(9)))];
  waiters.fail(new CodedError('LedgerWriteFailed', 'the disk is gone', { status: 503 }));
  const after = [waiting(2, 1), waiting(2, 7)];
  await settle();
  for (const { outcome } of [...before, ...after]) expect(outcome).toBe('LedgerWriteFailed');
  expect(waiters.count).toBe(0);
  expect(time.pending).toBe(0);
});
