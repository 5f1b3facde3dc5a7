/**
 * Telling a torn write from damage. An interrupted write leaves a beginning of what it meant to
 * write and nothing sound behind it; if a whole, validly sealed entry stands further on, something
 * in between was changed after it had been written.
 */

import { type Seqno, seqnoOf } from '../base/ids.ts';
import { GCM_TAG_BYTES } from '../crypto/aead.ts';
import { openEntry, parseEntry, parseHeader } from '../ledger/entry.ts';
import type { SecretHistory } from '../ledger/secret-history.ts';

/** Header, tag, nonce and public length: fewer bytes are no entry. */
const ENTRY_BYTES_MIN = 8 + GCM_TAG_BYTES + 12 + 8;

export interface EntryBeyond {
  readonly view: number;
  readonly seqno: number;
  readonly offset: number;
}

/** The first entry after `offset` that parses, comes later than `expected`, and opens. */
export function entryBeyond(
  bytes: Buffer,
  offset: number,
  expected: Seqno,
  secrets: SecretHistory,
): EntryBeyond | undefined {
  const last = bytes.length - ENTRY_BYTES_MIN;
  for (let at = offset + 1; at <= last; at += 1) {
    if (bytes[at] !== 1 || (bytes[at + 1] ?? 0) > 3 || bytes[at + 7] !== 0) continue;
    const found = soundEntry(bytes, at, expected, secrets);
    if (found !== undefined) return found;
  }
  return undefined;
}

function soundEntry(
  bytes: Buffer,
  at: number,
  expected: Seqno,
  secrets: SecretHistory,
): EntryBeyond | undefined {
  try {
    const header = parseHeader(bytes, at);
    const reachable = expected + (bytes.length - at) / ENTRY_BYTES_MIN + 1;
    if (header.seqno < expected || header.seqno > expected + reachable) return undefined;
    const secret = secrets.at(seqnoOf(header.seqno));
    if (secret === undefined) return undefined;
    openEntry(parseEntry(bytes, at), secret);
    return { view: header.view, seqno: header.seqno, offset: at };
  } catch {
    return undefined;
  }
}
