// Recovery shares: the vectors' polynomials, any threshold of shares and no fewer, wrapped secrets.

import { expect, test } from 'vitest';
import type { Random } from '../../src/base/environment.ts';
import { aeadKeyOf } from '../../src/crypto/aead.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import {
  combineShares,
  splitWrappingKey,
  unwrapLedgerSecret,
  unwrapUnder,
  wrapLedgerSecret,
  wrappingKeyOf,
  wrapUnder,
} from '../../src/crypto/shares.ts';
import { fromHex, toHex, VECTORS } from '../support/ledger-vectors.ts';

/** Draws given words, so that the polynomials are those of the vectors. */
function drawing(words: readonly number[]): Random {
  const left = [...words];
  return {
    bytes: (count) => {
      const bytes = Buffer.alloc(count);
      bytes.writeUInt32LE(left.shift() ?? 0, 0);
      return bytes;
    },
  };
}

/** Different bytes at every call, the same in every run. */
function seeded(seed: string): Random {
  let calls = 0;
  return {
    bytes: (count) => {
      calls += 1;
      return sha256Text(`${seed} ${calls}`).subarray(0, count);
    },
  };
}

test('the shares, the wrapping key and the wrapped secret are those of the vectors', () => {
  const words = [0, 1].flatMap((j) =>
    Array.from({ length: 10 }, (_, l) => 1000 * j + 7 * l + 1),
  );
  // The prime itself is no element of the field: it is drawn again.
  const split = splitWrappingKey(2, 2, drawing([0xffff_ffff, ...words]));
  expect(toHex(split.fullShare)).toBe(VECTORS.shamir.share_0);
  expect(split.shares.map(toHex)).toEqual([VECTORS.shamir.share_1, VECTORS.shamir.share_2]);
  expect(toHex(split.wrappingKey)).toBe(VECTORS.shamir.wrapping_key);

  const secret = fromHex(VECTORS.ledger_secret);
  const wrapped = wrapLedgerSecret(split.wrappingKey, secret);
  expect(toHex(wrapped)).toBe(VECTORS.wrapped_latest_ledger_secret);
  expect(toHex(unwrapLedgerSecret(split.wrappingKey, wrapped))).toBe(VECTORS.ledger_secret);
});

test.each([
  [1, 1],
  [1, 3],
  [2, 3],
  [3, 5],
  [5, 5],
])('any %i of %i shares give the key back, and one fewer does not', (threshold, count) => {
  const { wrappingKey, shares, fullShare } = splitWrappingKey(threshold, count, seeded('s'));
  for (const chosen of subsets(shares)) {
    if (chosen.length === 0) continue;
    const key = toHex(wrappingKeyOf(combineShares(chosen)));
    if (chosen.length >= threshold) expect(key).toBe(toHex(wrappingKey));
    else expect(key).not.toBe(toHex(wrappingKey));
  }
  expect(toHex(combineShares([fullShare]))).toBe(toHex(fullShare));
});

function subsets<T>(items: readonly T[]): T[][] {
  return Array.from({ length: 2 ** items.length }, (_, mask) =>
    items.filter((_item, i) => (mask >> i) % 2 === 1),
  );
}

test('a former secret under a new one opens under that one alone', () => {
  const [older, newer, other] = ['a', 'b', 'c'].map(sha256Text);
  if (older === undefined || newer === undefined || other === undefined)
    throw new Error('three');
  const wrapped = wrapUnder(aeadKeyOf(newer), older, Buffer.alloc(12, 5));
  expect(wrapped).toHaveLength(60);
  expect(toHex(unwrapUnder(aeadKeyOf(newer), wrapped))).toBe(toHex(older));
  expect(() => unwrapUnder(aeadKeyOf(other), wrapped)).toThrow(/does not open/);
  expect(() => unwrapUnder(aeadKeyOf(newer), wrapped.subarray(1))).toThrow(/60 bytes, not 59/);
});

const share = fromHex(VECTORS.shamir.share_1);
const beyond = Buffer.from(share);
beyond.writeUInt32LE(0x7fff_ffff, 8);
test.each<[string, Uint8Array[], RegExp]>([
  ['none', [], /there is none/],
  ['one too short', [share.subarray(1)], /43 bytes, not 44/],
  ['the same one twice', [share, share], /same x/],
  ['a word beyond the field', [beyond], /word 2 is 2147483647/],
])('shares that cannot be combined (%s) are refused', (_, shares, sentence) => {
  expect(() => combineShares(shares)).toThrow(sentence);
});

test.each([
  [0, 3],
  [4, 3],
  [1.5, 3],
  [1, 20_000],
])('a threshold of %d of %d is refused', (threshold, count) => {
  expect(() => splitWrappingKey(threshold, count, seeded('s'))).toThrow(/threshold|at most/);
});
