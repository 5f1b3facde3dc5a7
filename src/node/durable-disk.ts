/**
 * The real disk behind base's `Disk`.
 *
 * What it promises, and what not: after `sync()` has returned, the file's bytes and length
 * survive a crash of process and machine (fdatasync writes a changed length too). A new or
 * renamed file's name survives after `syncFolder()` (fsync of the folder). A disk that
 * acknowledges a flush it has not made is beyond any program.
 */
import { constants, promises as fs } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Disk, DiskFile } from '../base/environment.ts';

class DurableFile implements DiskFile {
  readonly #handle: fs.FileHandle;

  constructor(handle: fs.FileHandle) {
    this.#handle = handle;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#handle.read(
        bytes,
        filled,
        length - filled,
        offset + filled,
      );
      if (bytesRead === 0) return bytes.subarray(0, filled);
      filled += bytesRead;
    }
    return bytes;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let written = 0; written < bytes.length; ) {
      const left = bytes.length - written;
      const result = await this.#handle.write(bytes, written, left, offset + written);
      written += result.bytesWritten;
    }
  }

  async sync(): Promise<void> {
    await this.#handle.datasync();
  }

  async truncate(length: number): Promise<void> {
    await this.#handle.truncate(length);
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await fs.open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const OPEN_FLAGS = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
} as const;

export const durableDisk: Disk = {
  async list(folder) {
    const entries = await fs.readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)
      .sort();
  },
  async makeFolder(path) {
    const first = await fs.mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    // A folder's own name lies in the one above it: from the new ones up to the first old one.
    for (let made = path; made.length >= first.length; made = dirname(made)) {
      await syncFolder(dirname(made));
    }
  },
  async exists(path) {
    return await fs.access(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return false;
        throw error;
      },
    );
  },
  async open(path, mode) {
    return new DurableFile(await fs.open(path, OPEN_FLAGS[mode], 0o600));
  },
  async rename(from, to) {
    await fs.rename(from, to);
  },
  async remove(path) {
    await fs.unlink(path);
  },
  syncFolder,
};

/** Writes a small file so that it is either there, whole and durable, or not at all. */
export async function writeDurably(
  disk: Disk,
  folder: string,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const unfinished = join(folder, `.${name}.unfinished`);
  if (await disk.exists(unfinished)) await disk.remove(unfinished);
  const file = await disk.open(unfinished, 'create');
  try {
    await file.write(0, bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(unfinished, join(folder, name));
  await disk.syncFolder(folder);
}
