// Rows that make way for newer ones: of each label so many stay, whatever order commits came in;
// with a plain list as the model, and images that do not tell how a state was come by.

import { describe, expect, test } from 'vitest';
import { seqnoOf } from '../../src/base/ids.ts';
import {
  decodeArchivedValue,
  encodeRelabelled,
  encodeStored,
} from '../../src/kv/archived-value.ts';
import { loadImage } from '../../src/kv/image.ts';
import { HORIZON_ROW, numberedKey } from '../../src/kv/image-rows.ts';
import { Store } from '../../src/kv/store.ts';
import type { ReadView } from '../../src/kv/tables.ts';
import type { MapWrites } from '../../src/kv/write-set.ts';
import { decodeImageTables, encodeTables } from '../../src/ledger/state-image.ts';
import { type SeededRandom, withSeeds } from '../support/seeded-random.ts';
import { drained, stateBytes } from '../support/state-bytes.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

function entryOf(rows: Readonly<Record<string, Uint8Array>>): readonly MapWrites[] {
  const writes = new Map(Object.entries(rows));
  return [{ name: 'archived', writes, removes: new Set() }];
}

function stored(label: string, keep?: number): Uint8Array {
  return encodeStored(bytes(label), bytes('value'), keep);
}

/** Applies the next entry: one row. */
function put(store: Store, key: string, label: string, keep?: number): void {
  store.apply(seqnoOf(store.newest + 1), entryOf({ [key]: stored(label, keep) }));
}

function seqnosOf(view: ReadView, key: string): readonly number[] {
  return view
    .archive('archived')
    .find(bytes(key))
    .map(({ seqno }) => seqno);
}

function keyOf(number: number): string {
  return `${number}`.padStart(10, 'k');
}

describe('of the rows with a label', () => {
  test('so many of the newest stay, and the horizon is the last that went', () => {
    const store = new Store(['archived']);
    for (let number = 1; number <= 5; number += 1) put(store, keyOf(number), 'ours', 3);
    store.commit(store.newest);
    const view = store.committedView;
    const found = [1, 2, 3, 4, 5].map((number) => seqnosOf(view, keyOf(number)));
    expect(found).toEqual([[], [], [3], [4], [5]]);
    expect(view.archive('archived').horizonOf(bytes('ours'))).toBe(2);
    expect(view.archive('archived').size).toBe(3);
  });

  test('those of other labels do not count', () => {
    const store = new Store(['archived']);
    put(store, keyOf(1), 'theirs', 2);
    put(store, keyOf(2), 'for ever');
    for (let number = 3; number <= 9; number += 1) put(store, keyOf(number), 'ours', 2);
    store.commit(store.newest);
    const archive = store.committedView.archive('archived');
    expect([1, 2].map((number) => seqnosOf(store.committedView, keyOf(number)))).toEqual([
      [1],
      [2],
    ]);
    const labels = ['ours', 'theirs', 'for ever', 'never used'];
    expect(labels.map((label) => archive.horizonOf(bytes(label)))).toEqual([7, 0, 0, 0]);
  });

  test('the oldest go when the new one commits, and stay when it is undone', () => {
    const store = new Store(['archived']);
    put(store, keyOf(1), 'ours', 1);
    store.commit(store.newest);
    put(store, keyOf(2), 'ours', 1);
    const horizon = (): number => store.current.archive('archived').horizonOf(bytes('ours'));
    expect([seqnosOf(store.current, keyOf(1)), horizon()]).toEqual([[1], 0]);
    expect(store.current.archive('archived').size).toBe(2);
    store.rollback(store.committed);
    expect([seqnosOf(store.current, keyOf(1)), horizon()]).toEqual([[1], 0]);
    put(store, keyOf(3), 'ours', 1);
    store.commit(store.newest);
    expect([seqnosOf(store.current, keyOf(1)), horizon()]).toEqual([[], 1]);
    expect(store.current.archive('archived').size).toBe(1);
  });

  test('fewer stay from when on a row says so, and more can again', () => {
    const store = new Store(['archived']);
    for (let number = 1; number <= 9; number += 1) put(store, keyOf(number), 'ours', 9);
    put(store, keyOf(10), 'ours', 2);
    store.commit(store.newest);
    expect(store.committedView.archive('archived').size).toBe(2);
    for (let number = 11; number <= 20; number += 1) put(store, keyOf(number), 'ours', 5);
    store.commit(store.newest);
    expect(store.committedView.archive('archived').size).toBe(5);
    expect(store.committedView.archive('archived').horizonOf(bytes('ours'))).toBe(15);
  });

  test('all make way or none does, and those that do keep their label', () => {
    const refusing = (second: Uint8Array): (() => void) => {
      const store = new Store(['archived']);
      put(store, keyOf(1), 'kept');
      put(store, keyOf(2), 'going', 5);
      store.apply(seqnoOf(3), entryOf({ [keyOf(2)]: second }));
      return () => store.commit(seqnoOf(3));
    };
    expect(refusing(stored('kept', 5))).toThrow('all make way for newer ones, or none');
    expect(refusing(stored('going'))).toThrow('all make way for newer ones, or none');
    expect(refusing(encodeRelabelled(seqnoOf(2), bytes('new')))).toThrow('keep their labels');
  });
});

