/**
 * Writes snapshots: the committed state at a signature, in one entry (ledger-format.md §10).
 *
 * The same state makes the same bytes, at every attempt and on every node: tables, rows and
 * pages are in byte order and the nonce depends on the seqno alone. That is also what makes it
 * safe to seal under that nonce more than once.
 */
import { invariant } from '../base/assert.ts';
import { NO_BYTES } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Seqno } from '../base/ids.ts';
import { ENTRY_BYTES_MAX } from '../base/limits.ts';
import { writeU64 } from '../base/words.ts';
import { GCM_IV_BYTES, GCM_TAG_BYTES, GcmSealing } from '../crypto/aead.ts';
import { DIGEST_BYTES, RunningDigest } from '../crypto/hash.ts';
import type { Capture } from '../kv/capture.ts';
import { isPublicName } from '../kv/write-set.ts';
import { ENTRY_HEADER_BYTES, ENTRY_TYPE_SNAPSHOT, ENTRY_VERSION } from './entry.ts';
import type { LedgerSecret } from './secret.ts';
import { encodeTables } from './state-image.ts';

const TAG_AT = ENTRY_HEADER_BYTES;
const IV_AT = TAG_AT + GCM_TAG_BYTES;
const PUBLIC_LENGTH_AT = IV_AT + GCM_IV_BYTES;
const PUBLIC_AT = PUBLIC_LENGTH_AT + 8;
const SNAPSHOT_BIT = 0x8000_0000;
/** Bytes copied, sealed or hashed in one step: about a tenth of a millisecond. */
const STEP_BYTES = 256 * 1024;

export interface SnapshotToWrite {
  /** The state after a committed signature. It is released once its rows are read. */
  readonly capture: Capture;
  /** Leaf of that signature's own entry. */
  readonly leaf: Uint8Array;
  /** First seqno of view 1, 2, 3, … */
  readonly viewHistory: readonly Seqno[];
  /** The ledger secret in force at the signature. */
  readonly secret: LedgerSecret;
}

export interface WrittenSnapshot {
  readonly seqno: Seqno;
  /** The entry; a receipt is to follow it in the file. */
  readonly bytes: Buffer;
  /** SHA-256 of the entry, for a transaction to claim. */
  readonly digest: Uint8Array;
}

/**
 * Makes a snapshot in steps of bounded work; the store may move on between them. Throws
 * `SnapshotTooLarge`.
 */
export function* writeSnapshot(
  snapshot: SnapshotToWrite,
): Generator<void, WrittenSnapshot, void> {
  const { capture } = snapshot;
  const { seqno, tables } = capture;
  let publicPieces: Uint8Array[];
  let privatePieces: Uint8Array[];
  try {
    publicPieces = yield* encodeTables(tables.filter(({ name }) => isPublicName(name)));
    privatePieces = yield* encodeTables(tables.filter(({ name }) => !isPublicName(name)));
  } finally {
    capture.release();
  }
  publicPieces.unshift(publicHead(snapshot));
  const publicLength = lengthOf(publicPieces);
  const total = PUBLIC_AT + publicLength + lengthOf(privatePieces);
  if (total - ENTRY_HEADER_BYTES > ENTRY_BYTES_MAX) {
    throw new CodedError(
      'SnapshotTooLarge',
      `a snapshot at ${seqno} would be ${total} bytes; at most ${ENTRY_BYTES_MAX} can be read back`,
      { seqno, bytes: total },
    );
  }
  const bytes = Buffer.allocUnsafeSlow(total);
  writeFraming(bytes, seqno, publicLength);
  const sealing = new GcmSealing(snapshot.secret.key, bytes.subarray(IV_AT, PUBLIC_LENGTH_AT));
  let at = PUBLIC_AT;
  for (const piece of inSteps(publicPieces)) {
    sealing.authenticate(piece);
    bytes.set(piece, at);
    at += piece.length;
    yield;
  }
  for (const piece of inSteps(privatePieces)) {
    bytes.set(sealing.seal(piece), at);
    at += piece.length;
    yield;
  }
  invariant(at === total, 'a snapshot is as long as its parts');
  bytes.set(sealing.tag(), TAG_AT);
  const digest = new RunningDigest('sha256');
  for (const piece of inSteps([bytes])) {
    digest.add(piece);
    yield;
  }
  return { seqno, bytes, digest: digest.digest() };
}

function writeFraming(bytes: Buffer, seqno: Seqno, publicLength: number): void {
  bytes[0] = ENTRY_VERSION;
  bytes[1] = 0;
  bytes.writeUIntLE(bytes.length - ENTRY_HEADER_BYTES, 2, 6);
  writeU64(bytes, seqno, IV_AT);
  bytes.writeUInt32LE(SNAPSHOT_BIT, IV_AT + 8);
  writeU64(bytes, publicLength, PUBLIC_LENGTH_AT);
}

/** What the public domain begins with, before its tables. */
function publicHead({ capture, leaf, viewHistory }: SnapshotToWrite): Buffer {
  invariant(leaf.length === DIGEST_BYTES, 'a leaf has 32 bytes');
  const head = Buffer.alloc(1 + 8 + 8 + 8 + DIGEST_BYTES + 8 + 8 * viewHistory.length);
  head[0] = ENTRY_TYPE_SNAPSHOT;
  let at = writeU64(head, capture.seqno, 1);
  at = writeU64(head, 0, at);
  at = writeU64(head, DIGEST_BYTES, at);
  head.set(leaf, at);
  at = writeU64(head, 8 * viewHistory.length, at + DIGEST_BYTES);
  for (const start of viewHistory) at = writeU64(head, start, at);
  return head;
}

/** The same bytes in pieces of about one length. Each piece is let go once it was used. */
function* inSteps(pieces: Uint8Array[]): Generator<Uint8Array, void, void> {
  let gathered: Uint8Array[] = [];
  let length = 0;
  for (const [index, piece] of pieces.entries()) {
    pieces[index] = NO_BYTES;
    for (let from = 0; from < piece.length; from += STEP_BYTES) {
      const part = piece.subarray(from, from + STEP_BYTES);
      if (length + part.length > STEP_BYTES) {
        yield joined(gathered);
        gathered = [];
        length = 0;
      }
      gathered.push(part);
      length += part.length;
    }
  }
  if (length > 0) yield joined(gathered);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}
