/**
 * The snapshots on a node's disk (ledger-format.md §10), each written so that it is there whole and
 * durable or not at all:
 *
 *     open snapshot_S_E exclusively  pwrite entry and receipt  fdatasync
 *     rename snapshot_S_E → snapshot_S_E.committed  fsync folder
 *
 * What lacks the ending is what a crash left, and is removed at the next start.
 */
import type { Disk } from '../base/environment.ts';
import type { Seqno } from '../base/ids.ts';
import type { ChunkStore } from '../ledger/chunk-store.ts';
import { parseSnapshotName } from '../ledger/snapshot.ts';

export interface StoredSnapshot {
  readonly name: string;
  readonly seqno: number;
  readonly evidenceSeqno: number;
  readonly bytes: number;
}

const COMMITTED = '.committed';

export class SnapshotFolder {
  readonly #disk: Disk;
  readonly #folder: string;
  /** Oldest first. */
  readonly #all: StoredSnapshot[];

  private constructor(disk: Disk, folder: string, all: readonly StoredSnapshot[]) {
    this.#disk = disk;
    this.#folder = folder;
    this.#all = [...all];
  }

  /** Looks at what is there and clears unfinished files away; other files are left alone. */
  static async open(disk: Disk, folder: string): Promise<SnapshotFolder> {
    const all: StoredSnapshot[] = [];
    for (const name of await disk.list(folder)) {
      const parsed = parseSnapshotName(name);
      if (parsed === undefined) continue;
      const { seqno, evidenceSeqno } = parsed;
      if (!parsed.committed) await disk.remove(`${folder}/${name}`);
      else
        all.push({
          name,
          seqno,
          evidenceSeqno,
          bytes: await sizeOf(disk, `${folder}/${name}`),
        });
    }
    all.sort(byPlace);
    return new SnapshotFolder(disk, folder, all);
  }

  /** Oldest first. */
  get all(): readonly StoredSnapshot[] {
    return this.#all;
  }

  get newest(): StoredSnapshot | undefined {
    return this.#all.at(-1);
  }

  /** The snapshot of this name; nothing but what the folder was seen to hold can be asked for. */
  find(name: string): StoredSnapshot | undefined {
    return this.#all.find((snapshot) => snapshot.name === name);
  }

  /** Writes a snapshot and its receipt; one that is there already is left as it is. */
  async write(
    seqno: Seqno,
    evidenceSeqno: Seqno,
    entry: Uint8Array,
    receipt: Uint8Array,
  ): Promise<StoredSnapshot> {
    const unfinished = `snapshot_${seqno}_${evidenceSeqno}`;
    const name = `${unfinished}${COMMITTED}`;
    const known = this.find(name);
    if (known !== undefined) return known;
    const path = `${this.#folder}/${unfinished}`;
    const file = await this.#disk.open(path, 'create');
    try {
      try {
        await file.write(0, entry);
        await file.write(entry.length, receipt);
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#disk.rename(path, `${this.#folder}/${name}`);
    } catch (error) {
      // Half a snapshot would fill a disk that is full enough.
      await this.#disk.remove(path).catch(() => undefined);
      throw error;
    }
    await this.#disk.syncFolder(this.#folder);
    const written = { name, seqno, evidenceSeqno, bytes: entry.length + receipt.length };
    this.#all.push(written);
    this.#all.sort(byPlace);
    return written;
  }
}

/** Bytes of the chunks that begin after `seqno`, where a snapshot ended the one before. */
export async function ledgerBytesAfter(
  disk: Disk,
  folder: string,
  chunks: ChunkStore,
  seqno: number,
): Promise<number> {
  let bytes = chunks.openBytes;
  for (const { name, start } of chunks.closed) {
    if (start > seqno) bytes += await sizeOf(disk, `${folder}/${name}`);
  }
  return bytes;
}

async function sizeOf(disk: Disk, path: string): Promise<number> {
  const file = await disk.open(path, 'read');
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}

function byPlace(left: StoredSnapshot, right: StoredSnapshot): number {
  return left.seqno - right.seqno || left.evidenceSeqno - right.evidenceSeqno;
}
