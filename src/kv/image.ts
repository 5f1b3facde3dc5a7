/**
 * Loading an image of the committed store: every table as rows in byte order, so that equal states
 * have equal images whatever the order of events that led to them (design decision 12). An archived
 * table appears as the labels and pages of its directory, never with its values. Images are
 * made from a `Capture`.
 */
import { binaryTextOf, bufferOf, compareBytes, equalBytes, hexOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { readU64 } from '../base/words.ts';
import { DIRECTORY_ROW_BYTES, type LabelHorizon } from './directory.ts';
import { HORIZON_ROW, type ImageRow, LABEL_ROW, numberedKey, PAGE_ROW } from './image-rows.ts';
import type { Store } from './store.ts';

export interface ImageTable {
  readonly name: string;
  /** Seqno of the entry that last wrote the table. */
  readonly version: Seqno;
  readonly rows: Iterable<ImageRow>;
}

/** Fills an empty store with an image of the state after `seqno`; throws `BadImage`. */
export function loadImage(store: Store, tables: Iterable<ImageTable>, seqno: Seqno): void {
  const names = new Set<string>();
  for (const table of tables) {
    const { name, version } = table;
    if (names.has(name)) throw bad(`table ${JSON.stringify(name)} occurs twice`);
    names.add(name);
    if (version > seqno) throw bad(`table ${JSON.stringify(name)} was written at ${version}`);
    if (store.isArchived(name)) loadDirectory(store, table);
    else loadTable(store, table);
  }
  store.resumeAt(seqno);
}

function loadTable(store: Store, { name, version, rows }: ImageTable): void {
  const table = store.versionedTable(name);
  let last: Uint8Array | undefined;
  for (const row of rows) {
    if (last !== undefined && compareBytes(last, row.key) >= 0) {
      throw bad(`the rows of ${JSON.stringify(name)} are not in order`);
    }
    if (row.version > version) throw bad(`a row of ${JSON.stringify(name)} is newer than it`);
    last = row.key;
    table.load(binaryTextOf(row.key), row.version, row.value);
  }
  table.lastWrite = version;
}

function loadDirectory(store: Store, table: ImageTable): void {
  const labels: Uint8Array[] = [];
  const pages: Uint8Array[] = [];
  const horizons: LabelHorizon[] = [];
  for (const { key, value } of table.rows) {
    if (key[0] === HORIZON_ROW) {
      horizons.push(horizonIn(table, key, value));
      continue;
    }
    const rows = key[0] === LABEL_ROW ? labels : pages;
    if (!equalBytes(key, numberedKey(rows === labels ? LABEL_ROW : PAGE_ROW, rows.length))) {
      throw bad(`${table.name} has a row ${hexOf(key)} where number ${rows.length} comes next`);
    }
    rows.push(value);
    if (rows === pages && value.length % DIRECTORY_ROW_BYTES !== 0) {
      throw bad(`a page of ${table.name} has ${value.length} bytes, which are no whole rows`);
    }
  }
  const directory = store.directory(table.name);
  const unknown = horizons.find(({ label }) => label >= labels.length);
  if (unknown !== undefined) throw bad(`${table.name} has no label ${unknown.label}`);
  directory.load(labels, pages, horizons);
  directory.lastWrite = table.version;
}

function horizonIn(table: ImageTable, key: Uint8Array, value: Uint8Array): LabelHorizon {
  const horizon = value.length === 8 ? readU64(bufferOf(value), 0) : Number.NaN;
  if (key.length !== 5 || !(horizon <= table.version)) {
    throw bad(`${table.name} has a row ${hexOf(key)} that is no horizon of a label`);
  }
  return { label: bufferOf(key).readUInt32BE(1), horizon: seqnoOf(horizon) };
}

function bad(why: string): CodedError {
  return new CodedError('BadImage', `not an image of a store: ${why}`);
}
