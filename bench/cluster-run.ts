/**
 * One work on services of several sizes, side by side: what replication costs.
 */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchOptions } from './arguments.ts';
import type { Generator } from './generator/generator.ts';
import { measure, type Plan } from './measure.ts';
import type { WorkResult } from './result.ts';
import type { RunIo } from './run.ts';
import { CONCORDAT, Concordat } from './systems/concordat.ts';
import { HttpContender } from './systems/http-contender.ts';
import { describe, loadOf, targetOf } from './work-run.ts';
import type { ClusterWork } from './works.ts';

export interface ClusterSystems {
  /** The service of one node that the other works use. */
  readonly service: Concordat;
  readonly generator: Generator;
  /** Where the larger services lie. */
  readonly folder: string;
  readonly quiet: Pick<Plan, 'others' | 'mayRepeat'>;
}

/** The first size is ours in the table; ratios are its throughput to the others'. */
export async function runOnClusters(
  work: ClusterWork,
  { service, generator, folder, quiet }: ClusterSystems,
  options: BenchOptions,
  io: RunIo,
): Promise<WorkResult> {
  const started: Concordat[] = [];
  const load = loadOf({}, options, generator);
  try {
    const contenders: HttpContender[] = [];
    for (const nodes of work.sizes) {
      io.signal.throwIfAborted();
      io.progress(`bench: ${work.name}, starting a service of ${nodes}`);
      const one = nodes === 1 ? service : await startedIn(folder, nodes, options);
      if (one !== service) started.push(one);
      const target = await targetOf(work.ask, one, load);
      const name = `${CONCORDAT}, ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;
      contenders.push(await HttpContender.open(name, generator, one.pids, target));
    }
    const [first, ...rest] = contenders;
    if (first === undefined) throw new RangeError(`${work.name} names no size`);
    const measured = await measure(first, rest, {
      ...options,
      ...quiet,
      onRound(round) {
        io.signal.throwIfAborted();
        io.progress(`bench: ${work.name}, round ${round} of ${options.rounds}`);
      },
    });
    for (const contender of contenders) await contender.close();
    return {
      ...describe(work, load),
      ...{ waitsForCommit: true, missing: [] },
      ...measured,
      ledgerBytesPerWrite: null,
      ledgerBytesPerLoneWrite: null,
    };
  } finally {
    for (const one of started) await one.stop();
  }
}

/** A service of its own; the folder is new for each. */
export async function startedIn(
  folder: string,
  nodes: number,
  { durability }: BenchOptions,
): Promise<Concordat> {
  mkdirSync(folder, { recursive: true });
  const inside = mkdtempSync(join(folder, `${nodes}-`));
  return await Concordat.start({ folder: inside, durability, nodes });
}
