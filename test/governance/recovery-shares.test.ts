// Who gets which share of the ledger secret, and that so many of them lead back to it, no fewer.

import { describe, expect, test } from 'vitest';
import { seqnoOf } from '../../src/base/ids.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import { wrapTo } from '../../src/crypto/keys.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { combineShares, unwrapLedgerSecret, wrappingKeyOf } from '../../src/crypto/shares.ts';
import {
  type RecoveryRole,
  refreshShares,
  rekeyLedger,
  type SecretKeeper,
} from '../../src/governance/recovery-shares.ts';
import {
  ENCRYPTED_SECRETS,
  HISTORICAL_SECRET,
  SINGLETON,
} from '../../src/governance/tables.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import {
  openedShare,
  recoveryMembers,
  wrappedSecret,
  writeRecoveryMembers,
} from '../support/recovery-members.ts';

const SECRET = sha256Text('the secret in force');

const keeper: SecretKeeper = {
  latest: () => ({ secret: SECRET, from: seqnoOf(7) }),
  random: systemRandom,
  wrap: wrapTo,
};

const [P, O, N] = ['Participant', 'Owner', 'NonParticipant'] as const;

function shared(roles: readonly RecoveryRole[], threshold: number) {
  const members = recoveryMembers(roles);
  const store = new Store([]);
  const transaction = new StoreTransaction(store, 'service');
  writeRecoveryMembers(transaction, members, threshold);
  refreshShares(transaction, keeper);
  store.apply(seqnoOf(1), transaction.writeSet());
  const shares = members.map((member) => openedShare(store.current, member));
  return { store, members, shares, wrapped: wrappedSecret(store.current) };
}

function first<T>([one]: readonly T[]): T {
  if (one === undefined) throw new Error('there is one');
  return one;
}

function secretFrom(shares: readonly (Uint8Array | undefined)[], wrapped: Uint8Array): string {
  const there = shares.filter((share) => share !== undefined);
  try {
    const key = wrappingKeyOf(combineShares(there));
    return Buffer.from(unwrapLedgerSecret(key, wrapped)).equals(SECRET) ? 'it' : 'another';
  } catch {
    return 'nothing';
  }
}

const x = (share: Uint8Array | undefined): number | undefined =>
  share === undefined ? undefined : Buffer.from(share).readUInt32LE(0);

describe('shares go to members by their roles', () => {
  const cases: readonly {
    readonly roles: readonly RecoveryRole[];
    readonly threshold: number;
    readonly xs: readonly (number | undefined)[];
  }[] = [
    { roles: [P], threshold: 1, xs: [1] },
    { roles: [P, P, P], threshold: 2, xs: [1, 2, 3] },
    { roles: [P, N, P], threshold: 2, xs: [1, undefined, 2] },
    { roles: [O, P, P], threshold: 2, xs: [0, 1, 2] },
    { roles: [P, O, P, N, O, P], threshold: 3, xs: [1, 0, 2, undefined, 0, 3] },
    { roles: [O, O], threshold: 1, xs: [0, 0] },
  ];
  test.each(cases)('$roles of which $threshold', ({ roles, threshold, xs }) => {
    const { shares, wrapped } = shared(roles, threshold);
    expect(shares.map(x)).toEqual(xs);
    const participants = shares.filter((_, index) => roles[index] === P);
    const owners = shares.filter((_, index) => roles[index] === O);
    if (participants.length >= threshold) {
      expect(secretFrom(participants.slice(-threshold), wrapped)).toBe('it');
    }
    expect(secretFrom(participants.slice(0, threshold - 1), wrapped)).toBe('nothing');
    for (const owner of owners) expect(secretFrom([owner], wrapped)).toBe('it');
  });

  test('five of nine, any five', () => {
    const { shares, wrapped } = shared([P, P, P, P, P, P, P, P, P], 5);
    for (let first = 0; first < 5; first += 1) {
      expect(secretFrom(shares.slice(first, first + 5), wrapped)).toBe('it');
      expect(secretFrom(shares.slice(first, first + 4), wrapped)).toBe('nothing');
    }
  });

  test.each([
    { what: 'a threshold above the participants', roles: [O, P], threshold: 2 },
    { what: 'nobody who takes part', roles: [N], threshold: 1 },
  ])('$what is refused', ({ roles, threshold }) => {
    expect(() => shared(roles as RecoveryRole[], threshold)).toThrow(
      expect.objectContaining({ code: 'BadThreshold' }),
    );
  });
});

test('new shares do not go with old ones', () => {
  const { store, members, shares } = shared([P, P], 2);
  const transaction = new StoreTransaction(store, 'service');
  refreshShares(transaction, keeper);
  store.apply(seqnoOf(2), transaction.writeSet());
  const fresh = members.map((member) => openedShare(store.current, member));
  const wrapped = wrappedSecret(store.current);
  expect(secretFrom(fresh, wrapped)).toBe('it');
  expect(secretFrom(shares, wrapped)).toBe('nothing');
  expect(secretFrom([shares[0], fresh[1]], wrapped)).toBe('nothing');
});

test('a rekey says where the old secret was from, and not where the new one is', () => {
  const { store, members } = shared([P], 1);
  const transaction = new StoreTransaction(store, 'service');
  rekeyLedger(transaction, keeper);
  store.apply(seqnoOf(2), transaction.writeSet());
  const row = store.current.table(HISTORICAL_SECRET).get(SINGLETON);
  const history: unknown = JSON.parse(Buffer.from(row ?? []).toString());
  expect(history).toMatchObject({ previous_ledger_secret: { version: 7 } });
  expect(history).not.toHaveProperty('next_version');
  const share = openedShare(store.current, first(members));
  expect(secretFrom([share], wrappedSecret(store.current))).toBe('another');
  // There are no nodes here to be told.
  expect(store.current.table(ENCRYPTED_SECRETS).size).toBe(0);
});
