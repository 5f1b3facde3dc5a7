// The directory of an archived table, against a plain list: many rows, colliding prefixes, labels
// that change, rollbacks; and labels numbered alike however a node came to its state.

import { describe, expect, test } from 'vitest';
import { type Seqno, seqnoOf } from '../../src/base/ids.ts';
import {
  encodeRelabelled,
  encodeReplacing,
  encodeStored,
} from '../../src/kv/archived-value.ts';
import { Directory, KEY_PREFIX_BYTES } from '../../src/kv/directory.ts';
import { Store } from '../../src/kv/store.ts';
import type { ArchiveRow } from '../../src/kv/tables.ts';
import { decodeMaps, encodeMaps, type MapWrites } from '../../src/kv/write-set.ts';
import { type SeededRandom, withSeeds } from '../support/seeded-random.ts';
import { stateBytes } from '../support/state-bytes.ts';

const label = (text: string): Buffer => Buffer.from(text);
const keyOf = (text: string): Buffer => Buffer.from(text.padEnd(16, '.'));
const shown = (rows: readonly ArchiveRow[]): string =>
  rows.map(({ seqno, label: each }) => `${seqno}:${Buffer.from(each)}`).join(' ');

function store(directory: Directory, seqno: number, key: Buffer, text: string): void {
  directory.write(seqnoOf(seqno), key, { kind: 'store', label: label(text) });
}

function relabel(
  directory: Directory,
  seqno: number,
  key: Buffer,
  target: number,
  text: string,
): void {
  const change = { kind: 'relabel', target: seqnoOf(target), label: label(text) } as const;
  directory.write(seqnoOf(seqno), key, change);
}

describe('rows', () => {
  test('a row is found in the newest state at once and in the committed one later', () => {
    const directory = new Directory();
    store(directory, 1, keyOf('a'), 'x');
    expect(shown(directory.findCurrent(keyOf('a')))).toBe('1:x');
    expect(directory.findCommitted(keyOf('a'))).toEqual([]);
    expect([directory.currentSize, directory.committedSize]).toEqual([1, 0]);
    directory.commit(seqnoOf(1));
    expect(shown(directory.findCommitted(keyOf('a')))).toBe('1:x');
    expect([directory.currentSize, directory.committedSize]).toEqual([1, 1]);
  });

  test('keys that share their first ten bytes are all found, oldest first', () => {
    const directory = new Directory();
    const alike = ['0123456789-one', '0123456789-two', '0123456789'].map((key) =>
      Buffer.from(key),
    );
    alike.forEach((key, at) => {
      store(directory, 10 - at * 3, key, `label ${at}`);
    });
    directory.commit(seqnoOf(10));
    for (const key of alike) {
      expect(shown(directory.findCommitted(key))).toBe('4:label 2 7:label 1 10:label 0');
    }
    expect(directory.findCommitted(Buffer.from('0123456788'))).toEqual([]);
  });

  test('a key of fewer than ten bytes is a mistake', () => {
    expect(() => new Directory().findCommitted(Buffer.alloc(KEY_PREFIX_BYTES - 1))).toThrow(
      'at least 10 bytes',
    );
  });

  test('large seqnos are kept whole', () => {
    const directory = new Directory();
    for (const seqno of [2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, 2 ** 48 - 1]) {
      store(directory, seqno, keyOf('a'), 'x');
      directory.commit(seqnoOf(seqno));
    }
    expect(shown(directory.findCommitted(keyOf('a')))).toBe(
      '4294967295:x 4294967296:x 1099511627783:x 281474976710655:x',
    );
  });
});

