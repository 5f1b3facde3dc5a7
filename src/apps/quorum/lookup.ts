/**
 * Looking payloads up as their caller. Who may read is decided from the directory's labels, in
 * memory; only rows that one of the caller's keys may read are fetched. So a hash that was never
 * stored and one that is somebody else's take the same way and get the same answer.
 */
import { bufferOf } from '../../base/bytes.ts';
import { PAYLOAD_KEY_BYTES } from '../../crypto/payload.ts';
import type { ArchiveRow, ReadView, Transaction } from '../../kv/tables.ts';
import type { Step } from '../interface.ts';
import type { Organisation } from './organisation.ts';
import { readableRows } from './parties.ts';
import {
  decodePayload,
  decodeRaw,
  type PayloadRecord,
  type RawRecord,
} from './payload-record.ts';
import { PAYLOADS, RAW_PAYLOADS } from './tables.ts';
import { type Refusal, refuseAbsent } from './wire/answers.ts';

export interface Found<Record> {
  readonly hash: Buffer;
  readonly row: ArchiveRow;
  readonly record: Record;
}

export type FoundPayload = Found<PayloadRecord>;
export type FoundRaw = Found<RawRecord>;

/** How to say that a hash is not there for the caller. */
export type Absent = (hash: Buffer) => Refusal;

export const messageNotFound: Absent = (hash) =>
  refuseAbsent(404, `Message with hash ${hash.toString('base64')} was not found`);

export const rawMessageNotFound: Absent = (hash) =>
  refuseAbsent(404, `Raw Message with hash ${hash.toString('base64')} was not found`);

/** One payload that the caller may read; refuses when there is none. */
export function withPayload(
  view: ReadView,
  caller: Organisation,
  hash: Buffer,
  next: (found: FoundPayload) => Step,
): Step {
  return withPayloads(view, caller, [hash], messageNotFound, ([found]) => {
    if (found === undefined) throw messageNotFound(hash);
    return next(found);
  });
}

/** Payloads that the caller may read, in the order of the hashes; refuses when one is not there. */
export function withPayloads(
  view: ReadView,
  caller: Organisation,
  hashes: readonly Buffer[],
  absent: Absent,
  next: (found: readonly FoundPayload[]) => Step,
): Step {
  return withRecords(PAYLOADS, decodePayload, view, caller, hashes, absent, next);
}

/** One raw payload of the caller; refuses when there is none. */
export function withRaw(
  view: ReadView,
  caller: Organisation,
  hash: Buffer,
  absent: Absent,
  next: (found: FoundRaw) => Step,
): Step {
  return withRecords(RAW_PAYLOADS, decodeRaw, view, caller, [hash], absent, ([found]) => {
    if (found === undefined) throw absent(hash);
    return next(found);
  });
}

function withRecords<Record>(
  table: string,
  decode: (key: Uint8Array, bytes: Uint8Array) => Record,
  view: ReadView,
  caller: Organisation,
  hashes: readonly Buffer[],
  absent: Absent,
  next: (found: readonly Found<Record>[]) => Step,
): Step {
  if (hashes.length === 0) return next([]);
  const archive = view.archive(table);
  const candidates = hashes.flatMap((hash) => {
    const rows =
      hash.length === PAYLOAD_KEY_BYTES ? readableRows(archive.find(hash), caller.keys) : [];
    if (rows.length === 0) throw absent(hash);
    return rows.map((row) => ({ hash, row }));
  });
  return {
    kind: 'fetch',
    rows: candidates.map(({ hash, row }) => ({ table, key: hash, row })),
    next: (values) =>
      next(
        hashes.map((hash) => {
          const at = candidates.findLastIndex(
            (candidate, index) => candidate.hash === hash && values[index] !== undefined,
          );
          const candidate = candidates[at];
          const bytes = values[at];
          // The rows were those of other keys that begin alike.
          if (candidate === undefined || bytes === undefined) throw absent(hash);
          return { hash, row: candidate.row, record: decode(hash, bufferOf(bytes)) };
        }),
      ),
  };
}

/**
 * The row of a payload found before, as it stands in the transaction; refuses when the caller has
 * lost access since. The entry itself cannot have changed.
 */
export function rowNow(
  tx: Transaction,
  caller: Organisation,
  found: Found<unknown>,
  absent: Absent,
): ArchiveRow {
  const rows = readableRows(tx.archive(PAYLOADS).find(found.hash), caller.keys);
  const row = rows.find(({ seqno }) => seqno === found.row.seqno);
  if (row === undefined) throw absent(found.hash);
  return row;
}
