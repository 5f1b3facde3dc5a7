// The service of many small lives, each from a seed: nothing may break while faults are on, and
// everything must resolve once they end. A longer run: CONCORDAT_LONG=1.

import { describe, expect, test } from 'vitest';
import { FaultCounts } from '../simulation/fault-counts.ts';
import { PLANTED_BUGS, seedsToCatch, withPlanted } from './planted-bugs.ts';
import { simulate } from './simulation.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
const SEEDS = isLong ? 3_000 : 60;
const FIRST_SEED = Number(process.env.CONCORDAT_FIRST_SEED ?? 1);
const MINUTES_20 = 20 * 60_000;

/** Faults that a run of all seeds must have injected, or it shows nothing about them. */
const FAULTS = [
  'crash',
  'crash with unsynced state',
  'cut off',
  'delayed',
  'duplicated',
  'joined from nothing',
  'joined from snapshot',
  'lost',
  'node removed',
  'nomination',
  'partition: bridge',
  'partition: halves',
  'partition: isolate',
  'partition: leader',
  'partition: old from new',
  'partition: one way',
  'pause',
  'restart',
  'restart proven',
  'restart with an old disk',
  'restart without proof',
  'retired node shut down',
  'snapshot installed',
  'unproven restart',
  'write refused',
];

describe('a simulated service', () => {
  test(`keeps every invariant, and comes to rest, in ${SEEDS} lives`, {
    timeout: MINUTES_20,
  }, () => {
    const faults = new FaultCounts();
    const sums = { virtualMs: 0, steps: 0, elections: 0, committed: 0, reconfigurations: 0 };
    const more = { retirements: 0, reads: 0 };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
      const result = simulate({ seed });
      expect(result.violation, `seed ${seed}: ${result.violation?.stack}`).toBeUndefined();
      faults.add(result.faults);
      for (const name of ['virtualMs', 'steps', 'elections', 'committed'] as const) {
        sums[name] += result[name];
      }
      sums.reconfigurations += result.reconfigurations;
      more.retirements += result.retirements;
      more.reads += result.reads;
    }
    console.log({ seeds: SEEDS, ...sums, ...more, faults: faults.table });
    const missing = FAULTS.filter((fault) => faults.of(fault) === 0);
    expect(missing, 'faults that never happened').toEqual([]);
    expect(sums.elections).toBeGreaterThan(SEEDS);
    expect(more.reads).toBeGreaterThan(SEEDS);
  });

  test('is the same twice from the same seed, and another from another', () => {
    const digests = [3, 3, 4].map((seed) => simulate({ seed }).digest);
    expect(digests[1]).toBe(digests[0]);
    expect(digests[2]).not.toBe(digests[0]);
  });
});

describe('planted bugs', () => {
  const few = PLANTED_BUGS.filter(({ isRare }) => isLong || isRare !== true);

  test.each(few)('$name is caught', { timeout: MINUTES_20 }, async (bug) => {
    const caught = await seedsToCatch(bug);
    console.log(`${bug.name} | ${caught?.seeds} seeds | ${caught?.by.slice(0, 80)}`);
    expect(caught, `not caught in ${bug.seedsMax} seeds`).toBeDefined();
  });

  test('that are not there are said to be missing', async () => {
    const change = { file: 'elections.ts', from: 'no such passage', to: '' };
    const missing = withPlanted({ name: 'nothing', change, seedsMax: 1 }, () => undefined);
    await expect(missing).rejects.toThrow('0 times in elections.ts');
  });
});
