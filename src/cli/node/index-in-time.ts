/**
 * The lock of a node's folder, which its local index holds. A process that was killed lets go of it
 * a moment later than whoever killed it may look.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalIndex } from '../../base/environment.ts';
import { isCoded } from '../../base/errors.ts';
import { openLevelIndex } from '../../node/level-index.ts';
import { foldersOf } from '../../node/node-folders.ts';

const FOLDER_MS_MAX = 1_000;
const FOLDER_POLL_MS = 50;

/** Opens a local index; throws `FolderInUse` when another process keeps it. */
export async function openIndexInTime(folder: string): Promise<LocalIndex> {
  for (let waitedMs = 0; ; waitedMs += FOLDER_POLL_MS) {
    try {
      return await openLevelIndex(folder);
    } catch (error) {
      if (!isCoded(error, 'FolderInUse') || waitedMs >= FOLDER_MS_MAX) throw error;
      await sleep(FOLDER_POLL_MS);
    }
  }
}

/** Throws `FolderInUse` when another process runs the node of this folder. */
export async function mustBeFree(folder: string): Promise<void> {
  const { index } = foldersOf(folder);
  if (!existsSync(index)) return;
  const opened = await openIndexInTime(index);
  await opened.close();
}
