// Ledger files after a crash and after damage. A torn end is cut, with a message, and kept aside; a
// chunk that a crash left unfinished is finished; anything else is refused with an instruction, and
// then not a byte of the node's folder has changed.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { layoutOf } from '../../src/ledger/chunk.ts';
import { FLAG_CHUNK_AFTER, parseEntry } from '../../src/ledger/entry.ts';
import { openedWorld, SMALL_CHUNKS } from '../support/crash-enumerator.ts';
import { codeOf, fingerprint } from '../support/crashing-disk.ts';
import {
  ASIDE,
  chunkFiles,
  copyOf,
  corrupt,
  holdsRow,
  LEDGER,
  readLedger,
  start,
  type World,
  writeRow,
} from '../support/node-rig.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
const ALL_ROWS = Array.from({ length: 12 }, (_, number) => number);

/** A service in its second view whose node just ceased: closed chunks, and an open one. */
let ceased: World;
/** The same, stopped: with a checkpoint. */
let stopped: World;

interface Entry {
  readonly path: string;
  readonly from: number;
  readonly to: number;
  readonly seqno: number;
  readonly isSignature: boolean;
}

beforeAll(async () => {
  // Restarting puts the first entry of a view, and a secret of its own, into the open chunk.
  ceased = await openedWorld();
  const { node } = await start(ceased, { chunkBytes: 60_000 });
  await writeRow(node, 15);
  await Promise.all([12, 13, 14].map((number) => writeRow(node, number)));
  stopped = copyOf(ceased);
  const again = await start(stopped, SMALL_CHUNKS);
  await again.node.stop();
});

function contents(world: World, path: string): Buffer {
  const bytes = world.disk.files().get(path);
  if (bytes === undefined) throw new Error(`there is no ${path}`);
  return bytes;
}

function entriesOf(world: World): readonly Entry[] {
  return chunkFiles(world).flatMap((path) => {
    const bytes = contents(world, path);
    const { positions, end } = layoutOf(bytes);
    return positions.map((from, at) => {
      const entry = parseEntry(bytes, from);
      const to = positions[at + 1] ?? end;
      return { path, from, to, seqno: entry.seqno, isSignature: entry.isSignature() };
    });
  });
}

function lastOf<Item>(items: readonly Item[]): Item {
  const item = items.at(-1);
  if (item === undefined) throw new Error('there is none');
  return item;
}

async function refusal(world: World): Promise<CodedError> {
  const before = fingerprint(world.disk);
  try {
    await start(world, SMALL_CHUNKS);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    expect(fingerprint(world.disk), 'nothing was changed').toEqual(before);
    return error;
  }
  throw new Error('the node started');
}

