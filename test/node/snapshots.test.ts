// A node takes snapshots while it works: when they are due, at which entries, with which bytes, and
// what becomes of them when something goes wrong.

import { expect, test } from 'vitest';
import { textOf } from '../../src/base/bytes.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { FLAG_CHUNK_AFTER, openEntry, parseEntry } from '../../src/ledger/entry.ts';
import { parseSignature } from '../../src/ledger/signature.ts';
import { parseSnapshotName, SNAPSHOT_EVIDENCE } from '../../src/ledger/snapshot.ts';
import { type LoadedSnapshot, loadSnapshot } from '../../src/ledger/snapshot-loading.ts';
import { writeSnapshot } from '../../src/ledger/snapshot-writer.ts';
import type { NodeOptions } from '../../src/node/node-options.ts';
import { SIGNATURE_DEFAULTS } from '../../src/node/node-options.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { settle } from '../support/manual-time.ts';
import {
  ARCHIVED,
  afterCrash,
  chunkFiles,
  copyOf,
  FOLDER,
  LEDGER,
  newWorld,
  type ReadBack,
  readLedger,
  start,
  type World,
  writeRow,
} from '../support/node-rig.ts';
import { drained, stateBytes } from '../support/state-bytes.ts';

const SNAPSHOTS = `${FOLDER}/snapshots`;
const OFTEN: Partial<NodeOptions> = { snapshotEntries: 10, chunkBytes: 60_000 };

interface SnapshotFile {
  readonly name: string;
  readonly seqno: number;
  readonly evidenceSeqno: number;
  readonly bytes: Buffer;
}

function snapshotsIn(world: World): readonly SnapshotFile[] {
  return [...world.disk.files()]
    .filter(([path]) => path.startsWith(`${SNAPSHOTS}/`))
    .map(([path, bytes]) => {
      const name = path.slice(SNAPSHOTS.length + 1);
      const parsed = parseSnapshotName(name);
      if (parsed?.committed !== true) throw new Error(`${name} is no finished snapshot`);
      return { name, seqno: parsed.seqno, evidenceSeqno: parsed.evidenceSeqno, bytes };
    })
    .sort((left, right) => left.seqno - right.seqno);
}

async function writeRows(node: RunningNode, from: number, to: number): Promise<void> {
  for (let number = from; number < to; number += 1) await writeRow(node, number);
  await node.snapshotsIdle();
}

/** What an auditor reads back from the chunks up to the one that ends at `end`. */
async function readUpTo(world: World, end: number): Promise<ReadBack> {
  const copy = copyOf(world);
  for (const path of chunkFiles(copy)) {
    if (Number(/ledger_(\d+)/.exec(path)?.[1]) > end) copy.disk.tamper(path, undefined);
  }
  const replayed = await readLedger(copy.disk);
  expect(replayed.lastSigned?.seqno, `a chunk ends at ${end}`).toBe(end);
  return replayed;
}

async function load(
  { bytes }: Pick<SnapshotFile, 'bytes'>,
  { secrets }: Pick<ReadBack, 'secrets'>,
  serviceCertificate: string,
): Promise<LoadedSnapshot> {
  const secretAt = secrets.at.bind(secrets);
  const source = { bytes, archivedTables: [ARCHIVED], secretAt };
  return await loadSnapshot(source, { serviceCertificate, verifier: nodeVerifier });
}

/** The same snapshot made from another store: as another node, or another attempt, would. */
function madeAgain(
  { store, tree, views }: Pick<ReadBack, 'store' | 'tree' | 'views'>,
  secrets: ReadBack['secrets'],
): Buffer {
  const capture = store.capture();
  const leaf = tree.leaf(store.committed);
  const secret = secrets.at(store.committed);
  if (!capture || !leaf || !secret) throw new Error('not at a signature');
  const viewHistory = views.complete().map(({ seqno }) => seqno);
  return drained(writeSnapshot({ capture, leaf, viewHistory, secret })).bytes;
}

