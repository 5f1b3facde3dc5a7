/**
 * Telling the end of an interrupted write from damage, where an open chunk stops making sense.
 *
 * An interrupted write leaves a beginning of what it meant to write, and behind it nothing, or
 * zeros where the file had grown before its contents came. Anything else was changed after it had
 * been written: a whole, validly sealed entry further on; an entry that is all there and does not
 * open; one that would open if only its first eight bytes, which no seal covers, said otherwise.
 */
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { GCM_TAG_BYTES } from '../crypto/aead.ts';
import {
  ENTRY_HEADER_BYTES,
  ENTRY_VERSION,
  openEntry,
  parseEntry,
  parseHeader,
} from '../ledger/entry.ts';
import type { LedgerSecret } from '../ledger/secret.ts';

/** Header, tag, nonce and public length: fewer bytes are no entry. */
const ENTRY_BYTES_MIN = ENTRY_HEADER_BYTES + GCM_TAG_BYTES + 12 + 8;
/**
 * Sound entries end with up to eight zeros, and with two more once in 65,536 times. A write that
 * lost fewer of its last bytes than that is taken for damage, which is refused and not cut.
 */
const ZEROS_MIN = 10;

/** Secrets under which an entry may have been sealed. */
export type SecretsFor = (seqno: Seqno) => readonly LedgerSecret[];

export interface TornQuestion {
  /** The file from its first byte to its last. */
  readonly bytes: Buffer;
  /** Where it stops making sense, and the entry that would be next. */
  readonly offset: number;
  readonly expected: Seqno;
  readonly secrets: SecretsFor;
  /** The positions table, if that is what comes next. */
  readonly table: Buffer | undefined;
}

/** Undefined if an interrupted write explains what is found; else what shows that none does. */
export function damageIn(question: TornQuestion): string | undefined {
  const { bytes, offset, table } = question;
  const rest = bytes.subarray(offset);
  if (table !== undefined) {
    return isBeginning(rest, table) ? undefined : 'the chunk ends there, yet bytes follow';
  }
  const beyond = entryBeyond(question);
  if (beyond !== undefined) {
    return (
      `entry ${beyond.view}.${beyond.seqno} stands whole at byte ${beyond.offset}, so this is ` +
      'not the torn end of an interrupted write'
    );
  }
  if (rest.length < ENTRY_BYTES_MIN || zerosAtEnd(rest) >= ZEROS_MIN) return undefined;
  if (opensWithOtherHeader(question)) return 'the entry is whole but for its first eight bytes';
  return isCutOff(rest) ? undefined : 'no interrupted write leaves such bytes';
}

/** Whether `found` is a beginning of `whole`, with zeros behind it or nothing. */
export function isBeginning(found: Buffer, whole: Buffer): boolean {
  if (found.length > whole.length) return false;
  const kept = found.length - zerosAtEnd(found);
  return found.subarray(0, kept).equals(whole.subarray(0, kept));
}

function zerosAtEnd(bytes: Buffer): number {
  let at = bytes.length;
  while (at > 0 && bytes[at - 1] === 0) at -= 1;
  return bytes.length - at;
}

/** Whether an entry begins here that needs more bytes than there are. */
function isCutOff(rest: Buffer): boolean {
  try {
    return ENTRY_HEADER_BYTES + parseHeader(rest, 0).size > rest.length;
  } catch {
    return false;
  }
}

/** Whether the file ends with an entry of which only version, flags and size are wrong. */
function opensWithOtherHeader({ bytes, offset, expected, secrets }: TornQuestion): boolean {
  const entry = Buffer.from(bytes.subarray(offset));
  entry[0] = ENTRY_VERSION;
  entry[1] = 0;
  entry.writeUIntLE(entry.length - ENTRY_HEADER_BYTES, 2, 6);
  return soundEntry(entry, 0, expected, secrets) !== undefined;
}

interface FoundEntry {
  readonly view: number;
  readonly seqno: number;
  readonly offset: number;
}

/** The first entry further on that parses and opens. */
function entryBeyond({
  bytes,
  offset,
  expected,
  secrets,
}: TornQuestion): FoundEntry | undefined {
  const last = bytes.length - ENTRY_BYTES_MIN;
  for (let at = offset + 1; at <= last; at += 1) {
    if (bytes[at] !== ENTRY_VERSION || (bytes[at + 1] ?? 0) > 3 || bytes[at + 7] !== 0)
      continue;
    const found = soundEntry(bytes, at, expected, secrets);
    if (found !== undefined) return found;
  }
  return undefined;
}

function soundEntry(
  bytes: Buffer,
  at: number,
  expected: Seqno,
  secrets: SecretsFor,
): FoundEntry | undefined {
  try {
    const { view, seqno } = parseHeader(bytes, at);
    const entriesMax = Math.ceil(bytes.length / ENTRY_BYTES_MIN);
    if (seqno < expected || seqno > expected + entriesMax) return undefined;
    const entry = parseEntry(bytes, at);
    const opens = secrets(seqnoOf(seqno)).some((secret) => {
      try {
        openEntry(entry, secret);
        return true;
      } catch {
        return false;
      }
    });
    return opens ? { view, seqno, offset: at } : undefined;
  } catch {
    return undefined;
  }
}