describe('a torn end', () => {
  /** The open chunk, its last batch, and the signature before that. */
  function lastBatch(): { path: string; signed: Entry; last: Entry; whole: Buffer } {
    const entries = entriesOf(ceased);
    const signatures = entries.filter(({ isSignature }) => isSignature);
    const [signed, last] = [lastOf(signatures.slice(0, -1)), lastOf(signatures)];
    expect(signed.path, 'both lie in the open chunk').toBe(last.path);
    expect(last).toBe(lastOf(entries));
    return { path: last.path, signed, last, whole: contents(ceased, last.path) };
  }

  test('cut at each byte of the last batch, the ledger ends with the batch before', async () => {
    const { path, signed, whole } = lastBatch();
    for (let length = signed.to; length < whole.length; length += 1) {
      const world = copyOf(ceased);
      world.disk.tamper(path, whole.subarray(0, length));
      const { lastSigned, tail, open } = await readLedger(world.disk);
      expect(lastSigned?.seqno, `cut at ${length}`).toBe(signed.seqno);
      expect(open?.length).toBe(signed.to);
      expect(tail?.bytes ?? 0).toBe(length - signed.to);
    }
  });

  test('with zeros from each byte on, likewise, unless the zeros are few', async () => {
    const { path, signed, last, whole } = lastBatch();
    for (let from = signed.to; from < whole.length; from += isLong ? 1 : 11) {
      const zeroed = Buffer.from(whole).fill(0, from);
      const world = copyOf(ceased);
      world.disk.tamper(path, zeroed);
      const ends = await readLedger(world.disk).then(
        ({ lastSigned }) => lastSigned?.seqno,
        (error: unknown) => codeOf(error),
      );
      if (zeroed.equals(whole)) expect(ends).toBe(last.seqno);
      else if (whole.length - from >= 16) expect(ends, `from ${from}`).toBe(signed.seqno);
      else expect([signed.seqno, 'LedgerDamaged']).toContain(ends);
    }
  });

  test('a restart cuts it, keeps it aside, says so, and goes on', async () => {
    const { path, signed, whole } = lastBatch();
    const name = path.slice(LEDGER.length + 1);
    const step = isLong ? 7 : 499;
    for (let length = signed.to + 1; length < whole.length; length += step) {
      const world = copyOf(ceased);
      world.disk.tamper(path, whole.subarray(0, length));
      const { node } = await start(world, SMALL_CHUNKS);
      expect(world.warnings.join()).toContain(`cut ${length - signed.to} bytes`);
      const kept = contents(world, `${ASIDE}/${name}.from-byte-${signed.to}`);
      expect(kept.equals(whole.subarray(signed.to, length))).toBe(true);
      expect(ALL_ROWS.every((number) => holdsRow(node, number))).toBe(true);
      await writeRow(node, 70);
      await node.stop();
      expect((await readLedger(world.disk)).tail).toBeUndefined();
    }
  });

  test('a tail longer than all that is written next leaves nothing behind', async () => {
    const { path } = lastBatch();
    const world = copyOf(ceased);
    corrupt(world, path, (bytes) => Buffer.concat([bytes, Buffer.alloc(40_000)]));
    const { node } = await start(world, { chunkBytes: 1_000_000 });
    await writeRow(node, 72);
    await node.stop();
    const { tail, lastSigned } = await readLedger(world.disk);
    expect(tail).toBeUndefined();
    expect(lastSigned).toEqual(node.committed());
  });

  test('a chunk in which nothing counts makes way, whatever it holds', async () => {
    const { path, signed, whole } = lastBatch();
    const next = `${LEDGER}/ledger_${signed.seqno + 1}`;
    for (const left of [Buffer.alloc(0), Buffer.alloc(5), Buffer.alloc(8), Buffer.alloc(900)]) {
      const world = copyOf(ceased);
      const closed = layoutOf(whole).positions.filter((from) => from < signed.to);
      const table = Buffer.alloc(closed.length * 4);
      for (const [at, from] of closed.entries()) table.writeUInt32LE(from, at * 4);
      const header = Buffer.alloc(8);
      header.writeUInt32LE(signed.to);
      const body = Buffer.from(whole.subarray(8, signed.to));
      world.disk.tamper(path, undefined);
      const start1 = Number(/ledger_(\d+)/.exec(path)?.[1]);
      const finished = `${LEDGER}/ledger_${start1}-${signed.seqno}.committed`;
      world.disk.tamper(finished, Buffer.concat([header, body, table]));
      world.disk.tamper(next, left);
      const { node } = await start(world, SMALL_CHUNKS);
      await writeRow(node, 71);
      await node.stop();
      const aside = [...world.disk.files()].find(([at]) => at.startsWith(`${ASIDE}/ledger_`));
      expect(aside?.[1].equals(left), `${left.length} bytes`).toBe(true);
    }
  });
});

