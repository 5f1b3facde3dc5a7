/**
 * A histogram of times that keeps every sample: exact below 128 µs, then 64 buckets to each
 * doubling, so that a percentile is right to 1.6 % whatever its size. It crosses between processes
 * as its counters.
 */

/** Parts of all samples that a curve of them shows. */
const CURVE: readonly number[] = [
  ...[0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
  ...[0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999],
];
/** Beyond it a part of fewer samples than this is chance. */
const SAMPLES_BEYOND = 2;

/** Below this many microseconds each has a bucket of its own. */
const LINEAR_MICROS = 128;
const BUCKETS_PER_DOUBLING = 64;
/** log2 of `LINEAR_MICROS / BUCKETS_PER_DOUBLING`, less than which no bucket is wider than 1 µs. */
const FIRST_SHIFT = 1;
const MICROS_MAX = 2 ** 31 - 1;
const BUCKETS = bucketOf(MICROS_MAX) + 1;

export class Histogram {
  readonly counters: Float64Array;
  #total: number;

  constructor(counters: Float64Array = new Float64Array(BUCKETS)) {
    if (counters.length !== BUCKETS) {
      throw new Error(`a histogram has ${BUCKETS} counters, not ${counters.length}`);
    }
    this.counters = counters;
    this.#total = counters.reduce((sum, count) => sum + count, 0);
  }

  get total(): number {
    return this.#total;
  }

  record(milliseconds: number): void {
    const bucket = bucketOf(Math.min(Math.max(0, Math.round(milliseconds * 1000)), MICROS_MAX));
    this.counters[bucket] = (this.counters[bucket] ?? 0) + 1;
    this.#total += 1;
  }

  add(other: Histogram): void {
    other.counters.forEach((count, bucket) => {
      this.counters[bucket] = (this.counters[bucket] ?? 0) + count;
    });
    this.#total += other.total;
  }

  /** Milliseconds that `fraction` of all samples do not exceed; NaN without samples. */
  percentile(fraction: number): number {
    const wanted = Math.max(1, Math.ceil(fraction * this.#total));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      seen += this.counters[bucket] ?? 0;
      if (seen >= wanted) return middleOf(bucket) / 1000;
    }
    return Number.NaN;
  }

  /** Parts of all samples with the milliseconds they do not exceed, as far as samples tell. */
  curve(): readonly (readonly [number, number])[] {
    const told = CURVE.filter((part) => (1 - part) * this.#total >= SAMPLES_BEYOND);
    return told.map((part) => [part, this.percentile(part)] as const);
  }
}

function bucketOf(micros: number): number {
  if (micros < LINEAR_MICROS) return micros;
  const shift = 31 - Math.clz32(micros) - 6;
  const within = (micros >>> shift) - BUCKETS_PER_DOUBLING;
  return LINEAR_MICROS + (shift - FIRST_SHIFT) * BUCKETS_PER_DOUBLING + within;
}

/** The middle of a bucket, in microseconds. */
function middleOf(bucket: number): number {
  if (bucket < LINEAR_MICROS) return bucket;
  const beyond = bucket - LINEAR_MICROS;
  const shift = Math.floor(beyond / BUCKETS_PER_DOUBLING) + FIRST_SHIFT;
  const lowest = (BUCKETS_PER_DOUBLING + (beyond % BUCKETS_PER_DOUBLING)) * 2 ** shift;
  return lowest + (2 ** shift - 1) / 2;
}
