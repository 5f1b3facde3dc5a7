// The store: what the newest and the committed state show while entries are applied, committed and
// undone; and a naive model that thousands of random steps are compared with.

import { describe, expect, test } from 'vitest';
import { seqnoOf } from '../../src/base/ids.ts';
import { PAGE_ROWS_MAX } from '../../src/base/limits.ts';
import { Store } from '../../src/kv/store.ts';
import type { PageRequest, ReadTable, Row } from '../../src/kv/tables.ts';
import type { MapWrites } from '../../src/kv/write-set.ts';
import { mapOf } from '../support/ledger-vectors.ts';
import { type SeededRandom, withSeeds } from '../support/seeded-random.ts';
import { stateBytes } from '../support/state-bytes.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString('latin1');
const shown = (rows: readonly Row[]): string =>
  rows.map(({ key, value }) => `${text(key)}=${text(value)}`).join(' ');

function apply(store: Store, ...maps: readonly MapWrites[]): number {
  const seqno = seqnoOf(store.newest + 1);
  store.apply(seqno, maps);
  return seqno;
}

/** What both states show of a row: newest, committed. */
function both(store: Store, key: string): readonly (string | undefined)[] {
  return [store.current, store.committedView].map((view) =>
    text(view.table('t').get(bytes(key))),
  );
}

describe('newest and committed state', () => {
  test('a write shows at once in the newest state and after its commit in the other', () => {
    const store = new Store([]);
    apply(store, mapOf('t', { a: '1' }));
    expect(both(store, 'a')).toEqual(['1', undefined]);
    store.commit(seqnoOf(1));
    expect(both(store, 'a')).toEqual(['1', '1']);
    apply(store, mapOf('t', { a: '2' }));
    apply(store, mapOf('t', {}, ['a']));
    expect(both(store, 'a')).toEqual([undefined, '1']);
    store.commit(seqnoOf(2));
    expect(both(store, 'a'), 'committed up to an entry that later ones cover').toEqual([
      undefined,
      '2',
    ]);
    expect(store.committedView.table('t').size).toBe(1);
    store.commit(seqnoOf(3));
    expect(both(store, 'a')).toEqual([undefined, undefined]);
    expect(store.committedView.table('t').size).toBe(0);
  });

  test('a row’s version is the entry that wrote it', () => {
    const store = new Store([]);
    apply(store, mapOf('t', { a: '1', b: '1' }));
    apply(store, mapOf('t', { b: '2' }));
    store.commit(seqnoOf(1));
    const versions = (key: string): readonly (number | undefined)[] =>
      [store.current, store.committedView].map((view) => view.table('t').versionOf(bytes(key)));
    expect(versions('a')).toEqual([1, 1]);
    expect(versions('b')).toEqual([2, 1]);
    expect(versions('c')).toEqual([undefined, undefined]);
    apply(store, mapOf('t', {}, ['a']));
    expect(versions('a')).toEqual([undefined, 1]);
  });

  test('a rollback into the middle keeps what came before, as if the rest had never been', () => {
    const store = new Store([]);
    apply(store, mapOf('t', { a: '1' }));
    store.commit(seqnoOf(1));
    apply(store, mapOf('t', { a: '2', b: '2' }));
    apply(store, mapOf('t', { c: '3' }, ['a']));
    store.rollback(seqnoOf(2));
    expect(shown(store.current.table('t').page())).toBe('a=2 b=2');
    expect(store.newest).toBe(2);
    apply(store, mapOf('t', { a: '3' }));
    store.rollback(seqnoOf(1));
    expect(shown(store.current.table('t').page())).toBe('a=1');
    expect(store.current.table('t').size).toBe(1);
  });

  test('a removal that is committed beneath a write that is undone stays a removal', () => {
    const store = new Store([]);
    apply(store, mapOf('t', { a: '1' }));
    apply(store, mapOf('t', {}, ['a']));
    apply(store, mapOf('t', { a: '3' }));
    store.commit(seqnoOf(2));
    store.rollback(seqnoOf(2));
    expect(both(store, 'a')).toEqual([undefined, undefined]);
    expect(store.current.table('t').page()).toEqual([]);
    const plain = new Store([]);
    apply(plain, mapOf('t', { a: '1' }));
    apply(plain, mapOf('t', {}, ['a']));
    plain.commit(seqnoOf(2));
    expect(stateBytes(store)).toBe(stateBytes(plain));
  });

  test('what is committed is never undone, and entries come in order', () => {
    const store = new Store([]);
    apply(store, mapOf('t', { a: '1' }));
    store.commit(seqnoOf(1));
    expect(() => store.rollback(seqnoOf(0))).toThrow('never undone');
    expect(() => store.apply(seqnoOf(3), [])).toThrow('entry 3 follows 1');
    expect(() => store.commit(seqnoOf(2))).toThrow('was applied before');
  });

  test('a signature’s rows come in with its commit, though later entries are applied', () => {
    const store = new Store([]);
    apply(store, mapOf('t', { a: '1' }));
    const signature = apply(store);
    apply(store, mapOf('t', { a: '3' }));
    store.commit(seqnoOf(signature), [mapOf('public:signatures', { k: 'first' })]);
    expect(both(store, 'a')).toEqual(['3', '1']);
    for (const view of [store.current, store.committedView]) {
      expect(text(view.table('public:signatures').get(bytes('k')))).toBe('first');
      expect(view.table('public:signatures').versionOf(bytes('k'))).toBe(2);
    }
    store.rollback(seqnoOf(2));
    expect(both(store, 'a')).toEqual(['1', '1']);
    const next = apply(store);
    store.commit(seqnoOf(next), [mapOf('public:signatures', { k: 'second' })]);
    expect(text(store.current.table('public:signatures').get(bytes('k')))).toBe('second');
    expect(store.current.table('public:signatures').size).toBe(1);
  });

  test('a table that nobody wrote is empty', () => {
    const table = new Store([]).current.table('none');
    expect([table.size, table.page(), table.get(bytes('a'))]).toEqual([0, [], undefined]);
  });
});

