// One transaction: reads see the newest state with its own writes over it; what it wrote is its
// write set, and nothing else; and an application may not write what is not its own.

import { describe, expect, test } from 'vitest';
import { seqnoOf } from '../../src/base/ids.ts';
import { decodeArchivedValue } from '../../src/kv/archived-value.ts';
import { Store } from '../../src/kv/store.ts';
import type { Table } from '../../src/kv/tables.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import { mapOf } from '../support/ledger-vectors.ts';
import { withSeeds } from '../support/seeded-random.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString('latin1');
const shown = (table: Table, request = {}): string =>
  table
    .page(request)
    .map(({ key, value }) => `${text(key)}=${text(value)}`)
    .join(' ');

function storeWith(rows: Readonly<Record<string, string>>): Store {
  const store = new Store(['archived']);
  store.apply(seqnoOf(1), [mapOf('t', rows)]);
  return store;
}

describe('reads', () => {
  test('see own writes over the newest state, and others see none of them', () => {
    const store = storeWith({ a: '1', b: '1', c: '1' });
    const tx = new StoreTransaction(store, 'application');
    const table = tx.table('t');
    table.put(bytes('b'), bytes('2'));
    table.put(bytes('aa'), bytes('2'));
    table.remove(bytes('c'));
    table.put(bytes('d'), bytes('2'));
    expect(shown(table)).toBe('a=1 aa=2 b=2 d=2');
    expect(shown(tx.table('t')), 'another handle on the same table').toBe('a=1 aa=2 b=2 d=2');
    expect(table.size).toBe(4);
    expect(table.has(bytes('c'))).toBe(false);
    expect(shown(table, { prefix: bytes('a') })).toBe('a=1 aa=2');
    expect(shown(table, { after: bytes('a'), limit: 2 })).toBe('aa=2 b=2');
    const versions = ['a', 'b', 'c', 'd'].map((key) => table.versionOf(bytes(key)));
    expect(versions).toEqual([1, undefined, undefined, undefined]);
    expect(store.current.table('t').size).toBe(3);
  });

  test('the last write to a row counts, whatever came before it', () => {
    const tx = new StoreTransaction(storeWith({ a: '1' }), 'application');
    const table = tx.table('t');
    table.remove(bytes('a'));
    table.put(bytes('a'), bytes('2'));
    table.put(bytes('b'), bytes('2'));
    table.remove(bytes('b'));
    expect(shown(table)).toBe('a=2');
    const [map] = tx.writeSet();
    expect([...(map?.writes.keys() ?? [])]).toEqual(['a']);
    expect([...(map?.removes ?? [])]).toEqual(['b']);
  });

  test('random own writes over random rows page as their union would', async () => {
    await withSeeds(200, (random) => {
      const key = (): string =>
        text(random.bytes(1 + random.below(2)).map((byte) => byte & 7)) ?? '';
      const expected = new Map<string, string>();
      for (let left = random.below(20); left > 0; left -= 1) expected.set(key(), 'old');
      const store = storeWith(Object.fromEntries(expected));
      const table = new StoreTransaction(store, 'application').table('t');
      for (let left = random.below(20); left > 0; left -= 1) {
        const each = key();
        if (random.oneIn(2)) {
          table.put(bytes(each), bytes('new'));
          expected.set(each, 'new');
        } else {
          table.remove(bytes(each));
          expected.delete(each);
        }
      }
      expect(table.size).toBe(expected.size);
      const sorted = [...expected].sort(([left], [right]) => (left < right ? -1 : 1));
      for (let round = 0; round < 5; round += 1) {
        const prefix = random.oneIn(2) ? key().slice(0, 1) : '';
        const after = random.oneIn(2) ? key() : undefined;
        const limit = 1 + random.below(6);
        const rows = sorted
          .filter(([each]) => each.startsWith(prefix) && (after === undefined || each > after))
          .slice(0, limit);
        const request = { prefix: bytes(prefix), limit };
        const page = shown(
          table,
          after === undefined ? request : { ...request, after: bytes(after) },
        );
        expect(page).toBe(rows.map(([each, value]) => `${each}=${value}`).join(' '));
      }
    });
  });
});

