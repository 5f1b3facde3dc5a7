// The network between machines, as connections that carry bytes: what `base`'s Network promises
// (a message may be lost; those that arrive keep their order), with every trouble that a network
// makes. Beyond that promise, in unruly weather, what consensus says is duplicated, overtakes, and
// comes again long after: Raft bears it. Changed bytes never arrive, for the channel is
// authenticated; they end the connection, and only the codec is shown them.

import { crc32 } from 'node:zlib';
import { isCoded } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { decodeMessage } from '../../src/node/peers/message-codec.ts';
import type { Chance } from './chance.ts';
import type { EventHash } from './event-hash.ts';
import type { FaultCounts } from './fault-counts.ts';
import type { Timeline } from './timeline.ts';

/** Probabilities, 0 to 1, of what befalls one message. */
export interface Weather {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  readonly loss: number;
  readonly straggle: number;
  readonly straggleMsMax: number;
  /** Changed on the way: the connection ends. */
  readonly corruption: number;
  /** The connection breaks, and all that is under way on it is lost. */
  readonly reset: number;
  /** Unruly, and only for what consensus says. */
  readonly duplicate: number;
  readonly overtake: number;
  readonly replay: number;
}

export const FAIR_WEATHER: Weather = {
  delayMsMin: 0.2,
  delayMsMax: 2,
  loss: 0,
  straggle: 0,
  straggleMsMax: 0,
  corruption: 0,
  reset: 0,
  duplicate: 0,
  overtake: 0,
  replay: 0,
};

/** One end of the network, as the network knows it. */
export interface Port {
  readonly nodeId: NodeId;
  readonly address: string;
  /** Whether a node may talk to this one. */
  trusts(nodeId: NodeId): boolean;
  /** A message came; `end` ends the connection it came by. */
  receive(from: NodeId, bytes: Uint8Array, end: () => void): void;
  /** A connection of this port's own making is gone. */
  lost(to: NodeId): void;
}

export interface WiresDependencies {
  readonly timeline: Timeline;
  readonly chance: Chance;
  readonly faults: FaultCounts;
  readonly hash: EventHash;
}

interface Connection {
  readonly from: Port;
  readonly to: Port;
  isOpen: boolean;
  /** When the last message that was sent arrives: those after it arrive later. */
  arrivesMs: number;
  queuedBytes: number;
}

/** A connection over which nothing comes is given up after so long. */
const SILENCE_MS_MAX = 3_000;
const REPLAYS_KEPT = 200;

export class Wires {
  readonly #deps: WiresDependencies;
  readonly #ports = new Map<string, Port>();
  readonly #connections = new Map<string, Connection>();
  /** Directions in which nothing gets through, by addresses. */
  readonly #cuts = new Set<string>();
  readonly #old: { readonly connection: Connection; readonly bytes: Uint8Array }[] = [];
  weather: Weather = FAIR_WEATHER;

  constructor(dependencies: WiresDependencies) {
    this.#deps = dependencies;
  }

  open(port: Port): void {
    this.#ports.set(port.address, port);
  }

