/** Endorsements kept in a folder, one file each: public, and judged anew whenever they are used. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EndorsementCache } from './endorsements.ts';

export function endorsementFolder(folder: string): EndorsementCache {
  const fileOf = (name: string): string => join(folder, `${name}.pem`);
  return {
    get: async (name) => {
      try {
        return await readFile(fileOf(name));
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
          return undefined;
        throw error;
      }
    },
    put: async (name, chain) => {
      await mkdir(folder, { recursive: true });
      // Never half a chain under its name; should it be lost, it is asked for again.
      const part = `${fileOf(name)}.part`;
      await writeFile(part, chain);
      await rename(part, fileOf(name));
    },
  };
}