test('a snapshot is due by count and growth, ends its chunk, and is vouched for', async () => {
  const world = newWorld();
  const { node } = await start(world, OFTEN);
  await writeRows(node, 0, 400);
  await node.stop();
  const snapshots = snapshotsIn(world);
  expect(snapshots.length).toBeGreaterThanOrEqual(3);
  const ends = chunkFiles(world).map((path) => Number(/-(\d+)\.committed$/.exec(path)?.[1]));
  const all = await readLedger(world.disk);
  const bytesOf = await entrySizes(world);
  for (const [at, { seqno, evidenceSeqno, bytes }] of snapshots.entries()) {
    expect(ends).toContain(seqno);
    const entry = await entryAt(world, seqno);
    expect(entry.flags).toBe(FLAG_CHUNK_AFTER);
    expect(parseSignature(entry.publicMaps)?.cose, `${seqno} is dual`).toBeDefined();
    const evidence = await entryAt(world, evidenceSeqno);
    expect(evidence.publicMaps.map(({ name }) => name)).toEqual([SNAPSHOT_EVIDENCE]);
    const covering = all.leaves.signatureFrom(evidenceSeqno, 'any');
    expect(covering, 'the signature that covers the evidence is dual').toBe(
      all.leaves.signatureFrom(evidenceSeqno, 'dual'),
    );
    const before = snapshots[at - 1];
    if (before === undefined) continue;
    expect(seqno - before.seqno).toBeGreaterThanOrEqual(10);
    const grown = bytesOf
      .slice(before.seqno, seqno)
      .reduce((sum, entryBytes) => sum + entryBytes, 0);
    expect(grown).toBeGreaterThanOrEqual(2 * parseEntry(before.bytes).bytes.length);
    expect(bytes.length).toBeGreaterThan(before.bytes.length);
  }
});

async function entryAt(world: World, seqno: number): Promise<ReturnType<typeof parseEntry>> {
  for (const entry of entriesOf(world)) if (entry.seqno === seqno) return entry;
  throw new Error(`no entry ${seqno}`);
}

function* entriesOf(world: World): Generator<ReturnType<typeof parseEntry>, void, void> {
  for (const path of chunkFiles(world)) {
    const bytes = world.disk.files().get(path) ?? Buffer.alloc(0);
    const end = Number(bytes.readBigUInt64LE(0)) || bytes.length;
    for (let offset = 8; offset < end; ) {
      const entry = parseEntry(bytes.subarray(0, end), offset);
      yield entry;
      offset += entry.bytes.length;
    }
  }
}

async function entrySizes(world: World): Promise<readonly number[]> {
  return [...entriesOf(world)].map(({ bytes }) => bytes.length);
}

test('its bytes are those of a full replay, a second attempt and its own loading', async () => {
  const world = newWorld();
  const { node } = await start(world, OFTEN);
  const certificate = node.serviceCertificatePem;
  // Writes go on in parallel, so that captures are read while the store moves.
  await Promise.all(Array.from({ length: 300 }, (_, number) => writeRow(node, number)));
  await writeRows(node, 300, 500);
  await node.stop();
  const again = await start(copyOf(world), OFTEN);
  await again.node.stop();
  const snapshots = snapshotsIn(world);
  expect(snapshots.length).toBeGreaterThanOrEqual(3);
  for (const snapshot of snapshots) {
    const replayed = await readUpTo(world, snapshot.seqno);
    const entry = parseEntry(snapshot.bytes).bytes;
    const first = madeAgain(replayed, replayed.secrets);
    expect(first.equals(entry), `${snapshot.name} made from a replay`).toBe(true);
    expect(madeAgain(replayed, replayed.secrets).equals(entry), 'and again').toBe(true);
    const loaded = await load(snapshot, replayed, certificate);
    expect(loaded.seqno).toBe(snapshot.seqno);
    expect(loaded.evidence.seqno).toBe(snapshot.evidenceSeqno);
    expect(stateBytes(loaded.store)).toBe(stateBytes(replayed.store));
    expect(loaded.views.starts).toEqual(replayed.views.starts);
    expect(loaded.tree.root()).toEqual(replayed.tree.root());
    expect(madeAgain(loaded, replayed.secrets).equals(entry), 'made from itself').toBe(true);
  }
});

