/**
 * A run as one page of HTML: everything is inside, nothing is fetched, no script runs. Light or
 * dark as the reader's machine has it.
 */
import { reportOf } from '../report.ts';
import type { GrowthCurve, GrowthPoint, RunResults, SoakPoint, WorkResult } from '../result.ts';
import { percent } from '../statistics.ts';
import { barChart } from './bar-chart.ts';
import { lineChart, type Series } from './line-chart.ts';
import { element, escaped } from './markup.ts';

/** Distinct for most eyes, on light ground and on dark; the first is ours. */
const LIGHT = ['#0b62c4', '#c2410c', '#0f766e', '#a21caf', '#a16207', '#475569', '#be123c'];
const DARK = ['#6cb0ff', '#fb923c', '#4fd1c5', '#e289f2', '#e7c64a', '#a3b1c6', '#fb7e96'];

const colours = (list: readonly string[]): string =>
  list.map((colour, index) => `--series-${index + 1}:${colour};`).join('');

const STYLE = `
:root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d8dee4;
${colours(LIGHT)}}
@media(prefers-color-scheme:dark){:root{--ground:#0f1419;--ink:#e6edf3;--soft:#9aa6b2;
--line:#2b333c;${colours(DARK)}}}
body{background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif;
max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2.5rem 0 .25rem;border-top:1px solid var(--line);
padding-top:1rem}p{margin:.25rem 0;color:var(--soft)}
pre{overflow-x:auto;font-size:12px;line-height:1.45;padding:.75rem;border:1px solid var(--line);
border-radius:6px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:1rem}
figure{margin:.5rem 0;min-width:0}svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}
svg text.title{fill:var(--ink);font-weight:600;font-size:13px}
.grid{stroke:var(--line)}.axis{stroke:var(--soft)}
.curve{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
circle{fill:currentColor}.ours rect{fill:var(--series-1)}.theirs rect{fill:var(--soft)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:0 1rem;margin:.1rem 0 0;padding:0;
font-size:12px}.legend li::before{content:"";display:inline-block;width:.7rem;height:.7rem;
border-radius:2px;background:currentColor;margin-right:.4rem}
${LIGHT.map((_, index) => `.series-${index + 1}{color:var(--series-${index + 1})}`).join('')}
`;

const MIB = 1024 * 1024;

export function pageOf(results: RunResults): string {
  const title = 'Concordat: what was measured';
  const body = [
    element('h1', {}, escaped(title)),
    element('p', {}, escaped(`${results.at}, ${results.quick ? 'a quick run' : 'a full run'}`)),
    ...results.works.map(workSection),
    ...soakSection(results),
    ...growthSections(results),
    element('h2', {}, 'All figures'),
    element('pre', {}, escaped(reportOf(results))),
  ];
  const head =
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">' +
    element('title', {}, escaped(title)) +
    element('style', {}, STYLE);
  return (
    '<!doctype html>\n' +
    element(
      'html',
      { lang: 'en' },
      element('head', {}, head) + element('body', {}, body.join('\n')),
    ) +
    '\n'
  );
}

function workSection(work: WorkResult): string {
  const { connections, inFlight } = work.load;
  const load = `${connections} connection(s), ${inFlight} request(s) on the way on each`;
  const unit = work.unit ?? 'requests';
  return [
    element('h2', {}, escaped(work.name)),
    element('p', {}, escaped(`${work.summary}; ${load}`)),
    ...work.missing.map(({ name, how }) => element('p', {}, escaped(`${name}: ${how}`))),
    barChart(`${unit} per second`, barsOf(work)),
    element('div', { class: 'charts' }, chartsOf(work, unit).join('')),
  ].join('\n');
}

function barsOf({ systems, ratios }: WorkResult) {
  return systems.map(({ name, perSecond }) => {
    const ratio = ratios.find(({ to }) => to === name)?.throughput;
    const note =
      ratio === undefined
        ? ''
        : ratio.kind === 'refused'
          ? 'ratio refused'
          : `ours to it ${ratio.median.toFixed(2)} ± ${percent(ratio.spread / 2)}`;
    return { name, value: perSecond, note };
  });
}

