// Chance from a seed, for tests: the same seed gives the same run, so a failure can be replayed.

/** A generator of the mulberry32 family: 32 bits of state, plenty for choosing test cases. */
export class SeededRandom {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 up to, but not including, `bound`. */
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * bound);
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  bytes(count: number): Buffer {
    const bytes = Buffer.alloc(count);
    for (let at = 0; at < count; at += 1) bytes[at] = this.below(256);
    return bytes;
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    const left = [...items];
    const shuffled: Item[] = [];
    while (left.length > 0) shuffled.push(...left.splice(this.below(left.length), 1));
    return shuffled;
  }
}

/** Runs `body` with seeds 1 to `count`, or with SEED alone if set; a failure names its seed. */
export async function withSeeds(
  count: number,
  body: (random: SeededRandom) => void | Promise<void>,
): Promise<void> {
  const fixed = process.env.SEED;
  const seeds =
    fixed === undefined ? Array.from({ length: count }, (_, at) => at + 1) : [Number(fixed)];
  for (const seed of seeds) {
    try {
      await body(new SeededRandom(seed));
    } catch (cause) {
      throw new Error(`failed with SEED=${seed}: ${String(cause)}`, { cause });
    }
  }
}