describe('labels', () => {
  test('of a committed row and of one that is not yet change in the newest state first', () => {
    const directory = new Directory();
    store(directory, 1, keyOf('a'), 'old');
    directory.commit(seqnoOf(1));
    store(directory, 2, keyOf('a'), 'young');
    relabel(directory, 3, keyOf('a'), 1, 'new');
    relabel(directory, 4, keyOf('a'), 2, 'younger');
    relabel(directory, 5, keyOf('a'), 1, 'newest');
    expect(shown(directory.findCurrent(keyOf('a')))).toBe('1:newest 2:younger');
    expect(shown(directory.findCommitted(keyOf('a')))).toBe('1:old');
    directory.commit(seqnoOf(3));
    expect(shown(directory.findCommitted(keyOf('a')))).toBe('1:new 2:young');
    expect(shown(directory.findCurrent(keyOf('a')))).toBe('1:newest 2:younger');
    directory.rollback(seqnoOf(4));
    expect(shown(directory.findCurrent(keyOf('a')))).toBe('1:new 2:younger');
    directory.commit(seqnoOf(4));
    expect(shown(directory.findCommitted(keyOf('a')))).toBe('1:new 2:younger');
    expect([directory.currentSize, directory.committedSize]).toEqual([2, 2]);
  });

  test('a label for a row that is not there breaks an invariant', () => {
    const directory = new Directory();
    store(directory, 1, keyOf('a'), 'x');
    directory.commit(seqnoOf(1));
    relabel(directory, 2, keyOf('a'), 7, 'y');
    expect(() => directory.findCurrent(keyOf('a'))).toThrow('is relabelled exists');
    expect(() => directory.commit(seqnoOf(2))).toThrow('is in the directory');
  });

  test('a rollback forgets what is not committed, and its labels with it', () => {
    const directory = new Directory();
    store(directory, 1, keyOf('a'), 'kept');
    store(directory, 2, keyOf('b'), 'undone');
    relabel(directory, 2, keyOf('a'), 1, 'undone too');
    directory.rollback(seqnoOf(1));
    directory.commit(seqnoOf(1));
    expect(directory.findCurrent(keyOf('b'))).toEqual([]);
    expect(shown(directory.findCurrent(keyOf('a')))).toBe('1:kept');
    expect(directory.currentSize).toBe(1);
  });

  test('of one entry are numbered alike when it is applied and when it is read back', () => {
    // Regression: live nodes numbered them as the application wrote them, restarted ones by key.
    const keys = ['zebra', 'apple', 'mango'].map(keyOf);
    const writes = new Map(
      keys.map((key) => [key.toString('latin1'), encodeStored(key.subarray(0, 5), label('v'))]),
    );
    const maps: readonly MapWrites[] = [{ name: 'archived', writes, removes: new Set() }];
    const [live, restarted] = [new Store(['archived']), new Store(['archived'])];
    live.apply(seqnoOf(1), maps);
    restarted.apply(seqnoOf(1), decodeMaps(encodeMaps(maps)));
    for (const each of [live, restarted]) each.commit(seqnoOf(1));
    expect(stateBytes(live)).toBe(stateBytes(restarted));
  });
});

describe('a row that takes the place of another', () => {
  const replace = (directory: Directory, seqno: number, target: number): void => {
    const replaces = seqnoOf(target);
    const change = { kind: 'store', label: label(`from ${target}`), replaces } as const;
    directory.write(seqnoOf(seqno), keyOf('a'), change);
  };

  test('is found instead of it, in the newest state first', () => {
    const directory = new Directory();
    store(directory, 1, keyOf('a'), 'x');
    store(directory, 2, keyOf('a'), 'beside');
    directory.commit(seqnoOf(2));
    replace(directory, 3, 1);
    expect(shown(directory.findCurrent(keyOf('a')))).toBe('2:beside 3:from 1');
    expect(shown(directory.findCommitted(keyOf('a')))).toBe('1:x 2:beside');
    expect([directory.currentSize, directory.committedSize]).toEqual([2, 2]);
    directory.commit(seqnoOf(3));
    expect(shown(directory.findCommitted(keyOf('a')))).toBe('2:beside 3:from 1');
    expect([directory.currentSize, directory.committedSize]).toEqual([2, 2]);
  });

  test('gives it back when its entry is rolled back', () => {
    const directory = new Directory();
    store(directory, 1, keyOf('a'), 'x');
    directory.commit(seqnoOf(1));
    replace(directory, 2, 1);
    replace(directory, 3, 2);
    directory.rollback(seqnoOf(2));
    expect(shown(directory.findCurrent(keyOf('a')))).toBe('2:from 1');
    directory.rollback(seqnoOf(1));
    expect(shown(directory.findCurrent(keyOf('a')))).toBe('1:x');
    expect(directory.currentSize).toBe(1);
  });

  test('breaks an invariant when that one is not there', () => {
    const directory = new Directory();
    store(directory, 1, keyOf('a'), 'x');
    directory.commit(seqnoOf(1));
    replace(directory, 3, 2);
    expect(() => directory.findCurrent(keyOf('a'))).toThrow('makes way');
    expect(() => directory.commit(seqnoOf(3))).toThrow('is in the directory');
  });
});

