/**
 * The directory of an archived table: for each key, where in the ledger its value lies and which
 * label it carries. Rows are 20 bytes in sorted pages, so that a million payloads cost some 30 MB:
 *
 *     10 bytes  first bytes of the key
 *      6 bytes  seqno of the entry that holds the value, big-endian
 *      4 bytes  number of the label, big-endian
 *
 * Labels are kept once each and numbered in the order of their first use in the ledger. Rows of
 * uncommitted entries are held apart until they commit, so a rollback only forgets them. A row may
 * make older ones with its label go (`retention.ts`); that too happens when it commits, entry by
 * entry, so that the rows of one seqno do not depend on how commits came.
 */
import { invariant } from '../base/assert.ts';
import { binaryTextOf, bytesOfBinaryText } from '../base/bytes.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { type QueuedRow, RetainedRows, RowsByKey } from './retention.ts';
import type { ArchiveRow, ArchiveStretch } from './tables.ts';

/** Bytes of a key that the directory keeps. */
export const KEY_PREFIX_BYTES = 10;
const SEQNO_OFFSET = KEY_PREFIX_BYTES;
const LABEL_OFFSET = SEQNO_OFFSET + 6;
export const DIRECTORY_ROW_BYTES = LABEL_OFFSET + 4;
/** Rows a page may hold before it is split: moving half of them takes about a microsecond. */
const PAGE_ROWS_MAX = 512;
/** Rows that a stretch looks at: a few milliseconds, so that nobody waits for it. */
export const STRETCH_ROWS_MAX = 50_000;
/** Rows of two neighbouring pages that become one when rows are taken out. */
const MERGED_ROWS_MAX = PAGE_ROWS_MAX / 2;
const ONE_KIND = 'of the rows with one label all make way for newer ones, or none do';

/** A change to the directory, as an entry of the ledger makes it. */
export type DirectoryChange =
  | {
      readonly kind: 'store';
      readonly label: Uint8Array;
      /** How many rows with this label stay, this one included; all when absent. */
      readonly keep?: number;
      /** The entry whose row makes way for this one; none when absent. */
      readonly replaces?: Seqno;
    }
  | { readonly kind: 'relabel'; readonly target: Seqno; readonly label: Uint8Array };

interface PendingChange {
  readonly seqno: Seqno;
  readonly prefix: string;
  readonly change: DirectoryChange;
}

interface Page {
  readonly rows: Buffer;
  count: number;
  /** A page of an earlier epoch than the directory's is a capture's too, and is not changed. */
  readonly epoch: number;
}

/** A label whose rows make way for newer ones. */
export interface LabelHorizon {
  readonly label: number;
  /** Seqno of the last row that did, 0 if none has. */
  readonly horizon: Seqno;
}

/** The committed rows of one moment; see `Directory.hold`. */
export interface HeldDirectory {
  readonly version: number;
  readonly labelCount: number;
  label(number: number): Uint8Array;
  /** Labels whose rows make way, by number, and how far they have. */
  readonly horizons: readonly LabelHorizon[];
  /** All rows in order, `rowsPerPage` to a page but for the last. */
  packedPages(rowsPerPage: number): Generator<Uint8Array, void, void>;
}

export class Directory {
  #pages: Page[] = [];
  /** Grows with each capture. */
  #epoch = 0;
  #isHeld = false;
  #committedSize = 0;
  readonly #labels: Uint8Array[] = [];
  readonly #labelNumbers = new Map<string, number>();
  /** By the numbers of labels whose rows make way. */
  readonly #retained = new Map<number, RetainedRows>();
  #pending: PendingChange[] = [];
  readonly #pendingByPrefix = new Map<string, PendingChange[]>();
  #pendingStores = 0;
  /** Seqno of the last committed entry that wrote this table, 0 if none did. */
  lastWrite = 0;

  get committedSize(): number {
    return this.#committedSize;
  }

  get currentSize(): number {
    return this.#committedSize + this.#pendingStores;
  }

  /** Pages in memory: 10 KiB each. */
  get pageCount(): number {
    return this.#pages.length;
  }

