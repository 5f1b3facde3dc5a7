// Pictures: that what is drawn stands where its value is, and that a page holds all it needs.

import { describe, expect, test } from 'vitest';
import { barChart } from '../../bench/pictures/bar-chart.ts';
import { lineChart } from '../../bench/pictures/line-chart.ts';
import { element, escaped } from '../../bench/pictures/markup.ts';
import { pageOf } from '../../bench/pictures/page.ts';
import { scaleOf, shortNumber } from '../../bench/pictures/scale.ts';
import type { RunResults, SystemFigures } from '../../bench/result.ts';
import { ratioOf } from '../../bench/statistics.ts';

describe('an axis', () => {
  const texts = (kind: 'linear' | 'log', values: readonly number[]): readonly string[] =>
    scaleOf(kind, values, 100).ticks.map(({ text }) => text);

  test('of even steps begins at 0 and ends at or beyond the largest', () => {
    expect(texts('linear', [3, 47])).toEqual(['0', '10', '20', '30', '40', '50']);
    expect(texts('linear', [12_300])).toEqual(['0', '5k', '10k', '15k']);
    expect(texts('linear', [])).not.toContain('NaN');
    const scale = scaleOf('linear', [47], 100);
    expect(scale.at(0)).toBe(0);
    expect(scale.at(25)).toBe(50);
    expect(scale.at(50)).toBe(100);
  });

  test('of powers of ten gives each of them as much room', () => {
    expect(texts('log', [1_000, 1_000_000])).toEqual(['1k', '10k', '100k', '1M']);
    expect(texts('log', [0.3, 4])).toEqual(['0.1', '0.2', '0.5', '1', '2', '5', '10']);
    const scale = scaleOf('log', [1, 100], 100);
    expect(scale.at(1)).toBe(0);
    expect(scale.at(10)).toBeCloseTo(50);
    expect(scale.at(100)).toBeCloseTo(100);
    // What cannot be on such an axis lies at its beginning, not outside.
    expect(scale.at(0)).toBe(0);
  });

  test('of percentiles gives each nine as much room', () => {
    const scale = scaleOf('percentile', [], 100);
    expect(scale.at(0)).toBeCloseTo(0);
    expect(scale.at(0.9)).toBeCloseTo(25);
    expect(scale.at(0.99)).toBeCloseTo(50);
    expect(scale.at(0.9999)).toBeCloseTo(100);
    expect(scale.at(1)).toBe(100);
    expect(scale.ticks.map(({ text }) => text)).toContain('99.99 %');
  });

  test.each([
    [0.0123, '0.0123'],
    [7, '7'],
    [12_345, '12.3k'],
    [1_048_576, '1.05M'],
    [2e9, '2G'],
  ])('writes %d as %s', (value, text) => {
    expect(shortNumber(value)).toBe(text);
  });
});

test('text in pictures stays text', () => {
  expect(escaped('<b> & "c"')).toBe('&lt;b&gt; &amp; &quot;c&quot;');
  expect(element('text', { x: 1.26, class: 'a"b' }, 'c')).toBe(
    '<text x="1.3" class="a&quot;b">c</text>',
  );
});

test('a curve goes up where its values do, one colour to each', () => {
  const svg = lineChart({
    ...{ title: 'T', xLabel: 'x', yLabel: 'y', xScale: 'linear', yScale: 'linear' },
    series: [
      {
        name: 'ours',
        points: [
          [0, 0],
          [1, 50],
          [2, 100],
        ],
      },
      {
        name: 'theirs <1>',
        points: [
          [0, 100],
          [2, 0],
        ],
      },
    ],
  });
  const lines = [...svg.matchAll(/<polyline points="([^"]+)"/g)].map(([, points = '']) =>
    points.split(' ').map((point) => point.split(',').map(Number)),
  );
  const [ours = [], theirs = []] = lines;
  expect(ours).toHaveLength(3);
  // Pixels count from the top.
  const [[left = 0, low = 0] = [], [middle = 0, half = 0] = [], [right = 0, top = 0] = []] =
    ours;
  expect(half).toBeCloseTo((low + top) / 2);
  expect(middle).toBeCloseTo((left + right) / 2);
  expect(top).toBeLessThan(low);
  expect(theirs).toEqual([
    [left, top],
    [right, low],
  ]);
  expect(svg).toContain('class="series-1"');
  expect(svg).toContain('<li class="series-2">theirs &lt;1&gt;</li>');
  expect(svg).toContain('<title>ours: 50 at 1</title>');
});

