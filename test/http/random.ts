// Chance from a seed, so that a failing round can be run again.

export interface Randomness {
  /** A whole number from 0 up to, not including, `bound`. */
  below(bound: number): number;
  pick<Value>(values: readonly Value[]): Value;
}

/** mulberry32, seeded by a text; CONCORDAT_SEED replaces it. */
export function randomOf(name: string): Randomness {
  const seed = process.env.CONCORDAT_SEED ?? name;
  let state = [...seed].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) | 0, 7);
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number): number => Math.floor(next() * bound);
  return {
    below,
    pick: (values) => {
      const value = values[below(values.length)];
      if (value === undefined) throw new RangeError('nothing to pick from');
      return value;
    },
  };
}
