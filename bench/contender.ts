/**
 * What takes turns in a measurement, and what one turn gives.
 */
import { Histogram } from './histogram.ts';

export interface Slice {
  /** Requests answered, or records made durable. */
  readonly requests: number;
  readonly elapsedMs: number;
  readonly latency: Histogram;
  /** Processor time of the system itself; undefined where it cannot be read. */
  readonly systemCpuMs: number | undefined;
  /** Processor time of the load generator; undefined where there is none. */
  readonly generatorCpuMs: number | undefined;
}

export interface Contender {
  readonly name: string;
  /** Works for so long; nobody else does meanwhile. */
  slice(milliseconds: number): Promise<Slice>;
}

export interface Totals {
  readonly requests: number;
  readonly perSecond: readonly number[];
  readonly latency: Histogram;
  readonly cpuMicros: readonly number[] | undefined;
  /** By slice. */
  readonly p50Ms: readonly number[];
  readonly p99Ms: readonly number[];
  readonly cpuMicrosPerRequest: number | undefined;
  /** Part of the time that the generator's own thread and its helpers were busy. */
  readonly generatorBusy: number | undefined;
}

/** Adds up a contender's slices; throughput stays one figure a round. */
export function totalsOf(slices: readonly Slice[]): Totals {
  const latency = new Histogram();
  for (const slice of slices) latency.add(slice.latency);
  const requests = sum(slices.map((slice) => slice.requests)) ?? 0;
  const elapsedMs = sum(slices.map((slice) => slice.elapsedMs)) ?? 0;
  const cpuMs = sum(slices.map((slice) => slice.systemCpuMs));
  const generatorMs = sum(slices.map((slice) => slice.generatorCpuMs));
  return {
    requests,
    perSecond: slices.map((slice) => (slice.requests / slice.elapsedMs) * 1000),
    latency,
    cpuMicros: cpuMs === undefined ? undefined : slices.map(cpuMicrosOf),
    p50Ms: slices.map((slice) => slice.latency.percentile(0.5)),
    p99Ms: slices.map((slice) => slice.latency.percentile(0.99)),
    cpuMicrosPerRequest: cpuMs === undefined ? undefined : (cpuMs * 1000) / requests,
    generatorBusy: generatorMs === undefined ? undefined : generatorMs / elapsedMs,
  };
}

function cpuMicrosOf({ systemCpuMs = Number.NaN, requests }: Slice): number {
  return (systemCpuMs * 1000) / requests;
}

function sum(values: readonly (number | undefined)[]): number | undefined {
  let total = 0;
  for (const value of values) {
    if (value === undefined) return undefined;
    total += value;
  }
  return total;
}