  /** Committed rows that may hold `key`, oldest first. */
  findCommitted(key: Uint8Array): ArchiveRow[] {
    const found: ArchiveRow[] = [];
    const prefix = prefixBuffer(key);
    for (let at = this.#lowerBound(prefix, 0); at !== undefined; at = this.#next(at)) {
      const { page, index } = at;
      const offset = index * DIRECTORY_ROW_BYTES;
      if (comparePrefix(page.rows, offset, prefix) !== 0) break;
      found.push({
        seqno: page.rows.readUIntBE(offset + SEQNO_OFFSET, 6) as Seqno,
        label: this.#label(page.rows.readUInt32BE(offset + LABEL_OFFSET)),
      });
    }
    return found;
  }

  /** Rows that may hold `key` in the newest state, oldest first. */
  findCurrent(key: Uint8Array): ArchiveRow[] {
    const rows = this.findCommitted(key);
    const pending = this.#pendingByPrefix.get(prefixText(key));
    if (pending === undefined) return rows;
    for (const { seqno, change } of pending) {
      const target = change.kind === 'store' ? change.replaces : change.target;
      const at = rows.findIndex((row) => row.seqno === target);
      invariant(
        target === undefined || at >= 0,
        `the row of entry ${target} that makes way or is relabelled exists`,
      );
      if (change.kind === 'relabel') {
        rows[at] = { seqno: change.target, label: change.label };
        continue;
      }
      if (at >= 0) rows.splice(at, 1);
      rows.push({ seqno, label: change.label });
    }
    return rows;
  }

  /** Committed rows with a wanted label, among so many from where the last stretch ended. */
  stretch(
    wants: (label: Uint8Array) => boolean,
    from?: Uint8Array,
    rowsMax = STRETCH_ROWS_MAX,
  ): ArchiveStretch {
    const wanted = new Map<number, boolean>();
    const seqnos: Seqno[] = [];
    let at = from === undefined ? this.#firstOf(0) : this.#placeAfter(from);
    for (let looked = 0; at !== undefined; at = this.#next(at), looked += 1) {
      if (looked === rowsMax) {
        const start = at.index * DIRECTORY_ROW_BYTES;
        return {
          seqnos,
          next: Buffer.from(at.page.rows.subarray(start, start + LABEL_OFFSET)),
        };
      }
      const label = this.#labelAt(at);
      const isWanted = wanted.get(label) ?? wants(this.#label(label));
      wanted.set(label, isWanted);
      if (!isWanted) continue;
      const offset = at.index * DIRECTORY_ROW_BYTES + SEQNO_OFFSET;
      seqnos.push(at.page.rows.readUIntBE(offset, 6) as Seqno);
    }
    return { seqnos };
  }

  /** Seqno of the last committed row with this label that made way for others, 0 if none did. */
  horizonOf(label: Uint8Array): Seqno {
    const number = this.#labelNumbers.get(binaryTextOf(label));
    const retained = number === undefined ? undefined : this.#retained.get(number);
    return retained?.horizon ?? seqnoOf(0);
  }

  /** Notes a change made by the entry at `seqno`. */
  write(seqno: Seqno, key: Uint8Array, change: DirectoryChange): void {
    const prefix = prefixText(key);
    const pending: PendingChange = { seqno, prefix, change };
    this.#pending.push(pending);
    const same = this.#pendingByPrefix.get(prefix);
    if (same === undefined) this.#pendingByPrefix.set(prefix, [pending]);
    else same.push(pending);
    this.#pendingStores += growthOf(change);
  }

  /** Forgets the changes of entries after `seqno`. */
  rollback(seqno: Seqno): void {
    for (let last = this.#pending.at(-1); last !== undefined; last = this.#pending.at(-1)) {
      if (last.seqno <= seqno) break;
      this.#pending.pop();
      this.#unlist(last);
    }
  }

  /** Makes the changes of entries up to `seqno` final. */
  commit(seqno: Seqno): void {
    let settled = 0;
    for (const pending of this.#pending) {
      if (pending.seqno > seqno) break;
      this.#settle(pending);
      this.#unlist(pending);
      settled += 1;
    }
    if (settled > 0) this.#pending.splice(0, settled);
  }

  /**
   * The committed rows as they are now, to be read while the directory moves on, until `release`:
   * meanwhile a page is copied before its first change. Labels are never changed, only added.
   */
  hold(): HeldDirectory {
    invariant(!this.#isHeld, 'a directory is held once at a time');
    this.#isHeld = true;
    this.#epoch += 1;
    const pages = this.#pages.map(({ rows, count }) => ({ rows, count }));
    return {
      version: this.lastWrite,
      labelCount: this.#labels.length,
      label: (number) => this.#label(number),
      horizons: [...this.#retained]
        .map(([label, { horizon }]) => ({ label, horizon }))
        .sort((left, right) => left.label - right.label),
      packedPages: (rowsPerPage) => packedPages(pages, rowsPerPage),
    };
  }

  /** Ends what `hold` began. */
  release(): void {
    this.#isHeld = false;
  }

  /**
   * Takes in an image: labels in order, packed pages in order, and which labels' rows make way.
   * Only into an empty directory.
   */
  load(
    labels: readonly Uint8Array[],
    pages: Iterable<Uint8Array>,
    horizons: readonly LabelHorizon[] = [],
  ): void {
    invariant(
      this.#committedSize === 0 && this.#labels.length === 0,
      'an image is loaded once',
    );
    for (const label of labels) this.#numberOf(label);
    for (const bytes of pages) {
      const rowsEach = (PAGE_ROWS_MAX >>> 1) * DIRECTORY_ROW_BYTES;
      for (let from = 0; from < bytes.length; from += rowsEach) {
        const piece = bytes.subarray(from, Math.min(bytes.length, from + rowsEach));
        const page = this.#emptyPage();
        page.rows.set(piece);
        page.count = piece.length / DIRECTORY_ROW_BYTES;
        this.#pages.push(page);
        this.#committedSize += page.count;
      }
    }
    this.#fillQueues(horizons);
  }

  #fillQueues(horizons: readonly LabelHorizon[]): void {
    if (horizons.length === 0) return;
    const counts = new Map<number, number>();
    this.#eachRow((label) => counts.set(label, (counts.get(label) ?? 0) + 1));
    const rowsOf = new Map(
      horizons.map(({ label }) => [label, new RowsByKey(counts.get(label) ?? 0)]),
    );
    this.#eachRow((label, rows, offset) => {
      rowsOf.get(label)?.add(rows.readUIntBE(offset + SEQNO_OFFSET, 6), rows, offset);
    });
    for (const { label, horizon } of horizons) {
      const retained = new RetainedRows(horizon);
      const rows = rowsOf.get(label);
      if (rows !== undefined) retained.fill(rows);
      rowsOf.delete(label);
      this.#retained.set(label, retained);
    }
  }

