// A node on a disk in memory: started, driven, crashed, started again, all in one process.

import type { Disk, LocalIndex } from '../../src/base/environment.ts';
import { seqnoOf, type TxId } from '../../src/base/ids.ts';
import { certificateIdOf, selfSignedCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey, UnwrappingKey } from '../../src/crypto/keys.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import type { MemberAtCreation } from '../../src/governance/opening.ts';
import { scanLedger } from '../../src/node/ledger-scan.ts';
import type { LedgerParts } from '../../src/node/ledger-state.ts';
import {
  NODE_DEFAULTS,
  type NodeDependencies,
  type NodeOptions,
} from '../../src/node/node-options.ts';
import { type Replayed, replay } from '../../src/node/replay.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { SecretPool } from '../../src/node/secret-pool.ts';
import { startNode } from '../../src/node/start-node.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import { CrashingDisk, type CrashKind, type Lies } from './crashing-disk.ts';
import { ManualTime } from './manual-time.ts';
import { MemoryIndex } from './memory-index.ts';

export const FOLDER = '/node';
export const LEDGER = `${FOLDER}/ledger`;
export const SEALED = `${FOLDER}/sealed`;
export const ASIDE = `${FOLDER}/set-aside`;
export const ROWS = 'test.rows';
export const ARCHIVED = 'test.archived';

/** The world of one node, and what it heard of the node. */
export interface World {
  readonly disk: CrashingDisk;
  readonly index: MemoryIndex;
  readonly time: ManualTime;
  readonly warnings: string[];
  /** What it said that was no warning. */
  readonly notes: string[];
  readonly fatal: unknown[];
}

export function newWorld(disk = new CrashingDisk(), index = new MemoryIndex()): World {
  return { disk, index, time: new ManualTime(), warnings: [], notes: [], fatal: [] };
}

/** What a crash leaves of a world. */
export function afterCrash(world: World, kind: CrashKind, lies: Lies = {}): World {
  return newWorld(
    world.disk.survivor(kind, lies),
    world.index.survivor(kind === 'lost' || kind === 'contents'),
  );
}

/** A copy of a world at rest. */
export function copyOf(world: World, lies: Lies = {}): World {
  return newWorld(world.disk.survivor('kept', lies), world.index.survivor(false));
}

const memberKeys = makeMember();

async function makeMember(): Promise<MemberAtCreation> {
  const key = SigningKey.generate('P-256');
  const validity = { fromMs: Date.now() - 3_600_000, days: 30 };
  const certificatePem = await selfSignedCertificate(key, 'CN=Member 1', validity);
  return {
    memberId: certificateIdOf(certificatePem),
    certificatePem,
    encryptionPublicKeyPem: UnwrappingKey.generate().publicKeyPem,
  };
}

export const RIG_OPTIONS: NodeOptions = {
  ...NODE_DEFAULTS,
  unprovenRestart: 'allow',
  folder: FOLDER,
  port: 8000,
  applications: [{ name: 'test', endpoints: [], archivedTables: [ARCHIVED] }],
  version: '0.0.0',
};

export interface StartedRig {
  readonly node: RunningNode;
  readonly isNew: boolean;
}

/** Starts a node in a world, and opens its service if it is new. */
export async function start(
  world: World,
  options: Partial<NodeOptions> = {},
  dependencies: Partial<NodeDependencies> = {},
): Promise<StartedRig> {
  const member = await memberKeys;
  const { node, isNew } = await startNode(
    { ...RIG_OPTIONS, ...options },
    startDependencies(world, dependencies),
    { members: [member], recoveryThreshold: 1 },
  );
  await ready(world, node);
  if (isNew) {
    await node.openService({ holders: [member], threshold: 1, users: [] }, () => undefined);
  }
  return { node, isNew };
}