test('a snapshot and what comes after it lead to the state of a full replay', async () => {
  const world = newWorld();
  const first = await start(world, OFTEN);
  await writeRows(first.node, 0, 150);
  await first.node.stop();
  // A restart between: another view, another ledger secret.
  const { node } = await start(world, OFTEN);
  const certificate = node.serviceCertificatePem;
  await writeRows(node, 150, 320);
  await node.stop();
  const whole = await readLedger(world.disk);
  for (const snapshot of snapshotsIn(world)) {
    const { store, tree, views } = await load(snapshot, whole, certificate);
    for (const entry of entriesOf(world)) {
      if (entry.seqno <= snapshot.seqno) continue;
      const seqno = seqnoOf(entry.seqno);
      const secret = whole.secrets.at(seqno);
      if (secret === undefined) throw new Error(`no secret for ${seqno}`);
      const maps = [...entry.publicMaps, ...openEntry(entry, secret)];
      const isSignature = entry.isSignature();
      store.apply(seqno, isSignature ? [] : maps);
      tree.append(entry.leaf());
      views.note(whole.views.viewAt(seqno), seqno);
      if (isSignature) store.commit(seqno, maps);
    }
    expect(stateBytes(store), snapshot.name).toBe(stateBytes(whole.store));
    expect(tree.root()).toEqual(whole.tree.root());
    expect(views.starts).toEqual(whole.views.starts);
  }
});

test('on request one is taken at the next signature', async () => {
  const world = newWorld();
  const { node } = await start(world);
  await writeRows(node, 0, 5);
  expect(snapshotsIn(world)).toEqual([]);
  node.requestSnapshot();
  await node.snapshotsIdle();
  expect(snapshotsIn(world), 'not without something to sign').toEqual([]);
  const { seqno } = await writeRow(node, 5);
  await node.snapshotsIdle();
  expect(snapshotsIn(world).map((each) => each.seqno)).toEqual([seqno + 1]);
  await writeRows(node, 6, 20);
  expect(snapshotsIn(world), 'and only that one').toHaveLength(1);
  await node.stop();
});

test.each(['dual', 'raw', 'cose'] as const)(
  '%s signatures carry snapshots too',
  async (kind) => {
    const world = newWorld();
    const { node } = await start(world, {
      ...OFTEN,
      signatures: { ...SIGNATURE_DEFAULTS, kind },
    });
    await writeRows(node, 0, 60);
    await node.stop();
    const [snapshot] = snapshotsIn(world);
    if (snapshot === undefined) throw new Error('no snapshot');
    const replayed = await readUpTo(world, snapshot.seqno);
    const loaded = await load(snapshot, replayed, node.serviceCertificatePem);
    expect(stateBytes(loaded.store)).toBe(stateBytes(replayed.store));
    const { bytes } = parseEntry(snapshot.bytes);
    expect(snapshot.bytes[bytes.length]).toBe(kind === 'cose' ? 0xd2 : '{'.charCodeAt(0));
  },
);

test('a restart knows the snapshots that are there, and clears what was unfinished', async () => {
  const world = newWorld();
  const { node } = await start(world, OFTEN);
  await writeRows(node, 0, 120);
  await node.stop();
  const names = snapshotsIn(world).map(({ name }) => name);
  world.disk.tamper(`${SNAPSHOTS}/snapshot_999_1001`, Buffer.from('half of'));
  world.disk.tamper(`${SNAPSHOTS}/notes.txt`, Buffer.from('not ours'));
  const again = await start(world, OFTEN);
  await writeRows(again.node, 120, 125);
  const files = [...world.disk.files().keys()].filter((path) => path.startsWith(SNAPSHOTS));
  expect(files).toContain(`${SNAPSHOTS}/notes.txt`);
  expect(files).not.toContain(`${SNAPSHOTS}/snapshot_999_1001`);
  world.disk.tamper(`${SNAPSHOTS}/notes.txt`, undefined);
  expect(
    snapshotsIn(world).map(({ name }) => name),
    'none is due so soon',
  ).toEqual(names);
  await writeRows(again.node, 125, 400);
  expect(snapshotsIn(world).length).toBeGreaterThan(names.length);
  await again.node.stop();
});

test('at most five are pending, however long the disk takes', async () => {
  const world = newWorld();
  let openGate: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    openGate = resolve;
  });
  let begun = 0;
  world.disk.intercept = async ({ kind, path }) => {
    if (kind !== 'create' || !path.startsWith(SNAPSHOTS)) return;
    begun += 1;
    await gate;
  };
  const { node } = await start(world);
  for (let number = 0; number < 100; number += 1) {
    node.requestSnapshot();
    await writeRow(node, number);
  }
  await settle();
  expect(begun).toBe(5);
  openGate();
  await node.snapshotsIdle();
  expect(snapshotsIn(world)).toHaveLength(5);
  await node.stop();
});

