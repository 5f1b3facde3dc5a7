// What the simulator found in whole services, each shown again in small.

import { describe, expect, test } from 'vitest';
import { answer, type Endpoint } from '../../src/apps/interface.ts';
import { NO_BYTES, textOf, utf8 } from '../../src/base/bytes.ts';
import { type Seqno, seqnoAfter, seqnoOf, viewOf } from '../../src/base/ids.ts';
import { aeadKeyOf } from '../../src/crypto/aead.ts';
import { UnwrappingKey } from '../../src/crypto/keys.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { type NodeDescription, writeNode } from '../../src/governance/opening.ts';
import {
  ENCRYPTED_SECRETS,
  jsonRow,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  NODE_INFO,
  SERVICE_CONFIG,
  SINGLETON,
} from '../../src/governance/tables.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import { ChunkStore } from '../../src/ledger/chunk-store.ts';
import { ViewHistory } from '../../src/ledger/view-history.ts';
import { StorageQueue } from '../../src/node/replication/storage-queue.ts';
import { VoteRecordFile } from '../../src/node/replication/vote-record.ts';
import { Runner } from '../../src/node/runner.ts';
import { nameClosedChunks } from '../../src/node/tail-cut.ts';
import { writeUnprovenRestart } from '../../src/node/unproven-restart.ts';
import { Service } from '../support/cluster-service.ts';
import { CrashingDisk } from '../support/crashing-disk.ts';
import { describeVirtual } from '../support/node-descriptions.ts';

const unused = (): never => {
  throw new Error('this is not needed here');
};

test('absence is proven although something is committed whenever it is looked for', async () => {
  const store = new Store([]);
  const views = new ViewHistory();
  const grow = (): Seqno => {
    const seqno = seqnoAfter(store.newest);
    views.note(viewOf(2), seqno);
    store.apply(seqno, []);
    store.commit(seqno);
    return seqno;
  };
  grow();
  let asked = 0;
  const runner = new Runner({
    ...{ store, views },
    replica: {
      ...{ submit: unused, whenCommitted: unused, whenHeld: unused },
      whenReached: async () => undefined,
      readIndex: async () => {
        asked += 1;
        return grow();
      },
    },
    get archive(): never {
      return unused();
    },
    get receipts(): never {
      return unused();
    },
    get files(): never {
      return unused();
    },
  });
  const endpoint: Endpoint = {
    ...{ verb: 'GET', path: '/thing', authentication: ['no_auth'], effect: 'read' },
    ...{ reads: 'committed', answers: 'committed', summary: 'Looks for a thing' },
    handle: () => answer({ status: 404, absence: true }),
  };
  const request = {
    ...({ verb: 'GET', path: '/thing', params: {}, query: '', body: NO_BYTES } as const),
    header: () => undefined,
    caller: { policy: 'no_auth' } as const,
  };
  const options = { waitForCommit: false, linearizable: false };
  const { response } = await runner.run(endpoint, request, options);
  expect([response.status, asked]).toEqual([404, 1]);
});