test('bars are as long as their values', () => {
  const svg = barChart('T', [
    { name: 'ours', value: 30, note: '' },
    { name: 'theirs', value: 120, note: 'ours to it 0.25' },
  ]);
  const widths = [...svg.matchAll(/width="([\d.]+)"/g)].map(([, width]) => Number(width));
  expect((widths[0] ?? 0) * 4).toBeCloseTo(widths[1] ?? 0);
  expect(svg).toContain('120 · ours to it 0.25');
});

function figures(name: string, rounds: readonly number[]): SystemFigures {
  return {
    ...{ name, requests: 100, perSecond: 10, perSecondRounds: rounds, p50Ms: 1, p99Ms: 5 },
    ...{
      p50MsRounds: rounds,
      p99MsRounds: rounds,
      cpuMicrosPerRequest: null,
      cpuMicrosRounds: null,
    },
    ...{
      generatorBusy: null,
      latency: [
        [0.5, 1],
        [0.9, 2],
        [0.99, 5],
      ] as const,
    },
  };
}

const RESULTS: RunResults = {
  ...{ version: 1, at: '2026-01-01T00:00:00.000Z', seconds: 30, quick: false, rounds: 3 },
  ...{ sliceMs: 280, spreadMax: 0.25, connections: 16, payloadBytes: 512, stored: 1 },
  machine: {
    ...{ cores: 2, processor: 'P & Q', memoryBytes: 1, freeMemoryBytes: 1, system: 'Linux 6' },
    ...{ node: 'v26.0.0', loadAverage: 0.5, fileSystem: 'ext4' },
  },
  systems: [],
  works: [
    {
      ...{ name: 'send', summary: 's', waitsForCommit: true, othersBusyRounds: [0] },
      systems: [figures('Concordat', [10, 10, 10]), figures('bare https', [40, 40, 40])],
      ratios: [
        {
          to: 'bare https',
          throughput: ratioOf([10, 10, 10], [40, 40, 40], 0.25),
          p50: ratioOf([1, 1, 1], [1, 1, 1], 0.25),
          p99: ratioOf([1, 1, 1], [1, 1, 1], 0.25),
          cpu: null,
        },
      ],
      missing: [{ name: 'Tessera', how: 'not found; set <THIS>' }],
      load: { connections: 16, inFlight: 1, payloadBytes: 512 },
      ...{ roundsDisturbed: 0, ledgerBytesPerWrite: 1, ledgerBytesPerLoneWrite: null },
    },
  ],
  growth: [
    {
      ...{ name: 'payload size', summary: 'larger', axis: 'bytes', scale: 'log' },
      series: [
        {
          name: 'send',
          points: [100, 1_000].map((at) => ({
            ...{ at, perSecond: 5, p50Ms: 1, p99Ms: 2, ledgerBytes: 9, memoryBytes: null },
          })),
        },
      ],
    },
  ],
  soak: null,
  peerMemory: [],
  memory: null,
  warnings: [],
};

test('a page holds every work, curve and figure, and needs nothing from outside', () => {
  const page = pageOf(RESULTS);
  for (const text of ['Throughput over time', 'Latency over time', 'Latency of all requests']) {
    expect(page).toContain(text);
  }
  expect(page).toContain('Growth: payload size');
  expect(page).toContain('ours to it 0.25');
  expect(page).toContain('Tessera: not found; set &lt;THIS&gt;');
  expect(page).toContain('2 cores of P &amp; Q');
  expect(page).toContain('prefers-color-scheme:dark');
  expect(page).not.toMatch(/<script|src=|href=|url\(|@import|https?:\/\//);
  expect(page).not.toMatch(/NaN|undefined|Infinity/);
  // A memory curve without a single figure is no curve.
  expect(page).not.toContain('Memory of the node');
  const opened = page.match(/<(svg|g|figure|div|ul|li|pre|text)\b/g)?.length;
  expect(page.match(/<\/(svg|g|figure|div|ul|li|pre|text)>/g)?.length).toBe(opened);
});