describe('the write set', () => {
  test('of a transaction that only read is empty', () => {
    const tx = new StoreTransaction(storeWith({ a: '1' }), 'application');
    tx.table('t').page();
    tx.table('u').get(bytes('a'));
    expect(tx.writeSet()).toEqual([]);
  });

  test('holds a removal of a row that never was', () => {
    const tx = new StoreTransaction(storeWith({}), 'application');
    tx.table('u').remove(bytes('x'));
    expect(tx.writeSet()).toEqual([{ name: 'u', writes: new Map(), removes: new Set(['x']) }]);
  });

  test('keeps what was written out of reach of its reader', () => {
    const store = storeWith({});
    const tx = new StoreTransaction(store, 'application');
    tx.table('t').put(bytes('a'), bytes('1'));
    store.apply(seqnoOf(2), tx.writeSet());
    expect(text(store.current.table('t').get(bytes('a')))).toBe('1');
    expect(store.committedView.table('t').size).toBe(0);
  });

  test('carries a claims digest of 32 bytes, zero unless one is set', () => {
    const tx = new StoreTransaction(storeWith({}), 'application');
    expect(Buffer.from(tx.claimsDigest).equals(Buffer.alloc(32))).toBe(true);
    tx.setClaimsDigest(Buffer.alloc(32, 3));
    expect(tx.claimsDigest[31]).toBe(3);
    expect(() => tx.setClaimsDigest(Buffer.alloc(31))).toThrow('32 bytes');
  });
});

describe('archived tables', () => {
  const key = Buffer.alloc(64, 1);

  test('take a value with its label, and a change of label', () => {
    const store = storeWith({});
    const first = new StoreTransaction(store, 'application');
    first.archive('archived').store(key, bytes('mine'), bytes('value'));
    store.apply(seqnoOf(2), first.writeSet());
    const second = new StoreTransaction(store, 'application');
    const [row] = second.archive('archived').find(key);
    if (row === undefined) throw new Error('the row is found');
    second.archive('archived').relabel(key, row, bytes('ours'));
    const [map] = second.writeSet();
    const [written] = map?.writes.values() ?? [];
    expect(decodeArchivedValue(written ?? bytes(''))).toMatchObject({
      kind: 'relabel',
      target: 2,
    });
    store.apply(seqnoOf(3), second.writeSet());
    expect(text(store.current.archive('archived').find(key)[0]?.label)).toBe('ours');
  });

  test('take one change of a key in a transaction: a second would replace the first', () => {
    const tx = new StoreTransaction(storeWith({}), 'application');
    const archive = tx.archive('archived');
    archive.store(key, bytes('mine'), bytes('value'));
    expect(() => archive.store(key, bytes('ours'), bytes('value'))).toThrow('changes once');
    const row = { seqno: seqnoOf(1), label: bytes('x') };
    expect(() => archive.relabel(key, row, bytes('ours'))).toThrow('changes once');
    expect(() => archive.replace(key, row, bytes('ours'), bytes('x'))).toThrow('changes once');
  });

  test('are not ordinary ones, nor the other way about', () => {
    const tx = new StoreTransaction(storeWith({}), 'application');
    expect(() => tx.table('archived')).toThrow('is an archived table');
    expect(() => tx.archive('t')).toThrow('declared as an archived table');
  });
});

describe('scopes', () => {
  test.each([
    ['test.rows', true, true],
    ['public:test.rows', true, true],
    ['public:ccf.gov.users.certs', false, true],
    ['ccf.gov.anything', false, true],
    ['public:ccf.internal.signatures', false, true],
    ['ccf.internal.anything', false, true],
    ['public:ccf.reserved', false, false],
    ['ccf.reserved', false, false],
    ['public:concordat.restarts', true, true],
    ['CCF.gov.upper', true, true],
  ])(
    '%s may be written by an application: %s, by the service: %s',
    (name, application, service) => {
      for (const [scope, may] of [
        ['application', application],
        ['service', service],
      ] as const) {
        const store = storeWith({});
        const put = (): void =>
          new StoreTransaction(store, scope).table(name).put(bytes('a'), bytes('1'));
        const remove = (): void =>
          new StoreTransaction(store, scope).table(name).remove(bytes('a'));
        for (const write of [put, remove]) {
          if (may) expect(write).not.toThrow();
          else expect(write).toThrow(`an ${scope} transaction may write ${name}`);
        }
      }
    },
  );

  test('anybody may read anything', () => {
    const store = new Store([]);
    store.apply(seqnoOf(1), [mapOf('public:ccf.gov.service.info', { a: '1' })]);
    const table = new StoreTransaction(store, 'application').table(
      'public:ccf.gov.service.info',
    );
    expect(shown(table)).toBe('a=1');
  });
});
