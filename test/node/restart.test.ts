// A node that restarts in place: what it finds again, what it writes first, what it puts in order,
// and what it refuses to touch (design decision 11).

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { seqnoOf, textOfTxId, viewOf } from '../../src/base/ids.ts';
import { aeadKeyOf, openGcm } from '../../src/crypto/aead.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { HISTORICAL_SECRET, RESTARTS, SINGLETON } from '../../src/governance/tables.ts';
import type { Store } from '../../src/kv/store.ts';
import { type LedgerSecret, ledgerSecretOf } from '../../src/ledger/secret.ts';
import { loadCheckpoint, readHead } from '../../src/node/checkpoint.ts';
import { loadIdentity } from '../../src/node/identity.ts';
import { scanLedger } from '../../src/node/ledger-scan.ts';
import { replay } from '../../src/node/replay.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { SecretPool } from '../../src/node/secret-pool.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import { openedWorld, SMALL_CHUNKS } from '../support/crash-enumerator.ts';
import { codeOf, fingerprint, type Operation } from '../support/crashing-disk.ts';
import { startDriver } from '../support/ledger-driver.ts';
import { MemoryIndex } from '../support/memory-index.ts';
import {
  ARCHIVED,
  ASIDE,
  afterCrash,
  chunkFiles,
  copyOf,
  corrupt,
  holdsRow,
  LEDGER,
  newWorld,
  readLedger,
  SEALED,
  start,
  type World,
  whole,
  writeRow,
} from '../support/node-rig.ts';
import { stateBytes } from '../support/state-bytes.ts';

const ALL_ROWS = Array.from({ length: 12 }, (_, number) => number);
let stopped: World;
let ceased: World;

beforeAll(async () => {
  stopped = await openedWorld();
  ceased = await openedWorld(false);
});

async function sealedFolder(world: World): Promise<SealedFolder> {
  return new SealedFolder(
    world.disk,
    SEALED,
    await virtualSealer(world.disk, SEALED, systemRandom),
  );
}

/** Starts a node that must refuse, and gives back the code; nothing may have changed. */
async function refusal(world: World): Promise<{ code: string; message: string }> {
  const before = fingerprint(world.disk);
  try {
    await start(world, SMALL_CHUNKS);
  } catch (error) {
    expect(fingerprint(world.disk)).toEqual(before);
    return { code: codeOf(error), message: String(error) };
  }
  throw new Error('the node started');
}

