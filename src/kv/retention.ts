/**
 * Which rows of a directory make way for newer ones. A row may be stored with a number of rows to
 * keep: then of all rows with its label only so many of the newest stay, and the label's horizon is
 * the seqno of the last one that went. Each such label has a queue of its rows, oldest first, which
 * is 16 bytes a row and follows from the rows themselves:
 *
 *     6 bytes  seqno, big-endian
 *    10 bytes  first bytes of the key
 */
import { invariant } from '../base/assert.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';

const PREFIX_OFFSET = 6;
const PREFIX_BYTES = 10;
const RECORD_BYTES = PREFIX_OFFSET + PREFIX_BYTES;
/** Records to a block: 16 KiB, so that a label with few rows costs little. */
const BLOCK_RECORDS = 1024;

/** A row as its queue knows it. */
export interface QueuedRow {
  readonly seqno: Seqno;
  readonly prefix: Buffer;
}

/** The rows of one label in the order of the ledger. */
export class RetainedRows {
  /** Seqno of the last row that made way, 0 if none did. */
  horizon: Seqno;
  readonly #blocks: Buffer[] = [];
  /** Records already taken from the first block, and those put into the last one. */
  #taken = 0;
  #filled = BLOCK_RECORDS;

  constructor(horizon: Seqno = seqnoOf(0)) {
    this.horizon = horizon;
  }

  get length(): number {
    return this.#blocks.length * BLOCK_RECORDS - this.#taken - (BLOCK_RECORDS - this.#filled);
  }

  push(seqno: number, prefix: Uint8Array): void {
    if (this.#filled === BLOCK_RECORDS) {
      this.#blocks.push(Buffer.allocUnsafeSlow(BLOCK_RECORDS * RECORD_BYTES));
      this.#filled = 0;
    }
    const block = this.#blocks[this.#blocks.length - 1] as Buffer;
    const offset = this.#filled * RECORD_BYTES;
    block.writeUIntBE(seqno, offset, PREFIX_OFFSET);
    block.set(prefix, offset + PREFIX_OFFSET);
    this.#filled += 1;
  }

  /** Takes the oldest row out, as one that makes way. */
  dropOldest(): QueuedRow {
    invariant(this.length > 0, 'a queue of rows that one is taken from holds one');
    const block = this.#blocks[0] as Buffer;
    const offset = this.#taken * RECORD_BYTES;
    const record = block.subarray(offset, offset + RECORD_BYTES);
    const seqno = seqnoOf(record.readUIntBE(0, PREFIX_OFFSET));
    invariant(seqno >= this.horizon, 'rows make way in the order of the ledger');
    this.horizon = seqno;
    this.#taken += 1;
    if (this.#taken === BLOCK_RECORDS) {
      this.#blocks.shift();
      this.#taken = 0;
    }
    if (this.#blocks.length === 0) this.#filled = BLOCK_RECORDS;
    return { seqno, prefix: record.subarray(PREFIX_OFFSET) };
  }

  /** Fills an empty queue. */
  fill(rows: RowsByKey): void {
    invariant(this.length === 0, 'a queue of rows is filled once');
    for (const row of rows.inLedgerOrder()) this.push(rows.seqno(row), rows.prefix(row));
  }
}

/**
 * Rows of one label in the order of their keys, as an image holds them. Flat arrays: a restart may
 * bring millions of rows.
 */
export class RowsByKey {
  readonly #seqnos: Float64Array;
  readonly #prefixes: Buffer;
  #count = 0;

  constructor(capacity: number) {
    this.#seqnos = new Float64Array(capacity);
    this.#prefixes = Buffer.allocUnsafeSlow(capacity * PREFIX_BYTES);
  }

  /** Takes in the next row: its key begins at `offset` of `rows`. */
  add(seqno: number, rows: Buffer, offset: number): void {
    this.#seqnos[this.#count] = seqno;
    rows.copy(this.#prefixes, this.#count * PREFIX_BYTES, offset, offset + PREFIX_BYTES);
    this.#count += 1;
  }

  seqno(row: number): number {
    return this.#seqnos[row] as number;
  }

  prefix(row: number): Uint8Array {
    return this.#prefixes.subarray(row * PREFIX_BYTES, (row + 1) * PREFIX_BYTES);
  }

  /** The rows by seqno, those of one entry by key: a place for each, found in the sorted seqnos. */
  inLedgerOrder(): Int32Array {
    const sorted = this.#seqnos.slice(0, this.#count).sort();
    const rows = new Int32Array(this.#count).fill(-1);
    for (let row = 0; row < this.#count; row += 1) {
      let place = lowerBound(sorted, this.seqno(row));
      while (rows[place] !== -1) place += 1;
      rows[place] = row;
    }
    return rows;
  }
}

/** Index of the first number that is not below `value`. */
function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
