/**
 * One work from preparation to figures.
 */
import type { BenchOptions } from './arguments.ts';
import type { Generator } from './generator/generator.ts';
import type { Target } from './generator/job.ts';
import { measure, type Plan } from './measure.ts';
import type { WorkResult } from './result.ts';
import type { RunIo } from './run.ts';
import type { AppendSync } from './systems/append-sync.ts';
import { BARE_HTTPS, type BareHttps } from './systems/bare-https.ts';
import { CONCORDAT, type Concordat } from './systems/concordat.ts';
import { HttpContender } from './systems/http-contender.ts';
import type { Work, WorkContext } from './works.ts';

export interface Systems {
  readonly service: Concordat;
  readonly bare: BareHttps;
  readonly file: AppendSync;
  readonly generator: Generator;
}

/** Writes of the one client alone; enough that what is not the payload averages out. */
const LONE_WRITES = 100;

export async function runWork(
  work: Work,
  { service, bare, file, generator }: Systems,
  options: BenchOptions,
  quiet: Pick<Plan, 'others' | 'mayRepeat'>,
  io: RunIo,
): Promise<{ readonly result: WorkResult; readonly writes: number }> {
  const { connections, payloadBytes, rounds } = options;
  const context: WorkContext = { service, generator, connections, payloadBytes };
  const plan: Plan = {
    ...options,
    ...quiet,
    onRound(round) {
      io.signal.throwIfAborted();
      io.progress(progressOf(work.name, round, rounds));
    },
  };
  io.signal.throwIfAborted();
  io.progress(`bench: ${work.name}, preparing`);
  const target = await work.prepare(context);
  const growth = work.writes ? await firstWrites(context, target) : undefined;
  const bareTarget = await bareTargetFor(context, target, bare);
  const ours = await HttpContender.open(CONCORDAT, generator, service.pids, target);
  const theirs = await HttpContender.open(BARE_HTTPS, generator, [bare.pid], bareTarget);
  const waits = work.waitsForCommit && growth !== undefined;
  if (waits) {
    const sync = options.durability === 'fsync';
    file.become({ recordBytes: Math.round(growth.together), records: connections, sync });
  }
  const before = await service.settledLedgerBytes();
  const measured = await measure(ours, waits ? [theirs, file] : [theirs], plan);
  const writes = work.writes ? ours.answered : 0;
  const grown = (await service.settledLedgerBytes()) - before;
  await ours.close();
  await theirs.close();
  return {
    writes,
    result: {
      name: work.name,
      summary: work.summary,
      waitsForCommit: work.waitsForCommit,
      ...measured,
      ledgerBytesPerWrite: work.writes ? grown / writes : null,
      ledgerBytesPerLoneWrite: growth?.alone ?? null,
    },
  };
}

function progressOf(name: string, round: number, rounds: number): string {
  const again = round > rounds ? ', for one in which others used the machine' : '';
  return `bench: ${name}, round ${round} of ${rounds}${again}`;
}

/** What the ledger grows by for one write, of one client alone and of all connections together. */
async function firstWrites(
  { service, generator, connections }: WorkContext,
  target: Target,
): Promise<{ readonly alone: number; readonly together: number }> {
  const growth = async (using: number, requests: number): Promise<number> => {
    const name = 'first writes';
    await generator.open(name, { ...target, connections: using });
    const before = await service.settledLedgerBytes();
    await generator.run(name, { requests });
    await generator.close(name);
    return ((await service.settledLedgerBytes()) - before) / requests;
  };
  const alone = await growth(1, LONE_WRITES);
  return { alone, together: await growth(connections, LONE_WRITES * connections) };
}

/** The bare server is asked with the same bytes and answers what ours answered once. */
async function bareTargetFor(
  { service, generator }: WorkContext,
  target: Target,
  bare: BareHttps,
): Promise<Target> {
  const name = 'sample';
  await generator.open(name, { ...target, connections: 1 });
  const { bodies } = await generator.run(name, { requests: 1, keepBodies: true });
  await generator.close(name);
  const { port, certificate } = await bare.answerWith({
    status: target.expectedStatus,
    contentType: 'application/json',
    body: bodies[0] ?? '',
  });
  const { cert, key } = service.credentialsOf(1);
  return { ...target, host: '127.0.0.1', port, tls: { ca: certificate, cert, key } };
}
