/**
 * Notices a connection of which only this end is left. Each end sends a beat when the other was
 * heard since the last one, so silence means that nothing comes through in one direction or the
 * other.
 *
 * Beats are counted, not milliseconds: after a pause of this whole process one timer is due, not
 * many, and what arrived meanwhile is read before the next.
 */

import type { Timers } from '../../base/environment.ts';

export interface HeartbeatOptions {
  readonly beatMs: number;
  readonly silentBeatsMax: number;
}

export interface HeartbeatDependencies {
  readonly timers: Timers;
  /** Called at every beat, with whether the other end was heard since the last. */
  readonly beat: (heard: boolean) => void;
  /** The other end was silent for too long. */
  readonly silent: () => void;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #deps: HeartbeatDependencies;
  #heard = true;
  #silentBeats = 0;
  #cancel: () => void;

  constructor(options: HeartbeatOptions, deps: HeartbeatDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#cancel = deps.timers.after(options.beatMs, () => this.#tick());
  }

  /** Something arrived. */
  hear(): void {
    this.#heard = true;
  }

  stop(): void {
    this.#cancel();
  }

  #tick(): void {
    const heard = this.#heard;
    this.#heard = false;
    this.#silentBeats = heard ? 0 : this.#silentBeats + 1;
    if (this.#silentBeats >= this.#options.silentBeatsMax) {
      this.#deps.silent();
      return;
    }
    this.#cancel = this.#deps.timers.after(this.#options.beatMs, () => this.#tick());
    this.#deps.beat(heard);
  }
}
