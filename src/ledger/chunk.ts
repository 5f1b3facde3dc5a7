/**
 * Chunk files: their names and their layout (ledger-format.md §1 and §2).
 *
 *     u64 LE  offset of the positions table; 0 while the chunk is open
 *     entries, back to back
 *     u32 LE  offset of each entry, to the end of the file
 */
import { bufferOf } from '../base/bytes.ts';
import type { DiskFile } from '../base/environment.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { CHUNK_BYTES_MAX } from '../base/limits.ts';
import { readU64 } from '../base/words.ts';
import { ENTRY_HEADER_BYTES, parseHeader } from './entry.ts';

/** The word that says where the positions table is. */
export const CHUNK_HEADER_BYTES = 8;
const POSITION_BYTES = 4;

/** What a chunk file's name says. */
export interface ChunkName {
  readonly start: number;
  /** Absent while the chunk may still grow. */
  readonly end?: number;
  readonly committed: boolean;
  /** Written by a recovering service that has not opened yet. */
  readonly recovery: boolean;
  /** Superseded; never read. */
  readonly ignored: boolean;
  /** A synthetic download of a committed prefix; never part of a folder. */
  readonly committedPrefix: boolean;
}

const RANGE = '([1-9]\\d{0,15})(?:-([1-9]\\d{0,15}))?';
const ENDINGS = '(\\.committed_prefix|\\.committed)?(\\.recovery)?(\\.ignored)?';
const NAME = new RegExp(`^ledger_${RANGE}${ENDINGS}$`);

/** Reads a chunk file's name; undefined if it is not one. */
export function parseChunkName(name: string): ChunkName | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = match[2] === undefined ? undefined : Number(match[2]);
  const committed = match[3] === '.committed';
  const committedPrefix = match[3] === '.committed_prefix';
  const recovery = match[4] !== undefined;
  const ignored = match[5] !== undefined;
  if (!Number.isSafeInteger(start) || (end !== undefined && !Number.isSafeInteger(end))) {
    return undefined;
  }
  if (end !== undefined && end < start) return undefined;
  if ((committed || committedPrefix) && end === undefined) return undefined;
  if (committedPrefix && (recovery || ignored)) return undefined;
  const last = end === undefined ? {} : { end };
  return { start, ...last, committed, recovery, ignored, committedPrefix };
}

/** The name of a chunk file. */
export function formatChunkName(
  name: Pick<ChunkName, 'start' | 'end' | 'committed'> & Partial<ChunkName>,
): string {
  const range = name.end === undefined ? `${name.start}` : `${name.start}-${name.end}`;
  const committed = name.committed ? '.committed' : '';
  const prefix = name.committedPrefix ? '.committed_prefix' : '';
  const recovery = name.recovery ? '.recovery' : '';
  return `ledger_${range}${committed}${prefix}${recovery}${name.ignored ? '.ignored' : ''}`;
}

/** The positions table of a chunk whose entries begin at these offsets. */
export function encodePositions(positions: readonly number[]): Buffer {
  const table = Buffer.allocUnsafe(positions.length * POSITION_BYTES);
  for (let i = 0; i < positions.length; i += 1) {
    table.writeUInt32LE(positions[i] as number, i * POSITION_BYTES);
  }
  return table;
}

/**
 * Reads a positions table that begins at `tableAt`. Throws `BadChunk` unless its offsets begin at
 * 8, rise, and stay before the table.
 */
export function decodePositions(table: Uint8Array, tableAt: number): number[] {
  if (table.length === 0 || table.length % POSITION_BYTES !== 0) {
    throw badChunk('tableLength', table.length, tableAt, 'it holds four bytes for each entry');
  }
  const bytes = bufferOf(table);
  const positions: number[] = new Array(bytes.length / POSITION_BYTES);
  let last = 0;
  for (let i = 0; i < positions.length; i += 1) {
    const position = bytes.readUInt32LE(i * POSITION_BYTES);
    const at = tableAt + i * POSITION_BYTES;
    if (i === 0 ? position !== CHUNK_HEADER_BYTES : position <= last) {
      throw badChunk('position', position, at, `entry ${i} cannot begin there`);
    }
    if (position >= tableAt)
      throw badChunk('position', position, at, 'the table lies before it');
    positions[i] = position;
    last = position;
  }
  return positions;
}

export interface ChunkPositions {
  readonly positions: number[];
  /** Where the table begins and the last entry ends. */
  readonly tableAt: number;
}

/** Reads where a complete chunk's entries are. Throws `BadChunk`. */
export async function readPositions(file: DiskFile): Promise<ChunkPositions> {
  const size = await file.size();
  const tableAt = tableOffset(await file.read(0, CHUNK_HEADER_BYTES), size);
  if (tableAt === 0) throw badChunk('table', 0, 0, 'the chunk is not complete');
  const table = await file.read(tableAt, size - tableAt);
  return { positions: decodePositions(table, tableAt), tableAt };
}

