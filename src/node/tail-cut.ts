/**
 * Putting a ledger folder in order before a restarted node writes to it: what follows the last
 * signature is set aside, and complete chunks get their final names. Everything here was judged
 * harmless by the replay; nothing is thrown away.
 */
import type { Disk } from '../base/environment.ts';
import { formatChunkName } from '../ledger/chunk.ts';
import type { ClosedChunk } from '../ledger/chunk-store.ts';
import type { NodeLog } from './node-options.ts';
import type { Replayed, Tail } from './replay.ts';

/** Cuts the tail off its file and keeps a copy in `aside`. */
export async function cutTail(
  disk: Disk,
  folder: string,
  aside: string,
  tail: Tail,
  log: NodeLog,
): Promise<void> {
  await disk.makeFolder(aside);
  const path = `${folder}/${tail.file}`;
  const copy = `${aside}/${tail.file}.from-byte-${tail.offset}`;
  if (tail.offset === 0) {
    await moveAside(disk, path, copy);
    await disk.syncFolder(aside);
  } else {
    const file = await disk.open(path, 'write');
    try {
      const bytes = await file.read(tail.offset, tail.bytes);
      if (await disk.exists(copy)) await disk.remove(copy);
      const kept = await disk.open(copy, 'create');
      await kept.write(0, bytes);
      await kept.sync();
      await kept.close();
      await disk.syncFolder(aside);
      await file.truncate(tail.offset);
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await disk.syncFolder(folder);
  const whole = tail.entries === 1 ? '1 whole entry' : `${tail.entries} whole entries`;
  log.warn(
    `cut ${tail.bytes} bytes (${whole}) after the last signature off ${tail.file}: no one was ` +
      `told that they are committed. They are kept in ${copy}`,
  );
}

/** Gives complete chunks that a crash kept from being renamed their final names. */
export async function nameClosedChunks(
  disk: Disk,
  folder: string,
  replayed: Pick<Replayed, 'closed'>,
): Promise<readonly ClosedChunk[]> {
  const named: ClosedChunk[] = [];
  for (const chunk of replayed.closed) {
    const name = formatChunkName({ start: chunk.start, end: chunk.end, committed: true });
    if (name !== chunk.name) {
      // The process that wrote it may have died before it was on stable storage.
      const file = await disk.open(`${folder}/${chunk.name}`, 'write');
      await file.sync();
      await file.close();
      await disk.rename(`${folder}/${chunk.name}`, `${folder}/${name}`);
    }
    named.push({ ...chunk, name });
  }
  if (named.some((chunk, index) => chunk.name !== replayed.closed[index]?.name)) {
    await disk.syncFolder(folder);
  }
  return named;
}

/** Moves a file, replacing one that is there. */
export async function moveAside(disk: Disk, path: string, to: string): Promise<void> {
  if (await disk.exists(to)) await disk.remove(to);
  await disk.rename(path, to);
}
