/**
 * What may be said of rounds: medians, and ratios that are refused when the rounds disagree.
 */

/** A ratio from fewer rounds than this says nothing of its own noise. */
export const ROUNDS_MIN = 3;

export interface Ratio {
  readonly kind: 'ratio';
  /** Median of the rounds' ratios. */
  readonly median: number;
  /** Width from the 10th to the 90th percentile of the rounds' ratios, as a part of the median. */
  readonly spread: number;
  readonly rounds: readonly number[];
}

export interface RefusedRatio {
  readonly kind: 'refused';
  readonly reason: string;
  readonly rounds: readonly number[];
}

/**
 * The ratio of two systems measured in alternation: each round's own ratio is taken first, so that
 * what slows the machine for a while slows both sides of a fraction.
 */
export function ratioOf(
  ours: readonly number[],
  theirs: readonly number[],
  spreadMax: number,
): Ratio | RefusedRatio {
  if (ours.length !== theirs.length) {
    throw new Error(`${ours.length} rounds cannot be paired with ${theirs.length}`);
  }
  const rounds = ours.map((value, round) => value / (theirs[round] ?? Number.NaN));
  const refuse = (reason: string): RefusedRatio => ({ kind: 'refused', reason, rounds });
  if (rounds.length < ROUNDS_MIN) {
    return refuse(`${rounds.length} rounds are too few to know their noise (${ROUNDS_MIN})`);
  }
  if (!rounds.every((ratio) => Number.isFinite(ratio) && ratio > 0)) {
    return refuse('a round ended without a single answer');
  }
  const middle = median(rounds);
  const spread = (quantile(rounds, 0.9) - quantile(rounds, 0.1)) / middle;
  if (spread > spreadMax) {
    const limit = `${percent(spreadMax)} is the most that is let through`;
    return refuse(`the rounds differ by ${percent(spread)} of their median; ${limit}`);
  }
  return { kind: 'ratio', median: middle, spread, rounds };
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The quantile by linear interpolation between the nearest ranks; NaN without values. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  const at = fraction * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

export function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}