interface Change {
  readonly seqno: number;
  readonly key: string;
  readonly label: string;
  readonly kind: 'store' | 'relabel' | 'replace';
  /** The row whose label changes, or that makes way; absent for a new row. */
  readonly target?: number;
}

interface ListedRow {
  readonly seqno: number;
  readonly key: string;
  readonly label: string;
}

/** All rows in the order of their entries, by playing all changes up to a bound. */
function listOf(changes: readonly Change[], bound: number): readonly ListedRow[] {
  let rows: readonly ListedRow[] = [];
  for (const { seqno, key, label: text, kind, target } of changes) {
    if (seqno > bound) continue;
    if (kind === 'relabel') {
      rows = rows.map((row) => (row.seqno === target ? { ...row, label: text } : row));
      continue;
    }
    rows = [...rows.filter((row) => row.seqno !== target), { seqno, key, label: text }];
  }
  return rows;
}

/** The rows of a key, and of those that begin alike. */
function rowsOf(rows: readonly ListedRow[], key: string): string {
  return rows
    .filter((row) => row.key.slice(0, 10) === key.slice(0, 10))
    .map((row) => `${row.seqno}:${row.label}`)
    .join(' ');
}

/** Few prefixes, so that some collide; a tail of their own. */
function randomKey(random: SeededRandom, prefixes: number): string {
  return `${random.below(prefixes)}`.padStart(10, 'p') + String(random.below(3));
}

test('random stores, labels, replacements and rollbacks agree with a plain list', async () => {
  let steps = 0;
  await withSeeds(20, (random) => {
    const archive = new Store(['archived']);
    let changes: Change[] = [];
    const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
    for (let step = 0; step < 200; step += 1) {
      const seqno = archive.newest + 1;
      const dice = random.below(12);
      if (dice < 9) {
        const key = randomKey(random, 30);
        const known = listOf(changes, seqno).filter((row) => row.key === key);
        const text = `label ${random.below(9)}`;
        const kinds = known.length > 0 ? (['store', 'relabel', 'replace'] as const) : [];
        const kind = kinds.length > 0 ? random.pick(kinds) : 'store';
        const target = kind === 'store' ? undefined : random.pick(known).seqno;
        const value =
          target === undefined
            ? encodeStored(label(text), label('value'))
            : kind === 'relabel'
              ? encodeRelabelled(seqnoOf(target), label(text))
              : encodeReplacing(seqnoOf(target), label(text), label('value'));
        const map = {
          name: 'archived',
          writes: new Map([[key, value]]),
          removes: new Set<string>(),
        };
        archive.apply(seqnoOf(seqno), [map]);
        const aim = target === undefined ? {} : { target };
        changes.push({ seqno, key, label: text, kind, ...aim });
      } else if (dice < 11) {
        archive.commit(between(random, archive.committed, archive.newest));
      } else {
        archive.rollback(between(random, archive.committed, archive.newest));
        changes = changes.filter((each) => each.seqno <= archive.newest);
      }
      const key = randomKey(random, 30);
      const [now, then] = [archive.current, archive.committedView].map((view) =>
        view.archive('archived'),
      );
      const [newest, committed] = [archive.newest, archive.committed].map((bound) =>
        listOf(changes, bound),
      ) as [readonly ListedRow[], readonly ListedRow[]];
      expect(shown(now?.find(bytes(key)) ?? [])).toBe(rowsOf(newest, key));
      expect(shown(then?.find(bytes(key)) ?? [])).toBe(rowsOf(committed, key));
      expect(now?.size).toBe(newest.length);
      expect(then?.size).toBe(committed.length);
      steps += 1;
    }
  });
  console.log(`${steps} steps agree with the list`);
});

