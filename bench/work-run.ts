/**
 * One work from preparation to figures.
 */
import type { BenchOptions } from './arguments.ts';
import type { Contender } from './contender.ts';
import type { Generator } from './generator/generator.ts';
import type { Target } from './generator/job.ts';
import type { Load } from './load.ts';
import { measure, type Plan } from './measure.ts';
import type { SystemStatement, WorkLoad, WorkResult } from './result.ts';
import type { RunIo } from './run.ts';
import type { AppendSync } from './systems/append-sync.ts';
import { BARE_HTTPS, type BareHttps, PARTS } from './systems/bare-https.ts';
import type { Parts } from './systems/bare-https-process.ts';
import { CONCORDAT, type Concordat } from './systems/concordat.ts';
import { HttpContender } from './systems/http-contender.ts';
import { type PeerWorld, peersOf, stopPeers } from './systems/peers.ts';
import type { Ask, RequestWork } from './works.ts';

export interface Systems {
  readonly service: Concordat;
  readonly bare: BareHttps;
  /** A second server, which also does the parts of a write. */
  readonly parts: BareHttps;
  readonly file: AppendSync;
  readonly generator: Generator;
}

export interface RanWork {
  readonly result: WorkResult;
  /** Writes that our service acknowledged. */
  readonly writes: number;
  /** The peers that took part. */
  readonly statements: readonly SystemStatement[];
}

/** Writes of the one client alone; enough that what is not the payload averages out. */
const LONE_WRITES = 100;

export async function runWork(
  work: RequestWork,
  systems: Systems,
  options: BenchOptions,
  quiet: Pick<Plan, 'others' | 'mayRepeat'>,
  peerFolder: string,
  io: RunIo,
): Promise<RanWork> {
  const { service, file, generator } = systems;
  const { rounds, durability } = options;
  const load = loadOf(work, options, generator);
  const plan: Plan = {
    ...{ ...options, ...quiet },
    onRound(round) {
      io.signal.throwIfAborted();
      io.progress(progressOf(work.name, round, rounds));
    },
  };
  io.signal.throwIfAborted();
  io.progress(`bench: ${work.name}, preparing`);
  const target = await targetOf(work.ask, service, load);
  const growth = work.writes ? await firstWrites(service, generator, target) : undefined;
  const world: PeerWorld = { env: process.env, folder: peerFolder, durability, generator };
  const { present, missing } = await peersOf(work, load, world);
  const limits: HttpContender[] = [];
  try {
    io.signal.throwIfAborted();
    const ours = await HttpContender.open(CONCORDAT, generator, service.pids, target);
    const constant = await bodyOf(generator, target);
    const asLimit = async (name: string, server: BareHttps, parts?: Parts): Promise<void> => {
      const at = await limitTarget(service, target, constant, server, parts);
      limits.push(await HttpContender.open(name, generator, [server.pid], at));
    };
    await asLimit(BARE_HTTPS, systems.bare);
    const others: Contender[] = [...present.map(({ contender }) => contender), ...limits];
    if (growth !== undefined && work.besideParts) {
      const entryBytes = Math.round(growth.together);
      await asLimit(PARTS, systems.parts, { entryBytes });
      others.push(...limits.slice(-1));
    }
    if (growth !== undefined && work.waitsForCommit) {
      const records = load.connections * load.inFlight;
      const recordBytes = Math.round(growth.together);
      file.become({ recordBytes, records, sync: durability === 'fsync' });
      others.push(file);
    }
    const before = await service.settledLedgerBytes();
    const measured = await measure(ours, others, plan);
    const writes = work.writes ? ours.answered : 0;
    const grown = (await service.settledLedgerBytes()) - before;
    await ours.close();
    return {
      writes,
      statements: present.map(({ statement }) => statement),
      result: {
        ...describe(work, load),
        ...{ waitsForCommit: work.waitsForCommit, missing },
        ...measured,
        ledgerBytesPerWrite: work.writes ? grown / writes : null,
        ledgerBytesPerLoneWrite: growth?.alone ?? null,
      },
    };
  } finally {
    for (const limit of limits) await limit.close();
    await stopPeers(present);
  }
}

/** A work's own size goes before what the command line says. */
export function loadOf(
  { connections, payloadBytes, inFlight = 1 }: Partial<WorkLoad>,
  options: BenchOptions,
  generator: Generator,
): Load {
  return {
    generator,
    inFlight,
    connections: connections ?? options.connections,
    payloadBytes: payloadBytes ?? options.payloadBytes,
  };
}

export function describe(
  { name, summary }: { readonly name: string; readonly summary: string },
  { connections, inFlight, payloadBytes }: WorkLoad,
): Pick<WorkResult, 'name' | 'summary' | 'load'> {
  return { name, summary, load: { connections, inFlight, payloadBytes } };
}

export async function targetOf(ask: Ask, service: Concordat, load: Load): Promise<Target> {
  return await ask.target(service, load);
}

function progressOf(name: string, round: number, rounds: number): string {
  const again = round > rounds ? ', for one in which others used the machine' : '';
  return `bench: ${name}, round ${round} of ${rounds}${again}`;
}

/** What the ledger grows by for one write, of one client alone and of all connections together. */
async function firstWrites(
  service: Concordat,
  generator: Generator,
  target: Target,
): Promise<{ readonly alone: number; readonly together: number }> {
  const growth = async (of: Target, requests: number): Promise<number> => {
    const name = 'first writes';
    await generator.open(name, of);
    const before = await service.settledLedgerBytes();
    await generator.run(name, { requests });
    await generator.close(name);
    return ((await service.settledLedgerBytes()) - before) / requests;
  };
  const alone = await growth({ ...target, connections: 1, inFlight: 1 }, LONE_WRITES);
  return { alone, together: await growth(target, LONE_WRITES * target.connections) };
}

/** What ours answers once. */
async function bodyOf(generator: Generator, target: Target): Promise<string> {
  const name = 'sample';
  await generator.open(name, { ...target, connections: 1, inFlight: 1 });
  const { bodies } = await generator.run(name, { requests: 1, keepBodies: true });
  await generator.close(name);
  return bodies[0] ?? '';
}

/** A limit is asked with the same bytes and answers what ours answered. */
async function limitTarget(
  service: Concordat,
  target: Target,
  body: string,
  server: BareHttps,
  parts: Parts | undefined,
): Promise<Target> {
  const { port, certificate } = await server.answerWith({
    ...{ status: target.expectedStatus, contentType: 'application/json', body },
    ...(parts === undefined ? {} : { parts }),
  });
  const { cert, key } = service.credentials();
  return { ...target, host: '127.0.0.1', port, tls: { ca: certificate, cert, key } };
}
