/**
 * Measures one work: everybody who does it takes turns, round after round, so that whatever slows
 * the machine for a while slows all of them.
 */
import { type Contender, type Slice, totalsOf } from './contender.ts';
import type { NamedRatio, SystemFigures } from './result.ts';
import { median, ratioOf } from './statistics.ts';

export interface Plan {
  readonly rounds: number;
  readonly sliceMs: number;
  /** Before the first round, for ours: it has more code to warm than a bare server. */
  readonly warmUpMs: number;
  readonly spreadMax: number;
  /** Called before each round; throws when the run is to end. */
  readonly onRound: (round: number) => void;
}

export interface Measured {
  readonly systems: readonly SystemFigures[];
  readonly ratios: readonly NamedRatio[];
}

/** The first contender is ours; the ratios are its throughput to each of the others'. */
export async function measure(
  ours: Contender,
  others: readonly Contender[],
  plan: Plan,
): Promise<Measured> {
  const contenders = [ours, ...others];
  const slices = new Map<string, Slice[]>(contenders.map(({ name }) => [name, []]));
  for (const other of others) await other.slice(plan.sliceMs);
  await ours.slice(plan.warmUpMs);
  for (let round = 1; round <= plan.rounds; round += 1) {
    plan.onRound(round);
    for (const contender of contenders) {
      slices.get(contender.name)?.push(await contender.slice(plan.sliceMs));
    }
  }
  const systems = contenders.map(({ name }) => figuresOf(name, slices.get(name) ?? []));
  const [first, ...rest] = systems;
  return {
    systems,
    ratios: rest.map(({ name, perSecondRounds }) => ({
      to: name,
      throughput: ratioOf(first?.perSecondRounds ?? [], perSecondRounds, plan.spreadMax),
    })),
  };
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
    cpuMicrosPerRequest: totals.cpuMicrosPerRequest ?? null,
    generatorBusy: totals.generatorBusy ?? null,
  };
}