describe('a chunk that a crash left unfinished', () => {
  /** A world whose last file is a chunk that is complete and has its final name. */
  async function completed(): Promise<{
    world: World;
    path: string;
    open: string;
    end: number;
  }> {
    const world = copyOf(stopped);
    const { node } = await start(world, { chunkBytes: 1 });
    await node.stop();
    const path = lastOf(chunkFiles(world));
    expect(path).toMatch(/committed$/);
    const open = path.replace(/-\d+\.committed$/, '');
    return { world, path, open, end: layoutOf(contents(world, path)).end };
  }

  /** Puts the last chunk under its working name, changed, and restarts. */
  async function restarted(change: (bytes: Buffer, end: number) => Buffer): Promise<void> {
    const { world, path, open, end } = await completed();
    const bytes = contents(world, path);
    const last = lastOf(entriesOf(world));
    expect(parseEntry(bytes, last.from).flags).toBe(FLAG_CHUNK_AFTER);
    world.disk.tamper(path, undefined);
    world.disk.tamper(open, change(Buffer.from(bytes), end));
    const { node } = await start(world, SMALL_CHUNKS);
    await writeRow(node, 80);
    await node.stop();
    expect(contents(world, path).equals(bytes), 'it is finished as it would have been').toBe(
      true,
    );
    expect(chunkFiles(world)).not.toContain(open);
    await readLedger(world.disk);
  }

  test('complete, but without its final name', async () => {
    await restarted((bytes) => bytes);
  });

  test('without its table', async () => {
    await restarted((bytes, end) => bytes.subarray(0, end).fill(0, 0, 8));
  });

  test('with its table torn at each byte', async () => {
    // Each life signs anew, and signatures differ in length: places are counted from the table.
    const { world, path, end } = await completed();
    const tableBytes = contents(world, path).length - end;
    for (let written = 1; written <= tableBytes; written += isLong ? 1 : 3) {
      await restarted((bytes, tableAt) => bytes.subarray(0, tableAt + written).fill(0, 0, 8));
    }
    await restarted((bytes, tableAt) => bytes.fill(0, tableAt + 5).fill(0, 0, 8));
  });

  test('with its first word torn at each byte', async () => {
    for (let written = 0; written < 4; written += 1) {
      await restarted((bytes) => bytes.fill(0, written, 8));
    }
  });

  test('but another first word, or another table, is damage', async () => {
    const { world, path, open, end } = await completed();
    const bytes = contents(world, path);
    world.disk.tamper(path, undefined);
    const wrong: ((bytes: Buffer) => void)[] = [
      (changed) => changed.writeUInt32LE(end + 4, 0),
      (changed) => changed.writeUInt32LE(end - 4, 0),
      (changed) => changed.writeUInt8(1, 7),
      (changed) => changed.writeUInt32LE(9, end),
      (changed) => changed.fill(0, 0, 8).writeUInt32LE(9, end),
    ];
    for (const change of wrong) {
      const changed = Buffer.from(bytes);
      change(changed);
      world.disk.tamper(open, changed);
      expect((await refusal(world)).code).toBe('LedgerDamaged');
    }
  });
});