function chartsOf({ systems }: WorkResult, unit: string): readonly string[] {
  const byRound = (values: (system: (typeof systems)[number]) => readonly number[]): Series[] =>
    systems.map((system) => ({
      name: system.name,
      points: values(system).map((value, round) => [round + 1, value] as const),
    }));
  const distributions = systems.filter(({ latency }) => latency.length > 2);
  const charts = [
    lineChart({
      ...{ title: 'Throughput over time', xLabel: 'round', yLabel: `${unit} per second` },
      ...{ xScale: 'linear', yScale: 'linear' },
      series: byRound(({ perSecondRounds }) => perSecondRounds),
    }),
    lineChart({
      ...{ title: 'Latency over time', xLabel: 'round', yLabel: 'p99, ms' },
      ...{ xScale: 'linear', yScale: 'log' },
      series: byRound(({ p99MsRounds }) => p99MsRounds),
    }),
  ];
  if (distributions.length > 0) {
    charts.push(
      lineChart({
        ...{ title: 'Latency of all requests', xLabel: 'part of all requests', yLabel: 'ms' },
        ...{ xScale: 'percentile', yScale: 'log' },
        series: distributions.map(({ name, latency }) => ({ name, points: latency })),
      }),
    );
  }
  return charts;
}

function soakSection({ soak }: RunResults): readonly string[] {
  if (soak === null) return [];
  const chart = (
    title: string,
    yLabel: string,
    yScale: 'linear' | 'log',
    measures: Readonly<Record<string, (point: SoakPoint) => number>>,
  ): string =>
    lineChart({
      ...{ title, xLabel: 'seconds', yLabel, xScale: 'linear', yScale },
      series: Object.entries(measures).map(([name, measure]) => ({
        name,
        points: soak.points.map((point) => [point.seconds, measure(point)] as const),
      })),
    });
  const charts = [
    chart('Throughput', 'requests per second', 'linear', {
      [soak.work]: ({ perSecond }) => perSecond,
    }),
    chart('Latency', 'ms', 'log', { p50: ({ p50Ms }) => p50Ms, p99: ({ p99Ms }) => p99Ms }),
    chart('Memory of the node', 'MiB', 'linear', {
      resident: ({ residentBytes }) => residentBytes / MIB,
      'objects and buffers': ({ objectBytes }) => objectBytes / MIB,
    }),
    chart('Longest time the event loop stood still', 'ms', 'linear', {
      stall: ({ stallMs }) => stallMs,
    }),
  ];
  return [
    element('h2', {}, escaped(`A long run: ${soak.work}`)),
    ...soak.faults.map((fault) => element('p', {}, escaped(fault))),
    element('div', { class: 'charts' }, charts.join('')),
  ];
}

function growthSections({ growth }: RunResults): readonly string[] {
  return growth.map((curve) =>
    [
      element('h2', {}, escaped(`Growth: ${curve.name}`)),
      element('p', {}, escaped(curve.summary)),
      element('div', { class: 'charts' }, growthCharts(curve).join('')),
    ].join('\n'),
  );
}

type Measure = (point: GrowthPoint) => number | null;

function growthCharts({ axis, scale, series }: GrowthCurve): readonly string[] {
  const linesOf = (measures: Readonly<Record<string, Measure>>): readonly Series[] =>
    series.flatMap(({ name, points }) =>
      Object.entries(measures).flatMap(([what, measure]) => {
        const told = points.flatMap((point): (readonly [number, number])[] => {
          const value = measure(point);
          return value === null ? [] : [[point.at, value]];
        });
        return told.length === 0 ? [] : [{ name: `${name}${what}`, points: told }];
      }),
    );
  const chart = (
    title: string,
    yLabel: string,
    yScale: 'linear' | 'log',
    measures: Readonly<Record<string, Measure>>,
  ): readonly string[] => {
    const lines = linesOf(measures);
    if (lines.length === 0) return [];
    return [lineChart({ title, xLabel: axis, yLabel, xScale: scale, yScale, series: lines })];
  };
  return [
    ...chart('Throughput', 'requests per second', 'linear', { '': (point) => point.perSecond }),
    ...chart('Latency', 'ms', 'log', {
      ', p50': (point) => point.p50Ms,
      ', p99': (point) => point.p99Ms,
    }),
    ...chart('Ledger', 'bytes for a request', 'log', { '': (point) => point.ledgerBytes }),
    ...chart('Memory of the node', 'MiB', 'linear', {
      '': ({ memoryBytes }) => (memoryBytes === null ? null : memoryBytes / MIB),
    }),
  ];
}
