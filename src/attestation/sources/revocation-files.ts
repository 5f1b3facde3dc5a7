/**
 * AMD's revocation lists from files that somebody keeps current. They are read whenever evidence is
 * judged: a list that was read once would expire while its node runs.
 */
import { readFile } from 'node:fs/promises';
import { CodedError, messageOf } from '../../base/errors.ts';

/** The lists in DER; rejects with `NoRevocationList`: without one there is no verdict. */
export function revocationFiles(
  paths: readonly string[],
): () => Promise<readonly Uint8Array[]> {
  return async () =>
    await Promise.all(
      paths.map(async (path) => {
        try {
          return await readFile(path);
        } catch (cause) {
          const message = `the revocation list ${path} cannot be read: ${messageOf(cause)}`;
          throw new CodedError('NoRevocationList', message, { path, status: 503 }, { cause });
        }
      }),
    );
}
