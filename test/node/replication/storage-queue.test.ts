// What a node does to its disk, and when it may say so: in the order of consensus, several appends
// with one flush, and nothing any more once something failed (obligations 1 and 3).

import { beforeEach, describe, expect, test } from 'vitest';
import { seqnoOf, viewOf } from '../../../src/base/ids.ts';
import { aeadKeyOf } from '../../../src/crypto/aead.ts';
import { systemRandom } from '../../../src/crypto/random.ts';
import { ChunkStore } from '../../../src/ledger/chunk-store.ts';
import { type StorageJob, StorageQueue } from '../../../src/node/replication/storage-queue.ts';
import { VoteRecordFile } from '../../../src/node/replication/vote-record.ts';
import {
  CrashingDisk,
  describeOperation,
  type Operation,
  WHOLE_KINDS,
} from '../../support/crashing-disk.ts';
import { settle } from '../../support/manual-time.ts';

const LEDGER = '/ledger';
const VOTES = '/votes';
const key = aeadKeyOf(Buffer.alloc(32, 7));

interface Rig {
  readonly disk: CrashingDisk;
  readonly chunks: ChunkStore;
  readonly queue: StorageQueue;
  /** What was told, in order: numbers of operations. */
  readonly stored: number[];
  readonly failures: unknown[];
  /** What else happened, in order. */
  readonly events: string[];
}

let rig: Rig;

async function build(): Promise<Rig> {
  const disk = new CrashingDisk();
  await disk.makeFolder(LEDGER);
  await disk.makeFolder(VOTES);
  const chunks = await ChunkStore.open(disk, LEDGER, true, [], undefined);
  const votes = new VoteRecordFile(disk, VOTES, key, systemRandom);
  const rest = { stored: [] as number[], failures: [] as unknown[], events: [] as string[] };
  const queue = new StorageQueue({
    chunks,
    writeRecord: async (record) => {
      await votes.write(record);
      rest.events.push(`record ${record.view}`);
    },
    onStored: (operation) => {
      rest.stored.push(operation);
      rest.events.push(`stored ${operation}`);
    },
    onFailure: (error) => rest.failures.push(error),
  });
  return { disk, chunks, queue, ...rest };
}

beforeEach(async () => {
  rig = await build();
});

/** An entry's bytes as the disk sees them: a flag, and something to know it by. */
function entry(name: string, flags = 0): Buffer {
  return Buffer.concat([Buffer.from([1, flags]), Buffer.from(name.padEnd(6))]);
}

function append(operation: number, first: number, ...names: readonly string[]): StorageJob {
  const entries = names.map((name) => entry(name));
  return { kind: 'append', operation, first: seqnoOf(first), entries, checks: [] };
}

const record = (operation: number, view: number): StorageJob => ({
  kind: 'record',
  operation,
  record: { view: viewOf(view) },
});

const truncate = (operation: number, seqno: number): StorageJob => ({
  kind: 'truncate',
  operation,
  seqno: seqnoOf(seqno),
});

function push(...jobs: readonly StorageJob[]): void {
  for (const job of jobs) rig.queue.push(job);
}

/** Names of the entries that the open chunk holds on a disk. */
function entriesOn(disk: CrashingDisk, name = 'ledger_1'): readonly string[] {
  const bytes = disk.files().get(`${LEDGER}/${name}`) ?? Buffer.alloc(0);
  const names: string[] = [];
  for (let at = 8; at < bytes.length; at += 8) names.push(`${bytes.subarray(at + 2, at + 8)}`);
  return names.map((each) => each.trimEnd());
}

/** Holds the disk up at the next operation of a kind. */
function hold(kind: Operation['kind']): () => void {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  rig.disk.intercept = async (operation) => {
    if (operation.kind === kind) await opened;
  };
  return open;
}

