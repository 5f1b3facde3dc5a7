/**
 * Bringing a surviving ledger into the folder of the node that recovers it: chunk by chunk, each
 * whole and on stable storage before it has its name. The last one ends with the last signature,
 * and is closed there: what the new service writes begins a chunk of its own.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Disk } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import { seqnoOf } from '../../base/ids.ts';
import { writeU64 } from '../../base/words.ts';
import {
  CHUNK_HEADER_BYTES,
  encodePositions,
  formatChunkName,
  parseChunkName,
} from '../../ledger/chunk.ts';
import { parseEntry } from '../../ledger/entry.ts';
import { writeDurably } from '../durable-disk.ts';
import type { SurvivingLedger } from './surviving-ledger.ts';

/** Copies the ledger up to its last signature. */
export async function copyLedger(
  disk: Disk,
  { folder, files, end, endFile, endOffset, given }: SurvivingLedger,
  to: string,
  onProgress: (bytes: number) => void,
): Promise<void> {
  let copied = 0;
  for (const [index, file] of files.entries()) {
    const parsed = parseChunkName(file);
    const next = parseChunkName(files[index + 1] ?? '')?.start ?? 1;
    const bytes = await readFile(join(folder, file));
    const whole = file === endFile ? closedAt(bytes, endOffset) : bytes;
    const last = file === endFile ? end.seqno : seqnoOf(parsed?.end ?? next - 1);
    if (parsed === undefined || last === 0) {
      throw new CodedError('LedgerRefused', `${given}: ${file} is unfinished amid others`);
    }
    const name = formatChunkName({ start: parsed.start, end: last, committed: true });
    await writeDurably(disk, to, name, whole);
    copied += whole.length;
    onProgress(copied);
  }
}

/** A chunk that ends at `end`, with its table. */
function closedAt(bytes: Buffer, end: number): Buffer {
  const positions: number[] = [];
  for (let at = CHUNK_HEADER_BYTES; at < end; ) {
    positions.push(at);
    at += parseEntry(bytes, at).bytes.length;
  }
  const closed = Buffer.concat([bytes.subarray(0, end), encodePositions(positions)]);
  writeU64(closed, end, 0);
  return closed;
}
