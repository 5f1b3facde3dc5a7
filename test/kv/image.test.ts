// Images of the committed state: equal states have equal bytes whatever led to them, and loading
// one gives back the state it was made from. Archived values in both their forms.

import { describe, expect, test } from 'vitest';
import { isCoded } from '../../src/base/errors.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import {
  decodeArchivedValue,
  encodeRelabelled,
  encodeStored,
} from '../../src/kv/archived-value.ts';
import { loadImage } from '../../src/kv/image.ts';
import { Store } from '../../src/kv/store.ts';
import type { MapWrites } from '../../src/kv/write-set.ts';
import { decodeImageTables } from '../../src/ledger/state-image.ts';
import { mapOf } from '../support/ledger-vectors.ts';
import { type SeededRandom, withSeeds } from '../support/seeded-random.ts';
import { stateBytes } from '../support/state-bytes.ts';

const TABLES = ['t', 'public:t', '\uffee', '\u{1f600}'];

/** Entries of a random life; each holds at most one change of an archived key. */
function randomEntries(random: SeededRandom, count: number): readonly (readonly MapWrites[])[] {
  return Array.from({ length: count }, (_, at) => {
    const maps: MapWrites[] = [];
    for (const name of TABLES) {
      const key = `k${random.below(12)}`;
      if (random.oneIn(3)) maps.push(mapOf(name, {}, [key]));
      else maps.push(mapOf(name, { [key]: `v${random.below(100)}`, [`own ${at}`]: '' }));
    }
    const writes = new Map<string, Uint8Array>();
    for (let left = random.below(3); left > 0; left -= 1) {
      const key = random.bytes(12).toString('latin1');
      const label = Buffer.from(`label ${random.below(40)}`);
      writes.set(key, encodeStored(label, Buffer.from('value')));
    }
    maps.push({ name: 'archived', writes, removes: new Set() });
    return maps;
  });
}

/** Plays entries, with other ones tried and undone in between. */
function played(
  entries: readonly (readonly MapWrites[])[],
  random: SeededRandom | undefined,
): Store {
  const store = new Store(['archived']);
  for (const maps of entries) {
    if (random?.oneIn(3)) {
      const kept = store.newest;
      for (const other of randomEntries(random, 1 + random.below(3))) {
        store.apply(seqnoOf(store.newest + 1), other);
      }
      store.rollback(kept);
    }
    store.apply(seqnoOf(store.newest + 1), maps);
    if (random?.oneIn(4)) store.commit(store.newest);
  }
  store.commit(store.newest);
  return store;
}

function loaded(image: string, seqno: number): Store {
  const store = new Store(['archived']);
  loadImage(store, decodeImageTables(Buffer.from(image, 'base64')), seqnoOf(seqno));
  return store;
}

