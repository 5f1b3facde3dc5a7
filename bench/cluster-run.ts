/**
 * One work on services of several sizes, side by side: what replication costs.
 */
import { join } from 'node:path';
import type { BenchOptions } from './arguments.ts';
import type { Generator } from './generator/generator.ts';
import { watchOthers } from './machine.ts';
import { measure, type Plan } from './measure.ts';
import type { WorkResult } from './result.ts';
import type { RunIo } from './run.ts';
import { CONCORDAT, Concordat } from './systems/concordat.ts';
import { HttpContender } from './systems/http-contender.ts';
import type { Work } from './works.ts';

export interface ClusterSystems {
  /** The service of one node that the other works use. */
  readonly service: Concordat;
  readonly generator: Generator;
  /** Where the larger services lie. */
  readonly folder: string;
  /** Processes of this run, besides those that are started here. */
  readonly pids: readonly number[];
  readonly mayRepeat: Plan['mayRepeat'];
}

/** The first size is ours in the table; ratios are its throughput to the others'. */
export async function runOnClusters(
  work: Work,
  sizes: readonly number[],
  { service, generator, folder, pids, mayRepeat }: ClusterSystems,
  options: BenchOptions,
  io: RunIo,
): Promise<WorkResult> {
  const started: Concordat[] = [];
  try {
    const contenders: HttpContender[] = [];
    for (const nodes of sizes) {
      io.signal.throwIfAborted();
      io.progress(`bench: ${work.name}, starting a service of ${nodes}`);
      const one = nodes === 1 ? service : await startedIn(folder, nodes, options);
      if (one !== service) started.push(one);
      const { connections, payloadBytes } = options;
      const target = await work.prepare({ service: one, generator, connections, payloadBytes });
      const name = `${CONCORDAT}, ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;
      contenders.push(await HttpContender.open(name, generator, one.pids, target));
    }
    const [first, ...rest] = contenders;
    if (first === undefined) throw new RangeError(`${work.name} names no size`);
    const all = [...pids, ...started.flatMap((one) => one.pids)];
    const measured = await measure(first, rest, {
      ...options,
      others: watchOthers(all),
      mayRepeat,
      onRound(round) {
        io.signal.throwIfAborted();
        io.progress(`bench: ${work.name}, round ${round} of ${options.rounds}`);
      },
    });
    for (const contender of contenders) await contender.close();
    return {
      name: work.name,
      summary: work.summary,
      waitsForCommit: work.waitsForCommit,
      ...measured,
      ledgerBytesPerWrite: null,
      ledgerBytesPerLoneWrite: null,
    };
  } finally {
    for (const one of started) await one.stop();
  }
}

async function startedIn(
  folder: string,
  nodes: number,
  { durability }: BenchOptions,
): Promise<Concordat> {
  return await Concordat.start({ folder: join(folder, String(nodes)), durability, nodes });
}
