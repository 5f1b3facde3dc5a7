/**
 * The bytes of an image of the store, in the row format of CCF's snapshots (ledger-format.md §10):
 *
 *     u64 name length ‖ name ‖ u64 map version ‖ u64 blob length ‖ blob
 *     blob = rows of  u64 klen ‖ key ‖ 0-pad to 8
 *                     ‖ u64 (8 + vlen) ‖ u64 row version ‖ value ‖ 0-pad to 8
 */
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { readU64, writeU64 } from '../base/words.ts';
import type { CapturedTable } from '../kv/capture.ts';
import type { ImageTable } from '../kv/image.ts';
import type { ImageRow } from '../kv/image-rows.ts';

/** A step ends with the batch that reaches one of these: a fraction of a millisecond's work. */
const STEP_ROWS = 256;
const STEP_BYTES = 64 * 1024;

/** Encodes tables. Each step is bounded work; the pieces belong together in their order. */
export function* encodeTables(
  tables: readonly CapturedTable[],
): Generator<void, Uint8Array[], void> {
  const pieces: Uint8Array[] = [];
  let rowsInStep = 0;
  let bytesInStep = 0;
  for (const table of tables) {
    const name = Buffer.from(table.name, 'utf8');
    const head = Buffer.alloc(24 + name.length);
    pieces.push(head);
    let blobLength = 0;
    for (const rows of table.batches()) {
      const piece = encodeRows(rows);
      blobLength += piece.length;
      pieces.push(piece);
      rowsInStep += rows.length;
      bytesInStep += piece.length;
      if (rowsInStep < STEP_ROWS && bytesInStep < STEP_BYTES) continue;
      yield;
      rowsInStep = 0;
      bytesInStep = 0;
    }
    let at = writeU64(head, name.length, 0);
    head.set(name, at);
    at = writeU64(head, table.version, at + name.length);
    writeU64(head, blobLength, at);
  }
  return pieces;
}

function encodeRows(rows: readonly ImageRow[]): Buffer {
  const target = Buffer.alloc(rows.reduce((sum, row) => sum + rowBytes(row), 0));
  let at = 0;
  for (const { key, version, value } of rows) {
    target.set(key, writeU64(target, key.length, at));
    at += padded(8 + key.length);
    const valueAt = writeU64(target, version, writeU64(target, 8 + value.length, at));
    target.set(value, valueAt);
    at = valueAt + padded(value.length);
  }
  return target;
}

/** Reads tables back to back; throws `BadImage` on anything else. */
export function* decodeImageTables(bytes: Buffer): Generator<ImageTable, void, void> {
  let at = 0;
  const take = (length: number, what: string): Buffer => {
    if (!(length <= bytes.length - at)) {
      throw new CodedError('BadImage', `${what} is cut off at byte ${at}`, { offset: at });
    }
    const taken = bytes.subarray(at, at + length);
    at += length;
    return taken;
  };
  while (at < bytes.length) {
    const name = take(readU64(take(8, 'a name length'), 0), 'a name').toString('utf8');
    const version = versionOf(readU64(take(8, 'a map version'), 0), name);
    const blob = take(readU64(take(8, 'a blob length'), 0), `the rows of ${name}`);
    yield { name, version, rows: decodeRows(name, blob) };
  }
}

function* decodeRows(name: string, blob: Buffer): Generator<ImageRow, void, void> {
  let at = 0;
  const mustHold = (length: number): void => {
    if (!(length <= blob.length - at)) {
      throw new CodedError('BadImage', `a row of ${name} is cut off at byte ${at}`, { name });
    }
  };
  while (at < blob.length) {
    mustHold(8);
    const keyLength = readU64(blob, at);
    mustHold(padded(8 + keyLength) + 16);
    const key = blob.subarray(at + 8, at + 8 + keyLength);
    at += padded(8 + keyLength);
    const valueLength = readU64(blob, at) - 8;
    if (valueLength < 0) {
      throw new CodedError('BadImage', `a row of ${name} is no row at byte ${at}`, { name });
    }
    const version = versionOf(readU64(blob, at + 8), name);
    at += 16;
    mustHold(padded(valueLength));
    const value = blob.subarray(at, at + valueLength);
    at += padded(valueLength);
    yield { key, version, value };
  }
}

function versionOf(word: number, name: string): Seqno {
  if (Number.isSafeInteger(word)) return seqnoOf(word);
  throw new CodedError('BadImage', `a version in ${name} is no seqno`, { name });
}

function rowBytes({ key, value }: ImageRow): number {
  return padded(8 + key.length) + 16 + padded(value.length);
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}
