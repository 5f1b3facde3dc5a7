/**
 * Party sets: the label of a payload's directory row. It says who may read the payload and who sent
 * it, so that both are decided from memory, before the ledger is touched (design decision 3).
 *
 *     00 ‖ parties          the sender is no party any more
 *     01 ‖ sender ‖ others
 *
 * Parties are 32-byte keys, sorted and each there once, so that equal sets have equal labels.
 */
import { compareBytes, equalBytes } from '../../base/bytes.ts';
import type { ArchiveRow } from '../../kv/tables.ts';

export const PARTY_KEY_BYTES = 32;

export interface PartySet {
  readonly sender: Uint8Array | undefined;
  /** Without the sender. */
  readonly others: readonly Uint8Array[];
}

/** The label of a party set. */
export function labelOf({ sender, others }: PartySet): Uint8Array {
  const sorted = [...others].sort(compareBytes).filter((key, index, keys) => {
    const before = keys[index - 1];
    if (before !== undefined && equalBytes(before, key)) return false;
    return sender === undefined || !equalBytes(sender, key);
  });
  const head = Buffer.from([sender === undefined ? 0 : 1]);
  return Buffer.concat([head, ...(sender === undefined ? [] : [sender]), ...sorted]);
}

/** The party set of a label. */
export function partiesOf(label: Uint8Array): PartySet {
  const keys = [...keysOf(label)];
  return label[0] === 1
    ? { sender: keys[0], others: keys.slice(1) }
    : { sender: undefined, others: keys };
}

/** All keys of a label, the sender's first. */
export function* keysOf(label: Uint8Array): Generator<Uint8Array, void, void> {
  for (let at = 1; at + PARTY_KEY_BYTES <= label.length; at += PARTY_KEY_BYTES) {
    yield label.subarray(at, at + PARTY_KEY_BYTES);
  }
}

/** Whether a key is in the set. */
export function isParty(label: Uint8Array, key: Uint8Array): boolean {
  for (let at = 1; at + PARTY_KEY_BYTES <= label.length; at += PARTY_KEY_BYTES) {
    if (equalBytes(label.subarray(at, at + PARTY_KEY_BYTES), key)) return true;
  }
  return false;
}

/** Whether one of the keys is in the set. */
export function isAnyParty(label: Uint8Array, keys: readonly Uint8Array[]): boolean {
  return keys.some((key) => isParty(label, key));
}

/** The set without some of its keys. */
export function withoutParties(label: Uint8Array, keys: readonly Uint8Array[]): Uint8Array {
  const { sender, others } = partiesOf(label);
  const stays = (key: Uint8Array): boolean => !keys.some((gone) => equalBytes(gone, key));
  return labelOf({
    sender: sender !== undefined && stays(sender) ? sender : undefined,
    others: others.filter(stays),
  });
}

/** Rows that one of the keys may read. */
export function readableRows(
  rows: readonly ArchiveRow[],
  keys: readonly Uint8Array[],
): readonly ArchiveRow[] {
  return rows.filter((row) => isAnyParty(row.label, keys));
}
