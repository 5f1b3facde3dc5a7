/**
 * Requests that wait for a primary: one is being elected, or was not the one that it was taken
 * for. Nothing has been done for any of them, so each is tried again, until it has waited too long.
 *
 * One timer looks after all, for an election finds as many as there are sessions.
 */
import type { Timers } from '../base/environment.ts';

/** How often a request is tried, at first and at most, in looks. */
const PAUSE_LOOKS_MAX = 4;

export interface HeldRequestsOptions {
  readonly lookMs: number;
  readonly waitMsMax: number;
}

export interface HeldRequestsDependencies {
  readonly timers: Timers;
  /** Whether there is anybody to try. */
  readonly hasPrimary: () => boolean;
}

export class HeldRequests {
  readonly #options: HeldRequestsOptions;
  readonly #deps: HeldRequestsDependencies;
  readonly #held = new Set<HeldRequest>();
  #stopTimer: (() => void) | undefined;

  constructor(options: HeldRequestsOptions, dependencies: HeldRequestsDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  get count(): number {
    return this.#held.size;
  }

  /** From here on the request's time runs, until it calls `end`. */
  hold(): HeldRequest {
    const { lookMs, waitMsMax } = this.#options;
    const held = new HeldRequest(Math.ceil(waitMsMax / lookMs), () => this.#forget(held));
    this.#held.add(held);
    this.#stopTimer ??= this.#deps.timers.after(lookMs, () => this.#look());
    return held;
  }

  #forget(held: HeldRequest): void {
    this.#held.delete(held);
    if (this.#held.size > 0) return;
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #look(): void {
    const { timers } = this.#deps;
    this.#stopTimer = timers.after(this.#options.lookMs, () => this.#look());
    const hasPrimary = this.#deps.hasPrimary();
    for (const held of [...this.#held]) held.look(hasPrimary);
  }
}

export class HeldRequest {
  readonly #onEnd: () => void;
  #looksLeft: number;
  #pauseLooks = 1;
  #untilTry = 0;
  #resolve: ((again: boolean) => void) | undefined;

  constructor(looks: number, onEnd: () => void) {
    this.#looksLeft = looks;
    this.#onEnd = onEnd;
  }

  /** Resolves with true when it is time to try again, with false when there is no time left. */
  again(): Promise<boolean> {
    this.#untilTry = this.#pauseLooks;
    this.#pauseLooks = Math.min(2 * this.#pauseLooks, PAUSE_LOOKS_MAX);
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  look(hasPrimary: boolean): void {
    this.#looksLeft -= 1;
    this.#untilTry -= 1;
    if (this.#looksLeft <= 0) this.#wake(false);
    else if (hasPrimary && this.#untilTry <= 0) this.#wake(true);
  }

  /** Nobody waits for it any more. */
  end(): void {
    this.#onEnd();
    this.#wake(false);
  }

  #wake(again: boolean): void {
    this.#resolve?.(again);
    this.#resolve = undefined;
  }
}
