/**
 * Which chunk files a ledger folder holds, in order, before any of them is read.
 */
import type { Disk } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { readU64 } from '../base/words.ts';
import { CHUNK_HEADER_BYTES, parseChunkName } from '../ledger/chunk.ts';

export interface ScannedChunk {
  readonly name: string;
  readonly start: Seqno;
  /** From its name; absent for an open chunk and for a complete one not yet renamed. */
  readonly end: Seqno | undefined;
  /** Where its entries end, if it is complete. */
  readonly tableAt: number | undefined;
}

/**
 * Lists a ledger's chunks, oldest first. Throws `LedgerFolder` for a file that is none, for a gap,
 * and for an open chunk that is not the last.
 */
export async function scanLedger(disk: Disk, folder: string): Promise<readonly ScannedChunk[]> {
  const chunks: ScannedChunk[] = [];
  for (const name of await disk.list(folder)) {
    const parsed = parseChunkName(name);
    if (parsed === undefined || parsed.ignored || parsed.recovery) {
      throw refused(
        folder,
        `${name} is not a chunk of this node's ledger; move it elsewhere and start again`,
      );
    }
    const tableAt = await tableOffset(disk, `${folder}/${name}`, name, folder);
    const end = parsed.end === undefined ? undefined : seqnoOf(parsed.end);
    chunks.push({ name, start: seqnoOf(parsed.start), end, tableAt });
  }
  chunks.sort((left, right) => left.start - right.start);
  checkOrder(folder, chunks);
  return chunks;
}

function checkOrder(folder: string, chunks: readonly ScannedChunk[]): void {
  chunks.forEach((chunk, index) => {
    const before = chunks[index - 1];
    if (before === undefined) {
      if (chunk.start === 1) return;
      throw refused(folder, `the chunk that begins with entry 1 is missing; restore it`);
    }
    if (before.tableAt === undefined) {
      throw refused(
        folder,
        `${before.name} is unfinished, yet ${chunk.name} follows it; restore the finished one`,
      );
    }
    if (before.end !== undefined && before.end + 1 !== chunk.start) {
      throw refused(
        folder,
        `entries ${before.end + 1} to ${chunk.start - 1} between ${before.name} and ` +
          `${chunk.name} are missing; restore their chunk`,
      );
    }
  });
}

/** The positions table's offset; undefined while the chunk is open. */
async function tableOffset(
  disk: Disk,
  path: string,
  name: string,
  folder: string,
): Promise<number | undefined> {
  const file = await disk.open(path, 'read');
  try {
    const size = await file.size();
    const header = await file.read(0, CHUNK_HEADER_BYTES);
    if (header.length < CHUNK_HEADER_BYTES) {
      if (name.includes('-')) throw refused(folder, `${name} is cut short; restore it`);
      return undefined;
    }
    const tableAt = readU64(Buffer.from(header), 0);
    if (tableAt === 0 && !name.includes('-')) return undefined;
    if (tableAt < CHUNK_HEADER_BYTES || tableAt > size || (size - tableAt) % 4 !== 0) {
      throw refused(
        folder,
        `${name} is damaged: its first word says that its table is at byte ${tableAt} of ${size}. ` +
          'Nothing was changed; restore this file',
      );
    }
    return tableAt;
  } finally {
    await file.close();
  }
}

function refused(folder: string, why: string): CodedError {
  return new CodedError('LedgerFolder', `${folder}: ${why}`, { folder });
}
