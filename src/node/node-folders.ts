/**
 * What lies where in a node's folder.
 */
import type { Disk } from '../base/environment.ts';

export interface NodeFolders {
  /** Chunk files, and nothing else. */
  readonly ledger: string;
  /** Snapshots, and nothing else. */
  readonly snapshots: string;
  readonly sealed: string;
  readonly index: string;
  /** What this node promised the others (replication/vote-record.ts). */
  readonly votes: string;
  /** What a restart cut off or set aside; nothing reads it. */
  readonly aside: string;
}

export function foldersOf(folder: string): NodeFolders {
  return {
    ledger: `${folder}/ledger`,
    snapshots: `${folder}/snapshots`,
    sealed: `${folder}/sealed`,
    index: `${folder}/index`,
    votes: `${folder}/votes`,
    aside: `${folder}/set-aside`,
  };
}

/** Makes the folders that a start needs. */
export async function makeFolders(disk: Disk, folders: NodeFolders): Promise<void> {
  await disk.makeFolder(folders.ledger);
  await disk.makeFolder(folders.snapshots);
  await disk.makeFolder(folders.sealed);
  await disk.makeFolder(folders.index);
  await disk.makeFolder(folders.votes);
}