test('a full disk costs the snapshot and nothing else', async () => {
  const world = newWorld();
  world.disk.intercept = ({ kind, path }) => {
    if (kind === 'write' && path.startsWith(SNAPSHOTS)) {
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    }
  };
  const { node } = await start(world, OFTEN);
  await writeRows(node, 0, 60);
  expect(snapshotsIn(world)).toEqual([]);
  expect(world.fatal).toEqual([]);
  expect(world.warnings.join('\n')).toMatch(/no snapshot was written at \d+: ENOSPC/);
  world.disk.intercept = undefined;
  await writeRows(node, 60, 120);
  expect(snapshotsIn(world).length).toBeGreaterThan(0);
  await node.stop();
});

test('a stop in the middle of one leaves no half of it, and nothing to repair', async () => {
  const world = newWorld();
  const { node } = await start(world, OFTEN);
  await writeRows(node, 0, 6);
  node.requestSnapshot();
  await writeRow(node, 6);
  await node.stop();
  const left = snapshotsIn(world);
  expect(left.length).toBeLessThanOrEqual(1);
  const again = await start(afterCrash(world, 'kept'), OFTEN);
  await writeRows(again.node, 7, 60);
  await again.node.stop();
  expect(world.fatal).toEqual([]);
});

test('a crash at any step of writing one leaves a whole snapshot or none', async () => {
  const life = async (world: World): Promise<void> => {
    const { node } = await start(world);
    await writeRows(node, 0, 4);
    node.requestSnapshot();
    await writeRows(node, 4, 6);
    await node.stop();
  };
  const rehearsal = newWorld();
  await life(rehearsal);
  const steps = rehearsal.disk.operations.flatMap(({ kind, path }, at) =>
    path.startsWith(SNAPSHOTS) && kind !== 'make-folder' ? [{ at, kind }] : [],
  );
  expect(steps.map(({ kind }) => kind)).toEqual([
    ...['create', 'write', 'write', 'sync', 'rename', 'sync-folder'],
  ]);
  let finished = 0;
  for (const crash of CRASHES) {
    for (const { at, kind } of steps) {
      const world = newWorld();
      world.disk.crashAt({ at, kind: crash });
      await Promise.race([life(world), world.disk.crashed]);
      const after = afterCrash(world, crash);
      const { node } = await start(after);
      const whole = await readLedger(after.disk);
      for (const snapshot of snapshotsIn(after)) {
        const loaded = await load(snapshot, whole, node.serviceCertificatePem);
        expect(loaded.seqno, `${crash} at ${kind}`).toBe(snapshot.seqno);
        finished += 1;
      }
      await node.stop();
    }
  }
  expect(finished, 'some were whole').toBeGreaterThan(0);
  expect(finished, 'some were not').toBeLessThan(CRASHES.length * steps.length);
});

const CRASHES = ['kept', 'lost', 'names', 'contents', 'torn-half', 'zeros'] as const;

type Mutation = readonly [
  what: string,
  code: string,
  check: string | undefined,
  change: (bytes: Buffer, size: number) => Buffer,
];

const flip =
  (at: (bytes: Buffer, size: number) => number): Mutation[3] =>
  (bytes, size) => {
    const place = at(bytes, size);
    bytes[place] = (bytes[place] ?? 0) ^ 1;
    return bytes;
  };

const inReceipt =
  (change: (receipt: Record<string, unknown>) => unknown): Mutation[3] =>
  (bytes, size) => {
    const receipt = JSON.parse(textOf(bytes.subarray(size))) as Record<string, unknown>;
    change(receipt);
    return Buffer.concat([bytes.subarray(0, size), Buffer.from(JSON.stringify(receipt))]);
  };

const components = (receipt: Record<string, unknown>): Record<string, string> =>
  receipt.leaf_components as Record<string, string>;