function between(random: SeededRandom, low: number, high: number): Seqno {
  return seqnoOf(low + random.below(high - low + 1));
}

test('twenty thousand rows, split over many pages, are each found', async () => {
  await withSeeds(1, (random) => {
    const directory = new Directory();
    const keys: Buffer[] = [];
    for (let seqno = 1; seqno <= 20_000; seqno += 1) {
      // One key in five is stored once more, and one in five shares its prefix with another.
      const old = keys.length > 0 ? random.pick(keys) : undefined;
      const key = random.bytes(16);
      if (old !== undefined && random.oneIn(5)) old.copy(key, 0, 0, random.oneIn(2) ? 10 : 16);
      keys.push(key);
      store(directory, seqno, key, `label ${seqno % 300}`);
      if (random.oneIn(50)) directory.commit(seqnoOf(seqno));
    }
    directory.commit(seqnoOf(20_000));
    const expected = new Map<string, string[]>();
    for (const [index, key] of keys.entries()) {
      const prefix = key.toString('latin1', 0, 10);
      const row = `${index + 1}:label ${(index + 1) % 300}`;
      expected.set(prefix, [...(expected.get(prefix) ?? []), row]);
    }
    for (const key of keys) {
      const rows = expected.get(key.toString('latin1', 0, 10)) ?? [];
      expect(shown(directory.findCommitted(key))).toBe(rows.join(' '));
    }
    expect(directory.committedSize).toBe(20_000);
  });
});

describe('a way through all rows', () => {
  test('finds those with a wanted label, a bounded number of rows at a time', () => {
    const directory = new Directory();
    const wanted: number[] = [];
    for (let seqno = 1; seqno <= 2_000; seqno += 1) {
      const text = `${(seqno * 7919) % 2_000}`;
      store(directory, seqno, keyOf(text), seqno % 3 === 0 ? 'ours' : `other ${seqno % 5}`);
      if (seqno % 3 === 0) wanted.push(seqno);
    }
    directory.commit(seqnoOf(2_000));
    const asked: string[] = [];
    const isOurs = (each: Uint8Array): boolean => {
      asked.push(Buffer.from(each).toString());
      return Buffer.from(each).toString() === 'ours';
    };
    for (const rowsMax of [1, 7, 512, 1_999, 2_000, 50_000]) {
      const found: number[] = [];
      let from: Uint8Array | undefined;
      let stretches = 0;
      do {
        const stretch = directory.stretch(isOurs, from, rowsMax);
        found.push(...stretch.seqnos);
        from = stretch.next;
        stretches += 1;
      } while (from !== undefined);
      expect(stretches).toBe(Math.ceil(2_000 / rowsMax));
      expect(found.sort((left, right) => left - right)).toEqual(wanted);
    }
    // Each label is judged once in a stretch, however many rows have it.
    asked.length = 0;
    directory.stretch(isOurs);
    expect(asked.sort()).toEqual([...new Set(asked)]);
  });

  test('goes by what labels are now, and passes over what is not committed', () => {
    const directory = new Directory();
    const isOurs = (each: Uint8Array): boolean => Buffer.from(each).toString() === 'ours';
    for (const [at, name] of ['a', 'b', 'c'].entries()) {
      store(directory, at + 1, keyOf(name), name === 'a' ? 'ours' : 'theirs');
    }
    directory.commit(seqnoOf(3));
    relabel(directory, 4, keyOf('a'), 1, 'theirs');
    relabel(directory, 4, keyOf('b'), 2, 'ours');
    store(directory, 5, keyOf('d'), 'ours');
    expect(directory.stretch(isOurs)).toEqual({ seqnos: [1] });
    directory.commit(seqnoOf(4));
    expect(directory.stretch(isOurs)).toEqual({ seqnos: [2] });
  });
});
