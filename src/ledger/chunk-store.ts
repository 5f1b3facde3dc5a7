/**
 * A node's ledger on disk: one open chunk that grows, and closed ones that never change
 * (ledger-format.md §1 and §2).
 *
 * The calls that make entries durable, in this order:
 *
 *     append:  [open ledger_S exclusively]  pwrite entries [and positions table]  fdatasync
 *              [pwrite header word, fdatasync]  [fsync folder, if the file is new]
 *     seal:    rename ledger_S → ledger_S-E.committed  fsync folder
 *
 * The header word is written only once the table it points to is on stable storage, so a crash
 * leaves either an open chunk with a torn tail or a complete one. `seal` follows the commit of the
 * chunk's last entry. Without flushing (`durability: os`) the order is the same and only a crash of
 * the machine, not of the process, can lose what was acknowledged.
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
  readonly positions: number[];
  length: number;
  complete: boolean;
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
  #open: WritableChunk | undefined;
  readonly #readable = new Map<Seqno, Promise<ReadableChunk>>();

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

  /** Continues a scanned ledger. `flush: false` leaves flushing to the operating system. */
  static async open(
    disk: Disk,
    folder: string,
    flush: boolean,
    closed: readonly ClosedChunk[],
    open: OpenChunk | undefined,
  ): Promise<ChunkStore> {
    const store = new ChunkStore(disk, folder, flush, closed);
    if (open !== undefined) {
      const file = await disk.open(`${folder}/${open.name}`, 'write');
      const positions = [...open.positions];
      store.#open = { ...open, file, positions, complete: false };
    }
    return store;
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
   * `first` is the seqno of the first; `closes` ends the chunk with the last.
   */
  async append(entries: readonly Uint8Array[], first: Seqno, closes: boolean): Promise<void> {
    const isNew = this.#open === undefined;
    const chunk = this.#open ?? (await this.#create(first));
    this.#open = chunk;
    invariant(!chunk.complete, 'a complete chunk takes no more entries');
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
    if (closes) await this.#writeHeaderWord(chunk);
    if (isNew && this.#flush) await this.#disk.syncFolder(this.#folder);
  }

  /** Closes the open chunk where a crash came between its last entry and its table. */
  async completeOpen(): Promise<void> {
    const chunk = this.#open;
    invariant(chunk !== undefined && !chunk.complete, 'there is a chunk to complete');
    await chunk.file.write(chunk.length, encodePositions(chunk.positions));
    await this.#sync(chunk.file);
    await this.#writeHeaderWord(chunk);
    await this.sealComplete();
  }

  /** Gives a complete chunk its final name; its last entry must be committed. */
  async sealComplete(): Promise<void> {
    const chunk = this.#open;
    if (chunk === undefined || !chunk.complete) return;
    const end = seqnoAfter(chunk.start, chunk.positions.length - 1);
    const name = formatChunkName({ start: chunk.start, end, committed: true });
    await this.#disk.rename(`${this.#folder}/${chunk.name}`, `${this.#folder}/${name}`);
    if (this.#flush) await this.#disk.syncFolder(this.#folder);
    this.#closed.push({ name, start: chunk.start, end });
    const { file, positions, length } = chunk;
    this.#keep(chunk.start, Promise.resolve({ file, positions, length }));
    this.#open = undefined;
  }

  /** The whole entry at `seqno`. Rejects with `LedgerUnreadable` if it cannot be had. */
  async read(seqno: Seqno): Promise<Buffer> {
    const open = this.#open;
    if (open !== undefined && seqno >= open.start) {
      return await readEntry(open, seqno - open.start, seqno);
    }
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
    await this.#open?.file.close();
    this.#open = undefined;
  }

  async #create(start: Seqno): Promise<WritableChunk> {
    const name = formatChunkName({ start, committed: false });
    const file = await this.#disk.open(`${this.#folder}/${name}`, 'create');
    return { name, start, file, positions: [], length: CHUNK_HEADER_BYTES, complete: false };
  }

  /** The table is on stable storage: now the chunk may say where it is. */
  async #writeHeaderWord(chunk: WritableChunk): Promise<void> {
    const word = Buffer.alloc(CHUNK_HEADER_BYTES);
    writeU64(word, chunk.length, 0);
    await chunk.file.write(0, word);
    await this.#sync(chunk.file);
    chunk.complete = true;
  }

  async #sync(file: DiskFile): Promise<void> {
    if (this.#flush) await file.sync();
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
