/**
 * What a reader and a writer of the store may do.
 *
 * A table is an ordered map from bytes to bytes. Its name decides where it lies in the ledger:
 * names that begin with `public:` are readable by anyone who has the files, all others are
 * sealed (ledger-format.md §4). An archived table keeps its values in the ledger alone; memory
 * holds only a directory of where they are (design decision 3).
 */
import type { Seqno } from '../base/ids.ts';

/** One row of a table. */
export interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Which rows of a table a listing wants, in byte order of their keys. */
export interface PageRequest {
  /** Rows strictly after this key. */
  readonly after?: Uint8Array;
  /** Rows whose key begins with these bytes. */
  readonly prefix?: Uint8Array;
  /** At most this many rows; PAGE_ROWS_MAX when absent. */
  readonly limit?: number;
}

export interface ReadTable {
  get(key: Uint8Array): Uint8Array | undefined;
  has(key: Uint8Array): boolean;
  /** Seqno of the entry that last wrote this row; undefined for absent rows and own writes. */
  versionOf(key: Uint8Array): Seqno | undefined;
  /** Number of rows. */
  readonly size: number;
  page(request?: PageRequest): readonly Row[];
}

export interface Table extends ReadTable {
  put(key: Uint8Array, value: Uint8Array): void;
  /** Recorded in the ledger whether or not the row exists. */
  remove(key: Uint8Array): void;
}

/**
 * One row of an archived table's directory. `seqno` is the entry that holds the value; `label` is
 * small, lies in memory, and may change while the entry does not (who may read a payload, say).
 */
export interface ArchiveRow {
  readonly seqno: Seqno;
  readonly label: Uint8Array;
}

/** A row together with the key under which it was sought. */
export interface ArchiveLookup {
  readonly table: string;
  /** Absent: the first value that the row's entry stored in the table. */
  readonly key?: Uint8Array;
  readonly row: Pick<ArchiveRow, 'seqno'>;
}

/** Some rows of an archived table, on a way through all of them. */
export interface ArchiveStretch {
  /** Entries that hold the values of the rows that were wanted, in no order. */
  readonly seqnos: readonly Seqno[];
  /** Where the next stretch begins; absent at the end. */
  readonly next?: Uint8Array;
}

export interface ReadArchive {
  /**
   * Directory rows that may hold `key`: keys are matched by their first 10 bytes, so a row found is
   * confirmed by reading its entry and comparing the whole key; none found is proof of absence.
   * A transaction does not find what it stores itself.
   */
  find(key: Uint8Array): readonly ArchiveRow[];
  /**
   * Seqno of the last row with this label that made way for newer ones, 0 if none did: a row with
   * this label that is not there was stored up to it, or never.
   */
  horizonOf(label: Uint8Array): Seqno;
  /**
   * Looks at a bounded number of committed rows for those with a wanted label, from where the
   * stretch before it ended. Rows that are committed meanwhile may be passed over.
   */
  stretch(wants: (label: Uint8Array) => boolean, from?: Uint8Array): ArchiveStretch;
  /** Number of directory rows. */
  readonly size: number;
}

export interface Archive extends ReadArchive {
  /**
   * Writes a value, and the directory row that points to it. Keys are at least 10 bytes. With
   * `keep`, only so many of the newest rows with this label stay; those of one label all say it, or
   * none does.
   */
  store(key: Uint8Array, label: Uint8Array, value: Uint8Array, keep?: number): void;
  /**
   * Writes a value in the place of an existing row's: the directory then points here. Not for rows
   * that were stored with `keep`.
   */
  replace(key: Uint8Array, row: ArchiveRow, label: Uint8Array, value: Uint8Array): void;
  /**
   * Changes the label of an existing row; the entry that holds the value stays as it is. Not for
   * rows that were stored with `keep`.
   */
  relabel(key: Uint8Array, row: ArchiveRow, label: Uint8Array): void;
}

/** A consistent state, read-only. */
export interface ReadView {
  table(name: string): ReadTable;
  archive(name: string): ReadArchive;
}

/** One transaction: reads see the state it began on and its own writes. */
export interface Transaction extends ReadView {
  table(name: string): Table;
  archive(name: string): Archive;
  /** 32 bytes that a receipt of this transaction will vouch for (ledger-format.md §5). */
  setClaimsDigest(digest: Uint8Array): void;
}
