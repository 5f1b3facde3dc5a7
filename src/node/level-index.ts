/**
 * The local index on LevelDB. Its own lock makes it the guard against two nodes on one folder: the
 * lock is the process's and goes with it, however it ends.
 */
import { dirname } from 'node:path';
import { Level } from 'level';
import type { LocalIndex } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';

/** Opens the index in `folder`; throws `FolderInUse` when another process has it. */
export async function openLevelIndex(folder: string): Promise<LocalIndex> {
  const level = new Level<string, Uint8Array>(folder, { valueEncoding: 'view' });
  try {
    await level.open();
  } catch (cause) {
    if (isLocked(cause)) {
      throw new CodedError(
        'FolderInUse',
        `another process runs on ${dirname(folder)}; stop it first, or choose another folder`,
        { folder },
        { cause },
      );
    }
    throw new CodedError(
      'IndexUnusable',
      `the local index in ${folder} cannot be opened. It can be rebuilt: move that folder away ` +
        'and start again',
      { folder },
      { cause },
    );
  }
  return {
    async get(key) {
      return await level.get(key);
    },
    async keys(prefix) {
      return await level.keys({ gte: prefix, lt: `${prefix}\uffff` }).all();
    },
    async write(changes) {
      await level.batch(
        changes.map(({ key, value }) =>
          value === undefined ? { type: 'del', key } : { type: 'put', key, value },
        ),
      );
    },
    async close() {
      await level.close();
    },
  };
}

function isLocked(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && cause.code === 'LEVEL_LOCKED') return true;
  }
  return false;
}
