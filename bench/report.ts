/**
 * A run's figures for people.
 */
import type {
  GrowthCurve,
  NamedRatio,
  RunResults,
  SoakResult,
  SystemFigures,
  WorkResult,
} from './result.ts';
import { median, percent, type Ratio, type RefusedRatio } from './statistics.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

const HEADINGS = [
  '',
  'per second',
  'p50 ms',
  'p99 ms',
  'CPU µs',
  'client',
  'ours to it',
  'p99 to it',
];

export function reportOf(results: RunResults): string {
  return [
    machineText(results),
    '',
    ...systemLines(results),
    '',
    ...(results.works.length === 0 ? [] : [...figureTable(results.works), '']),
    ...results.growth.flatMap(growthTable),
    ...(results.soak === null ? [] : soakLines(results.soak)),
    ...sizeLines(results),
    ...refusalLines(results.works),
    ...results.warnings.map((warning) => `! ${warning}`),
  ].join('\n');
}

function machineText({ machine, rounds, sliceMs, seconds, works }: RunResults): string {
  const { cores, processor, memoryBytes, system, node, fileSystem, loadAverage } = machine;
  const disturbed = works.reduce((sum, { roundsDisturbed }) => sum + roundsDisturbed, 0);
  return (
    `${cores} cores of ${processor}, ${(memoryBytes / GIB).toFixed(1)} GiB, ${system}, ` +
    `Node ${node}, ${fileSystem}\n` +
    `load average ${loadAverage.toFixed(2)} before; ${rounds} rounds of ${sliceMs} ms, and ` +
    `${disturbed} more that others disturbed; ${Math.round(seconds)} s in all`
  );
}

function systemLines({ systems }: RunResults): readonly string[] {
  return systems.map(
    ({ name, version, durability, load }) => `${name} (${version}): ${durability}; ${load}`,
  );
}

function figureTable(works: readonly WorkResult[]): readonly string[] {
  const rows = works.flatMap((work) => [
    ...work.systems.map((figures, index) => {
      const ratio = work.ratios.find(({ to }) => to === figures.name);
      const title = work.unit === undefined ? work.name : `${work.name} (${work.unit})`;
      const name = index === 0 ? title : `  ${figures.name}`;
      const cells = ratio === undefined ? [] : [ownCell(work, ratio), p99Cell(ratio.p99)];
      return [name, ...cellsOf(figures), ...cells];
    }),
    ...work.missing.map(({ name, how }) => [`  ${name}: ${how}`]),
  ]);
  return aligned([HEADINGS, ...rows]);
}

const GROWTH_HEADINGS = ['per second', 'p50 ms', 'p99 ms', 'ledger bytes', 'memory MiB'];

function growthTable({ name, axis, series }: GrowthCurve): readonly string[] {
  const rows = series.flatMap((one) =>
    one.points.map(({ at, perSecond, p50Ms, p99Ms, ledgerBytes, memoryBytes }) => [
      `${one.name}, ${thousands(at)}`,
      ...[thousands(perSecond), p50Ms.toFixed(2), p99Ms.toFixed(2)],
      ledgerBytes === null ? '–' : thousands(ledgerBytes),
      memoryBytes === null ? '–' : (memoryBytes / MIB).toFixed(1),
    ]),
  );
  const table = aligned([[`${name} (${axis})`, ...GROWTH_HEADINGS], ...rows]);
  return [...table, ...series.flatMap(memoryLine), ''];
}

/** What each more of what grows takes of the node's memory, from the first point to the last. */
function memoryLine({ points }: GrowthCurve['series'][number]): readonly string[] {
  const told = points.filter(({ memoryBytes }) => memoryBytes !== null);
  const [first, last] = [told[0], told.at(-1)];
  if (first === undefined || last === undefined || last.at === first.at) return [];
  const bytes = (last.memoryBytes ?? 0) - (first.memoryBytes ?? 0);
  const each = bytes / (last.at - first.at);
  return [
    `  memory of the node: ${each.toFixed(0)} bytes for each from ${thousands(first.at)} to ` +
      `${thousands(last.at)} (garbage included: believe it beyond 100,000)`,
  ];
}

