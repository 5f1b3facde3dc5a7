/**
 * Works that are no requests of many clients: each brings its own contenders, ours first.
 */
import type { BenchOptions } from './arguments.ts';
import type { Contender } from './contender.ts';
import type { Generator } from './generator/generator.ts';
import { measure, type Plan } from './measure.ts';
import type { SystemStatement, WorkLoad, WorkResult } from './result.ts';
import type { RunIo } from './run.ts';
import type { Concordat } from './systems/concordat.ts';
import type { MissingPeer } from './systems/peer.ts';
import { describe } from './work-run.ts';

export interface OwnContext {
  /** The service of one node that all works share. */
  readonly service: Concordat;
  readonly generator: Generator;
  /** New, and thrown away at the end of the run. */
  readonly folder: string;
  readonly options: BenchOptions;
  readonly env: NodeJS.ProcessEnv;
  progress(text: string): void;
}

export interface OwnContenders {
  readonly ours: Contender;
  readonly others: readonly Contender[];
  readonly missing: readonly MissingPeer[];
  readonly statements: readonly SystemStatement[];
  readonly load: WorkLoad;
  stop(): Promise<void>;
}

export interface OwnWork {
  readonly kind: 'own';
  readonly name: string;
  readonly summary: string;
  /** What is counted in a second. */
  readonly unit: string;
  readonly judgedBy: 'throughput' | 'p50';
  /** Each slice runs programs to their end: it is long, so that few must do, and begins cold. */
  readonly roundsMax?: number;
  readonly quick?: true;
  prepare(context: OwnContext): Promise<OwnContenders>;
}

export interface RanOwnWork {
  readonly result: WorkResult;
  readonly statements: readonly SystemStatement[];
}

export async function runOwnWork(
  work: OwnWork,
  context: OwnContext,
  quiet: Pick<Plan, 'others' | 'mayRepeat'>,
  io: RunIo,
): Promise<RanOwnWork> {
  io.signal.throwIfAborted();
  const { options } = context;
  const rounds = Math.min(options.rounds, work.roundsMax ?? options.rounds);
  context.progress('preparing');
  const { ours, others, missing, statements, load, stop } = await work.prepare(context);
  try {
    const measured = await measure(ours, others, {
      ...{ ...options, ...quiet, rounds },
      warmUpMs: work.roundsMax === undefined ? options.sliceMs : 0,
      onRound(round) {
        io.signal.throwIfAborted();
        context.progress(`round ${round} of ${rounds}`);
      },
    });
    const { unit, judgedBy } = work;
    return {
      statements,
      result: {
        ...describe(work, load),
        ...{ unit, judgedBy, waitsForCommit: false, missing },
        ...measured,
        ledgerBytesPerWrite: null,
        ledgerBytesPerLoneWrite: null,
      },
    };
  } finally {
    await stop();
  }
}
