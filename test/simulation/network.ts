// A network with faults: loss, duplicates, reordering by unequal delays, and directed cuts.

import type { Chance } from './chance.ts';
import type { FaultCounts } from './fault-counts.ts';
import type { Timeline } from './timeline.ts';

export interface NetworkWeather {
  /** Probabilities, 0 to 1. */
  readonly loss: number;
  readonly duplicate: number;
  /** Of a message that arrives much later than others. */
  readonly straggle: number;
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  readonly straggleMsMax: number;
}

export const FAIR_WEATHER: NetworkWeather = {
  loss: 0,
  duplicate: 0,
  straggle: 0,
  delayMsMin: 1,
  delayMsMax: 3,
  straggleMsMax: 0,
};

export class Network<Packet> {
  readonly #timeline: Timeline;
  readonly #chance: Chance;
  readonly #faults: FaultCounts;
  readonly #deliver: (from: string, to: string, packet: Packet) => void;
  readonly #cuts = new Set<string>();
  weather: NetworkWeather = FAIR_WEATHER;

  constructor(
    timeline: Timeline,
    chance: Chance,
    faults: FaultCounts,
    deliver: (from: string, to: string, packet: Packet) => void,
  ) {
    this.#timeline = timeline;
    this.#chance = chance;
    this.#faults = faults;
    this.#deliver = deliver;
  }

  /** Cuts one direction. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  healAll(): void {
    this.#cuts.clear();
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`);
  }

  send(from: string, to: string, packet: Packet): void {
    const { loss, duplicate } = this.weather;
    if (this.isCut(from, to)) {
      this.#faults.count('cut off');
      return;
    }
    if (this.#chance.flip(loss)) {
      this.#faults.count('lost');
      return;
    }
    this.#carry(from, to, packet);
    if (!this.#chance.flip(duplicate)) return;
    this.#faults.count('duplicated');
    this.#carry(from, to, packet);
  }

  #carry(from: string, to: string, packet: Packet): void {
    const { straggle, delayMsMin, delayMsMax, straggleMsMax } = this.weather;
    let delayMs = delayMsMin + this.#chance.next() * (delayMsMax - delayMsMin);
    if (this.#chance.flip(straggle)) {
      this.#faults.count('delayed');
      delayMs += this.#chance.next() * straggleMsMax;
    }
    this.#timeline.after(delayMs, () => this.#deliver(from, to, packet));
  }
}