  #eachRow(look: (label: number, rows: Buffer, offset: number) => void): void {
    for (const { rows, count } of this.#pages) {
      for (let at = 0; at < count * DIRECTORY_ROW_BYTES; at += DIRECTORY_ROW_BYTES) {
        look(rows.readUInt32BE(at + LABEL_OFFSET), rows, at);
      }
    }
  }

  #settle({ seqno, prefix, change }: PendingChange): void {
    const key = Buffer.from(prefix, 'latin1');
    const labelCount = this.#labels.length;
    const number = this.#numberOf(change.label);
    this.lastWrite = seqno;
    if (change.kind === 'relabel') {
      const at = this.#placeOf(key, change.target);
      this.#requireKept(number);
      const { rows } = this.#writable(at.pageIndex);
      rows.writeUInt32BE(number, at.index * DIRECTORY_ROW_BYTES + LABEL_OFFSET);
      return;
    }
    if (change.replaces !== undefined) {
      const at = this.#placeOf(key, change.replaces);
      this.#requireKept(number);
      this.#remove({ prefix: key, seqno: change.replaces }, this.#labelAt(at));
    }
    this.#insert(key, seqno, number);
    const retained = this.#retained.get(number);
    if (change.keep === undefined) {
      invariant(retained === undefined, ONE_KIND);
      return;
    }
    invariant(retained !== undefined || number === labelCount, ONE_KIND);
    this.#retain(key, seqno, number, change.keep);
  }

  /** Where the row of an entry stands, which keeps its label until it is told otherwise. */
  #placeOf(prefix: Buffer, seqno: Seqno): Place {
    const at = this.#lowerBound(prefix, seqno);
    invariant(
      at !== undefined &&
        compareRow(at.page.rows, at.index * DIRECTORY_ROW_BYTES, prefix, seqno) === 0,
      `the row of entry ${seqno} is in the directory`,
    );
    this.#requireKept(this.#labelAt(at));
    return at;
  }

  #requireKept(label: number): void {
    invariant(!this.#retained.has(label), 'rows that make way for others keep their labels');
  }

  /** Lets the oldest rows with a label go, once there are more than are to be kept. */
  #retain(prefix: Buffer, seqno: Seqno, label: number, keep: number): void {
    const retained = this.#retained.get(label) ?? new RetainedRows();
    this.#retained.set(label, retained);
    retained.push(seqno, prefix);
    while (retained.length > keep) this.#remove(retained.dropOldest(), label);
  }

  #remove({ prefix, seqno }: QueuedRow, label: number): void {
    let at = this.#lowerBound(prefix, seqno);
    while (at !== undefined && this.#labelAt(at) !== label) at = this.#next(at);
    invariant(
      at !== undefined &&
        compareRow(at.page.rows, at.index * DIRECTORY_ROW_BYTES, prefix, seqno) === 0,
      `the row of entry ${seqno} that makes way is in the directory`,
    );
    const page = this.#writable(at.pageIndex);
    const offset = at.index * DIRECTORY_ROW_BYTES;
    const end = page.count * DIRECTORY_ROW_BYTES;
    page.rows.copyWithin(offset, offset + DIRECTORY_ROW_BYTES, end);
    page.count -= 1;
    this.#committedSize -= 1;
    if (page.count === 0) this.#pages.splice(at.pageIndex, 1);
    else this.#mergeWithNext(page, at.pageIndex + 1);
  }

  /** Two neighbours with few rows become one page, one that may be changed: pages stay filled. */
  #mergeWithNext(page: Page, nextIndex: number): void {
    const next = this.#pages[nextIndex];
    if (next === undefined || page.count + next.count > MERGED_ROWS_MAX) return;
    const end = next.count * DIRECTORY_ROW_BYTES;
    next.rows.copy(page.rows, page.count * DIRECTORY_ROW_BYTES, 0, end);
    page.count += next.count;
    this.#pages.splice(nextIndex, 1);
  }

  #insert(prefix: Buffer, seqno: Seqno, label: number): void {
    const pageIndex = this.#pageFor(prefix, seqno);
    if (this.#pages.length === 0) this.#pages.push(this.#emptyPage());
    let page = this.#writable(pageIndex);
    if (page.count === PAGE_ROWS_MAX) {
      const upper = this.#emptyPage();
      moveUpperHalf(page, upper);
      this.#pages.splice(pageIndex + 1, 0, upper);
      if (compareRow(upper.rows, 0, prefix, seqno) <= 0) page = upper;
    }
    const offset = lowerBoundInPage(page, prefix, seqno) * DIRECTORY_ROW_BYTES;
    const end = page.count * DIRECTORY_ROW_BYTES;
    page.rows.copyWithin(offset + DIRECTORY_ROW_BYTES, offset, end);
    prefix.copy(page.rows, offset);
    page.rows.writeUIntBE(seqno, offset + SEQNO_OFFSET, 6);
    page.rows.writeUInt32BE(label, offset + LABEL_OFFSET);
    page.count += 1;
    this.#committedSize += 1;
  }

  /** A page that may be changed: one that a capture reads makes way for a copy. */
  #writable(pageIndex: number): Page {
    const page = this.#pages[pageIndex];
    invariant(page !== undefined, `page ${pageIndex} is there`);
    if (!this.#isHeld || page.epoch === this.#epoch) return page;
    const copy = this.#emptyPage();
    page.rows.copy(copy.rows, 0, 0, page.count * DIRECTORY_ROW_BYTES);
    copy.count = page.count;
    this.#pages[pageIndex] = copy;
    return copy;
  }

  #emptyPage(): Page {
    const rows = Buffer.allocUnsafeSlow(PAGE_ROWS_MAX * DIRECTORY_ROW_BYTES);
    return { rows, count: 0, epoch: this.#epoch };
  }

  #unlist(pending: PendingChange): void {
    const same = this.#pendingByPrefix.get(pending.prefix);
    invariant(same !== undefined, 'each pending change is listed by its prefix');
    same.splice(same.indexOf(pending), 1);
    if (same.length === 0) this.#pendingByPrefix.delete(pending.prefix);
    this.#pendingStores -= growthOf(pending.change);
  }

  #label(number: number): Uint8Array {
    const label = this.#labels[number];
    invariant(label !== undefined, `label ${number} is known`);
    return label;
  }

  #numberOf(label: Uint8Array): number {
    const text = binaryTextOf(label);
    const known = this.#labelNumbers.get(text);
    if (known !== undefined) return known;
    const number = this.#labels.length;
    this.#labels.push(bytesOfBinaryText(text));
    this.#labelNumbers.set(text, number);
    return number;
  }

  /** Index of the page in which a row belongs. */
  #pageFor(prefix: Buffer, seqno: number): number {
    let low = 0;
    let high = this.#pages.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const page = this.#pages[middle];
      if (page !== undefined && compareRow(page.rows, 0, prefix, seqno) <= 0) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Place of the first row that is not before (prefix, seqno). */
  #lowerBound(prefix: Buffer, seqno: number): Place | undefined {
    const pageIndex = this.#pageFor(prefix, seqno);
    const page = this.#pages[pageIndex];
    if (page === undefined) return undefined;
    const index = lowerBoundInPage(page, prefix, seqno);
    if (index < page.count) return { page, pageIndex, index };
    return this.#firstOf(pageIndex + 1);
  }

  /** The first row that is not before what a stretch ended at. */
  #placeAfter(from: Uint8Array): Place | undefined {
    invariant(from.length === LABEL_OFFSET, 'a stretch begins where another one ended');
    const prefix = prefixBuffer(from);
    const seqno = Buffer.from(from).readUIntBE(SEQNO_OFFSET, 6);
    return this.#lowerBound(prefix, seqno);
  }

  #next({ page, pageIndex, index }: Place): Place | undefined {
    if (index + 1 < page.count) return { page, pageIndex, index: index + 1 };
    return this.#firstOf(pageIndex + 1);
  }

  #labelAt({ page, index }: Place): number {
    return page.rows.readUInt32BE(index * DIRECTORY_ROW_BYTES + LABEL_OFFSET);
  }

  #firstOf(pageIndex: number): Place | undefined {
    const page = this.#pages[pageIndex];
    return page === undefined ? undefined : { page, pageIndex, index: 0 };
  }
}

