/**
 * Reads snapshots: the state at one seqno in one entry, followed by the receipt of the transaction
 * that vouches for it (ledger-format.md §10).
 */
import { bufferOf, textOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { readU64 } from '../base/words.ts';
import { type AeadKey, openGcm } from '../crypto/aead.ts';
import { DIGEST_BYTES, sha256 } from '../crypto/hash.ts';
import { type ParsedEntry, parseEntry } from './entry.ts';

/** Its one row names the digest and the seqno of the newest snapshot. */
export const SNAPSHOT_EVIDENCE = 'public:ccf.internal.snapshot_evidence';

export interface SnapshotName {
  readonly seqno: number;
  readonly evidenceSeqno: number;
  /** Unfinished files lack the ending. */
  readonly committed: boolean;
}

const NAME = /^snapshot_([1-9]\d{0,15})_([1-9]\d{0,15})(\.committed)?$/;

/** Reads a snapshot file's name; undefined if it is not one. */
export function parseSnapshotName(name: string): SnapshotName | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [seqno, evidenceSeqno] = [Number(match[1]), Number(match[2])];
  if (evidenceSeqno <= seqno || !Number.isSafeInteger(evidenceSeqno)) return undefined;
  return { seqno, evidenceSeqno, committed: match[3] !== undefined };
}

/** A table as a snapshot holds it. */
export interface SnapshotMap {
  readonly name: string;
  /** Seqno of the last write to the table. */
  readonly version: number;
  readonly rows: readonly SnapshotRow[];
}

export interface SnapshotRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Seqno of the last write to the row. */
  readonly version: number;
}

export interface Snapshot {
  readonly entry: ParsedEntry;
  readonly seqno: number;
  /** SHA-256 of the entry: what the evidence claims. */
  readonly digest: Uint8Array;
  /** Leaf of the entry at the snapshot's seqno. */
  readonly leaf: Uint8Array;
  /** First seqno of view 1, 2, 3, … */
  readonly viewHistory: readonly number[];
  readonly publicMaps: readonly SnapshotMap[];
  /** What follows the entry: a receipt, or nothing in an unfinished file. */
  readonly receipt: Uint8Array;
}

/** What stands before the tables of a snapshot's public domain. */
export interface SnapshotHead {
  readonly leaf: Uint8Array;
  readonly viewHistory: readonly number[];
  /** Where the tables begin, counted in the public domain. */
  readonly mapsAt: number;
}

/** Reads the fields before the tables; throws `BadSnapshot`. */
export function readSnapshotHead(entry: ParsedEntry): SnapshotHead {
  return headOf(entry, new SnapshotReader(entry.publicDomain, entry.mapsAt));
}

function headOf(entry: ParsedEntry, reader: SnapshotReader): SnapshotHead {
  const leaf = reader.field('leaf');
  if (leaf.length !== DIGEST_BYTES)
    throw bad(`its leaf has ${leaf.length} bytes`, entry.mapsAt);
  const history = bufferOf(reader.field('view history'));
  if (history.length % 8 !== 0) throw bad('its view history is cut', entry.mapsAt);
  const viewHistory: number[] = [];
  for (let at = 0; at < history.length; at += 8) viewHistory.push(readU64(history, at));
  return { leaf, viewHistory, mapsAt: reader.place };
}

/** Parses a snapshot file's bytes. Throws `BadEntry` or `BadSnapshot`. */
export function parseSnapshot(source: Uint8Array): Snapshot {
  const bytes = bufferOf(source);
  const entry = parseEntry(bytes);
  if (!entry.isSnapshot) throw bad('it holds the entry of a transaction', 0);
  const reader = new SnapshotReader(entry.publicDomain, entry.mapsAt);
  const { leaf, viewHistory } = headOf(entry, reader);
  return {
    entry,
    seqno: entry.seqno,
    digest: sha256(entry.bytes),
    leaf,
    viewHistory,
    publicMaps: reader.maps(),
    receipt: bytes.subarray(entry.bytes.length),
  };
}

/** Opens a snapshot's private tables; throws `SealBroken` or `BadSnapshot`. */
export function openSnapshot(snapshot: Snapshot, key: AeadKey): readonly SnapshotMap[] {
  const { entry } = snapshot;
  const plaintext = openGcm(key, entry.iv, entry.publicDomain, entry);
  return new SnapshotReader(plaintext, 0).maps();
}

/** Walks over length-prefixed fields. */
class SnapshotReader {
  private readonly bytes: Buffer;
  private at: number;

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  /** Where it stands. */
  get place(): number {
    return this.at;
  }

  maps(): SnapshotMap[] {
    const maps: SnapshotMap[] = [];
    while (this.at < this.bytes.length) {
      const name = this.name();
      const version = this.word('version');
      const rows = new SnapshotReader(bufferOf(this.field('rows')), 0).rows();
      maps.push({ name, version, rows });
    }
    return maps;
  }

  field(what: string): Uint8Array {
    return this.take(this.word(`${what} length`), what);
  }

  private rows(): SnapshotRow[] {
    const rows: SnapshotRow[] = [];
    while (this.at < this.bytes.length) {
      const key = this.field('key');
      this.padding(8 + key.length);
      const size = this.word('value size');
      const version = this.word('row version');
      // Negative versions (2^63 and more) mark deleted rows in files of former releases.
      const value = this.take(size - 8, 'value');
      this.padding(8 + size);
      if (Number.isFinite(version)) rows.push({ key, value, version });
    }
    return rows;
  }

  private name(): string {
    const start = this.at;
    try {
      return textOf(this.field('table name'));
    } catch (cause) {
      if (cause instanceof CodedError) throw cause;
      throw bad('a table name is not UTF-8', start, cause);
    }
  }

  private word(what: string): number {
    if (this.bytes.length - this.at < 8) throw bad(`${what} is cut off`, this.at);
    const value = readU64(this.bytes, this.at);
    this.at += 8;
    return value;
  }

  private take(length: number, what: string): Uint8Array {
    if (!(length >= 0 && length <= this.bytes.length - this.at)) {
      throw bad(`${what} of ${length} bytes does not fit`, this.at);
    }
    const value = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return value;
  }

  private padding(used: number): void {
    const zeros = this.take((8 - (used % 8)) % 8, 'padding');
    if (zeros.some((byte) => byte !== 0)) throw bad('padding is not zero', this.at);
  }
}

function bad(why: string, offset: number, cause?: unknown): CodedError {
  const message = `not a snapshot: ${why} (at byte ${offset} of its domain)`;
  return new CodedError('BadSnapshot', message, { offset }, { cause });
}
