// A run beside the one that landed last, with losses planted where they must be noticed, and noise
// planted where it must not be taken for one.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { compareWith, landedOf, readLanded, writeLanded } from '../../bench/landed.ts';
import type { NamedRatio, RunResults, WorkResult } from '../../bench/result.ts';
import { ratioOf } from '../../bench/statistics.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function temporaryFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-landed-'));
  folders.push(folder);
  return join(folder, 'landed.json');
}

/** Rounds around a ratio, `noise` of it wide. */
const around = (middle: number, noise: number): readonly number[] =>
  [-0.5, -0.25, 0, 0.25, 0.5].map((part) => middle * (1 + part * noise));
const ONES = [1, 1, 1, 1, 1];

function ratio(to: string, throughput: number, noise: number, cpu = 2, p50 = 1): NamedRatio {
  return {
    to,
    throughput: ratioOf(around(throughput, noise), ONES, 0.25),
    p50: ratioOf(around(p50, noise), ONES, 0.25),
    p99: ratioOf(ONES, ONES, 0.25),
    cpu: ratioOf(around(cpu, noise), ONES, 0.25),
  };
}

function work(name: string, ratios: readonly NamedRatio[], over: Partial<WorkResult> = {}) {
  return {
    ...{ name, summary: 's', waitsForCommit: false, systems: [], ratios, missing: [] },
    load: { connections: 16, inFlight: 1, payloadBytes: 512 },
    ...{ othersBusyRounds: [0], roundsDisturbed: 0 },
    ...{ ledgerBytesPerWrite: null, ledgerBytesPerLoneWrite: null },
    ...over,
  };
}

function run(works: readonly WorkResult[], cores = 2, processor = 'P'): RunResults {
  return {
    ...{ version: 1, at: '2026-01-02T00:00:00.000Z', seconds: 30, quick: true, rounds: 5 },
    ...{ sliceMs: 250, spreadMax: 0.25, connections: 16, payloadBytes: 512, stored: 1 },
    machine: {
      ...{ cores, processor, memoryBytes: 1, freeMemoryBytes: 1, system: 'Linux 6' },
      ...{ node: 'v26.0.0', loadAverage: 0.5, fileSystem: 'ext4' },
    },
    ...{
      systems: [],
      works,
      growth: [],
      soak: null,
      peerMemory: [],
      memory: null,
      warnings: [],
    },
  };
}

const BARE = 'bare https';
const landed = landedOf(run([work('send', [ratio(BARE, 0.6, 0.04)])]));

describe('a quick run', () => {
  const lossesOf = (now: readonly WorkResult[], before = landed): readonly string[] =>
    compareWith(before, run(now)).losses;

  test('that is the same has lost nothing, and says so', () => {
    const { lines, losses } = compareWith(
      landed,
      run([work('send', [ratio(BARE, 0.6, 0.04)])]),
    );
    expect(losses).toEqual([]);
    expect(lines[0]).toContain('2026-01-02');
    expect(lines.join('\n')).toMatch(
      /send to bare https, throughput: 0\.600 then, 0\.600 now: the same/,
    );
    expect(lines.join('\n')).toMatch(/send to bare https, cpu: 2\.000 then/);
  });

  test.each([
    ['a tenth of throughput', ratio(BARE, 0.54, 0.04), ['throughput']],
    ['a tenth more processor time', ratio(BARE, 0.6, 0.04, 2.2), ['cpu']],
    ['both', ratio(BARE, 0.3, 0.04, 4), ['throughput', 'cpu']],
  ])('has lost %s, and it is noticed', (_what, now, measures) => {
    const losses = lossesOf([work('send', [now])]);
    expect(losses).toHaveLength(measures.length);
    measures.forEach((measure, index) => {
      expect(losses[index]).toContain(`send to bare https, ${measure}`);
      expect(losses[index]).toContain('LOST');
    });
  });

  test.each([
    ['less than the least noise', ratio(BARE, 0.58, 0)],
    ['a tenth, in a run that is noisier than that', ratio(BARE, 0.54, 0.24)],
  ])('has not lost %s', (_what, now) => {
    expect(lossesOf([work('send', [now])])).toEqual([]);
  });

  test('knows the noise of the run that landed, too', () => {
    const noisy = landedOf(run([work('send', [ratio(BARE, 0.6, 0.24)])]));
    expect(lossesOf([work('send', [ratio(BARE, 0.54, 0.04)])], noisy)).toEqual([]);
    expect(lossesOf([work('send', [ratio(BARE, 0.4, 0.04)])], noisy)).toHaveLength(1);
  });

  test('that is faster has gained', () => {
    const { lines, losses } = compareWith(
      landed,
      run([work('send', [ratio(BARE, 0.9, 0.04)])]),
    );
    expect(losses).toEqual([]);
    expect(lines.join('\n')).toContain('gained (+50 %');
  });

  test('of works that are judged by time has lost when they take longer', () => {
    const judgedBy = 'p50' as const;
    const commit = (p50: number) =>
      work('commit', [ratio('CCF', 1, 0.04, 1, p50)], { judgedBy });
    const before = landedOf(run([commit(0.1)]));
    expect(before.ratios.map(({ of }) => of)).toEqual(['p50']);
    expect(lossesOf([commit(0.12)], before)).toHaveLength(1);
    expect(lossesOf([commit(0.08)], before)).toEqual([]);
  });

  test('whose ratio was refused is not compared, and says so', () => {
    const { lines, losses } = compareWith(landed, run([work('send', [ratio(BARE, 0.3, 2)])]));
    expect(losses).toEqual([]);
    expect(lines.join('\n')).toContain('send to bare https, throughput: not compared');
  });

  test('of other works, and on another machine, is not compared', () => {
    const other = run([work('receive', [ratio(BARE, 0.1, 0.04)])]);
    expect(compareWith(landed, other)).toEqual({
      lines: [expect.any(String), '  none of this run is among them'],
      losses: [],
    });
    const slow = [work('send', [ratio(BARE, 0.1, 0.04)])];
    expect(compareWith(landed, run(slow, 4))).toMatchObject({ losses: [] });
    const elsewhere = compareWith(landed, run(slow, 2, 'Q'));
    expect(elsewhere.losses).toHaveLength(1);
    expect(elsewhere.lines.join('\n')).toContain('they were taken on P');
  });
});

test('what lands is read again, and works that were not measured keep their ratios', () => {
  const file = temporaryFile();
  expect(readLanded(file)).toBeUndefined();
  writeLanded(
    run([work('send', [ratio(BARE, 0.6, 0.04)]), work('x', [ratio(BARE, 1, 0)])]),
    file,
  );
  writeLanded(run([work('send', [ratio(BARE, 0.7, 0.04)])]), file);
  const ratios = readLanded(file)?.ratios.filter(({ of }) => of === 'throughput');
  expect(ratios?.map(({ work, median }) => [work, median])).toEqual([
    ['x', 1],
    ['send', 0.7],
  ]);
});

test.each([
  ['{', 'is not JSON'],
  ['{"version":99}', 'its version is 99'],
])('a file with %s is refused with what to do', (text, reason) => {
  const file = temporaryFile();
  writeFileSync(file, text);
  expect(existsSync(file)).toBe(true);
  expect(() => readLanded(file)).toThrow(reason);
});
