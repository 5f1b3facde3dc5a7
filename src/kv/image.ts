/**
 * Loading an image of the committed store: every table as rows in byte order, so that equal states
 * have equal images whatever the order of events that led to them (design decision 12). An archived
 * table appears as the labels and pages of its directory, never with its values. Images are made from
 * a `Capture`.
 */
import { invariant } from '../base/assert.ts';
import { binaryTextOf } from '../base/bytes.ts';
import type { Seqno } from '../base/ids.ts';
import { DIRECTORY_ROW_BYTES } from './directory.ts';
import { type ImageRow, LABEL_ROW, numberedKey, PAGE_ROW } from './image-rows.ts';
import type { Store } from './store.ts';

export interface ImageTable {
  readonly name: string;
  /** Seqno of the entry that last wrote the table. */
  readonly version: Seqno;
  readonly rows: Iterable<ImageRow>;
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
