// Sees every entry that any node ever writes to a disk or sends, and what every node ever holds to
// be committed, and compares them all: log matching, one text for each nonce, commits only at
// signatures and never taken back, the same ledger everywhere.

import { sha256Hex } from '../../src/crypto/hash.ts';
import { ENTRY_HEADER_BYTES, parseEntry, parseHeader } from '../../src/ledger/entry.ts';
import { require as mustHold } from './violation.ts';

const ENTRY_BYTES_MIN = 44;
const CHUNK_NAME = /\/ledger\/ledger_\d+[^/]*$/;
const SNAPSHOT_NAME = /\/snapshots\/snapshot_(\d+)_\d+[^/]*$/;
const CHUNK_HEADER_BYTES = 8;

interface KnownEntry {
  readonly digest: string;
  readonly isSignature: boolean;
  /** The TxID before it, where that was seen. */
  before: string | undefined;
  readonly bytes: Buffer;
}

export interface CommittedView {
  readonly seqno: number;
  /** View of the entry at a seqno. */
  viewAt(seqno: number): number;
}

export class LedgerWatch {
  readonly #entries = new Map<string, KnownEntry>();
  readonly #snapshots = new Map<number, string>();
  /** Views of the committed entries, from seqno 1 on. */
  readonly #committed: number[] = [];

  /** Entries that some node knew to be committed. */
  get committedCount(): number {
    return this.#committed.length;
  }

  get entryCount(): number {
    return this.#entries.size;
  }

  get snapshotCount(): number {
    return this.#snapshots.size;
  }

  /** The whole committed entry at a seqno. */
  committedEntry(seqno: number): Buffer | undefined {
    const view = this.#committed[seqno - 1];
    return view === undefined ? undefined : this.#entries.get(`${view}.${seqno}`)?.bytes;
  }

  committedViewAt(seqno: number): number | undefined {
    return this.#committed[seqno - 1];
  }

  /** Something is written to a disk. */
  sawWrite(who: string, path: string, offset: number, bytes: Uint8Array): void {
    if (CHUNK_NAME.test(path)) this.#sawChunk(who, offset, bytes);
    const snapshot = SNAPSHOT_NAME.exec(path)?.[1];
    if (snapshot !== undefined && offset === 0) this.#sawSnapshot(who, Number(snapshot), bytes);
  }

  /** Entries are sent to another node. */
  sawSent(
    who: string,
    previous: { readonly view: number; readonly seqno: number },
    entries: readonly Uint8Array[],
  ): void {
    let before = `${previous.view}.${previous.seqno}`;
    for (const entry of entries) before = this.#sawEntry(who, Buffer.from(entry), before);
  }

  /** A node's commit moved from `from` on. */
  sawCommit(who: string, from: number, view: CommittedView): void {
    const { seqno } = view;
    mustHold(
      this.#at(view, seqno)?.isSignature === true || seqno === 0,
      'SignatureInv',
      () => `${who} committed up to ${seqno}, which is no signature that anybody wrote`,
    );
    for (let at = from + 1; at <= seqno; at += 1) {
      const known = this.#committed[at - 1];
      const now = view.viewAt(at);
      mustHold(
        known === undefined || known === now,
        'LogInv',
        () => `${who} committed ${now}.${at}, others committed ${known}.${at}`,
      );
      if (known !== undefined) continue;
      mustHold(
        at === this.#committed.length + 1,
        'LogInv',
        () => `${who} committed ${now}.${at}, and nobody ${this.#committed.length + 1}`,
      );
      this.#mustFollow(who, now, at);
      this.#committed.push(now);
    }
  }

  #mustFollow(who: string, view: number, seqno: number): void {
    const entry = this.#entries.get(`${view}.${seqno}`);
    mustHold(
      entry !== undefined,
      'CommitCommittableIndices',
      () => `${who} committed ${view}.${seqno}, which nobody wrote`,
    );
    const before = `${this.#committed.at(-1) ?? 0}.${seqno - 1}`;
    mustHold(
      entry.before === undefined || entry.before === before,
      'LogMatchingInv',
      () => `${view}.${seqno} follows ${entry.before}, ${who} committed it after ${before}`,
    );
  }

  #at(view: CommittedView, seqno: number): KnownEntry | undefined {
    return this.#entries.get(`${view.viewAt(seqno)}.${seqno}`);
  }

  /** A write of entries: at the chunk's beginning its word comes first, at its end its table. */
  #sawChunk(who: string, offset: number, bytes: Uint8Array): void {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = offset === 0 ? CHUNK_HEADER_BYTES : 0;
    let before: string | undefined;
    while (buffer.length - at >= ENTRY_BYTES_MIN && buffer[at] === 1) {
      const { size, view, seqno } = parseHeader(buffer, at);
      const end = at + ENTRY_HEADER_BYTES + size;
      if (end > buffer.length) break;
      // What the tail of a chunk holds may look like an entry; entries follow each other.
      if (before !== undefined && Number(before.split('.')[1]) + 1 !== seqno) break;
      if (view === 0) break;
      before = this.#sawEntry(who, buffer.subarray(at, end), before);
      at = end;
    }
  }

  #sawEntry(who: string, bytes: Buffer, before: string | undefined): string {
    const { view, seqno } = parseHeader(bytes, 0);
    const txId = `${view}.${seqno}`;
    const digest = sha256Hex(bytes);
    const known = this.#entries.get(txId);
    if (known === undefined) {
      const isSignature = parseEntry(bytes).isSignature();
      this.#entries.set(txId, { digest, isSignature, before, bytes: Buffer.from(bytes) });
      return txId;
    }
    // Its place is its nonce: two texts at one place would be two under one nonce.
    mustHold(
      known.digest === digest,
      'LogMatchingInv',
      () => `${who} has another entry ${txId} than others have`,
    );
    mustHold(
      known.before === undefined || before === undefined || known.before === before,
      'LogMatchingInv',
      () => `${txId} follows ${before} at ${who}, ${known.before} elsewhere`,
    );
    known.before ??= before;
    return txId;
  }

  #sawSnapshot(who: string, seqno: number, bytes: Uint8Array): void {
    const digest = sha256Hex(bytes);
    const known = this.#snapshots.get(seqno);
    mustHold(
      known === undefined || known === digest,
      'SnapshotsEqual',
      () => `the snapshot of ${seqno} at ${who} is not that of others`,
    );
    this.#snapshots.set(seqno, digest);
  }
}
