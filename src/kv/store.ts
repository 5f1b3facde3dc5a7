/**
 * The store: all tables of the service at their newest state, with what is not yet committed kept
 * undoable. It is driven by one thread, entry by entry, in ledger order:
 *
 *     begin() … finish() → apply(seqno) → commit(seqno) | rollback(seqno)
 *
 * Between them reads see either the newest state or the committed one.
 */
import { invariant } from '../base/assert.ts';
import { binaryTextOf, bytesOfBinaryText } from '../base/bytes.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { PAGE_ROWS_MAX } from '../base/limits.ts';
import { decodeArchivedValue } from './archived-value.ts';
import { Capture } from './capture.ts';
import { Directory } from './directory.ts';
import type { PageRequest, ReadArchive, ReadTable, ReadView, Row } from './tables.ts';
import { type JournalEntry, VersionedTable } from './versioned-table.ts';
import { isPublicName, type MapWrites } from './write-set.ts';

const NEWEST = Number.MAX_SAFE_INTEGER;

export class Store {
  readonly #tables = new Map<string, VersionedTable>();
  readonly #directories = new Map<string, Directory>();
  /** Writes not yet committed, oldest first, from `#journalStart` on. */
  #journal: JournalEntry[] = [];
  #journalStart = 0;
  #newest: Seqno = seqnoOf(0);
  #committed: Seqno = seqnoOf(0);
  /** The committed state that a capture reads, and what was settled over it since. */
  #held: Seqno | undefined;
  #overHeld: JournalEntry[] = [];

  constructor(archivedTables: readonly string[]) {
    for (const name of archivedTables) this.#directories.set(name, new Directory());
  }

  /** Seqno of the last entry applied. */
  get newest(): Seqno {
    return this.#newest;
  }

  /** Seqno of the last entry committed. */
  get committed(): Seqno {
    return this.#committed;
  }

  /** The newest state. It moves on with the store: read from it at once. */
  readonly current: ReadView = {
    table: (name) => this.readTable(name, 'current'),
    archive: (name) => this.readArchive(name, 'current'),
  };

  /** The committed state. It moves on with the store: read from it at once. */
  readonly committedView: ReadView = {
    table: (name) => this.readTable(name, 'committed'),
    archive: (name) => this.readArchive(name, 'committed'),
  };