/** A row in the model. */
interface Kept {
  readonly seqno: number;
  readonly key: string;
  readonly label: string;
}

/** What stays of the rows of entries up to a seqno, and how far each label's rows went. */
class Model {
  rows: Kept[] = [];
  readonly horizons = new Map<string, number>();

  add(row: Kept, keep: number | undefined): void {
    this.rows.push(row);
    if (keep === undefined) return;
    const same = this.rows.filter(({ label }) => label === row.label);
    for (const gone of same.slice(0, Math.max(0, same.length - keep))) {
      this.rows.splice(this.rows.indexOf(gone), 1);
      this.horizons.set(gone.label, gone.seqno);
    }
  }
}

/** How many rows of a label stay; labels whose number is a multiple of 3 keep all. */
function keepOf(label: number, most: number): number | undefined {
  return label % 3 === 0 ? undefined : most * label;
}

interface Row {
  readonly key: string;
  readonly label: number;
}

function randomRow(random: SeededRandom): Row {
  // Few prefixes, so that keys collide, with tails of their own.
  const key = `${random.below(200)}`.padStart(10, 'p') + String(random.below(3));
  return { key, label: random.below(5) };
}

/** Plays entries of some rows each; with a seeded life, tries others and undoes them. */
function played(
  entries: readonly (readonly Row[])[],
  most: number,
  random: SeededRandom | undefined,
  store = new Store(['archived']),
): Store {
  const apply = (rows: readonly Row[]): void => {
    const writes = Object.fromEntries(
      rows.map(({ key, label }) => [key, stored(`label ${label}`, keepOf(label, most))]),
    );
    store.apply(seqnoOf(store.newest + 1), entryOf(writes));
  };
  for (const rows of entries) {
    if (random?.oneIn(5)) {
      const kept = store.newest;
      for (let left = random.below(4); left > 0; left -= 1) apply([randomRow(random)]);
      store.rollback(kept);
    }
    apply(rows);
    if (random?.oneIn(6)) {
      store.commit(seqnoOf(between(random, store.committed, store.newest)));
    }
  }
  store.commit(store.newest);
  return store;
}

function between(random: SeededRandom, low: number, high: number): number {
  return low + random.below(high - low + 1);
}

function randomEntries(random: SeededRandom, count: number): readonly (readonly Row[])[] {
  return Array.from({ length: count }, () => {
    const rows = Array.from({ length: 1 + random.below(3) }, () => randomRow(random));
    // A write set has each key once.
    return rows.filter(({ key }, at) => rows.findIndex((row) => row.key === key) === at);
  });
}

function loadedFrom(image: string, seqno: number): Store {
  const store = new Store(['archived']);
  loadImage(store, decodeImageTables(Buffer.from(image, 'base64')), seqnoOf(seqno));
  return store;
}

test('random rows, commits and rollbacks agree with a plain list', async () => {
  let rows = 0;
  await withSeeds(20, (random) => {
    const most = 1 + random.below(20);
    const entries = randomEntries(random, 400);
    const store = played(entries, most, random);
    const model = new Model();
    for (const [at, entry] of entries.entries()) {
      const inOrder = [...entry].sort((left, right) => (left.key < right.key ? -1 : 1));
      for (const { key, label } of inOrder) {
        const row = { seqno: at + 1, key: key.slice(0, 10), label: `label ${label}` };
        model.add(row, keepOf(label, most));
        rows += 1;
      }
    }
    const archive = store.committedView.archive('archived');
    expect(archive.size).toBe(model.rows.length);
    for (let prefix = 0; prefix < 200; prefix += 1) {
      const key = `${prefix}`.padStart(10, 'p');
      const expected = model.rows
        .filter((row) => row.key === key)
        .map(({ seqno, label }) => `${seqno} ${label}`);
      const found = archive
        .find(bytes(key))
        .map(({ seqno, label }) => `${seqno} ${Buffer.from(label).toString()}`);
      expect(found.sort()).toEqual(expected.sort());
    }
    for (let label = 0; label < 5; label += 1) {
      const horizon = archive.horizonOf(bytes(`label ${label}`));
      expect(horizon).toBe(model.horizons.get(`label ${label}`) ?? 0);
    }
  });
  expect(rows).toBeGreaterThan(10_000);
});

