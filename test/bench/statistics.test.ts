// The figures' own arithmetic, with noise planted where it must be noticed.

import { describe, expect, test } from 'vitest';
import { totalsOf } from '../../bench/contender.ts';
import { Histogram } from '../../bench/histogram.ts';
import { median, quantile, ratioOf } from '../../bench/statistics.ts';

const SPREAD_MAX = 0.25;

/** Numbers between 0 and 1 from a seed (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('quantiles', () => {
  test.each([
    [[3, 1, 2], 0.5, 2],
    [[4, 1, 2, 3], 0.5, 2.5],
    [[7], 0.9, 7],
    [[1, 2, 3, 4, 5], 0.1, 1.4],
    [[10, 2], 1, 10],
    [[10, 9, 100], 0, 9],
  ])('of %j at %d: %d', (values, fraction, expected) => {
    expect(quantile(values, fraction)).toBeCloseTo(expected, 12);
  });
  test('of nothing are not a number', () => {
    expect(median([])).toBeNaN();
  });
  test('leave the rounds in their order', () => {
    const rounds = [3, 1, 2];
    median(rounds);
    expect(rounds).toEqual([3, 1, 2]);
  });
});

describe('a ratio', () => {
  test('is the median of the rounds, each with its own partner', () => {
    // The machine got three times slower half-way; both sides did.
    const ratio = ratioOf([300, 300, 300, 100, 100], [600, 600, 600, 200, 200], SPREAD_MAX);
    expect(ratio).toMatchObject({ kind: 'ratio', median: 0.5, spread: 0 });
  });

  test('of medians would have been wrong there', () => {
    const ours = [300, 300, 100, 100, 100];
    const theirs = [600, 600, 600, 200, 200];
    expect(median(ours) / median(theirs)).toBeCloseTo(1 / 6, 12);
    expect(median(ratioOf(ours, theirs, SPREAD_MAX).rounds)).toBeCloseTo(0.5, 12);
  });

  test.each([1, 2, 3, 4, 5])('is found through 4 %% of noise (seed %i)', (seed) => {
    const random = chance(seed);
    const noisy = (value: number): number => value * (0.96 + 0.08 * random());
    const theirs = Array.from({ length: 11 }, () => noisy(9000));
    const ratio = ratioOf(
      theirs.map((each) => noisy(each / 3)),
      theirs,
      SPREAD_MAX,
    );
    expect(ratio.kind).toBe('ratio');
    if (ratio.kind !== 'ratio') return;
    expect(Math.abs(ratio.median * 3 - 1)).toBeLessThan(0.04);
    expect(ratio.spread).toBeGreaterThan(0.01);
    expect(ratio.spread).toBeLessThan(0.09);
  });

  test.each([
    [
      'half of the rounds were disturbed',
      [10, 5, 10, 5, 10],
      [10, 10, 10, 10, 10],
      /differ by/,
    ],
    ['one round of five stood still', [10, 10, 10, 10, 1], [10, 10, 10, 10, 10], /differ by/],
    ['the other side was disturbed', [10, 10, 10, 10], [10, 20, 10, 20], /differ by/],
    ['there are too few rounds', [10, 10], [10, 10], /too few/],
    ['a round gave nothing', [10, 10, 0], [10, 10, 10], /without a single answer/],
    ['the other gave nothing', [10, 10, 10], [10, 0, 10], /without a single answer/],
  ])('is refused because %s', (_why, ours, theirs, reason) => {
    const ratio = ratioOf(ours, theirs, SPREAD_MAX);
    expect(ratio.kind).toBe('refused');
    expect(ratio.kind === 'refused' && ratio.reason).toMatch(reason);
  });

  test('is refused just beyond the bound and not at it', () => {
    const theirs = [100, 100, 100];
    // 0.8 of the way from the lowest to the highest, as quantiles of three values go.
    expect(ratioOf([90, 100, 121], theirs, 0.25).kind).toBe('ratio');
    expect(ratioOf([90, 100, 122], theirs, 0.25).kind).toBe('refused');
  });

  test('cannot be made of rounds that do not pair', () => {
    expect(() => ratioOf([1, 2, 3], [1, 2], SPREAD_MAX)).toThrow('3 rounds');
  });
});

describe('a histogram', () => {
  test('is exact where times are short', () => {
    const histogram = new Histogram();
    for (let micros = 1; micros <= 100; micros += 1) histogram.record(micros / 1000);
    expect(histogram.percentile(0.5)).toBe(0.05);
    expect(histogram.percentile(0.99)).toBe(0.099);
    expect(histogram.percentile(1)).toBe(0.1);
  });

  test.each([0.127, 0.128, 0.129, 1, 1.5, 9.99, 73, 1000, 59_000])(
    'has %d ms to 1.6 %%',
    (milliseconds) => {
      const histogram = new Histogram();
      histogram.record(milliseconds);
      const error = Math.abs(histogram.percentile(0.5) / milliseconds - 1);
      expect(error).toBeLessThan(0.016);
    },
  );

  test('agrees with sorting all samples', () => {
    const random = chance(7);
    const histogram = new Histogram();
    const samples = Array.from({ length: 20_000 }, () => 0.05 / (random() + 0.0005));
    for (const sample of samples) histogram.record(sample);
    samples.sort((left, right) => left - right);
    for (const fraction of [0.01, 0.25, 0.5, 0.9, 0.99, 0.999]) {
      const exact = samples[Math.ceil(fraction * samples.length) - 1] ?? Number.NaN;
      expect(Math.abs(histogram.percentile(fraction) / exact - 1)).toBeLessThan(0.016);
    }
  });

  test('keeps the slow few that a mean would hide', () => {
    const histogram = new Histogram();
    for (let count = 0; count < 980; count += 1) histogram.record(1);
    for (let count = 0; count < 20; count += 1) histogram.record(400);
    expect(histogram.percentile(0.98)).toBeCloseTo(1, 1);
    expect(histogram.percentile(0.99)).toBeGreaterThan(390);
  });

  test('crosses processes as its counters, and adds up', () => {
    const first = new Histogram();
    const second = new Histogram();
    for (let count = 0; count < 10; count += 1) first.record(1);
    for (let count = 0; count < 30; count += 1) second.record(5);
    const copy = new Histogram(structuredClone(first.counters));
    copy.add(second);
    expect(copy.total).toBe(40);
    expect(copy.percentile(0.25)).toBeCloseTo(1, 1);
    expect(copy.percentile(0.26)).toBeCloseTo(5, 1);
  });

  test('gives its curve as far as there are samples beyond', () => {
    const histogram = new Histogram();
    for (let micros = 1; micros <= 100; micros += 1) histogram.record(micros / 1000);
    const curve = histogram.curve();
    expect(curve.at(0)).toEqual([0.01, 0.001]);
    expect(curve).toContainEqual([0.5, 0.05]);
    // Two samples lie beyond 98 %, one beyond 99 %.
    expect(curve.at(-1)).toEqual([0.98, 0.098]);
    expect(new Histogram().curve()).toEqual([]);
  });

  test('takes any time, and tells nothing of none', () => {
    const histogram = new Histogram();
    expect(histogram.percentile(0.5)).toBeNaN();
    histogram.record(-1);
    histogram.record(1e12);
    expect(histogram.total).toBe(2);
    expect(() => new Histogram(new Float64Array(3))).toThrow('counters');
  });
});

test('rounds add up to one contender: throughput by round, processor time by request', () => {
  const latency = new Histogram();
  latency.record(2);
  const slice = { latency, systemCpuMs: 50, generatorCpuMs: 20 };
  const totals = totalsOf([
    { ...slice, requests: 100, elapsedMs: 100 },
    { ...slice, requests: 300, elapsedMs: 100 },
  ]);
  expect(totals).toMatchObject({
    requests: 400,
    perSecond: [1000, 3000],
    cpuMicrosPerRequest: 250,
    generatorBusy: 0.2,
  });
  const unknown = totalsOf([
    { ...slice, requests: 1, elapsedMs: 1, systemCpuMs: undefined, generatorCpuMs: undefined },
  ]);
  expect(unknown.cpuMicrosPerRequest).toBeUndefined();
});
