/**
 * An image of the committed store: every table as rows in byte order, so that equal states have
 * equal images whatever the order of events that led to them (design decision 12). An archived table
 * appears as the pages of its directory and the labels they number, never with its values.
 */
import { invariant } from '../base/assert.ts';
import { binaryTextOf, bytesOfBinaryText, compareBytes, utf8 } from '../base/bytes.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { DIRECTORY_ROW_BYTES } from './directory.ts';
import type { Store } from './store.ts';

export interface ImageRow {
  readonly key: Uint8Array;
  /** Seqno of the entry that last wrote the row. */
  readonly version: Seqno;
  readonly value: Uint8Array;
}

export interface ImageTable {
  readonly name: string;
  /** Seqno of the entry that last wrote the table. */
  readonly version: Seqno;
  readonly rows: Iterable<ImageRow>;
}

/** Directory rows to a page of an image: 20 KiB, however the pages in memory happen to be cut. */
const IMAGE_PAGE_ROWS = 1024;
const LABEL_ROW = 0x6c;
const PAGE_ROW = 0x70;

/** The tables of the committed state in byte order of their names. Consume it before any commit. */
export function imageOf(store: Store): readonly ImageTable[] {
  const ordinary = store.tableNames().map((name) => ({ name, archived: false }));
  const archived = store.archivedNames().map((name) => ({ name, archived: true }));
  return [...ordinary, ...archived]
    .sort((left, right) => compareBytes(utf8(left.name), utf8(right.name)))
    .map(({ name, archived }) =>
      archived ? directoryImage(store, name) : tableImage(store, name),
    )
    .filter((table) => table.version > 0);
}

/** Fills an empty store with an image of the state after `seqno`. */
export function loadImage(store: Store, tables: Iterable<ImageTable>, seqno: Seqno): void {
  for (const table of tables) {
    if (store.isArchived(table.name)) {
      loadDirectory(store, table);
      continue;
    }
    const versioned = store.versionedTable(table.name);
    for (const row of table.rows) versioned.load(binaryTextOf(row.key), row.version, row.value);
    versioned.lastWrite = table.version;
  }
  store.resumeAt(seqno);
}

function tableImage(store: Store, name: string): ImageTable {
  const table = store.versionedTable(name);
  return { name, version: seqnoOf(table.lastWrite), rows: tableRows(store, name) };
}

function* tableRows(store: Store, name: string): Generator<ImageRow, void, void> {
  const table = store.versionedTable(name);
  for (const key of table.keysFrom('')) {
    const cell = table.cell(key, store.committed);
    if (cell?.value === undefined) continue;
    yield { key: bytesOfBinaryText(key), version: cell.seqno, value: cell.value };
  }
}

function directoryImage(store: Store, name: string): ImageTable {
  const directory = store.directory(name);
  const version = seqnoOf(directory.lastWrite);
  return { name, version, rows: directoryRows(store, name, version) };
}

function* directoryRows(
  store: Store,
  name: string,
  version: Seqno,
): Generator<ImageRow, void, void> {
  const directory = store.directory(name);
  let number = 0;
  for (const label of directory.labels()) {
    yield { key: numberedKey(LABEL_ROW, number), version, value: label };
    number += 1;
  }
  let page = 0;
  for (const rows of directory.packedPages(IMAGE_PAGE_ROWS)) {
    yield { key: numberedKey(PAGE_ROW, page), version, value: rows };
    page += 1;
  }
}

function loadDirectory(store: Store, table: ImageTable): void {
  const labels: Uint8Array[] = [];
  const pages: Uint8Array[] = [];
  for (const { key, value } of table.rows) {
    const rows = key[0] === LABEL_ROW ? labels : pages;
    invariant(
      Buffer.compare(key, numberedKey(key[0] ?? 0, rows.length)) === 0,
      'labels and pages of an image are numbered without gaps',
    );
    rows.push(value);
    invariant(
      key[0] !== PAGE_ROW || value.length % DIRECTORY_ROW_BYTES === 0,
      'a page of an image holds whole rows',
    );
  }
  const directory = store.directory(table.name);
  directory.load(labels, pages);
  directory.lastWrite = table.version;
}

function numberedKey(kind: number, number: number): Uint8Array {
  const key = Buffer.allocUnsafe(5);
  key[0] = kind;
  key.writeUInt32BE(number, 1);
  return key;
}
