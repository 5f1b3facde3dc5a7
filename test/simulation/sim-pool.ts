// Lives seeds on several threads at once, and adds up what came of them.

import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { SeedReport, SimWorkerData } from './sim-job.ts';

export interface PoolOptions extends SimWorkerData {
  readonly firstSeed: number;
  readonly seeds: number;
  readonly jobs?: number;
  /** Goes on with further seeds until so much time has passed. */
  readonly msMin?: number;
  /** Ends with the first violation: a planted bug is caught once. */
  readonly untilViolation?: boolean;
  readonly onReport?: (report: SeedReport) => void;
}

export interface SimSummary {
  readonly seeds: number;
  readonly firstSeed: number;
  readonly runTwice: number;
  readonly virtualHours: number;
  readonly events: number;
  readonly committed: number;
  readonly elections: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly figures: Readonly<Record<string, number>>;
  readonly cpuHours: number;
  readonly seedsPerCoreHour: number;
  readonly violations: readonly { readonly seed: number; readonly message: string }[];
}

export async function runSeeds(options: PoolOptions): Promise<readonly SeedReport[]> {
  const { firstSeed, seeds, jobs = availableParallelism(), msMin = 0 } = options;
  const { faultsMs, changes } = options;
  const began = performance.now();
  const reports: SeedReport[] = [];
  let next = firstSeed;
  let isOver = false;
  const mayBegin = (): boolean =>
    !isOver && (next < firstSeed + seeds || performance.now() - began < msMin);
  const runOne = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const data: SimWorkerData = { faultsMs, changes };
      const worker = new Worker(new URL('./sim-worker.ts', import.meta.url), {
        workerData: data,
      });
      const proceed = (): void => {
        if (mayBegin()) {
          worker.postMessage(next);
          next += 1;
        } else {
          void worker.terminate().then(() => resolve());
        }
      };
      worker.on('error', reject);
      worker.on('message', (report: SeedReport) => {
        reports.push(report);
        options.onReport?.(report);
        if (options.untilViolation === true && report.violation !== undefined) isOver = true;
        proceed();
      });
      proceed();
    });
  await Promise.all(Array.from({ length: Math.min(jobs, seeds) }, runOne));
  return reports.sort((left, right) => left.seed - right.seed);
}

export function summaryOf(reports: readonly SeedReport[]): SimSummary {
  const sum = (of: (report: SeedReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const sums = (of: (report: SeedReport) => object): Record<string, number> => {
    const totals: Record<string, number> = {};
    for (const report of reports) {
      for (const [name, count] of Object.entries(of(report))) {
        totals[name] = (totals[name] ?? 0) + Number(count);
      }
    }
    return Object.fromEntries(
      Object.entries(totals).sort(([left], [right]) => (left < right ? -1 : 1)),
    );
  };
  const cpuHours = sum(({ cpuMs }) => cpuMs) / 3_600_000;
  return {
    seeds: reports.length,
    firstSeed: reports[0]?.seed ?? 0,
    runTwice: reports.filter(({ wasRunTwice }) => wasRunTwice).length,
    virtualHours: sum(({ virtualMs }) => virtualMs) / 3_600_000,
    events: sum(({ events }) => events),
    committed: sum(({ committed }) => committed),
    elections: sum(({ elections }) => elections),
    faults: sums(({ faults }) => faults),
    figures: sums(({ figures }) => figures),
    cpuHours,
    seedsPerCoreHour: cpuHours === 0 ? 0 : reports.length / cpuHours,
    violations: reports.flatMap(({ seed, violation }) =>
      violation === undefined ? [] : [{ seed, message: violation.message }],
    ),
  };
}