describe('pages', () => {
  const store = new Store([]);
  const keys = ['a', 'aa', 'ab', 'b', 'b\0', 'b\xff', 'c', '\xff', ''];
  apply(store, mapOf('t', Object.fromEntries(keys.map((key) => [key, '.']))));
  const page = (request: PageRequest): readonly (string | undefined)[] =>
    store.current
      .table('t')
      .page(request)
      .map(({ key }) => text(key));

  test.each<[string, PageRequest, readonly string[]]>([
    ['all, in byte order', {}, ['', 'a', 'aa', 'ab', 'b', 'b\0', 'b\xff', 'c', '\xff']],
    ['a prefix', { prefix: bytes('a') }, ['a', 'aa', 'ab']],
    ['a prefix with the largest byte', { prefix: bytes('\xff') }, ['\xff']],
    ['a prefix that no key has', { prefix: bytes('zz') }, []],
    ['after a key, without it', { after: bytes('ab') }, ['b', 'b\0', 'b\xff', 'c', '\xff']],
    [
      'after a key that is not there',
      { after: bytes('abc') },
      ['b', 'b\0', 'b\xff', 'c', '\xff'],
    ],
    [
      'after the empty key',
      { after: bytes('') },
      ['a', 'aa', 'ab', 'b', 'b\0', 'b\xff', 'c', '\xff'],
    ],
    ['after the last', { after: bytes('\xff') }, []],
    [
      'a prefix, after a key in it',
      { prefix: bytes('b'), after: bytes('b') },
      ['b\0', 'b\xff'],
    ],
    [
      'a prefix, after a key before it',
      { prefix: bytes('b'), after: bytes('a') },
      ['b', 'b\0', 'b\xff'],
    ],
    ['a prefix, after a key behind it', { prefix: bytes('a'), after: bytes('b') }, []],
    ['a few', { limit: 2 }, ['', 'a']],
    ['a few after one', { limit: 2, after: bytes('a') }, ['aa', 'ab']],
    ['none', { limit: 0 }, []],
    ['fewer than none', { limit: -1 }, []],
  ])('%s', (_what, request, expected) => {
    expect(page(request)).toEqual(expected);
  });

  test('a page is never longer than the bound, and pages add up to all', () => {
    const many = new Store([]);
    const rows = Object.fromEntries(Array.from({ length: 2_500 }, (_, at) => [`k${at}`, 'v']));
    apply(many, mapOf('t', rows));
    const seen: string[] = [];
    const lengths: number[] = [];
    for (let after: Uint8Array | undefined; ; ) {
      const rows = many.current.table('t').page({
        limit: 1_000_000,
        ...(after === undefined ? {} : { after }),
      });
      if (rows.length === 0) break;
      lengths.push(rows.length);
      seen.push(...rows.map(({ key }) => text(key) ?? ''));
      after = rows.at(-1)?.key;
    }
    expect(lengths).toEqual([PAGE_ROWS_MAX, PAGE_ROWS_MAX, 500]);
    expect(seen).toEqual(Object.keys(rows).sort());
  });
});

