/**
 * One run: starts everything, measures work after work, ends everything.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BenchOptions } from './arguments.ts';
import { runOnClusters } from './cluster-run.ts';
import { Generator } from './generator/generator.ts';
import { describeMachine, type ProcessMemory, processMemory, watchOthers } from './machine.ts';
import { RESULT_VERSION, type RunResults, type WorkResult } from './result.ts';
import { statementsOf, warningsOf } from './statements.ts';
import { AppendSync } from './systems/append-sync.ts';
import { BareHttps } from './systems/bare-https.ts';
import { Concordat } from './systems/concordat.ts';
import { runWork } from './work-run.ts';

export interface RunIo {
  progress(text: string): void;
  /** Aborted when the run is to end early. */
  readonly signal: AbortSignal;
}

export async function runBench(options: BenchOptions, io: RunIo): Promise<RunResults> {
  const base = resolve(options.data ?? tmpdir());
  mkdirSync(base, { recursive: true });
  const folder = mkdtempSync(join(base, 'concordat-bench-'));
  const ends: (() => Promise<void> | void)[] = [
    () => rmSync(folder, { recursive: true, force: true }),
  ];
  try {
    const machine = describeMachine(folder);
    const startedMs = Date.now();
    io.progress('bench: starting the sandbox, its limits and the load generator');
    const service = await Concordat.start({
      folder: join(folder, 'sandbox'),
      durability: options.durability,
      ...(options.profile === undefined ? {} : { profile: resolve(options.profile) }),
    });
    ends.push(() => service.stop());
    const bare = new BareHttps();
    ends.push(() => bare.stop());
    const file = new AppendSync(folder);
    ends.push(() => file.stop());
    const generator = new Generator();
    ends.push(() => generator.stop());

    const pids = [process.pid, ...service.pids, bare.pid, file.pid, generator.pid];
    const others = watchOthers(pids);
    const mayRepeat = (): boolean => Date.now() - startedMs < options.repeatUntilMs;
    const works: WorkResult[] = [];
    let stored = 0;
    for (const work of options.works) {
      if (work.nodes !== undefined) {
        const inside = join(folder, 'clusters');
        const known = { service, generator, folder: inside, pids, mayRepeat };
        works.push(await runOnClusters(work, work.nodes, known, options, io));
        continue;
      }
      const { result, writes } = await runWork(
        work,
        { service, bare, file, generator },
        options,
        { others, mayRepeat },
        io,
      );
      works.push(result);
      stored += writes;
    }
    const { quick, rounds, sliceMs, spreadMax, connections, payloadBytes } = options;
    return {
      version: RESULT_VERSION,
      at: new Date(startedMs).toISOString(),
      seconds: (Date.now() - startedMs) / 1000,
      ...{ quick, rounds, sliceMs, spreadMax, connections, payloadBytes },
      machine,
      systems: statementsOf(options),
      works,
      memory: memoryOf(service.pids),
      stored,
      warnings: warningsOf(works, machine.fileSystem, options),
    };
  } finally {
    io.progress('bench: stopping everything');
    for (const end of ends.reverse()) await end();
  }
}

/** Of all processes together; null where one cannot be read. */
function memoryOf(pids: readonly number[]): ProcessMemory | null {
  let [residentBytes, peakBytes] = [0, 0];
  for (const pid of pids) {
    const one = processMemory(pid);
    if (one === undefined) return null;
    residentBytes += one.residentBytes;
    peakBytes += one.peakBytes;
  }
  return { residentBytes, peakBytes };
}
