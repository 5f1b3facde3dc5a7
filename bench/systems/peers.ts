/**
 * The peers that can do a work: started or found, or named as missing.
 */
import { join } from 'node:path';
import type { Generator } from '../generator/generator.ts';
import type { Load } from '../load.ts';
import type { RequestWork } from '../works.ts';
import { ccfOf, tesseraOf } from './by-address.ts';
import { ETCD, Etcd, etcdProgram } from './etcd.ts';
import { HttpContender } from './http-contender.ts';
import type { MissingPeer, Peer } from './peer.ts';
import { POSTGRESQL, Postgresql, postgresqlFolder } from './postgresql.ts';

export interface PeerWorld {
  readonly env: NodeJS.ProcessEnv;
  /** Where peers that are started lay their data. */
  readonly folder: string;
  readonly durability: 'fsync' | 'os';
  readonly generator: Generator;
}

export interface PeersOfWork {
  readonly present: readonly Peer[];
  readonly missing: readonly MissingPeer[];
}

export const CCF_MISSING: MissingPeer = {
  name: 'CCF',
  how: 'not found; set CONCORDAT_CCF=https://HOST:PORT, CONCORDAT_CCF_CA, _CERT and _KEY',
};
const MISSING = {
  tessera: {
    name: 'Tessera',
    how: 'not found; set CONCORDAT_TESSERA=http://A:PORT,http://B:PORT,PUBLIC-KEY-OF-B',
  },
  etcd: {
    name: ETCD,
    how: 'not found; set CONCORDAT_ETCD to its program, or install etcd-server',
  },
  postgresql: {
    name: POSTGRESQL,
    how: 'not found; set CONCORDAT_POSTGRESQL to the folder of its programs, or install it',
  },
} as const satisfies Record<string, MissingPeer>;

type Found = Peer | MissingPeer;

export async function peersOf(
  work: RequestWork,
  load: Load,
  world: PeerWorld,
): Promise<PeersOfWork> {
  const present: Peer[] = [];
  const missing: MissingPeer[] = [];
  const add = (found: Found | undefined): void => {
    if (found === undefined) return;
    if ('how' in found) missing.push(found);
    else present.push(found);
  };
  try {
    add(await byAddress(work, load, world));
    for (const database of work.databases ?? []) {
      add(await databaseOf(database, work, load, world));
    }
  } catch (error) {
    await stopPeers(present);
    throw error;
  }
  return { present, missing };
}

export async function stopPeers(peers: readonly Peer[]): Promise<void> {
  for (const peer of peers) await peer.stop();
}

/** CCF answers before commit only, so it takes no part where answers come after. */
async function byAddress(
  { ask, waitsForCommit }: RequestWork,
  load: Load,
  { env, generator }: PeerWorld,
): Promise<Found | undefined> {
  if (ask.of === 'managers') {
    const found = tesseraOf(env);
    if (found === undefined) return MISSING.tessera;
    return await asked(found, await ask.target(found.system, load), generator);
  }
  if (waitsForCommit) return undefined;
  const found = ccfOf(env);
  if (found === undefined) return CCF_MISSING;
  return await asked(found, await ask.target(found.system, load), generator);
}

async function asked(
  {
    name,
    pids,
    statement,
  }: Pick<Peer, 'statement'> & { name: string; pids: readonly number[] },
  target: Parameters<Generator['open']>[1],
  generator: Generator,
): Promise<Peer> {
  const contender = await HttpContender.open(name, generator, pids, target);
  return { contender, statement, stop: () => contender.close() };
}

async function databaseOf(
  kind: 'etcd' | 'postgresql',
  { nodes = 1 }: RequestWork,
  { connections, payloadBytes: bytes }: Load,
  { env, folder, durability, generator }: PeerWorld,
): Promise<Found> {
  if (kind === 'postgresql') {
    const programs = postgresqlFolder(env);
    if (programs === undefined) return MISSING.postgresql;
    const inside = join(folder, 'postgresql');
    const postgresql = await Postgresql.start({ programs, folder: inside, durability });
    return {
      contender: await postgresql.insert({ connections, bytes }),
      statement: postgresql.statement,
      stop: () => postgresql.stop(),
    };
  }
  const program = etcdProgram(env);
  if (program === undefined) return MISSING.etcd;
  const etcd = await Etcd.start(program, join(folder, 'etcd'), nodes);
  const target = etcd.insert({ connections, bytes });
  const contender = await HttpContender.open(etcd.name, generator, etcd.pids, target);
  return {
    contender,
    statement: etcd.statement,
    async stop() {
      await contender.close();
      await etcd.stop();
    },
  };
}
