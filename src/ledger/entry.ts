/**
 * One entry of the ledger: a transaction's write set, its public part readable and its private part
 * sealed, in the framing of CCF (ledger-format.md §3 to §5 and §8).
 *
 * Sealing writes one buffer once: maps are encoded where they will lie and sealed in place.
 */

import { invariant } from '../base/assert.ts';
import { bufferOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { VIEW_MAX } from '../base/ids.ts';
import { ENTRY_BYTES_MAX, ENTRY_SIZE_MIN } from '../base/limits.ts';
import { readU64, writeU64 } from '../base/words.ts';
import { GCM_IV_BYTES, GCM_TAG_BYTES, openGcm, sealGcmInPlace } from '../crypto/aead.ts';
import { DIGEST_BYTES, sha256, sha256Into } from '../crypto/hash.ts';
import {
  decodeMaps,
  encodedMapsSize,
  encodeMapsInto,
  firstMapName,
  type MapWrites,
} from '../kv/write-set.ts';
import type { LedgerSecret } from './secret.ts';

export type { MapWrites } from '../kv/write-set.ts';

export const ENTRY_VERSION = 1;
/** Bytes before what `size` counts. */
export const ENTRY_HEADER_BYTES = 8;
/** The chunk is closed after this entry. */
export const FLAG_CHUNK_AFTER = 0x01;
/** The previous chunk is closed before this entry. */
export const FLAG_CHUNK_BEFORE = 0x02;

export const ENTRY_TYPE_SNAPSHOT = 1;
/** A write set with commit evidence and claims: what every transaction is now. */
export const ENTRY_TYPE_TRANSACTION = 4;

/** "No claims": the field is there and zero. */
export const NO_CLAIMS: Uint8Array = new Uint8Array(DIGEST_BYTES);

const TAG_AT = ENTRY_HEADER_BYTES;
const IV_AT = TAG_AT + GCM_TAG_BYTES;
const PUBLIC_LENGTH_AT = IV_AT + GCM_IV_BYTES;
const PUBLIC_AT = PUBLIC_LENGTH_AT + 8;
/** Type, seqno, claims digest, evidence digest, max_conflict_version. */
const PUBLIC_HEADER_BYTES = 1 + 8 + DIGEST_BYTES + DIGEST_BYTES + 8;
const SNAPSHOT_BIT = 0x8000_0000;

/** What the first 44 bytes of an entry say. */
export interface EntryHeader {
  readonly flags: number;
  /** Bytes that follow the first eight. */
  readonly size: number;
  readonly view: number;
  readonly seqno: number;
  readonly isSnapshot: boolean;
  readonly publicLength: number;
}

export interface PublicDomainFields {
  readonly seqno: number;
  readonly claimsDigest: Uint8Array;
  readonly evidenceDigest: Uint8Array;
  readonly maps: readonly MapWrites[];
}

/** The public domain of a transaction. */
export function encodePublicDomain(fields: PublicDomainFields): Buffer {
  const target = Buffer.allocUnsafe(PUBLIC_HEADER_BYTES + encodedMapsSize(fields.maps));
  writePublicDomain(fields, target, 0);
  return target;
}

function writePublicDomain(fields: PublicDomainFields, target: Buffer, offset: number): void {
  invariant(fields.claimsDigest.length === DIGEST_BYTES, 'a claims digest has 32 bytes');
  invariant(fields.evidenceDigest.length === DIGEST_BYTES, 'an evidence digest has 32 bytes');
  target[offset] = ENTRY_TYPE_TRANSACTION;
  let at = writeU64(target, fields.seqno, offset + 1);
  target.set(fields.claimsDigest, at);
  at += DIGEST_BYTES;
  target.set(fields.evidenceDigest, at);
  at = writeU64(target, 0, at + DIGEST_BYTES);
  encodeMapsInto(fields.maps, target, at);
}

export interface EntryToSeal {
  readonly secret: LedgerSecret;
  readonly view: number;
  readonly seqno: number;
  readonly flags: number;
  /** As `encodePublicDomain` makes it. */
  readonly publicDomain: Uint8Array;
  readonly privateMaps: readonly MapWrites[];
}

/** Seals a whole entry around a public domain that is already encoded. */
export function sealEntry(entry: EntryToSeal): Buffer {
  const { publicDomain } = entry;
  const target = startEntry(entry, publicDomain.length, encodedMapsSize(entry.privateMaps));
  target.set(publicDomain, PUBLIC_AT);
  finishEntry(entry, target, publicDomain.length);
  return target;
}

export interface TransactionToSeal {
  readonly secret: LedgerSecret;
  readonly view: number;
  readonly seqno: number;
  readonly flags: number;
  readonly claimsDigest: Uint8Array;
  readonly publicMaps: readonly MapWrites[];
  readonly privateMaps: readonly MapWrites[];
}

export interface SealedTransaction {
  readonly bytes: Buffer;
  readonly writeSetDigest: Buffer;
  readonly evidenceDigest: Buffer;
  /** What goes into the Merkle tree. */
  readonly leaf: Buffer;
}

/** Everything that a transaction needs on its way into the ledger, in one pass. */
export function sealTransaction(transaction: TransactionToSeal): SealedTransaction {
  const { secret, view, seqno, claimsDigest, publicMaps, privateMaps } = transaction;
  const evidenceDigest = secret.evidence.digestOf(view, seqno);
  const publicLength = PUBLIC_HEADER_BYTES + encodedMapsSize(publicMaps);
  const bytes = startEntry(transaction, publicLength, encodedMapsSize(privateMaps));
  writePublicDomain(
    { seqno, claimsDigest, evidenceDigest, maps: publicMaps },
    bytes,
    PUBLIC_AT,
  );
  finishEntry(transaction, bytes, publicLength);
  const writeSetDigest = sha256(bytes);
  const leaf = leafOf(writeSetDigest, evidenceDigest, claimsDigest);
  return { bytes, writeSetDigest, evidenceDigest, leaf };
}

interface Framing {
  readonly view: number;
  readonly seqno: number;
  readonly flags: number;
  readonly secret: LedgerSecret;
  readonly privateMaps: readonly MapWrites[];
}

function startEntry(framing: Framing, publicLength: number, privateLength: number): Buffer {
  const { view, seqno, flags } = framing;
  invariant(view > 0 && view <= VIEW_MAX, `view ${view} fits an entry`);
  invariant(seqno > 0 && Number.isSafeInteger(seqno), `seqno ${seqno} fits an entry`);
  invariant(
    (flags & ~(FLAG_CHUNK_AFTER | FLAG_CHUNK_BEFORE)) === 0,
    `flags ${flags} are known`,
  );
  const total = PUBLIC_AT + publicLength + privateLength;
  if (total - ENTRY_HEADER_BYTES > ENTRY_BYTES_MAX) {
    throw new CodedError(
      'EntryTooLarge',
      `transaction ${view}.${seqno} would be ${total} bytes, more than ${ENTRY_BYTES_MAX}`,
      { view, seqno, bytes: total },
    );
  }
  const target = Buffer.allocUnsafe(total);
  target[0] = ENTRY_VERSION;
  target[1] = flags;
  target.writeUIntLE(total - ENTRY_HEADER_BYTES, 2, 6);
  writeU64(target, seqno, IV_AT);
  target.writeUInt32LE(view, IV_AT + 8);
  writeU64(target, publicLength, PUBLIC_LENGTH_AT);
  return target;
}

function finishEntry(framing: Framing, target: Buffer, publicLength: number): void {
  const privateAt = PUBLIC_AT + publicLength;
  encodeMapsInto(framing.privateMaps, target, privateAt);
  const iv = target.subarray(IV_AT, PUBLIC_LENGTH_AT);
  const aad = target.subarray(PUBLIC_AT, privateAt);
  sealGcmInPlace(framing.secret.key, iv, aad, target, privateAt, TAG_AT);
}

/** An entry whose framing is sound; its parts are views into the bytes it was parsed from. */
export class ParsedEntry implements EntryHeader {
  /** The whole entry, from its first header byte. */
  readonly bytes: Buffer;
  readonly flags: number;
  readonly size: number;
  readonly view: number;
  readonly seqno: number;
  readonly isSnapshot: boolean;
  readonly publicLength: number;
  readonly type: number;
  /** Where the maps begin (for a snapshot: its further fields), counted in the public domain. */
  readonly mapsAt: number;
  private maps: readonly MapWrites[] | undefined;

  constructor(bytes: Buffer, header: EntryHeader, type: number, mapsAt: number) {
    this.bytes = bytes;
    this.flags = header.flags;
    this.size = header.size;
    this.view = header.view;
    this.seqno = header.seqno;
    this.isSnapshot = header.isSnapshot;
    this.publicLength = header.publicLength;
    this.type = type;
    this.mapsAt = mapsAt;
  }

  get tag(): Buffer {
    return this.bytes.subarray(TAG_AT, IV_AT);
  }

  get iv(): Buffer {
    return this.bytes.subarray(IV_AT, PUBLIC_LENGTH_AT);
  }

  get publicDomain(): Buffer {
    return this.bytes.subarray(PUBLIC_AT, PUBLIC_AT + this.publicLength);
  }

  get ciphertext(): Buffer {
    return this.bytes.subarray(PUBLIC_AT + this.publicLength);
  }

  /** Absent in entries of types without claims; zero when there are none. */
  get claimsDigest(): Buffer | undefined {
    if (this.type !== 4 && this.type !== 2) return undefined;
    return this.bytes.subarray(PUBLIC_AT + 9, PUBLIC_AT + 9 + DIGEST_BYTES);
  }

  /** Absent in entries of types without commit evidence. */
  get evidenceDigest(): Buffer | undefined {
    if (this.type !== 4 && this.type !== 3) return undefined;
    const at = PUBLIC_AT + (this.type === 4 ? 9 + DIGEST_BYTES : 9);
    return this.bytes.subarray(at, at + DIGEST_BYTES);
  }

  /** The public write set; decoded at the first use. Throws `BadWriteSet`. */
  get publicMaps(): readonly MapWrites[] {
    invariant(!this.isSnapshot, 'a snapshot has rows with versions, not a write set');
    this.maps ??= decodeMaps(this.encodedMaps());
    return this.maps;
  }

  /** The first public table's name, without decoding the rest. Throws `BadWriteSet`. */
  firstPublicMapName(): string | undefined {
    return firstMapName(this.encodedMaps());
  }

  /**
   * Whether this is a signature transaction. Such a one holds signature tables and nothing else
   * (ledger-format.md §6), so the first name tells.
   */
  isSignature(): boolean {
    const name = this.firstPublicMapName();
    return name === SIGNATURES || name === COSE_SIGNATURES;
  }

  /** What `leafDigest` gives for this entry. */
  leaf(): Buffer {
    return leafOfEntry(this);
  }

  private encodedMaps(): Buffer {
    return this.bytes.subarray(PUBLIC_AT + this.mapsAt, PUBLIC_AT + this.publicLength);
  }
}

export const SIGNATURES = 'public:ccf.internal.signatures';
export const COSE_SIGNATURES = 'public:ccf.internal.cose_signatures';
export const TREE = 'public:ccf.internal.tree';

/** Which fields follow type and seqno in the public domain, by type (ledger-format.md §5). */
const DIGESTS_BY_TYPE: readonly number[] = [0, 0, 1, 1, 2];

/**
 * Parses the entry at `offset`; what follows it is left alone. Throws `BadEntry`, whose fields name
 * the field of the entry, its value and its offset.
 */
export function parseEntry(source: Uint8Array, offset = 0): ParsedEntry {
  const bytes = bufferOf(source);
  const header = parseHeader(bytes, offset);
  const end = offset + ENTRY_HEADER_BYTES + header.size;
  if (end > bytes.length) {
    throw bad(
      'size',
      header.size,
      offset + 2,
      `only ${bytes.length - offset - 8} bytes follow`,
    );
  }
  const room = header.size - ENTRY_SIZE_MIN;
  if (header.publicLength > room) {
    const why = `the entry has room for ${room}`;
    throw bad('publicLength', header.publicLength, offset + PUBLIC_LENGTH_AT, why);
  }
  const at = offset + PUBLIC_AT;
  const type = header.publicLength > 0 ? (bytes[at] as number) : -1;
  const digests = DIGESTS_BY_TYPE[type];
  if (digests === undefined) throw bad('type', type, at, 'known types are 0 to 4');
  const mapsAt = 1 + 8 + digests * DIGEST_BYTES + 8;
  if (mapsAt > header.publicLength) {
    const why = `a public domain of type ${type} has at least ${mapsAt} bytes`;
    throw bad('publicLength', header.publicLength, offset + PUBLIC_LENGTH_AT, why);
  }
  const seqno = readU64(bytes, at + 1);
  if (seqno !== header.seqno) {
    throw bad('publicSeqno', seqno, at + 1, `the entry's nonce says ${header.seqno}`);
  }
  const conflict = readU64(bytes, at + mapsAt - 8);
  if (conflict !== 0) {
    throw bad('maxConflictVersion', conflict, at + mapsAt - 8, 'nothing but 0 is ever written');
  }
  const isSnapshotType = type === ENTRY_TYPE_SNAPSHOT;
  if (isSnapshotType !== header.isSnapshot) {
    throw bad('type', type, at, `the nonce says ${header.isSnapshot ? '' : 'not '}a snapshot`);
  }
  return new ParsedEntry(bytes.subarray(offset, end), header, type, mapsAt);
}

/** Parses the first 44 bytes; all of them must be there. Throws `BadEntry`. */
export function parseHeader(bytes: Buffer, offset: number): EntryHeader {
  const left = bytes.length - offset;
  if (left < PUBLIC_AT) throw bad('header', left, offset, `it needs ${PUBLIC_AT} bytes`);
  const version = bytes[offset] as number;
  if (version !== ENTRY_VERSION) throw bad('version', version, offset, 'the only one is 1');
  const flags = bytes[offset + 1] as number;
  if ((flags & ~(FLAG_CHUNK_AFTER | FLAG_CHUNK_BEFORE)) !== 0) {
    throw bad('flags', flags, offset + 1, 'known flags are 1 and 2');
  }
  const size = bytes.readUIntLE(offset + 2, 6);
  if (size < ENTRY_SIZE_MIN || size > ENTRY_BYTES_MAX) {
    const why = `it lies between ${ENTRY_SIZE_MIN} and ${ENTRY_BYTES_MAX}`;
    throw bad('size', size, offset + 2, why);
  }
  const seqno = readU64(bytes, offset + IV_AT);
  if (seqno === 0 || !Number.isSafeInteger(seqno)) {
    throw bad('seqno', seqno, offset + IV_AT, 'the first is 1 and none reaches 2^53');
  }
  const word = bytes.readUInt32LE(offset + IV_AT + 8);
  const isSnapshot = word >= SNAPSHOT_BIT;
  const view = isSnapshot ? word - SNAPSHOT_BIT : word;
  if (isSnapshot && view !== 0) {
    throw bad('view', view, offset + IV_AT + 8, "a snapshot's is 0");
  }
  const publicLength = readU64(bytes, offset + PUBLIC_LENGTH_AT);
  return { flags, size, view, seqno, isSnapshot, publicLength };
}

function bad(field: string, value: number, offset: number, why: string): CodedError {
  return new CodedError(
    'BadEntry',
    `not an entry: ${field} is ${value} at byte ${offset}; ${why}`,
    { field, value, offset },
  );
}

/** Opens the private domain; throws `SealBroken` when key, nonce or any byte is another. */
export function openEntry(entry: ParsedEntry, secret: LedgerSecret): MapWrites[] {
  return decodeMaps(openGcm(secret.key, entry.iv, entry.publicDomain, entry));
}

/** SHA-256 of a whole entry. */
export function writeSetDigest(entryBytes: Uint8Array): Buffer {
  return sha256(entryBytes);
}

const parts = Buffer.alloc(3 * DIGEST_BYTES);

function leafOf(digest: Uint8Array, evidence: Uint8Array, claims: Uint8Array): Buffer {
  parts.set(digest, 0);
  parts.set(evidence, DIGEST_BYTES);
  parts.set(claims, 2 * DIGEST_BYTES);
  return sha256(parts);
}

/** The leaf of a transaction: note that the order differs from the public domain's. */
export function leafDigest(
  entryBytes: Uint8Array,
  evidenceDigest: Uint8Array,
  claimsDigest: Uint8Array,
): Buffer {
  sha256Into(entryBytes, parts, 0);
  parts.set(evidenceDigest, DIGEST_BYTES);
  parts.set(claimsDigest, 2 * DIGEST_BYTES);
  return sha256(parts);
}

/** The leaf of an entry of any type that has one (ledger-format.md §8). */
function leafOfEntry(entry: ParsedEntry): Buffer {
  const { evidenceDigest, claimsDigest } = entry;
  switch (entry.type) {
    case 4:
      invariant(evidenceDigest !== undefined && claimsDigest !== undefined, 'type 4 has both');
      return leafDigest(entry.bytes, evidenceDigest, claimsDigest);
    case 3:
      invariant(evidenceDigest !== undefined, 'type 3 has commit evidence');
      return sha256(Buffer.concat([sha256(entry.bytes), evidenceDigest]));
    case 0:
      return sha256(entry.bytes);
    default:
      throw bad('type', entry.type, PUBLIC_AT, 'an entry of this type has no leaf');
  }
}