describe('in the order of consensus', () => {
  test('one after the other, each told when it is durable', async () => {
    push(record(1, 2), append(2, 1, 'a', 'b'), truncate(3, 1), append(4, 2, 'c'), record(5, 3));
    await rig.queue.idle();
    expect(rig.events).toEqual([
      'record 2',
      'stored 1',
      'stored 2',
      'stored 3',
      'stored 4',
      'record 3',
      'stored 5',
    ]);
    expect(rig.queue.stored).toBe(5);
    expect(entriesOn(rig.disk.survivor('lost'))).toEqual(['a', 'c']);
  });

  test('what gathered while the disk was busy is written with one flush', async () => {
    const open = hold('sync');
    push(append(1, 1, 'a'));
    await settle();
    push(append(2, 2, 'b'), append(3, 3, 'c', 'd'), append(4, 5, 'e'));
    await settle();
    expect(rig.stored).toEqual([]);
    open();
    rig.disk.operations.length = 0;
    await rig.queue.idle();
    expect(rig.stored).toEqual([1, 4]);
    const syncs = rig.disk.operations.filter(({ kind }) => kind === 'sync');
    expect(syncs, 'one for the first, one for all others').toHaveLength(2);
    expect(entriesOn(rig.disk)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('but not past a cut or a vote, which must lie between', async () => {
    const open = hold('sync');
    push(append(1, 1, 'a'));
    await settle();
    push(append(2, 2, 'b'), append(3, 3, 'x'), truncate(4, 2), append(5, 3, 'c'));
    push(append(6, 4, 'd'), record(7, 3), append(8, 5, 'e'), append(9, 6, 'f'));
    open();
    await rig.queue.idle();
    expect(rig.stored).toEqual([1, 3, 4, 6, 7, 9]);
    expect(entriesOn(rig.disk)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  test('a chunk gets its final name only behind the entries before it', async () => {
    const open = hold('sync');
    const last = entry('b', 1);
    push({
      ...{ kind: 'append', operation: 1, first: seqnoOf(1), checks: [] },
      entries: [entry('a'), last],
    });
    push({ kind: 'commit', seqno: seqnoOf(2) }, append(2, 3, 'c'));
    await settle();
    expect(await rig.disk.list(LEDGER)).toEqual(['ledger_1']);
    open();
    await rig.queue.idle();
    expect(await rig.disk.list(LEDGER)).toEqual(['ledger_1-2.committed', 'ledger_3']);
    expect(rig.stored, 'a name has no number').toEqual([1, 2]);
  });

  test('idle at once when there is nothing to do', async () => {
    await rig.queue.idle();
    push(append(1, 1, 'a'));
    await rig.queue.idle();
    await rig.queue.idle();
    expect(rig.stored).toEqual([1]);
  });
});

describe('checks of what was received', () => {
  /** A check that somebody ends. */
  function check(): {
    readonly checks: readonly Promise<void>[];
    readonly end: (error?: Error) => void;
  } {
    let end: (error?: Error) => void = () => undefined;
    const done = new Promise<void>((resolve, reject) => {
      end = (error) => (error === undefined ? resolve() : reject(error));
    });
    done.catch(() => undefined);
    return { checks: [done], end };
  }

  test('run while the disk works; entries count as stored only when they are good', async () => {
    const { checks, end } = check();
    push({ ...(append(1, 1, 'a') as Extract<StorageJob, { kind: 'append' }>), checks });
    await settle();
    expect(entriesOn(rig.disk.survivor('lost')), 'the disk did not wait').toEqual(['a']);
    expect(rig.stored).toEqual([]);
    end();
    await rig.queue.idle();
    expect(rig.stored).toEqual([1]);
  });

  test.each(['first', 'last'])(
    'one that fails is fatal: nothing written with it is told, the %s of them',
    async (which) => {
      const open = hold('sync');
      push(append(1, 1, 'a'));
      await settle();
      const { checks, end } = check();
      const bad = { ...(append(2, 2, 'b') as Extract<StorageJob, { kind: 'append' }>), checks };
      const good = append(3, 3, 'c');
      push(...(which === 'first' ? [bad, good] : [append(2, 2, 'b')]));
      if (which === 'last') {
        push({ ...bad, operation: 3, first: seqnoOf(3) });
      }
      push(record(4, 9));
      open();
      const failure = new Error('a signature is bad');
      await settle();
      end(failure);
      await rig.queue.idle();
      expect(rig.failures).toEqual([failure]);
      expect(rig.stored).toEqual([1]);
      expect(rig.events, 'nothing is done after it').not.toContain('record 9');
      push(append(5, 9, 'z'));
      await rig.queue.idle();
      await settle();
      expect(rig.stored).toEqual([1]);
      expect(rig.failures).toEqual([failure]);
    },
  );
});

describe('a disk that fails', () => {
  test.each(['create', 'write', 'sync', 'sync-folder', 'rename', 'truncate'] as const)(
    'at a %s ends everything, and tells nothing that is not there',
    async (kind) => {
      const failure = Object.assign(new Error('input/output error'), { code: 'EIO' });
      const jobs = [
        { ...append(1, 1, 'a'), entries: [entry('a'), entry('b', 1)] } as StorageJob,
        { kind: 'commit', seqno: seqnoOf(2) } as StorageJob,
        append(2, 3, 'c', 'd'),
        truncate(3, 3),
        record(4, 2),
      ];
      rig.disk.intercept = (operation) => {
        if (operation.kind === kind) throw failure;
      };
      push(...jobs);
      await rig.queue.idle();
      expect(rig.failures).toEqual([failure]);
      const told = rig.stored.at(-1) ?? 0;
      expect(told).toBe(
        { create: 0, write: 0, sync: 0, 'sync-folder': 0, rename: 1, truncate: 2 }[kind],
      );
      rig.disk.intercept = undefined;
      push(append(9, 9, 'z'));
      await rig.queue.idle();
      expect(rig.stored.at(-1) ?? 0, 'nothing is tried again').toBe(told);
    },
  );
});

describe('a crash at any operation', () => {
  /** The ledger after each of the operations below. */
  const LEDGERS = ['', 'a b', 'a b', 'a b c d', 'a b c', 'a b c e', 'a b c e'];
  const VIEWS = [0, 0, 2, 2, 2, 2, 3];

  function script(): void {
    push(append(1, 1, 'a', 'b'), record(2, 2), append(3, 3, 'c', 'd'));
    push(truncate(4, 3), append(5, 4, 'e'), record(6, 3));
  }

  /** What the disk must hold once this operation was told, whatever came after it. */
  function promised(told: number): string {
    const [first = '', ...later] = LEDGERS.slice(told);
    return later.reduce((shared, next) => {
      let length = 0;
      while (length < shared.length && shared[length] === next[length]) length += 1;
      return shared.slice(0, length);
    }, first);
  }

  test('leaves what was told, whatever else it takes', async () => {
    rig.disk.operations.length = 0;
    script();
    await rig.queue.idle();
    const count = rig.disk.operations.length;
    expect(count).toBeGreaterThan(12);
    let checked = 0;
    for (let at = 0; at < count; at += 1) {
      for (const kind of WHOLE_KINDS) {
        rig = await build();
        rig.disk.crashAt({ at, kind });
        script();
        await rig.disk.crashed;
        const left = rig.disk.survivor(kind);
        const told = rig.stored.at(-1) ?? 0;
        const where = `${kind} at ${describeOperation(rig.disk.operations.at(-1))}`;
        expect(entriesOn(left).join(' ').startsWith(promised(told)), where).toBe(true);
        const life = await new VoteRecordFile(left, VOTES, key, systemRandom).begin(1);
        expect(life.record?.view ?? 0, where).toBeGreaterThanOrEqual(VIEWS[told] ?? 0);
        checked += 1;
      }
    }
    expect(checked).toBe(count * WHOLE_KINDS.length);
  });
});
