// Turns and rounds, with contenders and a neighbour whose every move is known.

import { expect, test } from 'vitest';
import type { Contender, Slice } from '../../bench/contender.ts';
import { Histogram } from '../../bench/histogram.ts';
import { measure, type Plan } from '../../bench/measure.ts';

function sliceOf(requests: number, elapsedMs: number): Slice {
  const latency = new Histogram();
  for (let count = 0; count < requests; count += 1) latency.record(1);
  return { requests, elapsedMs, latency, systemCpuMs: 10, generatorCpuMs: undefined };
}

/** Others use `use(round)` of the machine, and slow everybody by as much. */
function story(use: (round: number) => number, over: Partial<Plan> = {}) {
  const turns: string[] = [];
  let round = 0;
  const contender = (name: string, perMs: number): Contender => ({
    name,
    async slice(milliseconds) {
      turns.push(name);
      return sliceOf(Math.round(milliseconds * perMs * (1 - use(round))), milliseconds);
    },
  });
  const plan: Plan = {
    rounds: 4,
    sliceMs: 100,
    warmUpMs: 200,
    spreadMax: 0.25,
    others: () => use(round),
    mayRepeat: () => true,
    onRound(now) {
      round = now;
    },
    ...over,
  };
  return { turns, run: () => measure(contender('ours', 2), [contender('theirs', 8)], plan) };
}

test('they take turns: A B A B, after warming up', async () => {
  const { turns, run } = story(() => 0);
  const measured = await run();
  expect(turns.slice(0, 2)).toEqual(['theirs', 'ours']);
  expect(turns.slice(2)).toEqual(Array.from({ length: 4 }, () => ['ours', 'theirs']).flat());
  expect(measured.systems[0]).toMatchObject({ name: 'ours', perSecond: 2000, requests: 800 });
  expect(measured.systems[0]?.perSecondRounds).toHaveLength(4);
  expect(measured.ratios).toMatchObject([
    { to: 'theirs', throughput: { kind: 'ratio', median: 0.25, spread: 0 } },
  ]);
  expect(measured.roundsDisturbed).toBe(0);
});

test('what begins cold each time is not warmed up', async () => {
  const { turns, run } = story(() => 0, { warmUpMs: 0 });
  await run();
  expect(turns).toEqual(Array.from({ length: 4 }, () => ['ours', 'theirs']).flat());
});

test('rounds in which others used the machine are repeated and left out', async () => {
  const { run } = story((round) => (round === 2 || round === 3 ? 0.5 : 0.01));
  const measured = await run();
  expect(measured.roundsDisturbed).toBe(2);
  expect(measured.othersBusyRounds).toEqual([0.01, 0.01, 0.01, 0.01]);
  expect(measured.systems[0]?.perSecondRounds).toEqual([1980, 1980, 1980, 1980]);
});

test('a machine that is never quiet gives the quietest rounds, and an end', async () => {
  const { turns, run } = story((round) => 0.25 + round / 64);
  const measured = await run();
  expect(turns).toHaveLength(2 + 2 * 12);
  expect(measured.roundsDisturbed).toBe(8);
  expect(measured.othersBusyRounds).toEqual([1, 2, 3, 4].map((round) => 0.25 + round / 64));
});

test('nothing is repeated once the time is up', async () => {
  const { run } = story(() => 0.4, { mayRepeat: () => false });
  const measured = await run();
  expect(measured.roundsDisturbed).toBe(0);
  expect(measured.othersBusyRounds).toEqual([0.4, 0.4, 0.4, 0.4]);
});

test('a round may end the run', async () => {
  const { run } = story(() => 0, {
    onRound() {
      throw new Error('stopped');
    },
  });
  await expect(run()).rejects.toThrow('stopped');
});