  /** The port is gone; `silently` when nobody is there to say so, as after a loss of power. */
  close(port: Port, silently: boolean): void {
    if (this.#ports.get(port.address) === port) this.#ports.delete(port.address);
    for (const connection of [...this.#connections.values()]) {
      if (connection.from === port) this.#drop(connection);
      else if (connection.to === port && !silently) this.#break(connection);
      else if (connection.to === port) this.#leaveHalfOpen(connection);
    }
  }

  /** Cuts one direction between two addresses. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
    for (const connection of [...this.#connections.values()]) {
      if (!this.#isCut(connection.from, connection.to)) continue;
      // Some firewalls say so; others swallow.
      if (this.#deps.chance.flip(0.3)) this.#break(connection);
      else this.#leaveHalfOpen(connection);
    }
  }

  healAll(): void {
    this.#cuts.clear();
  }

  /** A connection from `from` to the node at an address; undefined when there can be none now. */
  connect(from: Port, nodeId: NodeId, address: string): boolean {
    const to = this.#ports.get(address);
    if (to === undefined || to.nodeId !== nodeId) return false;
    if (this.#isCut(from, to) || !to.trusts(from.nodeId)) return false;
    const connection = { from, to, isOpen: true, arrivesMs: 0, queuedBytes: 0 };
    this.#connections.set(keyOf(from, to.nodeId), connection);
    return true;
  }

  /** Ends a connection of this port's own making. */
  hangUp(from: Port, to: NodeId): void {
    const connection = this.#connections.get(keyOf(from, to));
    if (connection !== undefined) this.#drop(connection);
  }

  /** Ends the connections to a port from nodes that it trusts no more. */
  review(to: Port): void {
    for (const connection of [...this.#connections.values()]) {
      if (connection.to === to && !to.trusts(connection.from.nodeId)) this.#break(connection);
    }
  }

  queuedBytes(from: Port, to: NodeId): number {
    return this.#connections.get(keyOf(from, to))?.queuedBytes ?? 0;
  }

  /** Queues a message; false when there is no connection. */
  send(from: Port, to: NodeId, bytes: Uint8Array, isConsensus: boolean): boolean {
    const connection = this.#connections.get(keyOf(from, to));
    if (connection === undefined) return false;
    const { chance, faults } = this.#deps;
    const { loss, corruption, reset, duplicate, overtake, replay } = this.weather;
    if (chance.flip(reset)) {
      faults.count('network: reset');
      this.#break(connection);
      return true;
    }
    if (chance.flip(corruption)) {
      this.#corrupt(connection, bytes);
      return true;
    }
    if (this.#isCut(from, connection.to)) {
      faults.count('network: cut off');
      return true;
    }
    if (chance.flip(loss)) {
      faults.count('network: lost');
      return true;
    }
    const overtakes = isConsensus && chance.flip(overtake);
    if (overtakes) faults.count('network: overtaken');
    this.#carry(connection, bytes, !overtakes);
    if (!isConsensus) return true;
    if (chance.flip(duplicate)) {
      faults.count('network: duplicated');
      this.#carry(connection, bytes, false);
    }
    if (replay > 0) this.#replay(connection, bytes, replay);
    return true;
  }

  #carry(connection: Connection, bytes: Uint8Array, inOrder: boolean): void {
    const { chance, timeline, faults, hash } = this.#deps;
    const { delayMsMin, delayMsMax, straggle, straggleMsMax } = this.weather;
    let delayMs = delayMsMin + chance.next() * (delayMsMax - delayMsMin);
    if (chance.flip(straggle)) {
      faults.count('network: delayed');
      delayMs += chance.next() * straggleMsMax;
    }
    const nowMs = timeline.nowMs();
    const arrivesMs = Math.max(nowMs + delayMs, inOrder ? connection.arrivesMs : 0);
    if (inOrder) connection.arrivesMs = arrivesMs;
    connection.queuedBytes += bytes.length;
    timeline.after(arrivesMs - nowMs, () => {
      connection.queuedBytes -= bytes.length;
      if (!connection.isOpen || this.#isCut(connection.from, connection.to)) return;
      hash.add(`${connection.from.address}>${connection.to.address} ${crc32(bytes)}`);
      connection.to.receive(connection.from.nodeId, bytes, () => this.#break(connection));
    });
  }

  /** What was said long ago comes again. */
  #replay(connection: Connection, bytes: Uint8Array, probability: number): void {
    const { chance, faults } = this.#deps;
    if (this.#old.length < REPLAYS_KEPT) this.#old.push({ connection, bytes });
    else this.#old[chance.below(REPLAYS_KEPT)] = { connection, bytes };
    if (!chance.flip(probability)) return;
    const old = chance.pick(this.#old);
    const now = this.#connections.get(keyOf(old.connection.from, old.connection.to.nodeId));
    if (now === undefined) return;
    faults.count('network: old message replayed');
    this.#carry(now, old.bytes, false);
  }

  /** The codec must refuse or read whatever comes; the channel lets none of it through. */
  #corrupt(connection: Connection, bytes: Uint8Array): void {
    const { chance, faults } = this.#deps;
    faults.count('network: corrupted');
    const changed = Buffer.from(bytes);
    const at = chance.below(changed.length);
    changed[at] = (changed[at] ?? 0) ^ (1 << chance.below(8));
    try {
      decodeMessage(connection.from.nodeId, changed);
    } catch (error) {
      if (!isCoded(error, 'BadPeerMessage')) throw error;
      faults.count('network: corruption refused by the codec');
    }
    this.#break(connection);
  }

  #isCut(from: Port, to: Port): boolean {
    return this.#cuts.has(`${from.address}>${to.address}`);
  }

  /** Ends a connection and tells the side that made it. */
  #break(connection: Connection): void {
    if (!connection.isOpen) return;
    this.#drop(connection);
    const { timeline } = this.#deps;
    timeline.soon(() => connection.from.lost(connection.to.nodeId));
  }

  /** The maker notices only by the silence, if the cut lasts. */
  #leaveHalfOpen(connection: Connection): void {
    const { timeline, faults } = this.#deps;
    faults.count('network: half-open');
    timeline.after(SILENCE_MS_MAX, () => {
      const isBack =
        this.#ports.get(connection.to.address) === connection.to &&
        !this.#isCut(connection.from, connection.to) &&
        !this.#isCut(connection.to, connection.from);
      if (!isBack) this.#break(connection);
    });
  }

  #drop(connection: Connection): void {
    connection.isOpen = false;
    const key = keyOf(connection.from, connection.to.nodeId);
    if (this.#connections.get(key) === connection) this.#connections.delete(key);
  }
}

function keyOf(from: Port, to: NodeId): string {
  return `${from.address}>${to}`;
}
