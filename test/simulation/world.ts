// What all parts of one simulated service share: its settings and chance, virtual time, what went
// wrong first, and the words of what happened.

import { messageOf } from '../../src/base/errors.ts';
import { Chance } from './chance.ts';
import { EventHash } from './event-hash.ts';
import { FaultCounts } from './fault-counts.ts';
import { LedgerWatch } from './ledger-watch.ts';
import { drawSettings, type Settings } from './settings.ts';
import { Timeline } from './timeline.ts';
import { Violation } from './violation.ts';
import { Wires } from './wires.ts';

/** The moment at which every simulated service begins. */
export const START_MS = Date.UTC(2040, 5, 1);
/** Lines of what happened that are kept to be shown with a violation. */
const LINES_KEPT = 400;

export class World {
  readonly settings: Settings;
  readonly chance: Chance;
  readonly timeline = new Timeline();
  readonly faults = new FaultCounts();
  readonly hash = new EventHash();
  readonly wires: Wires;
  readonly ledger = new LedgerWatch();
  /** Troubles have ended. */
  isPeace = false;
  /** Called after every event. */
  look: () => void = () => undefined;
  #failure: Error | undefined;
  readonly #lines: string[] = [];

  constructor(seed: number, faultsMs?: number) {
    const chance = new Chance(seed);
    this.settings = drawSettings(seed, chance.fork(), faultsMs);
    this.chance = chance.fork();
    this.wires = new Wires({
      timeline: this.timeline,
      chance: chance.fork(),
      faults: this.faults,
      hash: this.hash,
    });
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  get nowMs(): number {
    return this.timeline.nowMs();
  }

  /** The newest lines, oldest first. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  say(text: string): void {
    this.hash.add(text);
    this.#lines.push(`${this.nowMs.toFixed(1).padStart(9)} ${text}`);
    if (this.#lines.length > 2 * LINES_KEPT) this.#lines.splice(0, LINES_KEPT);
  }

  /** The run ends with the first failure. */
  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Something goes on beside everything else; what it throws ends the run. */
  background(what: string, work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      this.say(`${what} failed: ${messageOf(error)}`);
      this.fail(error);
    });
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.timeline.after(ms, resolve);
    });
  }

  /** Does something again and again, until peace. */
  every(leastMs: number, mostMs: number, action: () => void): void {
    const again = (): void => {
      if (this.isPeace) return;
      this.guarded(action);
      this.timeline.after(leastMs + this.chance.next() * (mostMs - leastMs), again);
    };
    this.timeline.after(this.chance.next() * mostMs, again);
  }

  async play(ms: number, isOver: () => boolean = () => false): Promise<void> {
    await this.timeline.play(this.nowMs + ms, () => {
      this.guarded(this.look);
      return this.#failure !== undefined || isOver();
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  async until(what: string, ms: number, holds: () => boolean): Promise<void> {
    if (!holds()) await this.play(ms, holds);
    if (!holds()) throw new Violation('Liveness', `after ${ms} ms: not ${what}`);
  }

  async drive(what: string, ms: number, work: Promise<unknown>): Promise<void> {
    let isDone = false;
    let error: unknown;
    work.then(
      () => {
        isDone = true;
      },
      (thrown: unknown) => {
        isDone = true;
        error = thrown;
      },
    );
    await this.until(what, ms, () => isDone);
    if (error !== undefined) throw error;
  }
}
