// Crashes a node at every disk operation of a short life, in every way a disk can be left, and
// judges what a restart makes of it: what was acknowledged is there, and the start succeeds.

import { parseChunkName } from '../../src/ledger/chunk.ts';
import type { NodeOptions } from '../../src/node/node-options.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import {
  type CrashKind,
  codeOf,
  describeOperation,
  type Lies,
  type Operation,
  TORN_KINDS,
  WHOLE_KINDS,
} from './crashing-disk.ts';
import { settle } from './manual-time.ts';
import {
  afterCrash,
  chunkFiles,
  copyOf,
  FOLDER,
  holdsRow,
  newWorld,
  readLedger,
  start,
  type World,
  writeRow,
} from './node-rig.ts';

/** Chunks of a few transactions, so that a short life closes some of them. */
export const SMALL_CHUNKS: Partial<NodeOptions> = { chunkBytes: 6_000 };

/** What a node's clients were told, as the node lived. */
export interface Told {
  /** Numbers of transactions acknowledged as committed. */
  readonly acknowledged: number[];
  /** Whether anybody was told that the service is open. */
  opened: boolean;
}

export interface Life {
  /** What happens between start and end; it stops short where the disk dies. */
  readonly live: (world: World, told: Told) => Promise<void>;
  /** The world in which it begins. */
  readonly before: () => World;
}

export interface Verdicts {
  operations: number;
  crashes: number;
  /** Operations that did not come, because the run was not quite the first one. */
  missed: number;
  /** Restarts that had a tail to cut. */
  cut: number;
  readonly byOperation: Map<string, number>;
  readonly failures: string[];
}

export interface Enumeration {
  readonly life: Life;
  /** Numbers that had been acknowledged before it. */
  readonly told?: readonly number[];
  readonly lies?: Lies;
  readonly kinds?: readonly CrashKind[];
  /** Takes one operation in so many; the first is number `offset`. */
  readonly stride?: number;
  readonly offset?: number;
  readonly options?: Partial<NodeOptions>;
  /** Stops at the first failure: a planted bug is caught once. */
  readonly untilFailure?: boolean;
  /** Codes with which a restart may refuse instead of starting. */
  readonly mayRefuse?: readonly string[];
  /** Receives what each crash left, and what had been told by then. */
  readonly onCrashed?: (left: World, told: Told, operation: Operation) => void;
}

/** Runs one life to its end to learn its operations, then once for each way to cut it short. */
export async function enumerateCrashes(enumeration: Enumeration): Promise<Verdicts> {
  const { life, lies = {}, stride = 1, offset = 0 } = enumeration;
  const whole = copyOf(life.before(), lies);
  await life.live(whole, { acknowledged: [], opened: false });
  const { operations } = whole.disk;
  const verdicts: Verdicts = {
    operations: operations.length,
    crashes: 0,
    missed: 0,
    cut: 0,
    byOperation: new Map(),
    failures: [],
  };
  for (let at = offset; at < operations.length; at += stride) {
    const isWrite = operations[at]?.kind === 'write';
    for (const kind of enumeration.kinds ?? [...WHOLE_KINDS, ...TORN_KINDS]) {
      if (TORN_KINDS.includes(kind) && !isWrite) continue;
      await crashOnce(enumeration, at, kind, verdicts);
      if (enumeration.untilFailure && verdicts.failures.length > 0) return verdicts;
    }
  }
  return verdicts;
}

async function crashOnce(
  enumeration: Enumeration,
  at: number,
  kind: CrashKind,
  verdicts: Verdicts,
): Promise<void> {
  const { life, lies = {} } = enumeration;
  const world = copyOf(life.before(), lies);
  const told: Told = { acknowledged: [...(enumeration.told ?? [])], opened: false };
  world.disk.crashAt({ at, kind });
  const lived = life.live(world, told).then(() => 'lived' as const);
  const end = await Promise.race([lived, world.disk.crashed]);
  await settle(4);
  const operation = world.disk.operations.at(-1);
  const where = `operation ${at} (${describeOperation(operation)}), ${kind}`;
  if (end === 'lived' || operation === undefined) {
    // Signatures differ by a byte or two in length, so now and then a chunk closes one round later.
    verdicts.missed += 1;
    return;
  }
  verdicts.crashes += 1;
  verdicts.byOperation.set(operation.kind, (verdicts.byOperation.get(operation.kind) ?? 0) + 1);
  const survivor = afterCrash(world, kind);
  enumeration.onCrashed?.(copyOf(survivor), told, operation);
  const { failure, cut } = await judge(survivor, told, enumeration);
  if (cut) verdicts.cut += 1;
  if (failure !== undefined) verdicts.failures.push(`${where}: ${failure}`);
}