/** What a node in a world depends on. */
export function startDependencies(
  world: World,
  dependencies: Partial<NodeDependencies> = {},
): NodeDependencies {
  return {
    disk: world.disk,
    clock: world.time,
    timers: world.time,
    random: systemRandom,
    log: {
      info: (text) => world.notes.push(text),
      warn: (text) => world.warnings.push(text),
      progress: () => undefined,
    },
    openIndex: async (): Promise<LocalIndex> => world.index,
    onFatal: (error) => world.fatal.push(error),
    ...dependencies,
  };
}

/** Waits for a node, or for what keeps it from ever being ready. */
async function ready(world: World, node: RunningNode): Promise<void> {
  try {
    await node.ready();
  } catch (error) {
    await node.stop().catch(() => undefined);
    throw world.fatal[0] ?? error;
  }
}

export function rowKey(number: number): Buffer {
  return Buffer.from(`row ${number}`);
}

/** 64 bytes whose first ten differ for each number. */
export function archiveKey(number: number): Buffer {
  const key = Buffer.alloc(64, number & 0xff);
  key.writeUInt32BE(number, 0);
  return key;
}

/** Writes transaction `number`: a private row, a public one, and now and then an archived value. */
export async function writeRow(node: RunningNode, number: number): Promise<TxId> {
  return await node.commitService((tx) => {
    tx.table(ROWS).put(rowKey(number), Buffer.from(`value ${number}`));
    tx.table('public:test.rows').put(Buffer.from('last'), Buffer.from(`${number}`));
    if (number % 3 === 0) {
      const label = Buffer.from(`label ${number % 4}`);
      tx.archive(ARCHIVED).store(archiveKey(number), label, Buffer.alloc(200, number));
    }
  });
}

/** Whether the state has what `writeRow` wrote. */
export function holdsRow(node: RunningNode, number: number): boolean {
  const row = node.current().table(ROWS).get(rowKey(number));
  if (row === undefined || Buffer.from(row).toString() !== `value ${number}`) return false;
  if (number % 3 !== 0) return true;
  return node.current().archive(ARCHIVED).find(archiveKey(number)).length === 1;
}

export type ReadBack = Replayed & LedgerParts;

/** What was read, with all of it counted as committed: there is no other node to say otherwise. */
export function whole(replayed: Replayed): ReadBack {
  const { state, lastSigned } = replayed;
  if (lastSigned !== undefined && lastSigned.seqno > state.store.committed) {
    state.commit(lastSigned.seqno, () => undefined);
  }
  const { store, tree, leaves, views, secrets } = state;
  return { ...replayed, store, tree, leaves, views, secrets };
}

/** Reads a ledger back without starting a node: an auditor who has the secrets. */
export async function readLedger(disk: Disk, folder = FOLDER): Promise<ReadBack> {
  const sealer = await virtualSealer(disk, `${folder}/sealed`, systemRandom);
  const secrets = await new SealedFolder(disk, `${folder}/sealed`, sealer).ledgerSecrets();
  return whole(
    await replay({
      disk,
      folder: `${folder}/ledger`,
      chunks: await scanLedger(disk, `${folder}/ledger`),
      archivedTables: [ARCHIVED],
      secrets: new SecretPool(secrets),
    }),
  );
}

/** Paths of a world's chunk files, oldest first. */
export function chunkFiles(world: World): readonly string[] {
  const start = (path: string): number => Number(/ledger_(\d+)/.exec(path)?.[1]);
  return [...world.disk.files().keys()]
    .filter((path) => path.startsWith(`${LEDGER}/`))
    .sort((left, right) => start(left) - start(right));
}

/** Changes bytes of a file behind the node's back. */
export function corrupt(world: World, path: string, change: (bytes: Buffer) => Buffer): void {
  const bytes = world.disk.files().get(path);
  if (bytes === undefined) throw new Error(`there is no ${path}`);
  world.disk.tamper(path, change(Buffer.from(bytes)));
}

export const seqno = seqnoOf;
