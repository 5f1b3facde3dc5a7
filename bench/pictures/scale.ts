/**
 * Where a value lies on an axis, and which values are written beside it.
 */

export type ScaleKind = 'linear' | 'log' | 'percentile';

export interface Scale {
  /** Pixels along the axis. */
  at(value: number): number;
  readonly ticks: readonly Tick[];
}

export interface Tick {
  readonly value: number;
  readonly text: string;
}

/** Least percentile distance that is drawn: beyond 99.99 % there are few samples in any run. */
const FROM_END_MIN = 1e-4;
const PERCENTILES: readonly number[] = [0, 0.5, 0.9, 0.99, 0.999, 0.9999];
/** A logarithmic axis shorter than this many decades has steps between its powers of ten. */
const FEW_DECADES = 2;
const STEPS_WANTED = 5;

/** An axis of so many pixels over all of `values`; a linear one begins at 0. */
export function scaleOf(kind: ScaleKind, values: readonly number[], pixels: number): Scale {
  if (kind === 'percentile') return percentileScale(pixels);
  return kind === 'log' ? logScale(values, pixels) : linearScale(values, pixels);
}

function linearScale(values: readonly number[], pixels: number): Scale {
  const step = niceStep(Math.max(...values, Number.MIN_VALUE) / STEPS_WANTED);
  const top = Math.max(step, Math.ceil(Math.max(...values, 0) / step) * step);
  const count = Math.round(top / step);
  const ticks = Array.from({ length: count + 1 }, (_, index) => tick(index * step));
  return { at: (value) => (value / top) * pixels, ticks };
}

/** The next of 1, 2, 5, 10, 20, 50 … */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((each) => each * power >= rough * (1 - 1e-9)) ?? 10;
  return factor * power;
}

function logScale(values: readonly number[], pixels: number): Scale {
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...positive, Number.MAX_VALUE)) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...positive, 0)) - 1e-9));
  const factors = high - low <= FEW_DECADES ? [1, 2, 5] : [1];
  const ticks: Tick[] = [];
  for (let decade = low; decade <= high; decade += 1) {
    for (const factor of factors) {
      if (decade === high && factor > 1) continue;
      ticks.push(tick(factor * 10 ** decade));
    }
  }
  const at = (value: number): number =>
    ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * pixels;
  return { at, ticks };
}

/** Each nine takes as much room as the one before. */
function percentileScale(pixels: number): Scale {
  const nines = (part: number): number => -Math.log10(Math.max(1 - part, FROM_END_MIN));
  const all = nines(1);
  return {
    at: (part) => (nines(part) / all) * pixels,
    ticks: PERCENTILES.map((value) => ({
      value,
      text: `${Number((value * 100).toFixed(2))} %`,
    })),
  };
}

function tick(value: number): Tick {
  return { value, text: shortNumber(value) };
}

const UNITS: readonly (readonly [number, string])[] = [
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

/** Three digits and a unit: 12.5k. */
export function shortNumber(value: number): string {
  const unit = UNITS.find(([size]) => Math.abs(value) >= size);
  const [size, name] = unit ?? [1, ''];
  return `${Number((value / size).toPrecision(3))}${name}`;
}