describe('what a restart finds and writes', () => {
  test('the rows are there, the view is a new one, and the service stays open', async () => {
    const world = copyOf(stopped);
    const before = await readLedger(world.disk);
    const { node, isNew } = await start(world, SMALL_CHUNKS);
    expect(isNew).toBe(false);
    expect(ALL_ROWS.filter((number) => !holdsRow(node, number))).toEqual([]);
    expect(node.applicationOpen()).toBe(true);
    const last = before.lastSigned;
    if (last === undefined) throw new Error('there is a signature');
    const { view } = node.node();
    expect(view).toBeGreaterThan(last.view);
    const first = { view, seqno: last.seqno + 1 };
    expect(node.node()).toMatchObject({ startupSeqno: last.seqno });
    expect(node.node().restart).toEqual({ proven: false, ...first });
    expect(node.viewHistory().at(-1)).toEqual(first);
    expect(node.statusOf(last)).toBe('Committed');
    const row = node
      .current()
      .table(RESTARTS)
      .get(Buffer.from(`${view}.${first.seqno}`));
    expect(JSON.parse(Buffer.from(row ?? []).toString())).toEqual({
      node_id: node.nodeId,
      continues: textOfTxId(last),
      proven: false,
    });
    await node.stop();
  });

  test('its first entry is sealed under a fresh secret, which leads back to the old', async () => {
    const world = copyOf(stopped);
    const old = await readLedger(world.disk);
    const { node } = await start(world, SMALL_CHUNKS);
    await node.stop();
    const [genesis, fresh, ...more] = await (await sealedFolder(world)).ledgerSecrets();
    if (genesis === undefined || fresh === undefined) throw new Error('there are two secrets');
    expect(more).toEqual([]);
    expect(fresh.from).toBe((old.lastSigned?.seqno ?? 0) + 1);
    expect(Buffer.from(fresh.bytes).equals(genesis.bytes)).toBe(false);
    const row = node.current().table(HISTORICAL_SECRET).get(SINGLETON);
    const { next_version, previous_ledger_secret: previous } = JSON.parse(
      Buffer.from(row ?? []).toString(),
    );
    expect(next_version).toBe(fresh.from);
    expect(previous.version).toBe(1);
    const bytes = Buffer.from(previous.encrypted_data, 'base64');
    const opened = openGcm(aeadKeyOf(fresh.bytes), bytes.subarray(16, 28), Buffer.alloc(0), {
      tag: bytes.subarray(0, 16),
      ciphertext: bytes.subarray(28),
    });
    expect(Buffer.from(opened).equals(genesis.bytes)).toBe(true);
  });

  test('from a disk rolled back it goes on far from the views that it may have lost', async () => {
    const views = new Set<number>();
    for (let i = 0; i < 8; i += 1) {
      const { node } = await start(copyOf(stopped), SMALL_CHUNKS);
      const { view } = node.node();
      // More than a few elections later than the last that the disk knows of.
      expect(view).toBeGreaterThan(10);
      views.add(view);
      await node.stop();
    }
    // One chance in about 10^14 that all eight are the same.
    expect(views.size).toBeGreaterThan(1);
  });

  test('it can be restarted again and again, and writes in between', async () => {
    const world = copyOf(stopped);
    const views = [2];
    for (let round = 0; round < 4; round += 1) {
      const { node } = await start(world, SMALL_CHUNKS);
      expect(node.node().view).toBeGreaterThan(views.at(-1) ?? 0);
      views.push(node.node().view);
      await writeRow(node, 100 + round);
      await node.stop();
    }
    const { store, secrets } = await readLedger(world.disk);
    expect(secrets.latest.view).toBe(views.at(-1));
    const { node } = await start(world, SMALL_CHUNKS);
    const numbers = [...ALL_ROWS, 100, 101, 102, 103];
    expect(numbers.filter((number) => !holdsRow(node, number))).toEqual([]);
    expect(store.readTable(RESTARTS, 'committed').size).toBe(4);
    await node.stop();
  });

  test('a secret that a crash kept from being used is passed over', async () => {
    const rehearsal = copyOf(stopped);
    await (await start(rehearsal, SMALL_CHUNKS)).node.stop();
    const isInLedger = ({ kind, path }: Operation) =>
      kind === 'write' && path.startsWith(LEDGER);
    const firstUse = rehearsal.disk.operations.findIndex(isInLedger);
    const world = copyOf(stopped);
    world.disk.crashAt({ at: firstUse, kind: 'kept' });
    start(world, SMALL_CHUNKS).catch(() => undefined);
    await world.disk.crashed;
    const before = world.disk.operations.slice(0, firstUse);
    expect(before.some(({ path }) => /ledger-secret-(?!2\.)/.test(path))).toBe(true);
    expect(before.filter(isInLedger), 'the secret is sealed, not yet used').toEqual([]);
    const left = afterCrash(world, 'kept');
    const { node } = await start(left, SMALL_CHUNKS);
    const { view } = node.node();
    await node.stop();
    expect((await readLedger(left.disk)).secrets.latest.view).toBe(view);
  });

  test('a first start that was interrupted begins anew and throws nothing away', async () => {
    const world = newWorld();
    world.disk.crashAt({ at: 40, kind: 'kept' });
    void start(world, SMALL_CHUNKS);
    await world.disk.crashed;
    const left = afterCrash(world, 'kept');
    const keys = [...left.disk.files().keys()].filter((path) => path.endsWith('.sealed'));
    expect(keys.length).toBeGreaterThan(3);
    const { node, isNew } = await start(left, SMALL_CHUNKS);
    expect(isNew).toBe(true);
    expect(left.warnings.join()).toContain('beginning anew');
    for (const path of keys) {
      expect(left.disk.files().has(path.replace(SEALED, ASIDE)), path).toBe(true);
    }
    await node.stop();
  });

  test('two nodes on one folder: the second is refused', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'concordat-twice-'));
    try {
      const first = await startDriver(folder);
      await expect(startDriver(folder)).rejects.toMatchObject({ code: 'FolderInUse' });
      await first.stop();
      await (await startDriver(folder)).stop();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the checkpoint', () => {
  /** Replays a world's ledger with its checkpoint and with these secrets. */
  async function replayWith(world: World, wrongSecrets: boolean, useCheckpoint: boolean) {
    const sealed = await sealedFolder(world);
    const { indexKey } = await loadIdentity(sealed);
    const head = await readHead(world.index, indexKey);
    if (head === undefined) throw new Error('there is a checkpoint');
    const secrets = await sealed.ledgerSecrets();
    const replayed = await replay({
      disk: world.disk,
      folder: LEDGER,
      chunks: await scanLedger(world.disk, LEDGER),
      archivedTables: [ARCHIVED],
      secrets: new SecretPool(
        wrongSecrets
          ? secrets.map((each) => ({ ...each, bytes: Buffer.alloc(32, 9) }))
          : secrets,
      ),
      ...(useCheckpoint
        ? {
            checkpoint: {
              seqno: seqnoOf(head.seqno),
              load: async (store: Store, root: string) =>
                root === head.root && loadCheckpoint(world.index, indexKey, head, store),
            },
          }
        : {}),
    });
    return { replayed: whole(replayed), head };
  }

  test('entries before it are hashed but not opened: their secrets are not needed', async () => {
    const { replayed, head } = await replayWith(stopped, true, true);
    expect(replayed.lastSigned?.seqno).toBe(head.seqno);
    const all = await replayWith(stopped, false, false);
    expect(stateBytes(replayed.store)).toBe(stateBytes(all.replayed.store));
    await expect(replayWith(stopped, true, false)).rejects.toMatchObject({
      code: 'LedgerDamaged',
    });
  });

  test('it is told the secret in use, not one that a crash kept from being used', async () => {
    const sealed = await sealedFolder(stopped);
    const { indexKey } = await loadIdentity(sealed);
    const seqno = seqnoOf((await readHead(stopped.index, indexKey))?.seqno ?? 0);
    const secrets = await sealed.ledgerSecrets();
    const unused = { view: viewOf(90), from: seqnoOf(seqno - 1), bytes: Buffer.alloc(32, 9) };
    const told: (string | undefined)[] = [];
    const evidenceBy = (secret: LedgerSecret | undefined): string | undefined =>
      secret?.evidence.textOf(2, 1);
    const replayed = replay({
      disk: stopped.disk,
      folder: LEDGER,
      chunks: await scanLedger(stopped.disk, LEDGER),
      archivedTables: [ARCHIVED],
      secrets: new SecretPool([...secrets, unused]),
      checkpoint: {
        seqno,
        load: async (_store, _root, secret) => {
          told.push(evidenceBy(secret));
          return false;
        },
      },
    });
    await expect(replayed).resolves.toBeDefined();
    expect(told).toEqual([
      evidenceBy(secrets.map(({ bytes }) => ledgerSecretOf(bytes)).at(-1)),
    ]);
  });

  test('checkpoint and the entries after it give the state that all entries give', async () => {
    const world = copyOf(stopped);
    const { node } = await start(world, { ...SMALL_CHUNKS, checkpointEntries: 6 });
    for (let number = 20; number < 30; number += 1) await writeRow(node, number);
    const index = world.index.survivor(false);
    for (let number = 30; number < 32; number += 1) await writeRow(node, number);
    const left = { ...afterCrash(world, 'lost'), index };
    const { replayed, head } = await replayWith(left, false, true);
    expect(head.seqno).toBeGreaterThan(20);
    expect(replayed.lastSigned?.seqno).toBeGreaterThan(head.seqno);
    const all = await readLedger(left.disk);
    expect(stateBytes(replayed.store)).toBe(stateBytes(all.store));
  });

  test('one that belongs to another branch of the history is ignored', async () => {
    const [here, there] = [copyOf(stopped), copyOf(stopped)];
    for (const [world, first] of [
      [here, 40],
      [there, 60],
    ] as const) {
      const { node } = await start(world, SMALL_CHUNKS);
      await writeRow(node, first);
      await writeRow(node, first + 1);
      await node.stop();
    }
    const mixed = { ...copyOf(here), index: there.index.survivor(false) };
    const { node } = await start(mixed, SMALL_CHUNKS);
    expect([40, 41, 60, 61].map((number) => holdsRow(node, number))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    await node.stop();
  });

  test('one with a changed, missing or foreign row is ignored', async () => {
    const pieces = (rows: Map<string, Uint8Array>): string[] =>
      [...rows.keys()].filter((key) => key.includes('piece'));
    const spoilers: ((rows: Map<string, Uint8Array>) => void)[] = [
      (rows) => {
        for (const key of pieces(rows)) rows.get(key)?.fill(7, 40, 44);
      },
      (rows) => {
        for (const key of pieces(rows)) rows.delete(key);
      },
      (rows) => rows.set('checkpoint/head', Buffer.from('not sealed here, yet long enough')),
      (rows) => rows.set('checkpoint/head', Buffer.from('short')),
      (rows) => rows.clear(),
    ];
    for (const spoil of spoilers) {
      const rows = new Map(
        [...stopped.index.rows()].map(([key, row]) => [key, Uint8Array.from(row)] as const),
      );
      spoil(rows);
      const world = { ...copyOf(stopped), index: new MemoryIndex(rows) };
      const { node } = await start(world, SMALL_CHUNKS);
      expect(ALL_ROWS.every((number) => holdsRow(node, number))).toBe(true);
      await node.stop();
    }
  });
});

describe('what is missing or foreign', () => {
  test.each([
    ['node-key', 'NotSealed'],
    ['service-key', 'NotSealed'],
    ['node-encryption-key', 'NotSealed'],
    ['index-key', 'NotSealed'],
    ['ledger-secret-2.1', 'NotSealed'],
  ])(
    'without its %s it refuses, begins no new service and changes nothing',
    async (name, code) => {
      for (const from of [stopped, ceased]) {
        const world = copyOf(from);
        world.disk.tamper(`${SEALED}/${name}.sealed`, undefined);
        const refused = await refusal(world);
        expect(refused.code).toBe(code);
        expect(refused.message).toMatch(/restore/i);
      }
    },
  );

  test('the secret of a later view is in the ledger too, for the nodes of its time', async () => {
    const world = copyOf(stopped);
    const { node } = await start(world, SMALL_CHUNKS);
    await writeRow(node, 50);
    const left = afterCrash(world, 'kept');
    const secret = [...left.disk.files().keys()].find((path) => /secret-(?!2\.)/.test(path));
    left.disk.tamper(secret ?? '', undefined);
    const again = await start(left, SMALL_CHUNKS);
    expect(holdsRow(again.node, 50)).toBe(true);
    await again.node.stop();
  });

  test('with another sealing key, or none, nothing unseals and nothing is changed', async () => {
    const path = `${SEALED}/INSECURE-virtual-sealing.key`;
    for (const [contents, code] of [
      [Buffer.alloc(32, 5), 'SealBroken'],
      [Buffer.alloc(31, 5), 'SealBroken'],
      [undefined, 'NotSealed'],
    ] as const) {
      const world = copyOf(stopped);
      world.disk.tamper(path, contents);
      expect((await refusal(world)).code).toBe(code);
    }
  });

  test('a sealed file under another name does not unseal', async () => {
    const world = copyOf(stopped);
    const key = world.disk.files().get(`${SEALED}/node-key.sealed`);
    world.disk.tamper(`${SEALED}/service-key.sealed`, key);
    expect((await refusal(world)).code).toBe('SealBroken');
  });

  test('a ledger that is gone after its service was opened is missed', async () => {
    for (const from of [stopped, ceased]) {
      const world = copyOf(from);
      for (const path of chunkFiles(world)) world.disk.tamper(path, undefined);
      expect((await refusal(world)).code).toBe('LedgerMissing');
    }
  });

  test('a ledger that ends before the checkpoint was shortened', async () => {
    const world = copyOf(stopped);
    world.disk.tamper(chunkFiles(world).at(-1) ?? '', undefined);
    const refused = await refusal(world);
    expect(refused.code).toBe('LedgerShortened');
    expect(refused.message).toMatch(/committed entry \d+\. Files are missing/);
  });

  test.each([
    'notes.txt',
    'ledger_1.bak',
    'ledger_1-2.committed.ignored',
    'ledger_1-2.committed.recovery',
    'ledger_1-2.committed_prefix',
  ])('a foreign file in the ledger, %s, is refused', async (name) => {
    const world = copyOf(stopped);
    world.disk.tamper(`${LEDGER}/${name}`, Buffer.from('hello'));
    const refused = await refusal(world);
    expect(refused.code).toBe('LedgerFolder');
    expect(refused.message).toContain(name);
  });

  test('a missing chunk, at the beginning or in between, is refused', async () => {
    expect(chunkFiles(stopped).length).toBeGreaterThan(2);
    for (const [at, message] of [
      [0, /begins with entry 1 is missing/],
      [1, /entries \d+ to \d+/],
    ] as const) {
      const world = copyOf(stopped);
      world.disk.tamper(chunkFiles(world)[at] ?? '', undefined);
      const refused = await refusal(world);
      expect(refused.code).toBe('LedgerFolder');
      expect(refused.message).toMatch(message);
    }
  });

  test('chunks without any key of this node are those of another', async () => {
    const world = newWorld();
    await world.disk.makeFolder('/node');
    await world.disk.makeFolder(LEDGER);
    const chunk = [...stopped.disk.files()].find(([path]) => path.startsWith(LEDGER));
    world.disk.tamper(chunk?.[0] ?? '', chunk?.[1]);
    await expect(start(world)).rejects.toMatchObject({ code: 'ForeignLedger' });
  });

  test('an unfinished chunk that others follow is refused', async () => {
    const world = copyOf(stopped);
    const [first = ''] = chunkFiles(world);
    const bytes = world.disk.files().get(first) ?? Buffer.alloc(0);
    world.disk.tamper(first, undefined);
    const open = Buffer.from(bytes);
    open.fill(0, 0, 8);
    world.disk.tamper(`${LEDGER}/ledger_1`, open);
    expect((await refusal(world)).message).toMatch(/ledger_1 is unfinished/);
    corrupt(world, `${LEDGER}/ledger_1`, () =>
      Buffer.from(bytes.subarray(0, bytes.length - 1)),
    );
    expect((await refusal(world)).message).toMatch(/ledger_1 is damaged/);
  });
});
