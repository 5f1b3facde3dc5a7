// What a seed draws before anything happens: how large the service is, how it is configured, and
// which troubles will come to it.

import { NODE_DEFAULTS, type NodeOptions } from '../../src/node/node-options.ts';
import type { SignatureKind } from '../../src/node/root-signing.ts';
import type { Chance } from './chance.ts';
import { FAIR_WEATHER, type Weather } from './wires.ts';

/** One in so many seeds runs with the cryptography that ships. */
export const REAL_KEYS_EVERY = 50;
/** One in so many seeds is run twice. */
export const TWICE_EVERY = 20;
export const NODES_MAX = 7;

/** What happens about so often, in milliseconds between two; undefined: never. */
export interface Troubles {
  readonly crashMs: number | undefined;
  readonly partitionMs: number | undefined;
  readonly pauseMs: number | undefined;
  readonly changeMs: number | undefined;
  readonly clockMs: number | undefined;
  readonly diskMoodMs: number | undefined;
  /** A crash comes at a named point instead of at any event. */
  readonly pointCrashMs: number | undefined;
  /** Files are damaged while their node is down. */
  readonly damage: boolean;
  /** Disks come back as they were some time ago. */
  readonly oldDisks: boolean;
}

export interface Settings {
  readonly seed: number;
  readonly hasRealKeys: boolean;
  readonly nodes: number;
  readonly clients: number;
  /** Milliseconds of virtual time between two requests of a client, at most. */
  readonly thinkMsMax: number;
  readonly payloadBytesMax: number;
  readonly faultsMs: number;
  readonly syncMsMax: number;
  readonly queueBytesMax: number;
  readonly weather: Weather;
  readonly troubles: Troubles;
  readonly node: Pick<
    NodeOptions,
    | 'consensus'
    | 'unprovenRestart'
    | 'durability'
    | 'signatures'
    | 'chunkBytes'
    | 'checkpointEntries'
    | 'snapshotEntries'
  >;
}

const KIB = 1024;

export function drawSettings(seed: number, chance: Chance, faultsMs = 8_000): Settings {
  const sometimes = (probability: number, ...everyMs: readonly number[]): number | undefined =>
    chance.flip(probability) ? chance.pick(everyMs) : undefined;
  const oldDisks = chance.flip(0.2);
  const kinds: readonly SignatureKind[] = ['mixed', 'mixed', 'dual', 'raw', 'cose'];
  const electionTimeoutMs = chance.pick([200, 400, 1_000]);
  return {
    seed,
    hasRealKeys: seed % REAL_KEYS_EVERY === 0,
    nodes: chance.pick([1, 2, 3, 3, 3, 4, 5, 5, NODES_MAX]),
    clients: chance.between(1, 5),
    thinkMsMax: chance.pick([20, 100, 400]),
    payloadBytesMax: chance.pick([40, 400, 4_000]),
    faultsMs,
    syncMsMax: chance.pick([1, 8, 40]),
    queueBytesMax: chance.pick([64, 256, 4_096]) * KIB,
    weather: weatherOf(chance),
    troubles: {
      crashMs: sometimes(0.8, 600, 2_000, 5_000),
      pointCrashMs: sometimes(0.8, 300, 1_000, 3_000),
      partitionMs: sometimes(0.6, 800, 3_000),
      pauseMs: sometimes(0.5, 1_000, 4_000),
      changeMs: sometimes(0.7, 1_000, 4_000),
      clockMs: sometimes(0.4, 1_000, 4_000),
      diskMoodMs: sometimes(0.4, 1_500, 5_000),
      damage: chance.flip(0.3),
      oldDisks,
    },
    node: {
      consensus: {
        electionTimeoutMs,
        messageTimeoutMs: Math.round(electionTimeoutMs / chance.between(6, 20)),
      },
      // Where nobody can prove what is newest, an old disk may stand for the whole service.
      unprovenRestart: oldDisks || chance.flip(0.4) ? 'refuse' : 'allow',
      durability: 'fsync',
      signatures: {
        ...NODE_DEFAULTS.signatures,
        kind: chance.pick(kinds),
        transactionsMax: chance.pick([1, 2, 10, 50, 200]),
        delayMs: chance.pick([1, 3, 50]),
        serviceSignatureMs: chance.pick([50, 300, 1_000]),
        serviceSignatureTransactions: chance.pick([1, 20, 500]),
      },
      chunkBytes: chance.between(4, 64) * KIB,
      checkpointEntries: chance.pick([20, 100, 1_000]),
      snapshotEntries: chance.between(5, 100),
    },
  };
}

function weatherOf(chance: Chance): Weather {
  const isRough = chance.flip(0.6);
  const isUnruly = chance.flip(0.4);
  const rate = (hasIt: boolean, most: number): number => (hasIt ? chance.next() * most : 0);
  return {
    ...FAIR_WEATHER,
    delayMsMax: chance.pick([2, 10, 40]),
    loss: rate(isRough, 0.08),
    straggle: rate(chance.flip(0.5), 0.1),
    straggleMsMax: chance.pick([20, 200, 1_500]),
    corruption: rate(isRough, 0.002),
    reset: rate(isRough, 0.003),
    duplicate: rate(isUnruly, 0.1),
    overtake: rate(isUnruly, 0.1),
    replay: rate(isUnruly, 0.03),
  };
}
