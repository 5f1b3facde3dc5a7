/**
 * A node's ledger on disk: closed chunks that never change, complete ones that wait for the commit
 * of their last entry, and one open chunk that grows (ledger-format.md §1 and §2).
 *
 * The calls that make entries durable, in this order:
 *
 *     append:    [open ledger_S exclusively]  pwrite entries [and positions table]  fdatasync
 *                [pwrite header word, fdatasync]  [fsync folder, if the file is new]
 *     commit:    rename ledger_S → ledger_S-E.committed  fsync folder
 *     open:      fdatasync of each chunk that is not closed  fsync folder
 *     truncate:  [unlink later chunks, newest first]  [pwrite header word 0, fdatasync]
 *                ftruncate  fdatasync  fsync folder
 *
 * The header word is written only once the table it points to is on stable storage, so a crash
 * leaves either an open chunk with a torn tail or a complete one. Where a chunk ends is in the
 * entries' flags, so every node cuts at the same places. Without flushing (`durability: os`)
 * the order is the same and only a crash of the machine, not of the process, can lose what was
 * acknowledged.
 */
import { invariant } from '../base/assert.ts';
import type { Disk, DiskFile } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoAfter } from '../base/ids.ts';
import { writeU64 } from '../base/words.ts';
import {
  CHUNK_HEADER_BYTES,
  encodePositions,
  formatChunkName,
  readPositions,
} from './chunk.ts';
import { FLAG_CHUNK_AFTER, FLAG_CHUNK_BEFORE } from './entry.ts';
import { RecentEntries } from './recent-entries.ts';

/** Closed chunks whose handles and positions are kept at hand. */
const CLOSED_CHUNKS_CACHED_MAX = 64;

export interface ClosedChunk {
  readonly name: string;
  readonly start: Seqno;
  readonly end: Seqno;
}

/** What is known of the open chunk after a scan; absent when the next entry starts a new one. */
export interface OpenChunk {
  readonly name: string;
  readonly start: Seqno;
  readonly positions: readonly number[];
  /** Bytes used: where the next entry goes. */
  readonly length: number;
}

interface WritableChunk {
  name: string;
  readonly start: Seqno;
  readonly file: DiskFile;
  positions: number[];
  length: number;
}

interface ReadableChunk {
  readonly file: DiskFile;
  readonly positions: readonly number[];
  /** Where the last entry ends. */
  readonly length: number;
}

export class ChunkStore {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #flush: boolean;
  readonly #closed: ClosedChunk[];
  /** Complete chunks whose last entry is not committed yet, oldest first. */
  #complete: WritableChunk[] = [];
  #open: WritableChunk | undefined;
  readonly #readable = new Map<Seqno, Promise<ReadableChunk>>();
  /** The newest entries' bytes: whoever has them before they are written adds them here. */
  readonly recent = new RecentEntries();

  private constructor(
    disk: Disk,
    folder: string,
    flush: boolean,
    closed: readonly ClosedChunk[],
  ) {
    this.#disk = disk;
    this.#folder = folder;
    this.#flush = flush;
    this.#closed = [...closed];
  }

  /**
   * Continues a scanned ledger: `complete` are the chunks whose last entry is not known to be
   * committed. `flush: false` leaves flushing to the operating system.
   */
  static async open(
    disk: Disk,
    folder: string,
    flush: boolean,
    closed: readonly ClosedChunk[],
    open: OpenChunk | undefined,
    complete: readonly OpenChunk[] = [],
  ): Promise<ChunkStore> {
    const store = new ChunkStore(disk, folder, flush, closed);
    for (const chunk of complete) {
      const file = await disk.open(`${folder}/${chunk.name}`, 'write');
      store.#complete.push({ ...chunk, file, positions: [...chunk.positions] });
    }
    if (open !== undefined) {
      const file = await disk.open(`${folder}/${open.name}`, 'write');
      const positions = [...open.positions];
      store.#open = { ...open, file, positions };
    }
    await store.#settle();
    return store;
  }

