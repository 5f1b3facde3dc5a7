/**
 * Fetches one file into a folder of unfinished ones, piece by piece; a former attempt is gone on
 * with. Nothing here is believed: the whole is read back from disk and handed on to be judged.
 *
 *     open <name>.part  pwrite pieces  fdatasync  [pread all, judge]  rename to its place, fsync
 */
import { bufferOf, equalBytes } from '../../base/bytes.ts';
import type { Disk, DiskFile } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import { FETCHED_PIECE_BYTES } from '../../base/limits.ts';
import { sha256 } from '../../crypto/hash.ts';
import type { OfferedDownload } from './join-source.ts';

export interface UnfinishedFile {
  readonly name: string;
  /** Where it lies. */
  readonly path: string;
}

export interface FetchedFile extends UnfinishedFile {
  readonly bytes: Buffer;
}

export interface FetchOptions {
  readonly disk: Disk;
  /** Holds unfinished files, and nothing else. */
  readonly folder: string;
  readonly bytesMax: number;
  readonly onPiece: (done: number) => void;
}

const UNFINISHED = '.part';

/**
 * Fetches a file. Rejects with `BadDownload` when it is not what its source said it would be, and
 * leaves nothing of it; with whatever its source rejects with, and keeps what has come so far.
 */
export async function fetchFile(
  offered: OfferedDownload,
  options: FetchOptions,
): Promise<FetchedFile> {
  const { name, bytes: size } = offered;
  const { disk, folder, bytesMax } = options;
  if (!/^[\w.-]{1,100}$/.test(name)) throw bad(name, 'this is no name for a file');
  if (size === 0 || size > bytesMax) throw bad(name, `it would have ${size} bytes`);
  const path = `${folder}/${name}${UNFINISHED}`;
  const resumed = await continued(path, offered, options);
  const file = await disk.open(path, 'read');
  let bytes: Buffer;
  try {
    bytes = bufferOf(await file.read(0, size));
  } finally {
    await file.close();
  }
  if (offered.sha256 === undefined || equalBytes(sha256(bytes), offered.sha256)) {
    return { name, bytes, path };
  }
  await disk.remove(path);
  // What was there before may have been of another source: then this one is asked for all of it.
  if (resumed) return await fetchFile(offered, options);
  throw bad(name, 'its bytes are not those of its SHA-256');
}

/** Brings the file to its full length on stable storage; whether it began with what was there. */
async function continued(
  path: string,
  offered: OfferedDownload,
  { disk, folder, onPiece }: FetchOptions,
): Promise<boolean> {
  const isThere = await disk.exists(path);
  const file = await disk.open(path, isThere ? 'write' : 'create');
  try {
    const kept = await keptBytes(file, offered);
    for (let at = kept; at < offered.bytes; ) {
      const piece = await offered.read(at, Math.min(at + FETCHED_PIECE_BYTES, offered.bytes));
      await file.write(at, piece);
      at += piece.length;
      onPiece(at);
    }
    await file.sync();
    await disk.syncFolder(folder);
    return kept > 0;
  } finally {
    await file.close();
  }
}

async function keptBytes(file: DiskFile, offered: OfferedDownload): Promise<number> {
  const size = await file.size();
  if (size <= offered.bytes) return size;
  await file.truncate(0);
  return 0;
}

/** Gives a fetched file its name among the finished ones; it is durable when this resolves. */
export async function finishFile(
  disk: Disk,
  { path, name }: UnfinishedFile,
  folder: string,
): Promise<void> {
  await disk.rename(path, `${folder}/${name}`);
  await disk.syncFolder(folder);
}

function bad(name: string, why: string): CodedError {
  return new CodedError('BadDownload', `${name}: ${why}`, { name });
}
