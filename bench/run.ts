/**
 * One run: starts everything, measures work after work, ends everything.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BenchOptions } from './arguments.ts';
import { runOnClusters, startedIn } from './cluster-run.ts';
import { Generator } from './generator/generator.ts';
import { drawCurves } from './growth.ts';
import { describeMachine, type ProcessMemory, processMemory, watchOthers } from './machine.ts';
import { type OwnContext, runOwnWork } from './own-work.ts';
import {
  RESULT_VERSION,
  type RunResults,
  type SoakResult,
  type SystemStatement,
  type WorkResult,
} from './result.ts';
import { type Soaked, soak } from './soak.ts';
import { statementsOf, warningsOf } from './statements.ts';
import { AppendSync } from './systems/append-sync.ts';
import { BareHttps } from './systems/bare-https.ts';
import { ccfOf, tesseraOf } from './systems/by-address.ts';
import { CONCORDAT, Concordat } from './systems/concordat.ts';
import { HttpContender } from './systems/http-contender.ts';
import { loadOf, runWork, targetOf } from './work-run.ts';

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
  // A peer that does not run as root must get at its own folder inside.
  chmodSync(folder, 0o711);
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
    const parts = new BareHttps();
    ends.push(() => parts.stop());
    const file = new AppendSync(folder);
    ends.push(() => file.stop());
    const generator = new Generator();
    ends.push(() => generator.stop());

    const named = [tesseraOf(process.env), ccfOf(process.env)].flatMap((peer) => peer ?? []);
    const quiet = {
      others: watchOthers(named.flatMap(({ pids }) => pids)),
      mayRepeat: (): boolean => Date.now() - startedMs < options.repeatUntilMs,
    };
    const works: WorkResult[] = [];
    const statements = [...statementsOf(options)];
    let stored = 0;
    for (const work of options.soakMinutes === undefined ? options.works : []) {
      if (work.kind === 'sizes') {
        const inside = join(folder, 'clusters');
        const known = { service, generator, folder: inside, quiet };
        works.push(await runOnClusters(work, known, options, io));
        continue;
      }
      if (work.kind === 'own') {
        const context: OwnContext = {
          ...{ service, generator, options, env: process.env },
          folder: mkdtempSync(join(folder, 'own-')),
          progress: (text) => io.progress(`bench: ${work.name}, ${text}`),
        };
        const ran = await runOwnWork(work, context, quiet, io);
        works.push(ran.result);
        addStatements(statements, ran.statements);
        continue;
      }
      const alone = work.nodes === undefined;
      if (!alone) io.progress(`bench: ${work.name}, starting a service of ${work.nodes}`);
      const asked = alone
        ? service
        : await startedIn(join(folder, 'clusters'), work.nodes, options);
      if (!alone) ends.push(() => asked.stop());
      const systems = { service: asked, bare, parts, file, generator };
      const ran = await runWork(work, systems, options, quiet, join(folder, 'peers'), io);
      if (!alone) await asked.stop();
      works.push(ran.result);
      if (alone) stored += ran.writes;
      addStatements(statements, ran.statements);
    }
    const soaked = await runSoak(options, service, generator, io);
    stored += soaked?.writes ?? 0;
    const said: string[] = [];
    const untilMs = Date.now() + options.growthMinutes * 60_000;
    const { growth, left } = await drawCurves(options.curves, ({ name }) => ({
      ...{ generator, options },
      newFolder: () => mkdtempSync(join(folder, 'growth-')),
      progress: (text) => io.progress(`bench: growth by ${name}: ${text}`),
      warn: (text) => said.push(`${name}: ${text}`),
      mayGoOn: () => io.signal.throwIfAborted(),
      leftMs: () => untilMs - Date.now(),
    }));
    const { quick, rounds, sliceMs, spreadMax, connections, payloadBytes } = options;
    return {
      version: RESULT_VERSION,
      at: new Date(startedMs).toISOString(),
      seconds: (Date.now() - startedMs) / 1000,
      ...{ quick, rounds, sliceMs, spreadMax, connections, payloadBytes },
      machine,
      systems: statements,
      works,
      growth,
      soak: soaked?.result ?? null,
      memory: memoryOf(service.pids),
      peerMemory: named.flatMap(({ name, pids }) => {
        const memory = pids.length === 0 ? null : memoryOf(pids);
        return memory === null ? [] : [{ name, residentBytes: memory.residentBytes }];
      }),
      stored,
      warnings: [
        ...warningsOf(works, machine.fileSystem, options),
        ...said,
        ...left.map((name) => `no curve of ${name}: the time was up (--minutes)`),
      ],
    };
  } finally {
    io.progress('bench: stopping everything');
    for (const end of ends.reverse()) await end();
  }
}

/** The one work of `--soak`, if that was asked for. */
async function runSoak(
  options: BenchOptions,
  service: Concordat,
  generator: Generator,
  io: RunIo,
): Promise<{ readonly result: SoakResult; readonly writes: number } | undefined> {
  const [work] = options.works;
  const { soakMinutes: minutes } = options;
  if (minutes === undefined || work?.kind !== 'requests') return undefined;
  const load = loadOf(work, options, generator);
  const target = await targetOf(work.ask, service, load);
  const ours = await HttpContender.open(CONCORDAT, generator, service.pids, target);
  const soaked: Soaked = {
    slice: (milliseconds) => ours.slice(milliseconds),
    figures: () => service.figures(),
  };
  const result = await soak(work.name, minutes * 60_000, soaked, (point) => {
    io.signal.throwIfAborted();
    io.progress(`bench: ${work.name}, ${Math.round(point.seconds)} s of ${minutes * 60}`);
  });
  await ours.close();
  return { result, writes: work.writes ? ours.answered : 0 };
}

/** A system may take part in several works. */
function addStatements(all: SystemStatement[], more: readonly SystemStatement[]): void {
  for (const statement of more) {
    if (all.every(({ name }) => name !== statement.name)) all.push(statement);
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
