/**
 * How a row of an archived table is written in the ledger: with its label before the value, or,
 * when only the label changes, with the seqno of the entry that holds the value.
 *
 *     01 ‖ u32 LE label length ‖ label ‖ value
 *     02 ‖ u64 LE seqno        ‖ label
 */
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import type { DirectoryChange } from './directory.ts';

const WHOLE = 1;
const LABEL_ONLY = 2;

export type ArchivedValue =
  | { readonly kind: 'store'; readonly label: Uint8Array; readonly value: Uint8Array }
  | Extract<DirectoryChange, { kind: 'relabel' }>;

/** The bytes of a stored value with its label. */
export function encodeStored(label: Uint8Array, value: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(5 + label.length + value.length);
  bytes[0] = WHOLE;
  bytes.writeUInt32LE(label.length, 1);
  bytes.set(label, 5);
  bytes.set(value, 5 + label.length);
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

/** Reads either form; throws `BadArchivedValue`. */
export function decodeArchivedValue(bytes: Uint8Array): ArchivedValue {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view[0] === WHOLE && view.length >= 5) {
    const end = 5 + view.readUInt32LE(1);
    if (end <= view.length) {
      return { kind: 'store', label: view.subarray(5, end), value: view.subarray(end) };
    }
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
