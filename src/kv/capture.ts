/**
 * The committed state of one moment, read piece by piece while the store moves on: what a snapshot
 * and a checkpoint are made from, without a pause in which nothing else can run.
 *
 * Nothing is copied when it begins. Rows are versioned cells and the store keeps the versions
 * of that moment alive; a directory copies a page before its first change (`Directory.hold`).
 */
import { invariant } from '../base/assert.ts';
import { bytesOfBinaryText, compareBytes, utf8 } from '../base/bytes.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { writeU64 } from '../base/words.ts';
import type { HeldDirectory } from './directory.ts';
import {
  HORIZON_ROW,
  type ImageRow,
  LABEL_ROW,
  numberedKey,
  PAGE_ROW,
  ROWS_PER_IMAGE_PAGE,
} from './image-rows.ts';
import type { Store } from './store.ts';
import type { VersionedTable } from './versioned-table.ts';

/** A batch ends with the row that reaches one of these: a fraction of a millisecond's work. */
const BATCH_ROWS_MAX = 512;
const BATCH_BYTES_MAX = 128 * 1024;

/** One table as it was. */
export interface CapturedTable {
  readonly name: string;
  /** Seqno of the entry that last wrote the table. */
  readonly version: Seqno;
  /** Rows in byte order. Each step is bounded work; the store may change between two of them. */
  batches(): Generator<readonly ImageRow[], void, void>;
}

export class Capture {
  /** The state is what stands after this entry. */
  readonly seqno: Seqno;
  /** In byte order of their names; those that were never written are left out. */
  readonly tables: readonly CapturedTable[];
  readonly #letGo: () => void;
  #isReleased = false;

  /** Only the store makes these: `Store.capture`. */
  constructor(store: Store, seqno: Seqno, letGo: () => void) {
    this.seqno = seqno;
    const archived = store.archivedNames();
    const mustHold = (): void => invariant(!this.#isReleased, 'a capture is read while held');
    this.tables = [
      ...store.tableNames().map((name) => tableOf(store.versionedTable(name), seqno, mustHold)),
      ...archived.map((name) => directoryOf(name, store.directory(name).hold(), mustHold)),
    ]
      .filter((table) => table.version > 0)
      .sort((left, right) => compareBytes(utf8(left.name), utf8(right.name)));
    this.#letGo = () => {
      for (const name of archived) store.directory(name).release();
      letGo();
    };
  }

  /** Lets go of what was kept for this capture, which cannot be read any more. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#letGo();
  }
}

function tableOf(table: VersionedTable, seqno: Seqno, mustHold: () => void): CapturedTable {
  return {
    name: table.name,
    version: seqnoOf(table.lastWrite),
    *batches() {
      let last: string | undefined;
      for (;;) {
        mustHold();
        const { rows, next } = batchAfter(table, seqno, last);
        if (rows.length > 0) yield rows;
        if (next === undefined) return;
        last = next;
      }
    },
  };
}

/** The rows after a key; `next` is the key to go on from, undefined at the table's end. */
function batchAfter(
  table: VersionedTable,
  seqno: Seqno,
  after: string | undefined,
): { readonly rows: readonly ImageRow[]; readonly next: string | undefined } {
  const rows: ImageRow[] = [];
  let keys = 0;
  let bytes = 0;
  for (const key of table.keysFrom(after ?? '')) {
    if (key === after) continue;
    const cell = table.cell(key, seqno);
    keys += 1;
    if (cell?.value !== undefined) {
      rows.push({ key: bytesOfBinaryText(key), version: cell.seqno, value: cell.value });
      bytes += key.length + cell.value.length;
    }
    // Rows that came later count as well: a table may hold many of them and none of that moment.
    if (keys >= BATCH_ROWS_MAX || bytes >= BATCH_BYTES_MAX) return { rows, next: key };
  }
  return { rows, next: undefined };
}

function directoryOf(name: string, held: HeldDirectory, mustHold: () => void): CapturedTable {
  const version = seqnoOf(held.version);
  const row = (kind: number, number: number, value: Uint8Array): ImageRow => {
    return { key: numberedKey(kind, number), version, value };
  };
  return {
    name,
    version,
    *batches() {
      const horizons = held.horizons.map(({ label, horizon }) => {
        const value = Buffer.alloc(8);
        writeU64(value, horizon, 0);
        return row(HORIZON_ROW, label, value);
      });
      if (horizons.length > 0) yield horizons;
      for (let at = 0; at < held.labelCount; ) {
        mustHold();
        const rows: ImageRow[] = [];
        for (let bytes = 0; at < held.labelCount && rows.length < BATCH_ROWS_MAX; at += 1) {
          const label = held.label(at);
          if (bytes > 0 && bytes + label.length > BATCH_BYTES_MAX) break;
          rows.push(row(LABEL_ROW, at, label));
          bytes += label.length;
        }
        yield rows;
      }
      let page = 0;
      for (const value of held.packedPages(ROWS_PER_IMAGE_PAGE)) {
        yield [row(PAGE_ROW, page, value)];
        page += 1;
        mustHold();
      }
    },
  };
}
