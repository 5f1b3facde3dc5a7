// The vote record: what a node must not forget of its views, and what becomes of a record that its
// host lost, garbled or put back.

import { beforeEach, describe, expect, test } from 'vitest';
import { type NodeId, viewOf } from '../../../src/base/ids.ts';
import { aeadKeyOf } from '../../../src/crypto/aead.ts';
import { systemRandom } from '../../../src/crypto/random.ts';
import { VoteRecordFile } from '../../../src/node/replication/vote-record.ts';
import { CrashingDisk, describeOperation, WHOLE_KINDS } from '../../support/crashing-disk.ts';

const FOLDER = '/votes';
const FILE = `${FOLDER}/vote.sealed`;
const key = aeadKeyOf(Buffer.alloc(32, 7));
const OTHER = 'b'.repeat(64) as NodeId;
const NOW_MS = 1_800_000_000_000;

let disk: CrashingDisk;

beforeEach(async () => {
  disk = new CrashingDisk();
  await disk.makeFolder(FOLDER);
});

/** Another life on a disk, which finds what the one before left. */
async function live(
  on = disk,
  nowMs = NOW_MS,
  under = key,
): Promise<{ readonly file: VoteRecordFile } & Awaited<ReturnType<VoteRecordFile['begin']>>> {
  const file = new VoteRecordFile(on, FOLDER, under, systemRandom);
  return { file, ...(await file.begin(nowMs)) };
}

describe('from one life to the next', () => {
  test('a first life finds nothing', async () => {
    expect(await live()).toMatchObject({ record: undefined, incarnation: NOW_MS });
  });

  test('the newest record is found again, vote and all', async () => {
    const { file } = await live();
    await file.write({ view: viewOf(3), votedFor: OTHER });
    expect((await live()).record).toEqual({ view: 3, votedFor: OTHER });
    const second = await live();
    await second.file.write({ view: viewOf(4) });
    expect((await live()).record).toEqual({ view: 4 });
  });

  test('each is told from those before it, though the clock stands or goes back', async () => {
    const first = await live();
    const second = await live();
    const third = await live(disk, NOW_MS - 3_600_000);
    const fourth = await live(disk, NOW_MS + 1_000);
    const lives = [first, second, third, fourth].map(({ incarnation }) => incarnation);
    expect(lives).toEqual([...lives].sort((left, right) => left - right));
    expect(new Set(lives).size).toBe(4);
  });

  test('a life is on stable storage before it says anything', async () => {
    const { incarnation } = await live();
    const left = disk.survivor('lost');
    expect((await live(left)).incarnation).toBeGreaterThan(incarnation);
  });
});

describe('a crash at any operation', () => {
  test('leaves the old record or the new one, and the new one once it was written', async () => {
    let checked = 0;
    for (let at = 0; ; at += 1) {
      let isOver = false;
      for (const kind of WHOLE_KINDS) {
        disk = new CrashingDisk();
        await disk.makeFolder(FOLDER);
        const { file } = await live();
        await file.write({ view: viewOf(5), votedFor: OTHER });
        disk.crashAt({ at, kind });
        const written = file.write({ view: viewOf(6) }).then(() => true);
        isOver = await Promise.race([written, disk.crashed.then(() => false)]);
        const { record } = await live(disk.survivor(kind));
        const where = `${kind} at ${describeOperation(disk.operations.at(-1))}`;
        expect(record, where).toEqual(
          isOver || record?.view === 6 ? { view: 6 } : { view: 5, votedFor: OTHER },
        );
        checked += 1;
      }
      if (isOver) break;
    }
    expect(checked).toBeGreaterThan(3 * WHOLE_KINDS.length);
  });
});

describe('what a host may do to it', () => {
  async function garbled(change: (bytes: Buffer) => Buffer | undefined): Promise<CrashingDisk> {
    const { file } = await live();
    await file.write({ view: viewOf(7), votedFor: OTHER });
    const bytes = disk.files().get(FILE);
    if (bytes === undefined) throw new Error('there is a record');
    disk.tamper(FILE, change(Buffer.from(bytes)));
    return disk;
  }

  test.each([
    ['lost', () => undefined],
    ['emptied', () => Buffer.alloc(0)],
    ['cut in half', (bytes: Buffer) => bytes.subarray(0, bytes.length >>> 1)],
    ['zeroed', (bytes: Buffer) => bytes.fill(0)],
    ['random', () => Buffer.from('a1b2c3d4e5f60718293a4b5c6d7e8f90', 'hex')],
    ['of its own making', () => Buffer.from('{"view": 2147483646, "incarnation": 3}')],
  ] as const)(
    'a record that is %s counts as lost, and the node lives on',
    async (_how, change) => {
      await garbled(change);
      const found = await live(disk, NOW_MS + 5_000);
      expect(found.record).toBeUndefined();
      expect(found.incarnation).toBe(NOW_MS + 5_000);
      await found.file.write({ view: viewOf(8) });
      expect((await live()).record).toEqual({ view: 8 });
    },
  );

  test('one bit that flips anywhere is noticed', async () => {
    await garbled((bytes) => bytes);
    const whole = disk.files().get(FILE) ?? Buffer.alloc(0);
    expect(whole.includes('view'), 'what it says does not show').toBe(false);
    for (let at = 0; at < whole.length; at += 1) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      disk.tamper(FILE, bytes);
      expect(await live(), `byte ${at}`).toMatchObject({
        record: undefined,
        incarnation: NOW_MS,
      });
    }
  });

  test('the record of another node counts as lost', async () => {
    await garbled((bytes) => bytes);
    const other = await live(disk, NOW_MS, aeadKeyOf(Buffer.alloc(32, 8)));
    expect(other.record).toBeUndefined();
  });

  test('an older copy is found as it was, in a life that is nevertheless a new one', async () => {
    const { file } = await live();
    await file.write({ view: viewOf(3) });
    const copy = disk.survivor('kept');
    await file.write({ view: viewOf(9), votedFor: OTHER });
    const late = await live();
    const back = await live(copy, NOW_MS + 1_000);
    expect(back.record).toEqual({ view: 3 });
    expect(back.incarnation).toBeGreaterThan(late.incarnation);
  });
});