describe('damage', () => {
  /** Where in an entry each region lies, as offsets from its first byte. */
  const REGIONS: readonly [string, (entry: Buffer) => number][] = [
    ['version', () => 0],
    ['flags', () => 1],
    ['low byte of the size', () => 2],
    ['high byte of the size', () => 5],
    ['tag', () => 8 + 3],
    ['seqno in the nonce', () => 24],
    ['view in the nonce', () => 32],
    ['length of the public part', () => 36],
    ['type', () => 44],
    ['claims digest', () => 44 + 9],
    ['evidence digest', () => 44 + 9 + 32],
    ['public maps', (entry) => 44 + 81 + ((entry.readUInt32LE(36) - 81) >>> 1)],
    ['last byte', (entry) => entry.length - 1],
  ];

  /** Entries early, in the middle and late, of each kind that differs. */
  function places(world: World): readonly [string, Entry][] {
    const entries = entriesOf(world);
    const open = entries.filter(({ path }) => path === lastOf(entries).path);
    const signatures = entries.filter(({ isSignature }) => isSignature);
    const middle = entries.filter(({ path }) => path === chunkFiles(world)[1]);
    const firstOfView = open.find(({ isSignature }) => !isSignature);
    if (firstOfView === undefined) throw new Error('a view begins in the open chunk');
    return [
      ['the first entry', entries[0] as Entry],
      ['the first signature', signatures[0] as Entry],
      ['an entry in the middle', middle[1] as Entry],
      ['a signature in the middle', middle.find(({ isSignature }) => isSignature) as Entry],
      ['the first transaction of the last chunk', firstOfView],
      ['the last transaction', lastOf(entries.filter(({ isSignature }) => !isSignature))],
      ['the last signature', lastOf(signatures)],
    ];
  }

  let refusals = 0;
  afterAll(() => {
    console.log(`${refusals} damaged ledgers refused`);
  });

  test.each(REGIONS)(
    'of the %s of an entry is refused, wherever the entry lies',
    async (region, at) => {
      for (const from of [ceased, stopped]) {
        for (const [what, entry] of places(from)) {
          const isLast =
            entry.to === lastOf(entriesOf(from)).to && entry.path === lastOf(chunkFiles(from));
          if (region === 'flags' && isLast) continue;
          const world = copyOf(from);
          corrupt(world, entry.path, (bytes) => {
            const offset = entry.from + at(bytes.subarray(entry.from, entry.to));
            bytes[offset] = (bytes[offset] ?? 0) ^ 0x01;
            return bytes;
          });
          const refused = await refusal(world);
          expect(refused.code, what).toBe('LedgerDamaged');
          expect(refused.message).toMatch(/Nothing was changed\. Restore this file/);
          refusals += 1;
        }
      }
    },
  );

  test('of the flags of the very last signature is harmless: nothing covers them yet', async () => {
    const world = copyOf(ceased);
    const last = lastOf(entriesOf(world));
    corrupt(world, last.path, (bytes) => {
      bytes[last.from + 1] = FLAG_CHUNK_AFTER;
      return bytes;
    });
    const { node } = await start(world, SMALL_CHUNKS);
    expect(ALL_ROWS.every((number) => holdsRow(node, number))).toBe(true);
    await node.stop();
    expect((await readLedger(world.disk)).tail).toBeUndefined();
  });

  test('of a closed chunk outside its entries is refused', async () => {
    const path = chunkFiles(ceased)[1] ?? '';
    const { end } = layoutOf(contents(ceased, path));
    const { length } = contents(ceased, path);
    for (const offset of [0, 1, 4, 7, end, end + 4, length - 1]) {
      const world = copyOf(ceased);
      corrupt(world, path, (bytes) => {
        bytes[offset] = (bytes[offset] ?? 0) ^ 0x04;
        return bytes;
      });
      const refused = await refusal(world);
      expect(refused.code, `byte ${offset}`).toMatch(/^Ledger(Damaged|Folder)$/);
      expect(refused.message).toMatch(/restore this file/i);
    }
  });

  test.each([
    ['cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
    ['cut in its entries', (bytes: Buffer) => bytes.subarray(0, bytes.length >>> 1)],
    ['emptied', () => Buffer.alloc(0)],
    ['extended', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(4)])],
    ['zero-filled', (bytes: Buffer) => Buffer.alloc(bytes.length)],
  ])('of a closed chunk that is %s is refused', async (_what, change) => {
    for (const path of chunkFiles(ceased).slice(0, -1)) {
      const world = copyOf(ceased);
      corrupt(world, path, change);
      const refused = await refusal(world);
      expect(refused.code).toMatch(/^Ledger(Damaged|Folder)$/);
      expect(refused.message).toMatch(/restore/i);
    }
  });

  test('of a byte anywhere in the ledger is never passed over', async () => {
    const exempt = lastOf(entriesOf(ceased));
    let judged = 0;
    for (const path of chunkFiles(ceased)) {
      const { length } = contents(ceased, path);
      for (let offset = 0; offset < length; offset += isLong ? 1 : 29) {
        if (path === exempt.path && offset === exempt.from + 1) continue;
        const world = copyOf(ceased);
        corrupt(world, path, (bytes) => {
          bytes[offset] = (bytes[offset] ?? 0) ^ (1 << (offset % 8));
          return bytes;
        });
        const outcome = await readLedger(world.disk).then(
          ({ lastSigned }) => `read up to ${lastSigned?.seqno}`,
          (error: unknown) => codeOf(error),
        );
        expect(outcome, `${path} byte ${offset}`).toMatch(/^Ledger(Damaged|Folder)$/);
        judged += 1;
      }
    }
    console.log(`${judged} single-bit faults, none passed over`);
  });

  test('text appended to the open chunk is no torn end', async () => {
    const world = copyOf(ceased);
    const path = lastOf(chunkFiles(world));
    corrupt(world, path, (bytes) =>
      Buffer.concat([bytes, Buffer.from('somebody edited this file and saved it again, alas')]),
    );
    expect((await refusal(world)).code).toBe('LedgerDamaged');
  });

  test('an entry taken out, doubled or swapped with its neighbour is refused', async () => {
    const entries = entriesOf(ceased).filter(({ path }) => path === lastOf(chunkFiles(ceased)));
    const [first, second] = entries;
    if (first === undefined || second === undefined)
      throw new Error('the open chunk holds some');
    const part = (bytes: Buffer, entry: Entry): Buffer => bytes.subarray(entry.from, entry.to);
    const changes: ((bytes: Buffer) => Buffer[])[] = [
      (bytes) => [bytes.subarray(0, first.from), bytes.subarray(first.to)],
      (bytes) => [bytes.subarray(0, first.to), part(bytes, first), bytes.subarray(first.to)],
      (bytes) => [
        bytes.subarray(0, first.from),
        part(bytes, second),
        part(bytes, first),
        bytes.subarray(second.to),
      ],
    ];
    for (const change of changes) {
      const world = copyOf(ceased);
      corrupt(world, first.path, (bytes) => Buffer.concat(change(bytes)));
      expect((await refusal(world)).code).toBe('LedgerDamaged');
    }
  });
});
