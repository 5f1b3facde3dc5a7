/**
 * How a row of an archived table is written in the ledger: with its label before the value, or,
 * when only the label changes, with the seqno of the entry that holds the value.
 *
 *     01 ‖ u32 LE label length ‖ label ‖ value
 *     02 ‖ u64 LE seqno        ‖ label
 *     03 ‖ u32 LE keep ‖ u32 LE label length ‖ label ‖ value
 *     04 ‖ u64 LE seqno ‖ u32 LE label length ‖ label ‖ value
 *
 * In the third form only the `keep` newest rows with the label stay in the directory, this one
 * included. The number stands in the ledger, so that a ledger read back later leaves the same rows.
 * In the fourth the row of that entry makes way for this one.
 */
import { invariant } from '../base/assert.ts';
import { binaryTextOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import type { DirectoryChange } from './directory.ts';
import type { MapWrites } from './write-set.ts';

const WHOLE = 1;
const LABEL_ONLY = 2;
const WHOLE_KEEPING = 3;
const WHOLE_REPLACING = 4;

export type ArchivedValue =
  | (Extract<DirectoryChange, { kind: 'store' }> & { readonly value: Uint8Array })
  | Extract<DirectoryChange, { kind: 'relabel' }>;

/** The bytes of a stored value with its label, and with how many of that label are kept. */
export function encodeStored(label: Uint8Array, value: Uint8Array, keep?: number): Uint8Array {
  const start = keep === undefined ? 1 : 5;
  const bytes = Buffer.allocUnsafe(start + 4 + label.length + value.length);
  bytes[0] = keep === undefined ? WHOLE : WHOLE_KEEPING;
  if (keep !== undefined) {
    invariant(keep >= 1, 'a row that is stored is kept itself');
    bytes.writeUInt32LE(keep, 1);
  }
  bytes.writeUInt32LE(label.length, start);
  bytes.set(label, start + 4);
  bytes.set(value, start + 4 + label.length);
  return bytes;
}

/** The bytes of a stored value with its label, which takes the place of an entry's row. */
export function encodeReplacing(
  target: Seqno,
  label: Uint8Array,
  value: Uint8Array,
): Uint8Array {
  const bytes = Buffer.allocUnsafe(13 + label.length + value.length);
  bytes[0] = WHOLE_REPLACING;
  bytes.writeBigUInt64LE(BigInt(target), 1);
  bytes.writeUInt32LE(label.length, 9);
  bytes.set(label, 13);
  bytes.set(value, 13 + label.length);
  return bytes;
}

/** The bytes of a change of label. */
export function encodeRelabelled(target: Seqno, label: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(9 + label.length);
  bytes[0] = LABEL_ONLY;
  bytes.writeBigUInt64LE(BigInt(target), 1);
  bytes.set(label, 9);
  return bytes;
}

/** Reads any of the forms; throws `BadArchivedValue`. */
export function decodeArchivedValue(bytes: Uint8Array): ArchivedValue {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view[0] === WHOLE && view.length >= 5) {
    const stored = storedIn(view, 5);
    if (stored !== undefined) return { kind: 'store', ...stored };
  } else if (view[0] === WHOLE_KEEPING && view.length >= 9 && view.readUInt32LE(1) >= 1) {
    const stored = storedIn(view, 9);
    if (stored !== undefined) return { kind: 'store', ...stored, keep: view.readUInt32LE(1) };
  } else if (view[0] === WHOLE_REPLACING && view.length >= 13) {
    const stored = storedIn(view, 13);
    const replaces = seqnoOf(Number(view.readBigUInt64LE(1)));
    if (stored !== undefined) return { kind: 'store', ...stored, replaces };
  } else if (view[0] === LABEL_ONLY && view.length >= 9) {
    const target = seqnoOf(Number(view.readBigUInt64LE(1)));
    return { kind: 'relabel', target, label: view.subarray(9) };
  }
  throw new CodedError(
    'BadArchivedValue',
    `a row of an archived table begins with ${view.subarray(0, 9).toString('hex')}, ` +
      'which is neither a value with its label nor a change of label',
  );
}

/** The value that an entry's writes hold under a key, or the first one when none is named. */
export function archivedValueIn(
  { writes }: Pick<MapWrites, 'writes'>,
  key: Uint8Array | undefined,
): Uint8Array | undefined {
  const named = key === undefined ? undefined : writes.get(binaryTextOf(key));
  for (const framed of key === undefined
    ? writes.values()
    : named === undefined
      ? []
      : [named]) {
    const archived = decodeArchivedValue(framed);
    if (archived.kind === 'store') return archived.value;
  }
  return undefined;
}

/** The label that begins at `start`, after its length, and the value behind it. */
function storedIn(
  view: Buffer,
  start: number,
): { readonly label: Uint8Array; readonly value: Uint8Array } | undefined {
  const end = start + view.readUInt32LE(start - 4);
  if (end > view.length) return undefined;
  return { label: view.subarray(start, end), value: view.subarray(end) };
}