/** The store as anybody would write it who need not care for time: all entries, played again. */
class Model {
  readonly entries: (readonly MapWrites[])[] = [];
  committed = 0;

  table(name: string, bound: number): Map<string, { value: string; version: number }> {
    const rows = new Map<string, { value: string; version: number }>();
    this.entries.slice(0, bound).forEach((maps, index) => {
      for (const map of maps.filter((each) => each.name === name)) {
        for (const [key, value] of map.writes) {
          rows.set(key, { value: text(value) ?? '', version: index + 1 });
        }
        for (const key of map.removes) rows.delete(key);
      }
    });
    return new Map([...rows].sort(([left], [right]) => (left < right ? -1 : 1)));
  }
}

const NAMES = ['t', 'public:u'];

function randomKey(random: SeededRandom): string {
  return text(random.bytes(1 + random.below(2)).map((byte) => byte & 0x83)) ?? '';
}

function randomMap(random: SeededRandom, name: string): MapWrites {
  const writes = new Map<string, Uint8Array>();
  const removes = new Set<string>();
  for (let left = random.below(4); left > 0; left -= 1) {
    const key = randomKey(random);
    if (random.oneIn(3)) {
      if (!writes.has(key)) removes.add(key);
    } else if (!removes.has(key)) writes.set(key, random.bytes(random.below(4)));
  }
  return { name, writes, removes };
}

function compareTables(
  random: SeededRandom,
  table: ReadTable,
  rows: ReadonlyMap<string, { value: string; version: number }>,
): void {
  expect(table.size).toBe(rows.size);
  const key = randomKey(random);
  const row = rows.get(key);
  expect(text(table.get(bytes(key)))).toBe(row?.value);
  expect(table.has(bytes(key))).toBe(row !== undefined);
  expect(table.versionOf(bytes(key))).toBe(row?.version);
  const prefix = random.oneIn(2) ? randomKey(random).slice(0, 1) : undefined;
  const after = random.oneIn(2) ? randomKey(random) : undefined;
  const limit = random.oneIn(2) ? random.below(6) : undefined;
  const expected = [...rows]
    .filter(([each]) => prefix === undefined || each.startsWith(prefix))
    .filter(([each]) => after === undefined || each > after)
    .slice(0, limit);
  const page = table.page({
    ...(prefix === undefined ? {} : { prefix: bytes(prefix) }),
    ...(after === undefined ? {} : { after: bytes(after) }),
    ...(limit === undefined ? {} : { limit }),
  });
  expect(shown(page)).toBe(expected.map(([each, { value }]) => `${each}=${value}`).join(' '));
}

test('thousands of random steps agree with the model', async () => {
  let steps = 0;
  await withSeeds(30, (random) => {
    const store = new Store([]);
    const model = new Model();
    for (let step = 0; step < 120; step += 1) {
      const dice = random.below(10);
      if (dice < 6) {
        const maps = NAMES.filter(() => !random.oneIn(3)).map((name) =>
          randomMap(random, name),
        );
        apply(store, ...maps);
        model.entries.push(maps);
      } else if (dice < 8) {
        const span = store.newest - store.committed;
        model.committed = store.committed + random.below(span + 1);
        store.commit(seqnoOf(model.committed));
      } else {
        const kept = store.committed + random.below(store.newest - store.committed + 1);
        store.rollback(seqnoOf(kept));
        model.entries.length = kept;
      }
      expect([store.newest, store.committed]).toEqual([model.entries.length, model.committed]);
      for (const name of NAMES) {
        compareTables(random, store.current.table(name), model.table(name, store.newest));
        compareTables(
          random,
          store.committedView.table(name),
          model.table(name, model.committed),
        );
      }
      steps += 1;
    }
  });
  console.log(`${steps} steps agree with the model`);
});