  /**
   * What a process before this one wrote is there to be read, and yet may be on no stable storage:
   * nobody may be told of it, and no chunk be named by it, before it is.
   */
  async #settle(): Promise<void> {
    if (!this.#flush) return;
    const files = [...this.#complete, ...(this.#open === undefined ? [] : [this.#open])];
    for (const { file } of files) await file.sync();
    if (files.length > 0) await this.#disk.syncFolder(this.#folder);
  }

  /** Closed chunks, oldest first. */
  get closed(): readonly ClosedChunk[] {
    return this.#closed;
  }

  /** Bytes in the open chunk's entries. */
  get openBytes(): number {
    return this.#open === undefined ? 0 : this.#open.length - CHUNK_HEADER_BYTES;
  }

  /**
   * Writes entries that follow the last ones, and returns when they are as durable as was asked.
   * `first` is the seqno of the first. Chunks end where the entries' flags say so.
   */
  async append(entries: readonly Uint8Array[], first: Seqno): Promise<void> {
    let from = 0;
    for (let index = 0; index < entries.length; index += 1) {
      const endsHere = hasFlag(entries[index], FLAG_CHUNK_AFTER);
      const nextBegins = hasFlag(entries[index + 1], FLAG_CHUNK_BEFORE);
      if (!endsHere && !nextBegins && index < entries.length - 1) continue;
      const run = entries.slice(from, index + 1);
      await this.#write(run, seqnoAfter(first, from), endsHere || nextBegins);
      from = index + 1;
    }
  }

  /** Closes the open chunk where a crash came between its last entry and its table. */
  async completeOpen(): Promise<void> {
    const chunk = this.#open;
    invariant(chunk !== undefined, 'there is a chunk to complete');
    await chunk.file.write(chunk.length, encodePositions(chunk.positions));
    await this.#sync(chunk.file);
    await this.#finish(chunk);
  }

  /** Gives complete chunks whose last entry is committed their final names. */
  async commit(seqno: Seqno): Promise<void> {
    let renamed = false;
    for (let chunk = this.#complete[0]; chunk !== undefined; chunk = this.#complete[0]) {
      const end = endOf(chunk);
      if (end > seqno) break;
      const name = formatChunkName({ start: chunk.start, end, committed: true });
      await this.#disk.rename(`${this.#folder}/${chunk.name}`, `${this.#folder}/${name}`);
      renamed = true;
      this.#closed.push({ name, start: chunk.start, end });
      const { file, positions, length } = chunk;
      this.#keep(chunk.start, Promise.resolve({ file, positions, length }));
      this.#complete.shift();
    }
    if (renamed && this.#flush) await this.#disk.syncFolder(this.#folder);
  }

  /** Removes the entries after `seqno`, none of which may be in a closed chunk. */
  async truncate(seqno: Seqno): Promise<void> {
    invariant((this.#closed.at(-1)?.end ?? 0) <= seqno, 'committed chunks are never cut');
    if (this.#open !== undefined) {
      this.#complete.push(this.#open);
      this.#open = undefined;
    }
    for (let last = this.#complete.at(-1); last !== undefined; last = this.#complete.at(-1)) {
      if (last.start <= seqno) break;
      this.#complete.pop();
      await last.file.close();
      await this.#disk.remove(`${this.#folder}/${last.name}`);
    }
    const last = this.#complete.pop();
    if (last !== undefined) await this.#reopen(last, seqno);
    if (this.#flush) await this.#disk.syncFolder(this.#folder);
  }

  /** The whole entry at `seqno`. Rejects with `LedgerUnreadable` if it cannot be had. */
  async read(seqno: Seqno): Promise<Buffer> {
    const recent = this.recent.get(seqno);
    if (recent !== undefined) return recent;
    const open = this.#writableWith(seqno);
    if (open !== undefined) return await readEntry(open, seqno - open.start, seqno);
    const closed = this.#closedWith(seqno);
    if (closed === undefined) {
      throw unreadable(seqno, 'no chunk file holds it', undefined);
    }
    const chunk = await this.#readableChunk(closed);
    return await readEntry(chunk, seqno - closed.start, seqno);
  }

  async close(): Promise<void> {
    const files = await Promise.allSettled(this.#readable.values());
    this.#readable.clear();
    for (const result of files) {
      if (result.status === 'fulfilled') await result.value.file.close();
    }
    for (const chunk of this.#complete.splice(0)) await chunk.file.close();
    await this.#open?.file.close();
    this.#open = undefined;
  }

  async #write(entries: readonly Uint8Array[], first: Seqno, closes: boolean): Promise<void> {
    const isNew = this.#open === undefined;
    const chunk = this.#open ?? (await this.#create(first));
    this.#open = chunk;
    invariant(chunk.start + chunk.positions.length === first, `entry ${first} comes next`);
    const parts = isNew ? [new Uint8Array(CHUNK_HEADER_BYTES), ...entries] : [...entries];
    const writeAt = isNew ? 0 : chunk.length;
    for (const entry of entries) {
      chunk.positions.push(chunk.length);
      chunk.length += entry.length;
    }
    if (closes) parts.push(encodePositions(chunk.positions));
    await chunk.file.write(writeAt, Buffer.concat(parts));
    await this.#sync(chunk.file);
    if (closes) await this.#finish(chunk);
    if (isNew && this.#flush) await this.#disk.syncFolder(this.#folder);
  }

  /** Cuts the newest chunk behind `seqno` and makes it the open one again. */
  async #reopen(chunk: WritableChunk, seqno: Seqno): Promise<void> {
    const kept = seqno - chunk.start + 1;
    if (kept >= chunk.positions.length) {
      // Nothing of it goes; if it was complete it stays so.
      if (await this.#isFinished(chunk)) this.#complete.push(chunk);
      else this.#open = chunk;
      return;
    }
    if (await this.#isFinished(chunk)) {
      await chunk.file.write(0, new Uint8Array(CHUNK_HEADER_BYTES));
      await this.#sync(chunk.file);
    }
    chunk.length = chunk.positions[kept] ?? chunk.length;
    chunk.positions = chunk.positions.slice(0, kept);
    await chunk.file.truncate(chunk.length);
    await this.#sync(chunk.file);
    this.#open = chunk;
  }

  async #isFinished(chunk: WritableChunk): Promise<boolean> {
    const word = await chunk.file.read(0, CHUNK_HEADER_BYTES);
    return word.some((byte) => byte !== 0);
  }

  async #create(start: Seqno): Promise<WritableChunk> {
    const name = formatChunkName({ start, committed: false });
    const file = await this.#disk.open(`${this.#folder}/${name}`, 'create');
    return { name, start, file, positions: [], length: CHUNK_HEADER_BYTES };
  }

  /** The table is on stable storage: now the chunk may say where it is. */
  async #finish(chunk: WritableChunk): Promise<void> {
    const word = Buffer.alloc(CHUNK_HEADER_BYTES);
    writeU64(word, chunk.length, 0);
    await chunk.file.write(0, word);
    await this.#sync(chunk.file);
    this.#complete.push(chunk);
    this.#open = undefined;
  }

  async #sync(file: DiskFile): Promise<void> {
    if (this.#flush) await file.sync();
  }

  #writableWith(seqno: Seqno): WritableChunk | undefined {
    if (this.#open !== undefined && seqno >= this.#open.start) return this.#open;
    return this.#complete.find((chunk) => chunk.start <= seqno && seqno <= endOf(chunk));
  }

  #closedWith(seqno: Seqno): ClosedChunk | undefined {
    let low = 0;
    let high = this.#closed.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#closed[middle] as ClosedChunk).end < seqno) low = middle + 1;
      else high = middle;
    }
    const chunk = this.#closed[low];
    return chunk !== undefined && chunk.start <= seqno ? chunk : undefined;
  }

  #readableChunk(closed: ClosedChunk): Promise<ReadableChunk> {
    const cached = this.#readable.get(closed.start);
    if (cached !== undefined) return cached;
    const opened = this.#openClosed(closed);
    opened.catch(() => this.#readable.delete(closed.start));
    this.#keep(closed.start, opened);
    return opened;
  }

  async #openClosed(closed: ClosedChunk): Promise<ReadableChunk> {
    try {
      const file = await this.#disk.open(`${this.#folder}/${closed.name}`, 'read');
      const { positions, tableAt } = await readPositions(file);
      return { file, positions, length: tableAt };
    } catch (cause) {
      throw unreadable(closed.start, `${closed.name} cannot be opened`, cause);
    }
  }

  /** Keeps a chunk at hand and lets go of the one that was kept longest. */
  #keep(start: Seqno, chunk: Promise<ReadableChunk>): void {
    this.#readable.set(start, chunk);
    if (this.#readable.size <= CLOSED_CHUNKS_CACHED_MAX) return;
    for (const [oldest, letGo] of this.#readable) {
      this.#readable.delete(oldest);
      letGo.then(({ file }) => file.close()).catch(() => undefined);
      break;
    }
  }
}

function endOf(chunk: WritableChunk): Seqno {
  return seqnoAfter(chunk.start, chunk.positions.length - 1);
}

function hasFlag(entry: Uint8Array | undefined, flag: number): boolean {
  return entry !== undefined && ((entry[1] ?? 0) & flag) !== 0;
}

async function readEntry(chunk: ReadableChunk, index: number, seqno: Seqno): Promise<Buffer> {
  const from = chunk.positions[index];
  const to = chunk.positions[index + 1] ?? chunk.length;
  if (from === undefined)
    throw unreadable(seqno, 'its chunk does not reach that far', undefined);
  let bytes: Uint8Array;
  try {
    bytes = await chunk.file.read(from, to - from);
  } catch (cause) {
    throw unreadable(seqno, 'its chunk cannot be read', cause);
  }
  if (bytes.length !== to - from) throw unreadable(seqno, 'its chunk is cut short', undefined);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function unreadable(seqno: Seqno, why: string, cause: unknown): CodedError {
  return new CodedError(
    'LedgerUnreadable',
    `entry ${seqno} cannot be read from the ledger: ${why}`,
    { seqno },
    cause === undefined ? {} : { cause },
  );
}
