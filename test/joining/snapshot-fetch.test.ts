// A joiner takes the newest snapshot if it is good; without one it does as well.

import { afterAll, expect, test } from 'vitest';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { parseEntry } from '../../src/ledger/entry.ts';
import { ledgerSecretOf } from '../../src/ledger/secret.ts';
import { parseSnapshotName } from '../../src/ledger/snapshot.ts';
import {
  type FetchedSnapshot,
  fetchSnapshot,
  type SnapshotFetchOptions,
} from '../../src/node/joining/snapshot-fetch.ts';
import { realTimers } from '../../src/node/real-time.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { CrashingDisk, codeOf } from '../support/crashing-disk.ts';
import { ARCHIVED, newWorld, ROWS, rowKey, start } from '../support/node-rig.ts';
import { FakeNode } from './fake-service.ts';
import { STRANGER } from './joiner-rig.ts';

/** A snapshot that a real node has taken, and what it takes to read it. */
async function taken(): Promise<{ name: string; bytes: Buffer; node: RunningNode }> {
  const world = newWorld();
  const { node } = await start(world, {}, { timers: realTimers });
  node.requestSnapshot();
  await writeMany(node, 0, 10);
  await node.snapshotsIdle();
  const path = [...world.disk.files().keys()].find((each) => each.includes('/snapshots/'));
  const bytes = world.disk.files().get(path ?? '') ?? Buffer.alloc(0);
  return { name: path?.split('/').at(-1) ?? '', bytes, node };
}

async function writeMany(node: RunningNode, from: number, to: number): Promise<void> {
  for (let number = from; number < to; number += 1) {
    await node.commitService((tx) => tx.table(ROWS).put(rowKey(number), rowKey(number)));
  }
}

const { name: NAME, bytes: BYTES, node: TAKER } = await taken();
afterAll(() => TAKER.stop());
const { seqno: SEQNO = 0, evidenceSeqno: EVIDENCE = 0 } = parseSnapshotName(NAME) ?? {};
const SECRET = ledgerSecretOf(TAKER.secretsForJoiners().ledgerSecrets[0]?.bytes ?? BYTES);

interface Fetched {
  readonly snapshot: FetchedSnapshot | undefined;
  readonly stored: readonly string[];
  readonly parts: readonly string[];
  readonly warnings: readonly string[];
}

async function fetchFrom(
  nodes: readonly FakeNode[],
  changes: Partial<SnapshotFetchOptions> = {},
): Promise<Fetched> {
  const disk = new CrashingDisk();
  for (const folder of ['/parts', '/snapshots']) await disk.makeFolder(folder);
  const warnings: string[] = [];
  const snapshot = await fetchSnapshot(nodes, {
    disk,
    log: {
      info: () => undefined,
      warn: (text) => warnings.push(text),
      progress: () => undefined,
    },
    partFolder: '/parts',
    snapshotFolder: '/snapshots',
    trust: {
      serviceCertificate: TAKER.serviceCertificatePem,
      verifier: nodeVerifier,
    },
    source: { archivedTables: [ARCHIVED], secretAt: () => SECRET },
    ledgerEnd: SEQNO,
    ...changes,
  });
  const parts = await disk.list('/parts');
  return { snapshot, stored: await disk.list('/snapshots'), parts, warnings };
}

function nodeWith(name = NAME, bytes = BYTES): FakeNode {
  const node = new FakeNode('a:1', new Map());
  node.snapshots = new Map([[name, bytes]]);
  return node;
}

test('a good snapshot is loaded, and stored under its name', async () => {
  const node = nodeWith();
  const { snapshot, stored, parts, warnings } = await fetchFrom([node]);
  expect(snapshot?.name).toBe(NAME);
  expect(snapshot?.loaded).toMatchObject({
    seqno: SEQNO,
    evidence: { view: 2, seqno: EVIDENCE },
  });
  expect([stored, parts, warnings]).toEqual([[NAME], [], []]);
  expect(node.calls).toContain(`status of 2.${EVIDENCE}`);
});

const flipped = (at: number): Buffer => {
  const copy = Buffer.from(BYTES);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};

test.each<[string, (node: FakeNode) => FakeNode, Partial<SnapshotFetchOptions>, RegExp]>([
  ['a byte of its state is another', () => nodeWith(NAME, flipped(400)), {}, /does not vouch/],
  [
    'it has no receipt',
    () => nodeWith(NAME, BYTES.subarray(0, parseEntry(BYTES).bytes.length)),
    {},
    /no receipt|does not vouch/,
  ],
  ['it is no snapshot', () => nodeWith(NAME, Buffer.alloc(500, 1)), {}, /not an entry/],
  [
    'it has the name of another',
    () => nodeWith(`snapshot_${SEQNO - 1}_${EVIDENCE}.committed`),
    {},
    /it is of/,
  ],
  [
    'it has another evidence',
    () => nodeWith(`snapshot_${SEQNO}_${EVIDENCE + 1}.committed`),
    {},
    /vouches/,
  ],
  [
    'it is larger than memory can hold twice',
    (node) => {
      node.offers = (offered) => ({ ...offered, bytes: 5 * 1024 ** 3 });
      return node;
    },
    {},
    /would have 5368709120 bytes/,
  ],
  ['it has no name of one', () => nodeWith('latest'), {}, /no name of a snapshot/],
  [
    'its evidence is not committed',
    (node) => {
      node.status = () => 'Invalid';
      return node;
    },
    {},
    /its evidence is Invalid/,
  ],
  [
    'another service vouches for it',
    (node) => node,
    { trust: { serviceCertificate: STRANGER.serviceCert, verifier: nodeVerifier } },
    /does not vouch/,
  ],
  [
    'its secret is not known',
    (node) => node,
    { source: { archivedTables: [ARCHIVED], secretAt: () => undefined } },
    /is not known/,
  ],
  [
    'its seal is under another secret',
    (node) => node,
    {
      source: {
        archivedTables: [ARCHIVED],
        secretAt: () => ledgerSecretOf(Buffer.alloc(32, 3)),
      },
    },
    /seal|unseal|open/,
  ],
  [
    'its node falls silent',
    (node) => {
      node.servesBytes = 10;
      return node;
    },
    {},
    /the line broke/,
  ],
])('%s: it is not taken, and the next node is asked', async (_title, spoil, changes, why) => {
  const spoilt = spoil(nodeWith());
  const { snapshot, stored, warnings } = await fetchFrom([spoilt], changes);
  expect(snapshot).toBeUndefined();
  expect(stored).toEqual([]);
  expect(warnings.join()).toMatch(why);
  if (Object.keys(changes).length > 0) return;
  expect((await fetchFrom([spoilt, nodeWith()])).snapshot?.name).toBe(NAME);
});

test('one beyond the ledger that was fetched would leave a gap: it is left alone', async () => {
  const node = nodeWith();
  const { snapshot, stored } = await fetchFrom([node], { ledgerEnd: SEQNO - 1 });
  expect([snapshot, stored]).toEqual([undefined, []]);
  expect(node.calls).toEqual(['snapshot']);
});

test('nodes without snapshots are no reason to complain', async () => {
  const { snapshot, warnings } = await fetchFrom([new FakeNode('a:1', new Map())]);
  expect([snapshot, warnings]).toEqual([undefined, []]);
});

test('a joiner that is told to stop does not go on to the next node', async () => {
  const signal = AbortSignal.abort();
  expect(await fetchFrom([nodeWith(), nodeWith()], { signal }).catch(codeOf)).toBe(
    'JoinStopped',
  );
});
