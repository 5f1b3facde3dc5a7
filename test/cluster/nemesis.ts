// Makes trouble for a service, by a seed, one after the other with quiet moments in between, and
// keeps a log of what it did.

import { setTimeout as sleep } from 'node:timers/promises';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { Cluster } from './cluster.ts';
import type { History } from './history.ts';
import type { Trouble } from './troubles.ts';

export interface NemesisOptions {
  /** How long a trouble lasts, and how long it is quiet afterwards. */
  readonly lastMs: readonly [min: number, max: number];
  readonly quietMs: readonly [min: number, max: number];
}

export interface Done {
  readonly kind: string;
  readonly text: string;
  /** Microseconds of the history's clock. */
  readonly from: number;
  readonly to: number;
}

export class Nemesis {
  readonly #cluster: Cluster;
  readonly #history: History;
  readonly #random: SeededRandom;
  readonly #options: NemesisOptions;
  readonly done: Done[] = [];

  constructor(
    cluster: Cluster,
    history: History,
    random: SeededRandom,
    options: Partial<NemesisOptions> = {},
  ) {
    this.#cluster = cluster;
    this.#history = history;
    this.#random = random;
    this.#options = { lastMs: [300, 3_000], quietMs: [500, 2_000], ...options };
  }

  /** Makes one trouble, and resolves when it has passed. */
  async make(trouble: Trouble): Promise<void> {
    const { lastMs, quietMs } = this.#options;
    // When nobody is primary, there will be one soon.
    let begun = await trouble.begin(this.#cluster, this.#random);
    for (let tries = 0; begun === undefined && tries < 50; tries += 1) {
      await sleep(100);
      begun = await trouble.begin(this.#cluster, this.#random);
    }
    if (begun === undefined) throw new Error(`there was nothing to do for: ${trouble.kind}`);
    const from = this.#history.now();
    this.#history.event(begun.text);
    await sleep(this.#between(lastMs));
    await begun.end();
    this.#history.event(`over: ${begun.text}`);
    this.done.push({ kind: trouble.kind, text: begun.text, from, to: this.#history.now() });
    await sleep(this.#between(quietMs));
  }

  #between([min, max]: readonly [number, number]): number {
    return min + this.#random.below(max - min + 1);
  }
}

/** How many there were of each kind. */
export function countsOf(done: readonly Done[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { kind } of done) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
