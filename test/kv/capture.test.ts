// A capture shows the committed state of its moment, whatever happens to the store while it is
// read, and leaves nothing behind.

import { expect, test } from 'vitest';
import { seqnoOf } from '../../src/base/ids.ts';
import type { Capture } from '../../src/kv/capture.ts';
import { loadImage } from '../../src/kv/image.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import { decodeImageTables, encodeTables } from '../../src/ledger/state-image.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { drained, stateBytes } from '../support/state-bytes.ts';

const ARCHIVED = 'test.archived';
const TABLES = ['public:test.a', 'test.b', 'test.c'];

/** A store with a seeded life: puts, removes, archived values, relabels, commits, rollbacks. */
class Life {
  readonly store = new Store([ARCHIVED]);
  readonly #random: SeededRandom;
  readonly #keys: number;

  constructor(seed: number, keys = 40) {
    this.#random = new SeededRandom(seed);
    this.#keys = keys;
  }

  step(): void {
    const { store } = this;
    const dice = this.#below(100);
    if (dice < 10) store.commit(seqnoOf(this.#between(store.committed, store.newest)));
    else if (dice < 14) store.rollback(seqnoOf(this.#between(store.committed, store.newest)));
    else this.#write();
  }

  #write(): void {
    const tx = new StoreTransaction(this.store, 'application');
    for (let left = 1 + this.#below(4); left > 0; left -= 1) {
      const table = tx.table(TABLES[this.#below(TABLES.length)] ?? '');
      const key = Buffer.from(`key ${this.#below(this.#keys)}`);
      if (this.#below(3) === 0) table.remove(key);
      else table.put(key, Buffer.alloc(this.#below(50), this.#below(256)));
    }
    const key = Buffer.alloc(12, this.#below(this.#keys * 10));
    const label = Buffer.from(`label ${this.#below(7)}`);
    const archive = tx.archive(ARCHIVED);
    const [row] = archive.find(key);
    if (row === undefined) archive.store(key, label, Buffer.from('value'));
    else archive.relabel(key, row, label);
    this.store.apply(seqnoOf(this.store.newest + 1), tx.writeSet());
  }

  #between(low: number, high: number): number {
    return low + this.#below(high - low + 1);
  }

  #below(bound: number): number {
    return this.#random.below(bound);
  }
}

function captured(store: Store): Capture {
  const capture = store.capture();
  if (capture === undefined) throw new Error('no capture');
  return capture;
}

function joined(pieces: readonly Uint8Array[]): string {
  return Buffer.concat(pieces).toString('base64');
}

test.each(Array.from({ length: 60 }, (_, seed) => seed))(
  'seed %i: what is read piece by piece is the state of the moment it began',
  (seed) => {
    const life = new Life(seed);
    for (let steps = 0; steps < 300; steps += 1) life.step();
    const { store } = life;
    for (let round = 0; round < 5; round += 1) {
      const before = stateBytes(store);
      const capture = captured(store);
      const tables = capture.tables.map((table) => ({
        ...table,
        *batches() {
          for (const rows of table.batches()) {
            for (let steps = 0; steps < 40; steps += 1) life.step();
            yield rows;
          }
        },
      }));
      const pieces = drained(encodeTables(tables));
      capture.release();
      expect(joined(pieces)).toBe(before);
      for (let steps = 0; steps < 60; steps += 1) life.step();
    }
  },
);

test('a large table is read in many pieces, between which rows come, go and change', () => {
  const life = new Life(7, 5000);
  for (let steps = 0; steps < 8000; steps += 1) life.step();
  life.store.commit(life.store.newest);
  const before = stateBytes(life.store);
  const capture = captured(life.store);
  const work = encodeTables(capture.tables);
  let turns = 0;
  let pieces: readonly Uint8Array[] | undefined;
  while (pieces === undefined) {
    const step = work.next();
    if (step.done) pieces = step.value;
    turns += 1;
    for (let steps = 0; steps < 300; steps += 1) life.step();
  }
  capture.release();
  expect(turns).toBeGreaterThan(10);
  expect(joined(pieces)).toBe(before);
});

test('planted, and caught: reading the state as it is instead of as it was', () => {
  const life = new Life(3);
  for (let steps = 0; steps < 300; steps += 1) life.step();
  const before = stateBytes(life.store);
  for (let steps = 0; steps < 100; steps += 1) life.step();
  expect(stateBytes(life.store)).not.toBe(before);
});

test('after a capture the store is as if there had been none', () => {
  const [with_, without] = [new Life(11), new Life(11)];
  const stepBoth = (): void => {
    with_.step();
    without.step();
  };
  for (let steps = 0; steps < 200; steps += 1) stepBoth();
  const capture = captured(with_.store);
  for (let steps = 0; steps < 200; steps += 1) stepBoth();
  capture.release();
  for (let steps = 0; steps < 200; steps += 1) stepBoth();
  expect(stateBytes(with_.store)).toBe(stateBytes(without.store));
  for (const name of TABLES) {
    const [left, right] = [with_, without].map(({ store }) =>
      [...store.versionedTable(name).keysFrom('')].filter(
        (key) => store.versionedTable(name).cell(key, store.newest) !== undefined,
      ),
    );
    expect(left).toEqual(right);
  }
});

test('there is one capture at a time, and none to be read after its release', () => {
  const life = new Life(5);
  for (let steps = 0; steps < 100; steps += 1) life.step();
  const capture = captured(life.store);
  expect(life.store.capture()).toBeUndefined();
  const work = encodeTables(capture.tables);
  capture.release();
  capture.release();
  expect(() => drained(work)).toThrow(/while held/);
  captured(life.store).release();
});

test('equal states have equal bytes whatever led to them, and load back', () => {
  const life = new Life(23);
  for (let steps = 0; steps < 400; steps += 1) life.step();
  life.store.rollback(life.store.committed);
  const bytes = stateBytes(life.store);
  const copy = new Store([ARCHIVED]);
  const image = decodeImageTables(Buffer.from(bytes, 'base64'));
  loadImage(copy, image, life.store.committed);
  expect(stateBytes(copy)).toBe(bytes);
  // Both go on alike: labels keep their numbers, rows their versions.
  const more = new StoreTransaction(copy, 'application');
  more.archive(ARCHIVED).store(Buffer.alloc(12, 255), Buffer.from('label 99'), Buffer.alloc(1));
  for (const store of [life.store, copy]) {
    const next = seqnoOf(store.newest + 1);
    store.apply(next, more.writeSet());
    store.commit(next);
  }
  expect(stateBytes(copy)).toBe(stateBytes(life.store));
});
