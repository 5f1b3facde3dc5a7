/**
 * A node without a front door, driven by tests: it writes mixed transactions into a folder and
 * prints the seqno of each that was acknowledged as committed.
 *
 *     node test/support/ledger-driver.ts FOLDER COUNT [PARALLEL] [CHUNK_BYTES]
 *
 * With COUNT 0 it writes until it is killed.
 */

import { memberIdentity, sandboxFolder } from '../../src/cli/sandbox/sandbox-folder.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import type { MemberAtCreation } from '../../src/governance/opening.ts';
import { durableDisk } from '../../src/node/durable-disk.ts';
import {
  NODE_DEFAULTS,
  type NodeDependencies,
  type NodeOptions,
} from '../../src/node/node-options.ts';
import { realClock, realTimers } from '../../src/node/real-time.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { startNode } from '../../src/node/start-node.ts';

const ARCHIVED = 'test.archived';

export async function startDriver(
  folder: string,
  options: Partial<NodeOptions> = {},
  dependencies: Partial<NodeDependencies> = {},
): Promise<RunningNode> {
  const members: MemberAtCreation[] = [
    await memberIdentity(sandboxFolder(`${folder}/parties`), 1, Date.now()),
  ];
  const { node, isNew } = await startNode(
    {
      ...NODE_DEFAULTS,
      unprovenRestart: 'allow',
      folder: `${folder}/node`,
      port: 0,
      applications: [{ name: 'test', endpoints: [], archivedTables: [ARCHIVED] }],
      version: '0.0.0',
      ...options,
    },
    {
      disk: durableDisk,
      clock: realClock,
      timers: realTimers,
      random: systemRandom,
      log: {
        info: (text) => console.error(text),
        warn: (text) => console.error(text),
        progress: () => undefined,
      },
      onFatal: (error) => {
        console.error('fatal', error);
        process.exit(1);
      },
      ...dependencies,
    },
    { members, recoveryThreshold: 1 },
  );
  await node.ready();
  if (isNew) {
    const holders = members.map(({ memberId, encryptionPublicKeyPem }) => ({
      memberId,
      encryptionPublicKeyPem,
    }));
    await node.openService({ holders, threshold: 1, users: [] }, () => undefined);
  }
  return node;
}

/** Writes one transaction of a kind that its number decides; resolves when it is committed. */
export async function writeMixed(node: RunningNode, number: number): Promise<number> {
  const text = (value: string): Uint8Array => Buffer.from(value);
  const txId = await node.commitService((transaction) => {
    const key = text(`key-${number % 500}`);
    if (number % 3 !== 1) transaction.table('test.private').put(key, text(`value ${number}`));
    if (number % 3 === 1) transaction.table('public:test.public').put(key, text(`${number}`));
    if (number % 7 === 0)
      transaction.table('test.private').remove(text(`key-${(number * 5) % 500}`));
    if (number % 2 === 0) {
      const id = Buffer.alloc(64, 0);
      id.writeDoubleBE(Math.sqrt(number + 2), 0);
      id.writeUInt32BE(number, 8);
      transaction
        .archive(ARCHIVED)
        .store(id, text(`label ${number % 11}`), Buffer.alloc(300, number));
    }
    if (number % 101 === 0) transaction.setClaimsDigest(Buffer.alloc(32, 7));
  });
  return txId.seqno;
}

/** The program: writes as its arguments say. Dependencies are replaced to plant a fault. */
export async function drive(dependencies: Partial<NodeDependencies> = {}): Promise<void> {
  const [folder, count, parallel, chunkBytes] = process.argv.slice(2);
  if (folder === undefined) throw new Error('usage: ledger-driver.ts FOLDER COUNT');
  const options = { chunkBytes: Number(chunkBytes ?? 200_000) };
  const node = await startDriver(folder, options, dependencies);
  console.log('ready');
  const total = Number(count) || Number.POSITIVE_INFINITY;
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < total) {
      const number = next;
      next += 1;
      console.log(`${await writeMixed(node, number)} ${number}`);
    }
  };
  await Promise.all(Array.from({ length: Number(parallel ?? 16) }, writer));
  await node.stop();
}

if (import.meta.main) await drive();
