/**
 * A long run at full load: whether memory and latency stay what they were, and how long the node
 * stood still at most, as it tells itself.
 */
import type { Slice } from './contender.ts';
import type { SoakPoint, SoakResult } from './result.ts';
import { median } from './statistics.ts';

/** So many points at most, each at least so long. */
const POINTS_MAX = 240;
const POINT_MS_MIN = 1_000;
/** Of the median of the second quarter, by the last one. The first warms. */
const MEMORY_GROWTH_MAX = 0.1;
const LATENCY_GROWTH_MAX = 0.25;
export const STALL_MS_MAX = 50;

export interface Soaked {
  slice(milliseconds: number): Promise<Slice>;
  /** The node's own figures; the stall is the longest since they were asked for last. */
  figures(): Promise<Readonly<Record<string, number>>>;
}

/** Loads it for so long; `onPoint` is told of each point and throws when the run is to end. */
export async function soak(
  work: string,
  milliseconds: number,
  { slice, figures }: Soaked,
  onPoint: (point: SoakPoint) => void,
): Promise<SoakResult> {
  const pointMs = Math.max(POINT_MS_MIN, milliseconds / POINTS_MAX);
  const points: SoakPoint[] = [];
  // What stood still while it was started is no part of the run.
  await figures();
  const startMs = performance.now();
  while (performance.now() - startMs < milliseconds) {
    const { requests, elapsedMs, latency } = await slice(pointMs);
    const now = await figures();
    const point: SoakPoint = {
      seconds: (performance.now() - startMs) / 1000,
      perSecond: (requests / elapsedMs) * 1000,
      p50Ms: latency.percentile(0.5),
      p99Ms: latency.percentile(0.99),
      residentBytes: now.concordat_resident_bytes ?? Number.NaN,
      objectBytes: (now.concordat_heap_bytes ?? 0) + (now.concordat_buffer_bytes ?? 0),
      stallMs: now.concordat_event_loop_stall_milliseconds ?? Number.NaN,
    };
    points.push(point);
    onPoint(point);
  }
  return { work, points, ...judgeSoak(points) };
}

/** What changed from the second quarter of the run to the last, and what of it is too much. */
export function judgeSoak(
  points: readonly SoakPoint[],
): Pick<SoakResult, 'memoryGrowth' | 'latencyGrowth' | 'stallMs' | 'faults'> {
  const quarter = Math.floor(points.length / 4);
  const growthOf = (value: (point: SoakPoint) => number): number => {
    if (quarter === 0) return Number.NaN;
    const then = points.slice(quarter, 2 * quarter).map(value);
    return median(points.slice(-quarter).map(value)) / median(then) - 1;
  };
  const memoryGrowth = growthOf(({ residentBytes }) => residentBytes);
  const latencyGrowth = growthOf(({ p99Ms }) => p99Ms);
  const stallMs = Math.max(...points.map((point) => point.stallMs));
  const faults: string[] = [];
  const grew = (growth: number, most: number): string =>
    `grew by ${(growth * 100).toFixed(0)} %, more than ${most * 100} %`;
  if (quarter === 0) faults.push('it was too short to tell: at least four points are needed');
  if (memoryGrowth > MEMORY_GROWTH_MAX) {
    faults.push(`resident memory ${grew(memoryGrowth, MEMORY_GROWTH_MAX)}`);
  }
  if (latencyGrowth > LATENCY_GROWTH_MAX) {
    faults.push(`p99 ${grew(latencyGrowth, LATENCY_GROWTH_MAX)}`);
  }
  if (!(stallMs <= STALL_MS_MAX)) {
    faults.push(
      `the event loop stood still for ${stallMs.toFixed(0)} ms, over ${STALL_MS_MAX}`,
    );
  }
  return { memoryGrowth, latencyGrowth, stallMs, faults };
}
