// Unpredictable bytes: as many as were asked for, and never the same twice, whoever holds them.

import { expect, test } from 'vitest';
import { systemRandom } from '../../src/crypto/random.ts';

test('gives as many bytes as are asked for', () => {
  for (const count of [0, 1, 16, 128, 129, 5000]) {
    expect(systemRandom.bytes(count)).toHaveLength(count);
  }
});

test('never gives the same bytes twice, across many fillings of its pool', () => {
  const seen = new Set<string>();
  for (let time = 0; time < 5000; time += 1) {
    seen.add(Buffer.from(systemRandom.bytes(16)).toString('hex'));
  }
  expect(seen.size).toBe(5000);
});

test('gives bytes that are the caller’s own', () => {
  const first = systemRandom.bytes(32);
  const copy = Buffer.from(first);
  for (let time = 0; time < 1000; time += 1) systemRandom.bytes(32).fill(0);
  expect(Buffer.from(first).equals(copy)).toBe(true);
});
