// What one worker of the simulator does: whole lives, seed after seed, each judged; one in twenty
// and every one that failed is lived again and must be the same to the last event.

import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../../src/base/assert.ts';
import { type PlantedChange, plant } from './planting.ts';
import type { Figures } from './service-simulation.ts';
import { TWICE_EVERY } from './settings.ts';

export interface SimWorkerData {
  readonly faultsMs: number | undefined;
  /** Changes to the product's source, for bugs that are to be caught. */
  readonly changes: readonly PlantedChange[];
}

/** A result as it goes from thread to thread. */
export interface SeedReport {
  readonly seed: number;
  /** What did not hold, with its stack and what happened before; absent when all held. */
  readonly violation?: { readonly message: string; readonly story: string };
  readonly digest: string;
  readonly wasRunTwice: boolean;
  readonly virtualMs: number;
  readonly events: number;
  readonly committed: number;
  readonly elections: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly figures: Figures;
  readonly cpuMs: number;
}

/** Lines of what happened that are shown with a violation. */
const LINES_SHOWN = 80;

/** Lives one seed. The code that is simulated is loaded by now, with what was planted in it. */
export async function liveSeed(
  seed: number,
  faultsMs: number | undefined,
): Promise<SeedReport> {
  const { simulateService } = await import('./service-simulation.ts');
  const options = { seed, ...(faultsMs === undefined ? {} : { faultsMs }) };
  const before = process.cpuUsage();
  const result = await simulateService(options);
  const { user, system } = process.cpuUsage(before);
  const { violation, lines } = result;
  const mustRunTwice = seed % TWICE_EVERY === 0 || violation !== undefined;
  const again =
    mustRunTwice && result.isDeterministic ? await simulateService(options) : undefined;
  const isSame = again === undefined || again.digest === result.digest;
  const failure =
    violation ?? (isSame ? undefined : new Error('Determinism: two lives of it differ'));
  return {
    seed,
    ...(failure === undefined
      ? {}
      : {
          violation: {
            message:
              isSame || violation === undefined
                ? failure.message
                : `${failure.message} (and two lives differ)`,
            story: [failure.stack, ...lines.slice(-LINES_SHOWN)].join('\n'),
          },
        }),
    digest: result.digest,
    wasRunTwice: again !== undefined,
    virtualMs: result.virtualMs,
    events: result.events,
    committed: result.committed,
    elections: result.elections,
    faults: result.faults.table,
    figures: result.figures,
    cpuMs: (user + system) / 1000,
  };
}

/** Serves seeds to whoever started this thread. */
export function serve(): void {
  const { faultsMs, changes } = workerData as SimWorkerData;
  plant(changes);
  invariant(parentPort !== null, 'a worker has somebody to answer to');
  const port = parentPort;
  port.on('message', (seed: number) => {
    liveSeed(seed, faultsMs).then(
      (report) => port.postMessage(report),
      (error: unknown) => {
        throw error;
      },
    );
  });
}