describe('a checkpoint waits for the disk', () => {
  interface Gate {
    readonly queue: StorageQueue;
    readonly open: () => void;
    readonly fail: (error: Error) => void;
  }

  /** A queue whose only write ends when the test says so. */
  async function gated(): Promise<Gate> {
    let open = (): void => undefined;
    let fail = (_error: Error): void => undefined;
    const written = new Promise<void>((resolve, reject) => {
      open = resolve;
      fail = reject;
    });
    const chunks = await ChunkStore.open(new CrashingDisk(), '/none', true, [], undefined);
    const queue = new StorageQueue({
      chunks,
      writeRecord: () => written,
      onStored: () => undefined,
      onFailure: () => undefined,
    });
    queue.push({ kind: 'record', operation: 1, record: { view: viewOf(2) } });
    return { queue, open, fail };
  }

  test('until what was asked of it before is done', async () => {
    const { queue, open } = await gated();
    let isDone = false;
    const done = queue.done().then(() => {
      isDone = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDone).toBe(false);
    open();
    await done;
    expect(isDone).toBe(true);
  });

  test('and is given up when the disk fails', async () => {
    const { queue, fail } = await gated();
    const done = queue.done();
    fail(new Error('EIO'));
    await expect(done).rejects.toThrow('EIO');
    await expect(queue.done()).rejects.toMatchObject({ code: 'DiskFailed' });
  });
});

test('nodes that all restart need no word of a founder that is gone for good', async () => {
  // Nothing is in a closed chunk yet, so only what was noted says which configurations count.
  const service = await Service.of(3, { chunkBytes: 5_000_000, unprovenRestart: 'allow' });
  try {
    await service.write(3);
    await service.settle();
    for (const member of service.members) await service.crash(member, 'kept');
    const [, ...left] = service.members;
    await Promise.all(left.map((member) => service.start(member)));
    await service.ready();
    for (const member of left) expect(service.missing(member)).toEqual([]);
  } finally {
    await service.end();
  }
});

test('what is noted to be committed outlives the records that come after it', async () => {
  const disk = new CrashingDisk();
  await disk.makeFolder('/votes');
  const file = (): VoteRecordFile =>
    new VoteRecordFile(disk, '/votes', aeadKeyOf(new Uint8Array(32)), systemRandom);
  const votes = file();
  await votes.begin(1);
  await votes.noteCommitted(seqnoOf(7));
  await votes.write({ view: viewOf(3) });
  const { committed, record } = await file().begin(2);
  expect([committed, record]).toEqual([7, { view: 3 }]);
  expect((await file().known())?.committed).toBe(7);
});

describe('what a dead process wrote is put on stable storage first', () => {
  async function withChunk(): Promise<CrashingDisk> {
    const disk = new CrashingDisk();
    await disk.makeFolder('/ledger');
    const file = await disk.open('/ledger/ledger_1', 'create');
    await file.write(0, Buffer.alloc(64));
    disk.operations.length = 0;
    return disk;
  }

  const kindsOf = (disk: CrashingDisk): readonly string[] =>
    disk.operations.map(({ kind }) => kind);

  test('before a chunk is gone on with', async () => {
    const disk = await withChunk();
    const open = { name: 'ledger_1', start: seqnoOf(1), positions: [8], length: 64 };
    await ChunkStore.open(disk, '/ledger', true, [], open);
    expect(kindsOf(disk)).toEqual(['sync', 'sync-folder']);
  });

  test('before a chunk gets its final name', async () => {
    const disk = await withChunk();
    const chunk = { name: 'ledger_1', start: seqnoOf(1), end: seqnoOf(2) };
    await nameClosedChunks(disk, '/ledger', { closed: [chunk] });
    expect(kindsOf(disk)).toEqual(['sync', 'rename', 'sync-folder']);
  });
});

describe('an unproven restart in the middle of a retirement', () => {
  const keys = ['a', 'b', 'c'].map((name) => [name, UnwrappingKey.generate()] as const);

  function described(name: string): NodeDescription {
    const key = keys.find(([known]) => known === name)?.[1];
    return describeVirtual(name, key?.publicKeyPem ?? '');
  }

  /** Writes the restart that node `a` leads, where nodes have the given rows besides. */
  function restart(rows: Readonly<Record<string, object>>): Store {
    const store = new Store([]);
    const set = new StoreTransaction(store, 'service');
    set.table(SERVICE_CONFIG).put(SINGLETON, jsonRow({ recovery_threshold: 1 }));
    set.table(MEMBER_INFO).put(utf8('m'), jsonRow({ status: 'Active' }));
    set.table(MEMBER_ENCRYPTION_KEYS).put(utf8('m'), utf8(keys[0]?.[1].publicKeyPem ?? ''));
    for (const [name, more] of Object.entries(rows)) {
      writeNode(set, described(name));
      const row = textOf(set.table(NODE_INFO).get(utf8(name)) ?? NO_BYTES);
      set.table(NODE_INFO).put(utf8(name), jsonRow({ ...JSON.parse(row), ...more }));
    }
    store.apply(seqnoOf(1), set.writeSet());
    const transaction = new StoreTransaction(store, 'service');
    const at = (seqno: number) => ({ view: viewOf(3), seqno: seqnoOf(seqno) });
    const secret = (from: number) => ({
      ...{ from: seqnoOf(from), view: viewOf(3) },
      bytes: systemRandom.bytes(32),
    });
    writeUnprovenRestart(
      transaction,
      {
        node: described('a'),
        txId: at(2),
        continues: at(1),
        secret: secret(2),
        previous: secret(1),
      },
      systemRandom,
    );
    store.apply(seqnoOf(2), transaction.writeSet());
    return store;
  }

  const rowOf = (store: Store, table: string, key: Uint8Array): Record<string, unknown> =>
    JSON.parse(textOf(store.current.table(table).get(key) ?? NO_BYTES));

  test('tells the new secret to nodes whose voices may still be needed', () => {
    const retired = { status: 'Retired' };
    const store = restart({ a: {}, b: retired, c: { ...retired, retired_committed: true } });
    const told = rowOf(store, ENCRYPTED_SECRETS, SINGLETON);
    expect(Object.keys(told).sort()).toEqual(['a', 'b']);
  });

  test('does not bring the leader back that is on its way out', () => {
    const store = restart({ a: { status: 'Retired' }, b: {} });
    expect(rowOf(store, NODE_INFO, utf8('a')).status).toBe('Retired');
  });
});