test('states are equal however commits came, and go on alike from an image', async () => {
  await withSeeds(20, (random) => {
    const most = 1 + random.below(20);
    const [first, second] = [randomEntries(random, 300), randomEntries(random, 300)];
    const straight = played(first, most, undefined);
    const lived = played(first, most, random);
    expect(stateBytes(lived)).toBe(stateBytes(straight));
    const copy = loadedFrom(stateBytes(straight), straight.committed);
    expect(stateBytes(copy)).toBe(stateBytes(straight));
    const ends = [straight, lived, copy].map((store) =>
      stateBytes(played(second, most, random, store)),
    );
    expect(new Set(ends).size).toBe(1);
  });
});

test('a capture shows the rows of its moment while they make way for others', async () => {
  await withSeeds(10, (random) => {
    const store = played(randomEntries(random, 2_000), 300, undefined);
    const before = stateBytes(store);
    const capture = store.capture();
    if (capture === undefined) throw new Error('no capture');
    const work = encodeTables(capture.tables);
    played(randomEntries(random, 1_000), 300, undefined, store);
    const during = Buffer.concat(drained(work)).toString('base64');
    capture.release();
    expect(during).toBe(before);
    expect(stateBytes(store)).not.toBe(before);
  });
});

test('forty thousand rows of which five thousand stay: each is found, none that went', async () => {
  await withSeeds(1, (random) => {
    const store = new Store(['archived']);
    const keys: string[] = [];
    for (let number = 1; number <= 40_000; number += 1) {
      const key = random.bytes(12).toString('latin1');
      keys.push(key);
      put(store, key, 'ours', 5_000);
      if (number % 100 === 0) store.commit(store.newest);
    }
    const copy = loadedFrom(stateBytes(store), store.committed);
    for (const each of [store, copy]) {
      const found = keys.flatMap((key) => seqnosOf(each.committedView, key));
      expect(found).toEqual(Array.from({ length: 5_000 }, (_, at) => 35_001 + at));
    }
  });
});

describe('pages', () => {
  const orders: readonly (readonly [string, (number: number) => number])[] = [
    ['upwards', (number) => number],
    ['downwards', (number) => 1_000_000 - number],
    ['all over', (number) => Math.imul(number, 2_654_435_761) >>> 0],
  ];
  const count = 12_000;

  test.each(orders)('are given up when their rows make way: keys go %s', (_name, place) => {
    const store = new Store(['archived']);
    const key = (number: number): string => `${place(number)}`.padStart(10, '0');
    for (let number = 1; number <= count; number += 1) {
      const keep = number < count ? 4_000 : 100;
      put(store, key(number), 'ours', keep);
      if (number % 500 === 0) store.commit(store.newest);
      const pages = store.directory('archived').pageCount;
      // Never less than a quarter full on the whole, but for one at either end.
      if (pages > 2 + 4_000 / 128) throw new Error(`${pages} pages at row ${number}`);
    }
    expect(store.directory('archived').pageCount).toBeLessThanOrEqual(2);
    const numbers = Array.from({ length: count }, (_, at) => at + 1);
    const found = numbers.flatMap((number) => seqnosOf(store.committedView, key(number)));
    expect(found).toEqual(numbers.slice(-100));
    const copy = loadedFrom(stateBytes(store), store.committed);
    for (const each of [store, copy]) {
      for (let number = 1; number <= 1_000; number += 1) put(each, key(number), 'ours', 600);
      each.commit(each.newest);
    }
    expect(stateBytes(copy)).toBe(stateBytes(store));
    expect(seqnosOf(store.committedView, key(1_000))).toEqual([count + 1_000]);
  });
});

describe('images', () => {
  test.each([
    ['of a label that is not there', numberedKey(HORIZON_ROW, 7), Buffer.alloc(8)],
    ['that is no seqno', numberedKey(HORIZON_ROW, 0), Buffer.alloc(8, 0xff)],
    ['that is cut off', numberedKey(HORIZON_ROW, 0), Buffer.alloc(3)],
    ['without its label', Buffer.from([HORIZON_ROW]), Buffer.alloc(8)],
  ])('with a horizon %s are refused', (_what, key, value) => {
    const version = seqnoOf(1);
    const rows = [{ key, version, value }];
    const load = (): void =>
      loadImage(new Store(['archived']), [{ name: 'archived', version, rows }], version);
    expect(load).toThrow('not an image of a store');
  });
});

describe('values with a number of rows to keep', () => {
  test('come back with it', () => {
    expect(decodeArchivedValue(encodeStored(bytes('l'), bytes('v'), 7))).toEqual({
      kind: 'store',
      label: bytes('l'),
      value: bytes('v'),
      keep: 7,
    });
  });

  test.each([
    ['whose label is cut off', '030700000005000000aabb'],
    ['whose label has no length', '0307000000'],
    ['that would not be kept itself', '030000000000000000'],
  ])('%s are refused', (_what, hex) => {
    expect(() => decodeArchivedValue(Buffer.from(hex, 'hex'))).toThrow('neither a value');
  });
});
