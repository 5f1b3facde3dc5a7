/**
 * A ledger folder: which chunk files there are, and in which order (ledger-format.md §1, §15.1).
 */
import { readdir, stat } from 'node:fs/promises';
import { CodedError } from '../base/errors.ts';
import { CHUNK_HEADER_BYTES, type ChunkName, parseChunkName } from '../ledger/chunk.ts';
import { FaultError } from './fault.ts';

export interface ChunkFile {
  readonly name: string;
  readonly path: string;
  readonly parsed: ChunkName;
}

export interface FolderOptions {
  /** Read `.recovery` chunks too: those of a service that has not opened yet. */
  readonly recovery?: boolean;
  /**
   * Read a folder as a crash may have left it, and as a node would go on with it: complete chunks
   * that did not get their final names, and ends of interrupted writes.
   */
  readonly afterCrash?: boolean;
  /** Read only committed chunks. */
  readonly committedOnly?: boolean;
}

/**
 * The chunk files to read, in order. Throws `LedgerUnreadable` when the folder cannot be listed,
 * and a fault when its files do not make one ledger.
 */
export async function chunkFiles(folder: string, options: FolderOptions): Promise<ChunkFile[]> {
  const files: ChunkFile[] = [];
  for (const name of await namesIn(folder)) {
    const parsed = parseChunkName(name);
    if (parsed === undefined)
      throw new FaultError('StrayFile', `${JSON.stringify(name)} is none`);
    if (parsed.ignored || parsed.committedPrefix) continue;
    if (parsed.recovery && options.recovery !== true) continue;
    if (!parsed.committed && options.committedOnly === true) continue;
    files.push({ name, path: `${folder}/${name}`, parsed });
  }
  files.sort((left, right) => left.parsed.start - right.parsed.start);
  if (options.afterCrash === true) return await afterCrash(folder, files);
  if (files.length === 0) throw new FaultError('FolderEmpty', `${folder} holds none`);
  for (const [i, file] of files.entries()) mustFollow(files[i - 1], file);
  return files;
}

/** The same with ends where names lack them; a file that was only just made is none yet. */
async function afterCrash(folder: string, found: readonly ChunkFile[]): Promise<ChunkFile[]> {
  const last = found.at(-1);
  const isMade = last === undefined || (await stat(last.path)).size > CHUNK_HEADER_BYTES;
  const files = isMade ? found : found.slice(0, -1);
  if (files.length === 0) throw new FaultError('FolderEmpty', `${folder} holds none`);
  const ended = files.map((file, i) => {
    const next = files[i + 1];
    if (file.parsed.end !== undefined || next === undefined) return file;
    return { ...file, parsed: { ...file.parsed, end: next.parsed.start - 1 } };
  });
  for (const [i, file] of ended.entries()) mustFollow(ended[i - 1], file);
  return ended;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    const items = await readdir(folder, { withFileTypes: true });
    return items.filter((item) => item.isFile()).map((item) => item.name);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `the ledger folder ${folder} cannot be listed: ${why}`;
    throw new CodedError('LedgerUnreadable', message, { folder }, { cause });
  }
}

function mustFollow(before: ChunkFile | undefined, file: ChunkFile): void {
  if (before === undefined) return;
  const { start, end } = before.parsed;
  if (end === undefined) {
    if (start === file.parsed.start) {
      throw new FaultError('ChunkOverlap', `${before.name} and ${file.name} begin alike`);
    }
    throw new FaultError('ChunkOpenInside', `${file.name} follows ${before.name}`);
  }
  if (file.parsed.start <= end) {
    throw new FaultError('ChunkOverlap', `${file.name} begins within ${before.name}`);
  }
  if (file.parsed.start !== end + 1) {
    throw new FaultError('ChunkGap', `${file.name} follows ${before.name}`);
  }
}