describe('images', () => {
  test('of states that rollbacks and other commits led to are equal', async () => {
    await withSeeds(25, (random) => {
      const entries = randomEntries(random, 60);
      const straight = stateBytes(played(entries, undefined));
      expect(stateBytes(played(entries, random))).toBe(straight);
      expect(straight.length).toBeGreaterThan(1_000);
    });
  });

  test('of what is not committed show nothing', () => {
    const store = played([[mapOf('t', { a: '1' })]], undefined);
    const before = stateBytes(store);
    store.apply(seqnoOf(2), [mapOf('t', { a: '2', b: '2' }), mapOf('u', { c: '2' })]);
    expect(stateBytes(store)).toBe(before);
  });

  test('differ when a row, a version or a removal does', () => {
    const of = (...entries: readonly MapWrites[][]): string =>
      stateBytes(played(entries, undefined));
    const images = [
      of([mapOf('t', { a: '1' })]),
      of([mapOf('t', { a: '2' })]),
      of([mapOf('t', { a: '1', b: '' })]),
      of([mapOf('t', { a: '1' })], [mapOf('t', { a: '1' })]),
      of([mapOf('u', { a: '1' })]),
      of([mapOf('t', { a: '1' })], [mapOf('t', {}, ['a'])]),
    ];
    expect(new Set(images).size).toBe(images.length);
  });

  test('loaded give back the same image, rows and directory, and the store goes on', async () => {
    await withSeeds(15, (random) => {
      const entries = randomEntries(random, 80);
      const store = played(entries, random);
      const copy = loaded(stateBytes(store), store.committed);
      expect(stateBytes(copy)).toBe(stateBytes(store));
      expect([copy.newest, copy.committed]).toEqual([store.newest, store.committed]);
      for (const each of [store, copy]) {
        for (const maps of entries.slice(0, 10)) each.apply(seqnoOf(each.newest + 1), maps);
        each.commit(each.newest);
      }
      expect(stateBytes(copy)).toBe(stateBytes(store));
      for (const name of TABLES) {
        expect(copy.current.table(name).size).toBe(store.current.table(name).size);
      }
      expect(copy.current.archive('archived').size).toBe(
        store.current.archive('archived').size,
      );
    });
  });

  test('of a large directory fill several pages and come back whole', () => {
    const store = new Store(['archived']);
    for (let seqno = 1; seqno <= 3_000; seqno += 1) {
      const key = Buffer.alloc(12);
      key.writeUInt32BE(Math.imul(seqno, 2_654_435_761) >>> 0);
      const value = encodeStored(Buffer.from(`label ${seqno % 7}`), Buffer.alloc(1));
      const writes = new Map([[key.toString('latin1'), value]]);
      store.apply(seqnoOf(seqno), [{ name: 'archived', writes, removes: new Set() }]);
    }
    store.commit(store.newest);
    const copy = loaded(stateBytes(store), 3_000);
    expect(stateBytes(copy)).toBe(stateBytes(store));
    for (let seqno = 1; seqno <= 3_000; seqno += 97) {
      const key = Buffer.alloc(12);
      key.writeUInt32BE(Math.imul(seqno, 2_654_435_761) >>> 0);
      const [row] = copy.committedView.archive('archived').find(key);
      expect([row?.seqno, Buffer.from(row?.label ?? []).toString()]).toEqual([
        seqno,
        `label ${seqno % 7}`,
      ]);
    }
  });

  test('that are cut off anywhere are refused or end between two tables', () => {
    const maps = [mapOf('t', { a: '1', b: '22' }), mapOf('u', { c: '3' })];
    const image = Buffer.from(stateBytes(played([maps], undefined)), 'base64');
    const whole: number[] = [];
    for (let length = 0; length < image.length; length += 1) {
      try {
        for (const { rows } of decodeImageTables(image.subarray(0, length))) [...rows];
        whole.push(length);
      } catch (error) {
        expect(isCoded(error, 'BadImage'), `at ${length}: ${String(error)}`).toBe(true);
      }
    }
    expect(whole).toHaveLength(2);
    expect(whole[0]).toBe(0);
  });

  test('with a row shorter than its own version are refused', () => {
    const maps = [mapOf('t', { a: '1' })];
    const image = Buffer.from(stateBytes(played([maps], undefined)), 'base64');
    const lengthAt = 24 + 1 + 16;
    expect(image.readUInt32LE(lengthAt), 'the value’s length with its version').toBe(9);
    image.writeUInt32LE(7, lengthAt);
    expect(() => {
      for (const { rows } of decodeImageTables(image)) [...rows];
    }).toThrow('is no row');
  });

  test('are loaded into an empty store only', () => {
    const store = played([[mapOf('t', { a: '1' })]], undefined);
    const tables = decodeImageTables(Buffer.from(stateBytes(store), 'base64'));
    expect(() => loadImage(store, tables, seqnoOf(1))).toThrow();
  });
});

describe('archived values', () => {
  test.each([
    ['', ''],
    ['label', ''],
    ['', 'value'],
    ['label', 'value'],
  ])('label "%s" and value "%s" come back', (label, value) => {
    const archived = decodeArchivedValue(encodeStored(Buffer.from(label), Buffer.from(value)));
    if (archived.kind !== 'store') throw new Error('it is a stored value');
    expect(Buffer.from(archived.label).toString()).toBe(label);
    expect(Buffer.from(archived.value).toString()).toBe(value);
  });

  test('a change of label names the entry that holds the value', () => {
    const target = seqnoOf(2 ** 48 - 1);
    const archived = decodeArchivedValue(encodeRelabelled(target, Buffer.from('new')));
    expect(archived).toMatchObject({ kind: 'relabel', target });
    expect(Buffer.from(archived.label).toString()).toBe('new');
  });

  test.each([
    ['nothing', ''],
    ['an unknown form', '03000000'],
    ['a label that is cut off', '0105000000aabbccdd'],
    ['a stored value without its length', '010000'],
    ['a target that is cut off', '0201000000000000'],
  ])('%s is refused', (_what, hex) => {
    expect(() => decodeArchivedValue(Buffer.from(hex, 'hex'))).toThrow('neither a value');
  });
});
