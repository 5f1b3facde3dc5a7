/**
 * Rows of an image of the store. An ordinary table's are its own; those of an archived table
 * are the labels of its directory and the directory's pages, each under its kind and number, and,
 * under the number of a label whose rows make way for newer ones, how far they have:
 *
 *     68 ‖ u32 BE label    u64 LE seqno of the last row that made way
 *     6c ‖ u32 BE number   a label
 *     70 ‖ u32 BE number   a page: 20 bytes a row (`directory.ts`)
 */
import type { Seqno } from '../base/ids.ts';

export interface ImageRow {
  readonly key: Uint8Array;
  /** Seqno of the entry that last wrote the row. */
  readonly version: Seqno;
  readonly value: Uint8Array;
}

/** Directory rows to a page of an image: 20 KiB, however the pages in memory happen to be cut. */
export const ROWS_PER_IMAGE_PAGE = 1024;
export const HORIZON_ROW = 0x68;
export const LABEL_ROW = 0x6c;
export const PAGE_ROW = 0x70;

export function numberedKey(kind: number, number: number): Uint8Array {
  const key = Buffer.allocUnsafe(5);
  key[0] = kind;
  key.writeUInt32BE(number, 1);
  return key;
}