/** Restarts a node on what a crash left, and says what is wrong with it. */
export async function judge(
  world: World,
  told: Told,
  { options = SMALL_CHUNKS, mayRefuse = [] }: Partial<Enumeration> = {},
): Promise<{ readonly failure: string | undefined; readonly cut: boolean }> {
  let node: RunningNode;
  let isNew: boolean;
  try {
    ({ node, isNew } = await start(world, options));
  } catch (error) {
    const code = codeOf(error);
    if (mayRefuse.includes(code)) return { failure: undefined, cut: false };
    return { failure: `the restart was refused: ${code}: ${String(error)}`, cut: false };
  }
  const cut = world.warnings.some((text) => text.startsWith('cut '));
  return { failure: await faultOf(world, node, isNew, told), cut };
}

async function faultOf(
  world: World,
  node: RunningNode,
  isNew: boolean,
  told: Told,
): Promise<string | undefined> {
  if (isNew && told.opened) return 'an opened service was forgotten';
  const lost = told.acknowledged.filter((number) => !holdsRow(node, number));
  if (lost.length > 0) return `acknowledged, but lost: ${lost.join(', ')}`;
  const foreign = chunkFiles(world).filter(
    (path) => parseChunkName(path.slice(`${FOLDER}/ledger/`.length)) === undefined,
  );
  if (foreign.length > 0) return `not chunk files: ${foreign.join(', ')}`;
  await writeRow(node, 999);
  await node.stop();
  if (world.fatal.length > 0) return `the restarted node failed: ${String(world.fatal[0])}`;
  const { store, lastSigned, tail } = await readLedger(world.disk);
  if (tail !== undefined) return 'a stopped node left something unsigned behind';
  if (lastSigned?.seqno !== store.committed) return 'the ledger does not end with a signature';
  return undefined;
}

/** A life that only restarts, on what a crash has left. */
export function restartOn(left: World): Life {
  return {
    before: () => left,
    live: async (world, told) => {
      const { node } = await start(world, SMALL_CHUNKS);
      await writeRows(node, [50], told);
      await node.stop();
    },
  };
}

/** A life that creates a service and writes a little. */
export const FIRST_LIFE: Life = {
  before: newWorld,
  live: async (world, told) => {
    const { node } = await start(world, SMALL_CHUNKS);
    told.opened = true;
    await writeRows(node, [0, 1, 2], told);
    await node.stop();
  },
};

/** A life on an opened service: restart, a few rounds across chunks, stop. */
export function laterLife(world: World, options = SMALL_CHUNKS): Life {
  return {
    before: () => world,
    live: async (copy, told) => {
      told.opened = true;
      const { node } = await start(copy, options);
      await writeRows(node, [20, 21, 22, 23], told);
      await writeRows(node, [24], told);
      await writeRows(node, [25, 26, 27, 28, 29], told);
      await writeRows(node, [30, 31], told);
      await writeRows(node, [32, 33, 34], told);
      for (let number = 35; number < 40; number += 1) await writeRows(node, [number], told);
      await node.stop();
    },
  };
}

/** An opened service with some rows, stopped, or (unless `stops`) as it runs. */
export async function openedWorld(stops = true, options = SMALL_CHUNKS): Promise<World> {
  const world = newWorld();
  const { node } = await start(world, options);
  for (let from = 0; from < 12; from += 4) {
    const numbers = [from, from + 1, from + 2, from + 3];
    await writeRows(node, numbers, { acknowledged: [], opened: true });
  }
  if (stops) await node.stop();
  return world;
}

/** Writes rows at the same time; notes each as soon as it is acknowledged. */
export async function writeRows(
  node: RunningNode,
  numbers: readonly number[],
  told: Told,
): Promise<void> {
  await Promise.all(
    numbers.map(async (number) => {
      await writeRow(node, number);
      told.acknowledged.push(number);
    }),
  );
}
