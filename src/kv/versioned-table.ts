/**
 * One ordinary table with its recent past: each row is a chain of versions, newest first, that ends
 * at the newest committed one. So the newest state, the committed state and a rollback cost nothing
 * but the uncommitted rows themselves. While a capture (`capture.ts`) reads the committed state of
 * an earlier moment, the version that was committed then is kept as well.
 */
import { invariant } from '../base/assert.ts';
import type { Seqno } from '../base/ids.ts';
import { OrderedKeys } from './ordered-keys.ts';

/** A version of a row; an undefined value marks a removal. */
export interface Cell {
  readonly seqno: Seqno;
  readonly value: Uint8Array | undefined;
  older: Cell | undefined;
}

/** A write that may still be undone. */
export interface JournalEntry {
  readonly table: VersionedTable;
  readonly key: string;
  readonly cell: Cell;
}

export class VersionedTable {
  readonly name: string;
  /** Seqno of the last committed entry that wrote this table, 0 if none did. */
  lastWrite = 0;
  /** Rows that exist in the newest state, and in the committed one. */
  currentSize = 0;
  committedSize = 0;
  readonly #cells = new Map<string, Cell>();
  readonly #keys = new OrderedKeys();

  constructor(name: string) {
    this.name = name;
  }

  /** The newest version of a row that is not newer than `bound`; removals included. */
  cell(key: string, bound: number): Cell | undefined {
    let cell = this.#cells.get(key);
    while (cell !== undefined && cell.seqno > bound) cell = cell.older;
    return cell;
  }

  /** Keys from `from` on in byte order, those of removed rows included. */
  keysFrom(from: string): Iterable<string> {
    return this.#keys.from(from);
  }

  /** Writes or (with an undefined value) removes a row at `seqno`. */
  write(seqno: Seqno, key: string, value: Uint8Array | undefined): JournalEntry {
    const older = this.#cells.get(key);
    invariant(older === undefined || older.seqno <= seqno, 'rows are written in ledger order');
    const cell: Cell = { seqno, value, older };
    this.#cells.set(key, cell);
    if (older === undefined) this.#keys.add(key);
    this.currentSize += exists(cell) - exists(older);
    return { table: this, key, cell };
  }

  /** Takes the newest version of a row back. */
  undo(entry: JournalEntry): void {
    invariant(this.#cells.get(entry.key) === entry.cell, 'only the newest version is undone');
    const older = entry.cell.older;
    this.currentSize += exists(older) - exists(entry.cell);
    if (older !== undefined) {
      this.#cells.set(entry.key, older);
      return;
    }
    this.#cells.delete(entry.key);
    this.#keys.remove(entry.key);
  }

  /**
   * Makes a version final. What was before it is forgotten, unless a capture at `held` still reads
   * it: then of the older versions just that one stays, until `forgetOlder` is called.
   */
  settle(entry: JournalEntry, held?: Seqno): void {
    const { cell } = entry;
    this.committedSize += exists(cell) - exists(cell.older);
    this.lastWrite = cell.seqno;
    if (held === undefined) {
      this.forgetOlder(entry);
      return;
    }
    invariant(cell.seqno > held, 'what a capture reads was committed before it began');
    if (cell.older !== undefined && cell.older.seqno > held) cell.older = cell.older.older;
  }

  /** Forgets what was before a final version, and the row itself if that version removed it. */
  forgetOlder({ cell, key }: JournalEntry): void {
    cell.older = undefined;
    if (cell.value === undefined && this.#cells.get(key) === cell) {
      this.#cells.delete(key);
      this.#keys.remove(key);
    }
  }

  /** Puts a committed row in place while an image is loaded. */
  load(key: string, seqno: Seqno, value: Uint8Array): void {
    invariant(!this.#cells.has(key), 'an image holds each row once');
    this.#cells.set(key, { seqno, value, older: undefined });
    this.#keys.add(key);
    this.currentSize += 1;
    this.committedSize += 1;
  }
}

function exists(cell: Cell | undefined): number {
  return cell?.value === undefined ? 0 : 1;
}
