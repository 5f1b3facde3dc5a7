/**
 * A transaction that takes its time: scripts run and signatures are checked while the service goes
 * on. It collects what is to be written and remembers what it read; in the end its writes are taken
 * over if all that it read still stands, and else everything is done again (design decision 4).
 */
import { binaryTextOf, bytesOfBinaryText, equalBytes } from '../base/bytes.ts';
import type { ReadTable, ReadView, Row, Transaction } from '../kv/tables.ts';
import type { ScriptRead, ScriptWrite } from './scripts.ts';

/**
 * Written by every round of signatures. Whoever reads the latest one is content with any recent
 * one; were it to stand still, no script that reads it would ever come to an end under load.
 */
const EVER_CHANGING: ReadonlySet<string> = new Set([
  'public:ccf.internal.signatures',
  'public:ccf.internal.cose_signatures',
  'public:ccf.internal.tree',
]);

type Rows = ReadonlyMap<string, Uint8Array>;

interface OneTable {
  /** Rows read one by one; undefined for those that are not there. */
  readonly seen: Map<string, Uint8Array | undefined>;
  /** Undefined for a row that is to be removed. */
  readonly writes: Map<string, Uint8Array | undefined>;
  /** All rows, once somebody wanted them. */
  whole?: Rows;
  /** Whether what was made of them depends on all of them. */
  wholeRead: boolean;
}

export class Draft {
  readonly #view: ReadView;
  readonly #tables = new Map<string, OneTable>();

  /** `view` is the newest state, and moves on with it. */
  constructor(view: ReadView) {
    this.#view = view;
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    const one = this.#table(table);
    const text = binaryTextOf(key);
    if (one.writes.has(text)) return one.writes.get(text);
    if (one.seen.has(text)) return one.seen.get(text);
    const value =
      one.whole === undefined ? this.#view.table(table).get(key) : one.whole.get(text);
    one.seen.set(text, value);
    return value;
  }

  /** All rows of a table, in byte order of their keys. */
  rows(table: string): readonly Row[] {
    this.#table(table).wholeRead = true;
    return this.shown(table);
  }

  /** As `rows`, for one who says later what of them he read (`takeIn`). */
  shown(table: string): readonly Row[] {
    const one = this.#table(table);
    one.whole ??= allRows(this.#view.table(table));
    const merged = new Map<string, Uint8Array>(one.whole);
    for (const [key, value] of one.writes) {
      if (value === undefined) merged.delete(key);
      else merged.set(key, value);
    }
    return [...merged.keys()].sort().map((key) => ({
      key: bytesOfBinaryText(key),
      value: merged.get(key) ?? new Uint8Array(0),
    }));
  }

  put(table: string, key: Uint8Array, value: Uint8Array): void {
    this.#table(table).writes.set(binaryTextOf(key), value);
  }

  remove(table: string, key: Uint8Array): void {
    this.#table(table).writes.set(binaryTextOf(key), undefined);
  }

  /** Takes in what a script read of what it was shown, and what it wrote. */
  takeIn(reads: readonly ScriptRead[], writes: readonly ScriptWrite[]): void {
    for (const { table, keys } of reads) {
      const one = this.#table(table);
      if (keys === 'all') one.wholeRead = true;
      else for (const key of keys) this.get(table, key);
    }
    for (const { table, key, value } of writes) {
      if (value === undefined) this.remove(table, key);
      else this.put(table, key, value);
    }
  }

  /** Whether all that was read is still so. */
  holds(view: ReadView): boolean {
    for (const [name, one] of this.#tables) {
      if (EVER_CHANGING.has(name)) continue;
      const now = view.table(name);
      for (const [key, value] of one.seen) {
        if (!isSame(now.get(bytesOfBinaryText(key)), value)) return false;
      }
      if (one.wholeRead && one.whole !== undefined && !areSame(allRows(now), one.whole)) {
        return false;
      }
    }
    return true;
  }

  /** What it writes, in the order of tables and rows. */
  get writes(): readonly ScriptWrite[] {
    const all: ScriptWrite[] = [];
    for (const table of [...this.#tables.keys()].sort()) {
      const { writes } = this.#table(table);
      for (const text of [...writes.keys()].sort()) {
        const key = bytesOfBinaryText(text);
        const value = writes.get(text);
        all.push(value === undefined ? { table, key } : { table, key, value });
      }
    }
    return all;
  }

  writeTo(transaction: Transaction): void {
    for (const { table, key, value } of this.writes) {
      if (value === undefined) transaction.table(table).remove(key);
      else transaction.table(table).put(key, value);
    }
  }

  #table(name: string): OneTable {
    let one = this.#tables.get(name);
    if (one === undefined) {
      one = { seen: new Map(), writes: new Map(), wholeRead: false };
      this.#tables.set(name, one);
    }
    return one;
  }
}

function allRows(table: ReadTable): Rows {
  const rows = new Map<string, Uint8Array>();
  for (let page = table.page(); page.length > 0; ) {
    for (const { key, value } of page) rows.set(binaryTextOf(key), value);
    const last = page.at(-1);
    page = last === undefined ? [] : table.page({ after: last.key });
  }
  return rows;
}

function isSame(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === right) return true;
  return left !== undefined && right !== undefined && equalBytes(left, right);
}

function areSame(left: Rows, right: Rows): boolean {
  if (left.size !== right.size) return false;
  for (const [key, value] of left) if (!isSame(value, right.get(key))) return false;
  return true;
}
