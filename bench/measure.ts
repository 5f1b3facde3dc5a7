/**
 * Measures one work: everybody who does it takes turns, round after round, so that whatever slows
 * the machine for a while slows all of them. Rounds in which others used the machine are repeated;
 * which rounds count is decided by what others used, never by the figures.
 */
import { type Contender, type Slice, totalsOf } from './contender.ts';
import type { NamedRatio, SystemFigures } from './result.ts';
import { median, ratioOf } from './statistics.ts';

export interface Plan {
  readonly rounds: number;
  readonly sliceMs: number;
  /**
   * Before the first round, for ours: it has more code to warm than a bare server. 0 where each
   * slice is a program of its own, cold by nature.
   */
  readonly warmUpMs: number;
  readonly spreadMax: number;
  /** The part of the machine that others used since the last call. */
  readonly others: () => number;
  /** Whether there is time for another round in place of a disturbed one. */
  readonly mayRepeat: () => boolean;
  /** Called before each round; throws when the run is to end. */
  readonly onRound: (round: number) => void;
}

export interface Measured {
  readonly systems: readonly SystemFigures[];
  readonly ratios: readonly NamedRatio[];
  /** The part of the machine that others used in each round that counts. */
  readonly othersBusyRounds: readonly number[];
  /** Rounds that do not count because others used the machine. */
  readonly roundsDisturbed: number;
}

export interface Round {
  readonly othersBusy: number;
  /** By contender. */
  readonly slices: readonly Slice[];
}

/** A round in which others used more of the machine is repeated while there is time. */
export const DISTURBED = 0.08;
/** However busy the machine is, a work ends after so many times its rounds. */
const REPEATS_MAX = 3;

/** The first contender is ours; the ratios are its throughput to each of the others'. */
export async function measure(
  ours: Contender,
  others: readonly Contender[],
  plan: Plan,
): Promise<Measured> {
  const contenders = [ours, ...others];
  if (plan.warmUpMs > 0) {
    for (const other of others) await other.slice(plan.sliceMs);
    await ours.slice(plan.warmUpMs);
  }
  const all: Round[] = [];
  while (wantsRound(all, plan)) {
    plan.onRound(all.length + 1);
    plan.others();
    const slices: Slice[] = [];
    for (const contender of contenders) slices.push(await contender.slice(plan.sliceMs));
    all.push({ othersBusy: plan.others(), slices });
  }
  const kept = quietest(all, plan.rounds);
  const systems = contenders.map(({ name }, index) =>
    figuresOf(
      name,
      kept.flatMap(({ slices }) => slices[index] ?? []),
    ),
  );
  const [first, ...rest] = systems;
  if (first === undefined) throw new RangeError('nobody was measured');
  return {
    systems,
    ratios: rest.map((other) => ({
      to: other.name,
      throughput: ratioOf(first.perSecondRounds, other.perSecondRounds, plan.spreadMax),
      p50: ratioOf(first.p50MsRounds, other.p50MsRounds, plan.spreadMax),
      p99: ratioOf(first.p99MsRounds, other.p99MsRounds, plan.spreadMax),
      cpu:
        first.cpuMicrosRounds === null || other.cpuMicrosRounds === null
          ? null
          : ratioOf(first.cpuMicrosRounds, other.cpuMicrosRounds, plan.spreadMax),
    })),
    othersBusyRounds: kept.map(({ othersBusy }) => othersBusy),
    roundsDisturbed: all.length - kept.length,
  };
}

function wantsRound(all: readonly Round[], { rounds, mayRepeat }: Plan): boolean {
  if (all.length < rounds) return true;
  const quiet = all.filter(({ othersBusy }) => othersBusy <= DISTURBED).length;
  return quiet < rounds && all.length < REPEATS_MAX * rounds && mayRepeat();
}

/** The rounds in which others did least, in the order they were run. */
export function quietest(all: readonly Round[], count: number): readonly Round[] {
  const chosen = new Set(
    [...all].sort((left, right) => left.othersBusy - right.othersBusy).slice(0, count),
  );
  return all.filter((round) => chosen.has(round));
}

function figuresOf(name: string, slices: readonly Slice[]): SystemFigures {
  const totals = totalsOf(slices);
  return {
    name,
    requests: totals.requests,
    perSecond: median(totals.perSecond),
    perSecondRounds: totals.perSecond,
    p50Ms: totals.latency.percentile(0.5),
    p99Ms: totals.latency.percentile(0.99),
    latency: totals.latency.curve(),
    cpuMicrosRounds: totals.cpuMicros ?? null,
    p50MsRounds: totals.p50Ms,
    p99MsRounds: totals.p99Ms,
    cpuMicrosPerRequest: totals.cpuMicrosPerRequest ?? null,
    generatorBusy: totals.generatorBusy ?? null,
  };
}
