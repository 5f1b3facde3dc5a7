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
  /** Its first word: where the entries of a complete chunk end, 0 for an open one. */
  readonly word: number;
}

/**
 * Lists a ledger's chunks, oldest first. Throws `LedgerFolder` for a file that is none, for a gap,
 * and for an open chunk that is not the last.
 */
export async function scanLedger(disk: Disk, folder: string): Promise<readonly ScannedChunk[]> {
  const chunks: ScannedChunk[] = [];
  for (const name of await disk.list(folder)) {
    const parsed = parseChunkName(name);
    const other = parsed?.ignored || parsed?.recovery || parsed?.committedPrefix;
    if (parsed === undefined || other) {
      throw refused(
        folder,
        `${name} is not a chunk of this node's ledger; move it elsewhere and start again`,
      );
    }
    const end = parsed.end === undefined ? undefined : seqnoOf(parsed.end);
    const word = await firstWord(disk, folder, name, end !== undefined);
    chunks.push({ name, start: seqnoOf(parsed.start), end, word });
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
    if (before.word === 0) {
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

/**
 * A chunk's first word. That of a chunk with an end in its name must be possible; any other is
 * judged with the entries.
 */
async function firstWord(
  disk: Disk,
  folder: string,
  name: string,
  isClosed: boolean,
): Promise<number> {
  const file = await disk.open(`${folder}/${name}`, 'read');
  try {
    const size = await file.size();
    const header = await file.read(0, CHUNK_HEADER_BYTES);
    if (header.length < CHUNK_HEADER_BYTES) {
      if (isClosed) throw refused(folder, `${name} is cut short; restore it`);
      return 0;
    }
    const word = readU64(Buffer.from(header), 0);
    if (isClosed && (word < CHUNK_HEADER_BYTES || word > size)) {
      throw refused(
        folder,
        `${name} is damaged: its first word says that its table is at byte ${word} of ${size}. ` +
          'Nothing was changed; restore this file',
      );
    }
    return word;
  } finally {
    await file.close();
  }
}

function refused(folder: string, why: string): CodedError {
  return new CodedError('LedgerFolder', `${folder}: ${why}`, { folder });
}