/**
 * Reads a chunk's header word: 0 for an open chunk, else the offset of its table. Throws `BadChunk`
 * when there is no such place in a file of `size` bytes.
 */
export function tableOffset(header: Uint8Array, size: number): number {
  if (header.length < CHUNK_HEADER_BYTES) {
    throw badChunk('header', header.length, 0, 'a chunk begins with eight bytes');
  }
  const tableAt = readU64(bufferOf(header), 0);
  if (tableAt === 0) return 0;
  if (tableAt < CHUNK_HEADER_BYTES || tableAt > size || tableAt > CHUNK_BYTES_MAX) {
    throw badChunk('table', tableAt, 0, `the file has ${size} bytes`);
  }
  return tableAt;
}

/** Why a walk over entries ended before the end of the bytes. */
export interface ScanStop {
  /** `torn`: cut off; `zeros`: nothing but zero bytes follow; `bad`: not an entry's header. */
  readonly kind: 'torn' | 'zeros' | 'bad';
  readonly offset: number;
  readonly message: string;
}

export interface EntryScan {
  readonly positions: number[];
  /** Where the last whole entry ends. */
  readonly end: number;
  /** Absent when the bytes end with a whole entry. */
  readonly stop?: ScanStop;
}

/**
 * Walks from entry to entry by their sizes, from `from` to `to`. Never throws: what is no entry
 * ends the walk, and where and why is told.
 */
export function scanEntries(
  bytes: Buffer,
  from: number = CHUNK_HEADER_BYTES,
  to: number = bytes.length,
): EntryScan {
  const positions: number[] = [];
  const within = to === bytes.length ? bytes : bytes.subarray(0, to);
  let at = from;
  while (at < to) {
    const stop = stopAt(within, at);
    if (stop !== undefined) return { positions, end: at, stop };
    positions.push(at);
    at += ENTRY_HEADER_BYTES + within.readUIntLE(at + 2, 6);
  }
  return { positions, end: at };
}

function stopAt(bytes: Buffer, at: number): ScanStop | undefined {
  const left = bytes.length - at;
  try {
    const { size } = parseHeader(bytes, at);
    if (ENTRY_HEADER_BYTES + size <= left) return undefined;
    const message = `the entry at byte ${at} needs ${size + 8} bytes; ${left} are left`;
    return { kind: 'torn', offset: at, message };
  } catch (thrown) {
    if (!isCoded(thrown, 'BadEntry')) throw thrown;
    const zeros = bytes.subarray(at).every((byte) => byte === 0);
    const kind = zeros ? 'zeros' : thrown.fields.field === 'header' ? 'torn' : 'bad';
    return { kind, offset: at, message: thrown.message };
  }
}

/** A whole chunk's bytes, walked. */
export interface ChunkLayout extends EntryScan {
  /** Whether there is a positions table (which then agrees with the entries). */
  readonly complete: boolean;
}

/**
 * Finds the entries of a chunk's bytes. An open chunk may end in a torn entry, which is told; a
 * complete one must be sound throughout, or `BadChunk` is thrown.
 */
export function layoutOf(bytes: Buffer): ChunkLayout {
  const tableAt = tableOffset(bytes.subarray(0, CHUNK_HEADER_BYTES), bytes.length);
  if (tableAt === 0) return { ...scanEntries(bytes), complete: false };
  const positions = decodePositions(bytes.subarray(tableAt), tableAt);
  const scan = scanEntries(bytes, CHUNK_HEADER_BYTES, tableAt);
  if (scan.stop !== undefined) {
    throw badChunk('entry', scan.positions.length, scan.stop.offset, scan.stop.message);
  }
  const wrong = firstDifference(positions, scan.positions);
  if (wrong !== undefined) {
    const at = tableAt + wrong * POSITION_BYTES;
    const why = `entry ${wrong} begins at ${scan.positions[wrong] ?? 'no byte: there is none'}`;
    throw badChunk('position', positions[wrong] ?? -1, at, why);
  }
  return { ...scan, complete: true };
}

function firstDifference(
  left: readonly number[],
  right: readonly number[],
): number | undefined {
  const count = Math.max(left.length, right.length);
  for (let i = 0; i < count; i += 1) if (left[i] !== right[i]) return i;
  return undefined;
}

function badChunk(field: string, value: number, offset: number, why: string): CodedError {
  return new CodedError(
    'BadChunk',
    `not a ledger chunk: ${field} is ${value} at byte ${offset}; ${why}`,
    { field, value, offset },
  );
}