  /** Takes in the write set of the entry at `seqno`, the next one. */
  apply(seqno: Seqno, maps: readonly MapWrites[]): void {
    invariant(seqno === this.#newest + 1, `entry ${seqno} follows ${this.#newest}`);
    for (const map of maps) {
      const directory = this.#directories.get(map.name);
      if (directory === undefined) this.#applyToTable(seqno, map);
      else applyToDirectory(directory, seqno, map);
    }
    this.#newest = seqno;
  }

  /**
   * Makes everything up to `seqno`, a signature, final. The signature's own tables come in here:
   * nothing else writes them, and while its key signs, later entries are already applied.
   */
  commit(seqno: Seqno, signatureMaps: readonly MapWrites[] = []): void {
    invariant(seqno <= this.#newest, `entry ${seqno} was applied before it is committed`);
    if (seqno <= this.#committed) return;
    for (const map of signatureMaps) {
      const table = this.versionedTable(map.name);
      for (const [key, value] of map.writes) this.#settle(table.write(seqno, key, value));
    }
    const journal = this.#journal;
    let at = this.#journalStart;
    for (; at < journal.length; at += 1) {
      const entry = journal[at] as JournalEntry;
      if (entry.cell.seqno > seqno) break;
      this.#settle(entry);
    }
    this.#journalStart = at;
    if (at === journal.length || at > 4096) {
      this.#journal = journal.slice(at);
      this.#journalStart = 0;
    }
    for (const directory of this.#directories.values()) directory.commit(seqno);
    this.#committed = seqno;
  }

  #settle(entry: JournalEntry): void {
    entry.table.settle(entry, this.#held);
    if (this.#held !== undefined) this.#overHeld.push(entry);
  }

  /** Whether a capture is under way. */
  get isCaptured(): boolean {
    return this.#held !== undefined;
  }

  /**
   * Holds on to the committed state as it is now; undefined while another capture does. Beginning
   * costs next to nothing; until it is released, what later commits replace is kept for it.
   */
  capture(): Capture | undefined {
    if (this.#held !== undefined) return undefined;
    this.#held = this.#committed;
    return new Capture(this, this.#committed, () => {
      this.#held = undefined;
      for (const entry of this.#overHeld.splice(0)) entry.table.forgetOlder(entry);
    });
  }

  /** Undoes every entry after `seqno`, none of which may be committed. */
  rollback(seqno: Seqno): void {
    invariant(seqno >= this.#committed, `committed entry ${this.#committed} is never undone`);
    while (this.#journal.length > this.#journalStart) {
      const last = this.#journal.at(-1) as JournalEntry;
      if (last.cell.seqno <= seqno) break;
      last.table.undo(last);
      this.#journal.pop();
    }
    for (const directory of this.#directories.values()) directory.rollback(seqno);
    if (seqno < this.#newest) this.#newest = seqno;
  }

  /** An ordinary table, read-only. */
  readTable(name: string, state: 'current' | 'committed'): ReadTable {
    const table = this.#tables.get(name);
    return new TableReader(table, state === 'current' ? NEWEST : this.#committed, state);
  }

  /** An archived table's directory, read-only. */
  readArchive(name: string, state: 'current' | 'committed'): ReadArchive {
    const directory = this.#directories.get(name);
    invariant(directory !== undefined, `${name} is declared as an archived table`);
    if (state === 'committed') {
      return {
        find: (key) => directory.findCommitted(key),
        horizonOf: (label) => directory.horizonOf(label),
        stretch: (wants, from) => directory.stretch(wants, from),
        get size() {
          return directory.committedSize;
        },
      };
    }
    return {
      find: (key) => directory.findCurrent(key),
      // Rows make way when the ones after them commit: until then the newest state has them too.
      horizonOf: (label) => directory.horizonOf(label),
      stretch: (wants, from) => directory.stretch(wants, from),
      get size() {
        return directory.currentSize;
      },
    };
  }

  isArchived(name: string): boolean {
    return this.#directories.has(name);
  }

  /** Names of the tables that have ever been written, in byte order; archived ones apart. */
  tableNames(): readonly string[] {
    return [...this.#tables.keys()].sort();
  }

  archivedNames(): readonly string[] {
    return [...this.#directories.keys()].sort();
  }

  /** The state of one table, for images of the whole store. */
  versionedTable(name: string): VersionedTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new VersionedTable(name);
      this.#tables.set(name, table);
    }
    return table;
  }

  /** The directory of one archived table, for images of the whole store. */
  directory(name: string): Directory {
    const directory = this.#directories.get(name);
    invariant(directory !== undefined, `${name} is declared as an archived table`);
    return directory;
  }

  /** Declares an image complete: the store continues after `seqno`. */
  resumeAt(seqno: Seqno): void {
    invariant(this.#newest === 0, 'an image is loaded into an empty store');
    this.#newest = seqno;
    this.#committed = seqno;
  }

  /**
   * Takes over the private tables of a store that stands at an earlier entry, all of it committed:
   * what a recovered service knows of its own past once its secrets are back. Nothing may have
   * written private tables here.
   */
  adoptPrivateTables(from: Store): void {
    invariant(from.#committed === from.#newest, 'what is adopted is committed');
    invariant(from.#newest <= this.#committed && !this.isCaptured, 'it is of the past');
    for (const [name, table] of from.#tables) {
      if (isPublicName(name)) continue;
      invariant((this.#tables.get(name)?.currentSize ?? 0) === 0, `${name} is not written yet`);
      this.#tables.set(name, table);
    }
    for (const [name, directory] of from.#directories) {
      invariant(this.directory(name).currentSize === 0, `${name} is not written yet`);
      this.#directories.set(name, directory);
    }
  }

  #applyToTable(seqno: Seqno, map: MapWrites): void {
    const table = this.versionedTable(map.name);
    for (const [key, value] of map.writes) this.#journal.push(table.write(seqno, key, value));
    for (const key of map.removes) this.#journal.push(table.write(seqno, key, undefined));
  }
}

function applyToDirectory(directory: Directory, seqno: Seqno, map: MapWrites): void {
  invariant(map.removes.size === 0, 'rows of archived tables are never removed');
  // In the ledger's own order: labels are numbered in the order in which they come, and a node that
  // reads the entry back must give them the same numbers.
  const inOrder = map.writes.size < 2 ? map.writes : [...map.writes].sort(byKey);
  for (const [key, value] of inOrder) {
    directory.write(seqno, bytesOfBinaryText(key), decodeArchivedValue(value));
  }
}

function byKey(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0;
}

class TableReader implements ReadTable {
  readonly #table: VersionedTable | undefined;
  readonly #bound: number;
  readonly #state: 'current' | 'committed';

  constructor(
    table: VersionedTable | undefined,
    bound: number,
    state: 'current' | 'committed',
  ) {
    this.#table = table;
    this.#bound = bound;
    this.#state = state;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#table?.cell(binaryTextOf(key), this.#bound)?.value;
  }

  has(key: Uint8Array): boolean {
    return this.get(key) !== undefined;
  }

  versionOf(key: Uint8Array): Seqno | undefined {
    const cell = this.#table?.cell(binaryTextOf(key), this.#bound);
    return cell?.value === undefined ? undefined : cell.seqno;
  }

  get size(): number {
    if (this.#table === undefined) return 0;
    return this.#state === 'current' ? this.#table.currentSize : this.#table.committedSize;
  }

  page(request: PageRequest = {}): readonly Row[] {
    return pageOf(this.#rows(request), request);
  }

  *#rows(request: PageRequest): Generator<readonly [string, Uint8Array], void, void> {
    if (this.#table === undefined) return;
    for (const key of this.#table.keysFrom(startOf(request))) {
      const value = this.#table.cell(key, this.#bound)?.value;
      if (value !== undefined) yield [key, value];
    }
  }
}

/** The first key a listing may hold, as binary text. */
export function startOf(request: PageRequest): string {
  const prefix = request.prefix === undefined ? '' : binaryTextOf(request.prefix);
  const after = request.after === undefined ? '' : binaryTextOf(request.after);
  return after > prefix ? after : prefix;
}

/** Cuts rows that come in key order, from `startOf(request)` on, to what the listing wants. */
export function pageOf(
  rows: Iterable<readonly [string, Uint8Array]>,
  request: PageRequest,
): readonly Row[] {
  const limit = Math.min(request.limit ?? PAGE_ROWS_MAX, PAGE_ROWS_MAX);
  const prefix = request.prefix === undefined ? '' : binaryTextOf(request.prefix);
  const after = request.after === undefined ? undefined : binaryTextOf(request.after);
  const page: Row[] = [];
  if (limit <= 0) return page;
  for (const [key, value] of rows) {
    if (!key.startsWith(prefix)) break;
    if (key === after) continue;
    page.push({ key: bytesOfBinaryText(key), value });
    if (page.length === limit) break;
  }
  return page;
}