/** Rows that a change adds: one that takes another's place adds none. */
function growthOf(change: DirectoryChange): number {
  return change.kind === 'store' && change.replaces === undefined ? 1 : 0;
}

/** Where a row stands. */
interface Place {
  readonly page: Page;
  readonly pageIndex: number;
  readonly index: number;
}

function* packedPages(
  pages: readonly { readonly rows: Buffer; readonly count: number }[],
  rowsPerPage: number,
): Generator<Uint8Array, void, void> {
  let packed = Buffer.allocUnsafeSlow(rowsPerPage * DIRECTORY_ROW_BYTES);
  let filled = 0;
  for (const page of pages) {
    const bytes = page.count * DIRECTORY_ROW_BYTES;
    for (let from = 0; from < bytes; ) {
      const taken = Math.min(bytes - from, packed.length - filled);
      page.rows.copy(packed, filled, from, from + taken);
      filled += taken;
      from += taken;
      if (filled < packed.length) continue;
      yield packed;
      packed = Buffer.allocUnsafeSlow(rowsPerPage * DIRECTORY_ROW_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield packed.subarray(0, filled);
}

/** Moves the upper half of a full page into an empty one. */
function moveUpperHalf(page: Page, upper: Page): void {
  const kept = page.count >>> 1;
  page.rows.copy(upper.rows, 0, kept * DIRECTORY_ROW_BYTES, page.count * DIRECTORY_ROW_BYTES);
  upper.count = page.count - kept;
  page.count = kept;
}

function lowerBoundInPage(page: Page, prefix: Buffer, seqno: number): number {
  let low = 0;
  let high = page.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareRow(page.rows, middle * DIRECTORY_ROW_BYTES, prefix, seqno) < 0)
      low = middle + 1;
    else high = middle;
  }
  return low;
}

function compareRow(rows: Buffer, offset: number, prefix: Buffer, seqno: number): number {
  return (
    comparePrefix(rows, offset, prefix) || rows.readUIntBE(offset + SEQNO_OFFSET, 6) - seqno
  );
}

function comparePrefix(rows: Buffer, offset: number, prefix: Buffer): number {
  return (
    rows.readUIntBE(offset, 6) - prefix.readUIntBE(0, 6) ||
    rows.readUInt32BE(offset + 6) - prefix.readUInt32BE(6)
  );
}

function prefixBuffer(key: Uint8Array): Buffer {
  invariant(key.length >= KEY_PREFIX_BYTES, 'keys of archived tables have at least 10 bytes');
  return Buffer.from(key.buffer, key.byteOffset, KEY_PREFIX_BYTES);
}

function prefixText(key: Uint8Array): string {
  return prefixBuffer(key).toString('latin1');
}
