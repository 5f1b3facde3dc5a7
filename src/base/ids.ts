/**
 * Identifiers as branded types: a view is not a seqno, and a digest is not a key, although each
 * is a number or a byte string to the machine.
 */

declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Raft's term. Views start at 2; 31 bits, because an entry's nonce has no room for more. */
export type View = Branded<number, 'View'>;
/** The position of an entry in the ledger; the first is 1, 0 stands for "before everything". */
export type Seqno = Branded<number, 'Seqno'>;
/** Lowercase hexadecimal SHA-256 of a node's public key (SPKI, DER). */
export type NodeId = Branded<string, 'NodeId'>;
/** Lowercase hexadecimal SHA-256 of a certificate (DER). */
export type CertificateId = Branded<string, 'CertificateId'>;

/** A transaction's identifier: `<view>.<seqno>` in text. */
export interface TxId {
  readonly view: View;
  readonly seqno: Seqno;
}

/** The largest view that fits an entry's nonce (ledger-format.md §3.1). */
export const VIEW_MAX = 0x7fff_ffff;

/** Brands a number as a view; throws RangeError when it cannot be one. */
export function viewOf(value: number): View {
  if (!Number.isSafeInteger(value) || value < 0 || value > VIEW_MAX) {
    throw new RangeError(`a view is a whole number from 0 to ${VIEW_MAX}, not ${value}`);
  }
  return value as View;
}

/** Brands a number as a seqno; throws RangeError when it cannot be one. */
export function seqnoOf(value: number): Seqno {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`a seqno is a whole number of at most 53 bits, not ${value}`);
  }
  return value as Seqno;
}

/** The seqno `distance` after (or before) another. */
export function seqnoAfter(seqno: Seqno, distance = 1): Seqno {
  return seqnoOf(seqno + distance);
}

/** `<view>.<seqno>` in decimal. */
export function textOfTxId(txId: TxId): string {
  return `${txId.view}.${txId.seqno}`;
}

/** Reads `<view>.<seqno>`, or undefined if the text is anything else. */
export function txIdOfText(text: string): TxId | undefined {
  const match = /^(\d{1,10})\.(\d{1,16})$/.exec(text);
  if (match === null) return undefined;
  const view = Number(match[1]);
  const seqno = Number(match[2]);
  if (view > VIEW_MAX || !Number.isSafeInteger(seqno)) return undefined;
  return { view: view as View, seqno: seqno as Seqno };
}

/** Whether two TxIDs are the same. */
export function equalTxIds(left: TxId, right: TxId): boolean {
  return left.view === right.view && left.seqno === right.seqno;
}
