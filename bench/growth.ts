/**
 * Curves: how figures change while one thing grows. Each point is the median of a few slices; there
 * is no other side to take turns with, so a curve shows a shape and no ratio.
 */
import { messageOf } from '../src/base/errors.ts';
import type { BenchOptions } from './arguments.ts';
import type { Slice } from './contender.ts';
import type { Generator } from './generator/generator.ts';
import type { Target } from './generator/job.ts';
import { Histogram } from './histogram.ts';
import type { GrowthCurve, GrowthPoint } from './result.ts';
import { median } from './statistics.ts';
import type { Concordat } from './systems/concordat.ts';

export interface CurveContext {
  readonly generator: Generator;
  /** A new folder for whatever a curve starts. */
  newFolder(): string;
  readonly options: BenchOptions;
  progress(text: string): void;
  /** Tells the reader of the figures. */
  warn(text: string): void;
  /** Throws when the run is to end. */
  mayGoOn(): void;
  /** Milliseconds that are left for all curves. */
  leftMs(): number;
}

export interface Curve {
  readonly name: string;
  readonly summary: string;
  /** What grows. */
  readonly axis: string;
  readonly scale: 'linear' | 'log';
  draw(context: CurveContext): Promise<GrowthCurve['series']>;
}

/** Slices of a point, after one that warms. */
const SLICES = 3;

/** Draws them until the time is up; those that did not come to their turn are said by name. */
export async function drawCurves(
  curves: readonly Curve[],
  contextOf: (curve: Curve) => CurveContext,
): Promise<{ readonly growth: readonly GrowthCurve[]; readonly left: readonly string[] }> {
  const growth: GrowthCurve[] = [];
  const left: string[] = [];
  for (const curve of curves) {
    const context = contextOf(curve);
    context.mayGoOn();
    if (context.leftMs() <= 0) {
      left.push(curve.name);
      continue;
    }
    const { name, summary, axis, scale } = curve;
    growth.push({ name, summary, axis, scale, series: await curve.draw(context) });
  }
  return { growth, left };
}

/**
 * The points of one series for as long as there is time; the first is always measured. Where the
 * service no longer does what it is asked, the curve ends and says so: that is a figure, too.
 */
export async function pointsOf(
  context: CurveContext,
  values: readonly number[],
  measurePoint: (value: number) => Promise<GrowthPoint>,
): Promise<readonly GrowthPoint[]> {
  const points: GrowthPoint[] = [];
  for (const value of values) {
    context.mayGoOn();
    if (points.length > 0 && context.leftMs() <= 0) break;
    context.progress(String(value));
    try {
      points.push(await measurePoint(value));
    } catch (error) {
      context.mayGoOn();
      context.warn(`a curve ends before ${value}: ${messageOf(error)}`);
      break;
    }
  }
  return points;
}

/** Asks one target for some slices. */
export async function measureAt(
  at: number,
  { generator, options }: CurveContext,
  target: Target,
): Promise<GrowthPoint> {
  const name = 'growth';
  const limit = { milliseconds: options.sliceMs };
  const slices: Pick<Slice, 'requests' | 'elapsedMs' | 'latency'>[] = [];
  await generator.open(name, target);
  try {
    await generator.run(name, limit);
    for (let count = 0; count < SLICES; count += 1) {
      const { requests, elapsedMs, latency } = await generator.run(name, limit);
      slices.push({ requests, elapsedMs, latency: new Histogram(latency) });
    }
  } finally {
    await generator.close(name);
  }
  const latency = new Histogram();
  for (const slice of slices) latency.add(slice.latency);
  return {
    at,
    perSecond: median(slices.map(({ requests, elapsedMs }) => (requests / elapsedMs) * 1000)),
    p50Ms: latency.percentile(0.5),
    p99Ms: latency.percentile(0.99),
    ledgerBytes: null,
    memoryBytes: null,
  };
}

/** The same, with what the ledger grew by for each request. */
export async function measureWriteAt(
  at: number,
  context: CurveContext,
  service: Concordat,
  target: Target,
): Promise<GrowthPoint> {
  const { generator } = context;
  const name = 'counted writes';
  const requests = 8 * target.connections;
  const before = await service.settledLedgerBytes();
  await generator.open(name, target);
  try {
    await generator.run(name, { requests });
  } finally {
    await generator.close(name);
  }
  const ledgerBytes = ((await service.settledLedgerBytes()) - before) / requests;
  return { ...(await measureAt(at, context, target)), ledgerBytes };
}
