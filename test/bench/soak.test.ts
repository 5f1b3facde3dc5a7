// Long runs told in a moment: what leaks, slows or stands still must be said, and nothing else.

import { expect, test } from 'vitest';
import { benchOptions } from '../../bench/arguments.ts';
import { Histogram } from '../../bench/histogram.ts';
import type { SoakPoint } from '../../bench/result.ts';
import { judgeSoak, soak } from '../../bench/soak.ts';

const MIB = 1024 * 1024;

/** Forty points of a service that stays as it is, but for what is planted. */
function points(plant: (part: number) => Partial<SoakPoint>): readonly SoakPoint[] {
  return Array.from({ length: 40 }, (_, number) => ({
    ...{ seconds: number, perSecond: 1_000, p50Ms: 1, p99Ms: 5, objectBytes: 1 },
    // Garbage comes and goes.
    residentBytes: (200 + (number % 3) * 4) * MIB,
    stallMs: 8,
    ...plant(number / 40),
  }));
}

test.each([
  ['nothing', () => ({}), []],
  [
    'a warming that ends in its first quarter',
    (part: number) => (part < 0.25 ? { p99Ms: 80, residentBytes: 90 * MIB } : {}),
    [],
  ],
  ['a leak', (part: number) => ({ residentBytes: (200 + 100 * part) * MIB }), ['memory grew']],
  ['a slowing', (part: number) => ({ p99Ms: 5 + 6 * part }), ['p99 grew']],
  [
    'one stall',
    (part: number) => (part === 0.5 ? { stallMs: 71 } : {}),
    ['stood still for 71 ms'],
  ],
  ['a stall that nobody told', () => ({ stallMs: Number.NaN }), ['stood still for NaN']],
])('%s, planted, is said if it is a fault', (_what, plant, faults) => {
  const judged = judgeSoak(points(plant));
  expect(judged.faults).toHaveLength(faults.length);
  faults.forEach((fault, index) => {
    expect(judged.faults[index]).toContain(fault);
  });
});

test('a run too short to tell says so', () => {
  expect(judgeSoak(points(() => ({})).slice(0, 3)).faults[0]).toContain('too short');
});

test('a run takes points until its time is up, and asks the node after each', async () => {
  const latency = new Histogram();
  latency.record(3);
  let [asked, told] = [0, 0];
  const result = await soak(
    'send',
    60,
    {
      async slice(milliseconds) {
        expect(milliseconds).toBeGreaterThanOrEqual(1_000);
        await new Promise((resolve) => setTimeout(resolve, 15));
        const cpu = { systemCpuMs: undefined, generatorCpuMs: undefined };
        return { requests: 30, elapsedMs: 15, latency, ...cpu };
      },
      async figures() {
        asked += 1;
        return {
          concordat_resident_bytes: 5,
          concordat_heap_bytes: 2,
          concordat_buffer_bytes: 1,
          // What is told at the first asking happened before the run.
          concordat_event_loop_stall_milliseconds: asked === 1 ? 900 : 7,
        };
      },
    },
    () => {
      told += 1;
    },
  );
  expect(result.points.length).toBeGreaterThan(1);
  expect(told).toBe(result.points.length);
  expect(asked).toBe(result.points.length + 1);
  expect(result.stallMs).toBe(7);
  expect(result.points[0]).toMatchObject({
    perSecond: 2_000,
    residentBytes: 5,
    objectBytes: 3,
  });
  expect(result.points[0]?.p50Ms).toBeCloseTo(3, 1);
});

test('one work of requests to one node can be run for long', () => {
  expect(benchOptions(['--soak', '30']).works.map(({ name }) => name)).toEqual(['send']);
  expect(benchOptions(['--soak', '1', '--only', 'log write']).soakMinutes).toBe(1);
  for (const name of ['verify', 'replicated insert', 'replicated write']) {
    expect(() => benchOptions(['--soak', '1', '--only', name])).toThrow(
      '--soak takes one work',
    );
  }
  expect(() => benchOptions(['--soak', '0'])).toThrow('--soak is "0"');
});

test('curves are drawn in place of works, or with those that are named', () => {
  const all = benchOptions(['--growth']);
  expect(all.works).toEqual([]);
  expect(all.curves.length).toBeGreaterThan(5);
  const some = benchOptions(['--curve', 'recipients', '--only', 'send', '--minutes', '3']);
  expect(some.curves.map(({ name }) => name)).toEqual(['recipients']);
  expect(some.works.map(({ name }) => name)).toEqual(['send']);
  expect(some.growthMinutes).toBe(3);
  expect(benchOptions([]).curves).toEqual([]);
});

test('a quick run leaves out what it has no time for', () => {
  const quick = benchOptions(['--quick']).works.map(({ name }) => name);
  expect(quick).toEqual(['send', 'receive', 'log write', 'log write committed', 'log read']);
  expect(benchOptions([]).works.length).toBeGreaterThan(15);
});
