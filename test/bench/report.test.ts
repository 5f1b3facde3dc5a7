// What a reader sees, and above all what a reader must not see.

import { expect, test } from 'vitest';
import { reportOf } from '../../bench/report.ts';
import type { RunResults, SystemFigures } from '../../bench/result.ts';
import { ratioOf } from '../../bench/statistics.ts';

const figures = (name: string, perSecond: number): SystemFigures => ({
  name,
  requests: 1000,
  perSecond,
  perSecondRounds: [perSecond],
  p50Ms: 1.25,
  p99Ms: 9,
  latency: [[0.5, 1.25]],
  cpuMicrosRounds: null,
  p50MsRounds: [1.25],
  p99MsRounds: [9],
  cpuMicrosPerRequest: 87.6,
  generatorBusy: 0.5,
});

function results(ours: readonly number[], theirs: readonly number[]): RunResults {
  return {
    version: 1,
    at: '2026-01-01T00:00:00.000Z',
    seconds: 30,
    quick: true,
    rounds: 3,
    sliceMs: 280,
    spreadMax: 0.25,
    connections: 16,
    payloadBytes: 512,
    machine: {
      cores: 2,
      processor: 'P',
      memoryBytes: 2 ** 33,
      freeMemoryBytes: 2 ** 32,
      system: 'Linux 6',
      node: 'v26.0.0',
      loadAverage: 0.5,
      fileSystem: 'ext4',
    },
    systems: [
      { name: 'Concordat', version: '0', durability: 'synced', load: '16 connections' },
    ],
    works: [
      {
        name: 'send',
        summary: 's',
        waitsForCommit: true,
        systems: [figures('Concordat', 1234.5), figures('bare https', 9000)],
        ratios: [
          {
            to: 'bare https',
            throughput: ratioOf(ours, theirs, 0.25),
            p50: ratioOf(theirs, ours, 0.25),
            p99: ratioOf([30, 30, 31], [10, 10, 10], 0.25),
            cpu: null,
          },
        ],
        missing: [{ name: 'Tessera', how: 'not found; set CONCORDAT_TESSERA' }],
        load: { connections: 16, inFlight: 1, payloadBytes: 512 },
        othersBusyRounds: [0.01, 0, 0.02],
        roundsDisturbed: 2,
        ledgerBytesPerWrite: 1024,
        ledgerBytesPerLoneWrite: 2048,
      },
    ],
    growth: [],
    soak: null,
    peerMemory: [{ name: 'Tessera', residentBytes: 1_740 * 2 ** 20 }],
    memory: { residentBytes: 100 * 2 ** 20, peakBytes: 120 * 2 ** 20 },
    stored: 5000,
    warnings: ['something is odd'],
  };
}

test('figures, ratio, sizes, machine and warnings are all there', () => {
  const text = reportOf(results([10, 10, 11], [40, 40, 40]));
  expect(text).toMatch(/send +1,235 +1\.25 +9\.00 +88 +50 %/);
  expect(text).toMatch(/bare https +9,000 .*0\.25 \(spread 8 %\) +× 3\.00/);
  expect(text).toContain('\n  Tessera: not found; set CONCORDAT_TESSERA\n');
  expect(text).toContain('ledger bytes for one send: 1024 (2.00 × the payload)');
  expect(text).toContain('one client alone: 2048 (4.00 × the payload)');
  expect(text).toContain('100 MiB (peak 120 MiB), after 5,000 writes');
  expect(text).toContain('2 cores of P, 8.0 GiB, Linux 6, Node v26.0.0, ext4');
  expect(text).toContain('3 rounds of 280 ms, and 2 more that others disturbed');
  expect(text).toContain('resident memory of Tessera at the end: 1740 MiB');
  expect(text).toContain('! something is odd');
});

test('a ratio from disturbed rounds is not printed; the reason is', () => {
  const text = reportOf(results([10, 20, 10], [40, 40, 40]));
  expect(text).toMatch(/bare https .*refused/);
  expect(text).not.toContain('0.25 (');
  expect(text).toContain('! no ratio of send to bare https: the rounds differ by 80 %');
});

test('a curve is a table, with what each more takes of memory', () => {
  const at = (count: number, memoryBytes: number | null) => ({
    ...{ at: count, perSecond: 2_000, p50Ms: 1, p99Ms: 4, ledgerBytes: null, memoryBytes },
  });
  const text = reportOf({
    ...results([10, 10, 10], [40, 40, 40]),
    growth: [
      {
        ...{ name: 'payloads stored', summary: 's', axis: 'payloads', scale: 'log' },
        series: [
          { name: 'send', points: [at(1_000, 50_000_000), at(1_001_000, 82_000_000)] },
          { name: 'receive', points: [at(1_000, null)] },
        ],
      },
    ],
  });
  expect(text).toMatch(/send, 1,001,000 +2,000 +1\.00 +4\.00 +– +78\.2/);
  expect(text).toContain('memory of the node: 32 bytes for each from 1,000 to 1,001,000');
  expect(text.match(/memory of the node: /g)).toHaveLength(1);
});

test('a long run is told with what is not flat', () => {
  const point = {
    ...{ seconds: 60, perSecond: 900, p50Ms: 1, p99Ms: 4, residentBytes: 2 ** 28 },
    ...{ objectBytes: 1, stallMs: 61 },
  };
  const text = reportOf({
    ...results([10, 10, 10], [40, 40, 40]),
    soak: {
      ...{ work: 'send', points: [point], memoryGrowth: 0.02, latencyGrowth: -0.1 },
      ...{ stallMs: 61, faults: ['the event loop stood still'] },
    },
  });
  expect(text).toContain('send for 60 s at full load:\n  900 per second (median)');
  expect(text).toContain('p99 −10 % from');
  expect(text).toContain('memory of the node +2 %, 256 MiB at the end');
  expect(text).toContain('61.0 ms at most\n! the event loop stood still');
});