function soakLines({ work, points, faults, ...soak }: SoakResult): readonly string[] {
  const last = points.at(-1);
  const change = (part: number): string => `${part < 0 ? '−' : '+'}${percent(Math.abs(part))}`;
  const mib = Math.round((last?.residentBytes ?? 0) / MIB);
  return [
    `${work} for ${Math.round(last?.seconds ?? 0)} s at full load:`,
    `  ${thousands(median(points.map(({ perSecond }) => perSecond)))} per second (median)`,
    `  p99 ${change(soak.latencyGrowth)} from the second quarter to the last`,
    `  resident memory of the node ${change(soak.memoryGrowth)}, ${mib} MiB at the end`,
    `  its event loop stood still for ${soak.stallMs.toFixed(1)} ms at most`,
    ...faults.map((fault) => `! ${fault}`),
    ...(faults.length === 0 ? ['  flat'] : []),
    '',
  ];
}

function cellsOf(figures: SystemFigures): readonly string[] {
  const { perSecond, p50Ms, p99Ms, cpuMicrosPerRequest, generatorBusy } = figures;
  return [
    thousands(perSecond),
    p50Ms.toFixed(2),
    p99Ms.toFixed(2),
    cpuMicrosPerRequest === null ? '–' : cpuMicrosPerRequest.toFixed(0),
    generatorBusy === null ? '–' : percent(generatorBusy),
  ];
}

function ratioCell(ratio: Ratio | RefusedRatio): string {
  if (ratio.kind === 'refused') return 'refused';
  return `${ratioText(ratio.median)} (spread ${percent(ratio.spread)})`;
}

/** Of works that are about time, the time; less is better then. */
function ownCell({ judgedBy }: WorkResult, { throughput, p50 }: NamedRatio): string {
  if (judgedBy !== 'p50') return ratioCell(throughput);
  return p50.kind === 'refused' ? 'refused' : `p50 × ${ratioCell(p50)}`;
}

function p99Cell(ratio: Ratio | RefusedRatio): string {
  return ratio.kind === 'refused' ? 'refused' : `× ${ratioText(ratio.median)}`;
}

function ratioText(ratio: number): string {
  return ratio >= 10 ? ratio.toFixed(1) : ratio.toFixed(2);
}

function sizeLines({ works, memory, peerMemory, stored }: RunResults): readonly string[] {
  const lines: string[] = [];
  for (const { name, load, ledgerBytesPerWrite, ledgerBytesPerLoneWrite } of works) {
    if (ledgerBytesPerWrite === null) continue;
    const against = (bytes: number): string =>
      name.startsWith('send')
        ? ` (${(bytes / load.payloadBytes).toFixed(2)} × the payload)`
        : '';
    let line = `ledger bytes for one ${name}: ${Math.round(ledgerBytesPerWrite)}`;
    line += against(ledgerBytesPerWrite);
    if (ledgerBytesPerLoneWrite !== null) {
      line += `; one client alone: ${Math.round(ledgerBytesPerLoneWrite)}`;
      line += against(ledgerBytesPerLoneWrite);
    }
    lines.push(line);
  }
  if (memory !== null) {
    const { residentBytes, peakBytes } = memory;
    lines.push(
      `resident memory of the service at the end: ${Math.round(residentBytes / MIB)} MiB ` +
        `(peak ${Math.round(peakBytes / MIB)} MiB), after ${thousands(stored)} writes: a node, ` +
        'and what serves three organisations as their transaction managers',
    );
  }
  for (const { name, residentBytes } of peerMemory) {
    lines.push(`resident memory of ${name} at the end: ${Math.round(residentBytes / MIB)} MiB`);
  }
  return lines;
}

function refusalLines(works: readonly WorkResult[]): readonly string[] {
  return works.flatMap(({ name, ratios, judgedBy = 'throughput' }) =>
    ratios.flatMap((ratio) => {
      const own = ratio[judgedBy];
      return own.kind === 'refused'
        ? [`! no ratio of ${name} to ${ratio.to}: ${own.reason}`]
        : [];
    }),
  );
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Columns padded to their widest cell: the first to the left, the others to the right. */
function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  // A row of one cell is a sentence, which may reach across all columns.
  const [headings = []] = rows;
  const widths = headings.map((_, column) =>
    Math.max(...rows.map((row) => (row.length === 1 ? 0 : (row[column]?.length ?? 0)))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
}
