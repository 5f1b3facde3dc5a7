/**
 * Reads a chunk file entry by entry in windows of bounded size (ledger-format.md §2, §15.2).
 */
import { type FileHandle, open } from 'node:fs/promises';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import {
  CHUNK_HEADER_BYTES,
  decodePositions,
  encodePositions,
  scanEntries,
  tableOffset,
} from '../ledger/chunk.ts';
import { ENTRY_HEADER_BYTES, parseHeader } from '../ledger/entry.ts';
import { inEntry } from './entry-rules.ts';
import { FaultError, type Reason, rule } from './fault.ts';
import type { ChunkFile } from './folder.ts';

/** Bytes read at once; an entry that is larger gets a window of its own. */
const WINDOW_BYTES = 4 * 1024 * 1024;

/** A run of whole entries that lie in memory. */
export interface Window {
  readonly bytes: Buffer;
  /** Where the window begins in the file. */
  readonly fileOffset: number;
  /** Where each entry begins in the window. */
  readonly positions: readonly number[];
  /** Where the last entry ends in the window. */
  readonly end: number;
}

/** What lies behind the last whole entry of an open chunk. */
export interface TornTail {
  readonly offset: number;
  readonly bytes: number;
  readonly message: string;
}

const INTERRUPTED = 'the chunk was being closed';

export class ChunkReader {
  readonly name: string;
  /** Bytes of the file. */
  readonly size: number;
  /** Whether there is a positions table. */
  readonly complete: boolean;
  /** Set when the walk over an open chunk ended before its end. */
  torn: TornTail | undefined;

  private readonly file: FileHandle;
  private readonly tableAt: number;
  private readonly table: readonly number[];
  private readonly afterCrash: boolean;
  /** Where the entries of an open chunk begin. */
  private readonly seen: number[] = [];

  private constructor(
    name: string,
    file: FileHandle,
    size: number,
    tableAt: number,
    table: number[],
    afterCrash: boolean,
  ) {
    this.name = name;
    this.file = file;
    this.size = size;
    this.tableAt = tableAt;
    this.table = table;
    this.complete = tableAt > 0;
    this.afterCrash = afterCrash;
  }

  /** Opens a chunk and checks its header word and table against its name. */
  static async open(chunk: ChunkFile, afterCrash = false): Promise<ChunkReader> {
    const file = await unreadable(chunk.path, () => open(chunk.path, 'r'));
    try {
      const { size } = await file.stat();
      const header = await readAt(file, chunk.path, 0, Math.min(size, CHUNK_HEADER_BYTES));
      const tableAt = asFault('ChunkHeader', () => tableOffset(header, size));
      const { start, end, committed } = chunk.parsed;
      rule(tableAt > 0 || (!committed && end === undefined), 'ChunkIncomplete', () => {
        return 'this one has no table';
      });
      const table = await readTable(file, chunk.path, tableAt, size);
      rule(end === undefined || table.length === end - start + 1, 'ChunkCount', () => {
        return `its table has ${table.length}`;
      });
      return new ChunkReader(chunk.name, file, size, tableAt, table, afterCrash);
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
  }

  /** The chunk's entries, window by window. Throws a fault when a complete chunk is not sound. */
  async *windows(path: string): AsyncGenerator<Window> {
    const end = this.complete ? this.tableAt : this.size;
    let index = 0;
    for (let at = CHUNK_HEADER_BYTES; at < end; ) {
      const bytes = await this.read(path, at, end);
      const scan = scanEntries(bytes, 0);
      const reachesEnd = at + bytes.length === end;
      if (scan.stop !== undefined && (reachesEnd || scan.positions.length === 0)) {
        // A header that is none is judged when it is the next in turn, after what is before it.
        if (scan.stop.kind !== 'bad') this.stopped(at + scan.end, end, scan.stop.message);
        else if (scan.positions.length === 0) {
          if (await this.isInterrupted(path, at, end)) this.stopped(at, end, INTERRUPTED);
          else inEntry(at, () => parseHeader(bytes, 0));
        }
      }
      if (scan.positions.length === 0) break;
      if (this.complete) this.compareWithTable(scan.positions, at, index);
      else this.seen.push(...scan.positions.map((position) => at + position));
      index += scan.positions.length;
      yield { bytes, fileOffset: at, positions: scan.positions, end: scan.end };
      if (this.torn !== undefined) break;
      at += scan.end;
    }
    rule(!this.complete || index === this.table.length, 'ChunkTable', () => {
      return `it lists ${this.table.length}, and there are ${index}`;
    });
  }

  /**
   * Whether what follows the entries is what an interrupted write leaves of a table: a beginning of
   * it, or zeros where the file had grown before its contents came.
   */
  private async isInterrupted(path: string, at: number, end: number): Promise<boolean> {
    if (!this.afterCrash || this.complete) return false;
    const table = encodePositions(this.seen);
    const left = await readAt(this.file, path, at, end - at);
    const isTable = left.length <= table.length && table.subarray(0, left.length).equals(left);
    return isTable || left.every((byte) => byte === 0);
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** A window of the usual size, or of as many bytes as its first entry needs. */
  private async read(path: string, at: number, end: number): Promise<Buffer> {
    const usual = Math.min(WINDOW_BYTES, end - at);
    const bytes = await readAt(this.file, path, at, usual);
    if (bytes.length < ENTRY_HEADER_BYTES) return bytes;
    const needed = ENTRY_HEADER_BYTES + bytes.readUIntLE(2, 6);
    if (needed <= bytes.length || needed > end - at) return bytes;
    return await readAt(this.file, path, at, needed);
  }

  private stopped(at: number, end: number, message: string): void {
    if (this.complete) throw new FaultError('ChunkTorn', message, at);
    this.torn = { offset: at, bytes: end - at, message };
  }

  private compareWithTable(positions: readonly number[], at: number, from: number): void {
    positions.forEach((position, i) => {
      const listed = this.table[from + i];
      if (listed === at + position) return;
      const detail = `entry ${from + i} begins at ${at + position}, the table says ${listed}`;
      throw new FaultError('ChunkTable', detail, this.tableAt + 4 * (from + i));
    });
  }
}

async function readTable(
  file: FileHandle,
  path: string,
  tableAt: number,
  size: number,
): Promise<number[]> {
  if (tableAt === 0) return [];
  const table = await readAt(file, path, tableAt, size - tableAt);
  return asFault('ChunkTable', () => decodePositions(table, tableAt));
}

function asFault<T>(reason: Reason, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (!isCoded(thrown, 'BadChunk')) throw thrown;
    throw new FaultError(reason, thrown.message, thrown.fields.offset as number);
  }
}

async function readAt(
  file: FileHandle,
  path: string,
  offset: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await unreadable(path, () =>
      file.read(bytes, filled, length - filled, offset + filled),
    );
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled === length ? bytes : bytes.subarray(0, filled);
}

async function unreadable<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const message = `${path} cannot be read: ${messageOf(cause)}`;
    throw new CodedError('LedgerUnreadable', message, { path }, { cause });
  }
}