const MUTATIONS: readonly Mutation[] = [
  ['its version', 'BadEntry', undefined, flip(() => 0)],
  ['its size', 'SnapshotUnvouched', 'format', flip(() => 2)],
  ['its tag', 'SnapshotUnvouched', 'claims', flip(() => 12)],
  ['its seqno', 'BadEntry', undefined, flip(() => 24)],
  ['its snapshot bit', 'BadEntry', undefined, (bytes) => setByte(bytes, 35, 0)],
  ['a byte of its leaf', 'SnapshotUnvouched', 'claims', flip(() => 44 + 25 + 3)],
  ['its view history', 'SnapshotUnvouched', 'claims', flip(() => 44 + 25 + 32 + 8)],
  ['a byte in its middle', 'SnapshotUnvouched', 'claims', flip((_, size) => size >> 1)],
  ['the last byte of its private part', 'SnapshotUnvouched', 'claims', flip((_, s) => s - 1)],
  ['no receipt', 'SnapshotUnvouched', 'format', (bytes, size) => bytes.subarray(0, size)],
  ['half a receipt', 'SnapshotUnvouched', 'format', (bytes) => bytes.subarray(0, -40)],
  ['a cut entry', 'BadEntry', undefined, (bytes, size) => bytes.subarray(0, size - 1)],
  ['nothing', 'BadEntry', undefined, () => Buffer.alloc(0)],
  [
    'other claims',
    'SnapshotUnvouched',
    'claims',
    inReceipt((receipt) => {
      components(receipt).claims_digest = 'ab'.repeat(32);
    }),
  ],
  [
    'another write set',
    'SnapshotUnvouched',
    'signature',
    inReceipt((receipt) => {
      components(receipt).write_set_digest = 'ab'.repeat(32);
    }),
  ],
  [
    'other evidence',
    'SnapshotUnvouched',
    'signature',
    inReceipt((receipt) => {
      components(receipt).commit_evidence = `ce:2.1:${'ab'.repeat(32)}`;
    }),
  ],
  [
    'a step more in its proof',
    'SnapshotUnvouched',
    'signature',
    inReceipt((receipt) => (receipt.proof as unknown[]).push({ left: 'ab'.repeat(32) })),
  ],
  [
    'another node',
    'SnapshotUnvouched',
    'node',
    inReceipt((receipt) => {
      receipt.node_id = 'ab'.repeat(32);
    }),
  ],
];

function setByte(bytes: Buffer, at: number, value: number): Buffer {
  bytes[at] = value;
  return bytes;
}

test('a snapshot that was changed anywhere is refused, each with its reason', async () => {
  const world = newWorld();
  const { node } = await start(world, OFTEN);
  await writeRows(node, 0, 60);
  await node.stop();
  const [snapshot] = snapshotsIn(world);
  if (snapshot === undefined) throw new Error('no snapshot');
  const whole = await readLedger(world.disk);
  const trusted = node.serviceCertificatePem;
  const size = parseEntry(snapshot.bytes).bytes.length;
  for (const [what, code, check, change] of MUTATIONS) {
    const bytes = change(Buffer.from(snapshot.bytes), size);
    const outcome = load({ bytes }, whole, trusted);
    await expect(outcome, what).rejects.toMatchObject({
      code,
      ...(check === undefined ? {} : { fields: { check } }),
    });
  }
  for (let at = 0; at < size; at += 37) {
    const bytes = flip(() => at)(Buffer.from(snapshot.bytes), size);
    await expect(load({ bytes }, whole, trusted), `byte ${at}`).rejects.toMatchObject({
      code: expect.stringMatching(/^(BadEntry|BadSnapshot|SnapshotUnvouched)$/),
    });
  }
});

test('it is refused under another service certificate, secret or none', async () => {
  const [world, other] = [newWorld(), newWorld()];
  const { node } = await start(world, OFTEN);
  await writeRows(node, 0, 60);
  await node.stop();
  const stranger = await start(other);
  await stranger.node.stop();
  const [snapshot] = snapshotsIn(world);
  if (snapshot === undefined) throw new Error('no snapshot');
  const [own, foreign] = [await readLedger(world.disk), await readLedger(other.disk)];
  const trusted = node.serviceCertificatePem;
  await expect(load(snapshot, own, stranger.node.serviceCertificatePem)).rejects.toMatchObject({
    code: 'SnapshotUnvouched',
    fields: { check: 'endorsement' },
  });
  await expect(load(snapshot, foreign, trusted)).rejects.toMatchObject({ code: 'SealBroken' });
  const source = { bytes: snapshot.bytes, archivedTables: [], secretAt: () => undefined };
  const trust = { serviceCertificate: trusted, verifier: nodeVerifier };
  await expect(loadSnapshot(source, trust)).rejects.toMatchObject({ code: 'SecretMissing' });
  expect([...world.disk.files().keys()].some((path) => path.startsWith(LEDGER))).toBe(true);
});
