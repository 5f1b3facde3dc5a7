// Deliberately broken builds: a copy of the source with one passage changed, which must be there
// exactly once, so that a bug cannot silently stop being planted. They are bugs that real processes
// show within seconds; those that take many seeds are planted in the simulator.

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Trouble } from './troubles.ts';
import { KILL_PRIMARY, LATE_BACKUP } from './troubles.ts';

export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** What shows it, again and again until it is caught. */
  readonly troubles: readonly Trouble[];
  /** The promises of which at least one is then seen to be broken. */
  readonly breaks: readonly string[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a fresh read is served without a read index',
    file: 'src/node/runner.ts',
    from: 'let proven = options.linearizable ? await this.#deps.replica.readIndex() : undefined;',
    to: 'let proven: Seqno | undefined;',
    troubles: [LATE_BACKUP],
    breaks: ['linearizable', 'order'],
  },
  {
    name: 'a write is acknowledged before it is committed',
    file: 'src/node/runner.ts',
    from: "const waits = endpoint.answers === 'committed' || options.waitForCommit;",
    to: 'const waits = false;',
    troubles: [KILL_PRIMARY],
    breaks: ['lost', 'linearizable', 'order'],
  },
  {
    name: 'what a session has seen is not waited for',
    file: 'src/node/runner.ts',
    from: 'if (options.minTxId !== undefined) await this.#reach(options.minTxId, endpoint);',
    to: '',
    troubles: [LATE_BACKUP],
    breaks: ['monotone', 'absence'],
  },
  {
    name: 'absence is said without proof',
    file: 'src/node/runner.ts',
    from: 'if (result.response.absence !== true) return result;',
    to: 'if (seen >= 0) return result;',
    troubles: [LATE_BACKUP],
    breaks: ['linearizable'],
  },
  {
    name: 'a request id is not known again',
    file: 'src/apps/quorum/surface.ts',
    from: "...(route.effect === 'write' ? underIds(handle, requestIdsKept) : { handle }),",
    to: '...(requestIdsKept > 0 ? { handle } : underIds(handle, requestIdsKept)),',
    troubles: [KILL_PRIMARY],
    breaks: ['duplicate'],
  },
];

const ROOT = resolve(import.meta.dirname, '../..');

export interface MutantTree {
  readonly root: string;
  remove(): void;
}

/** A tree whose program has the bug. */
export function plant({ name, file, from, to }: Mutant): MutantTree {
  const root = mkdtempSync(join(tmpdir(), 'concordat-mutant-'));
  const remove = (): void => rmSync(root, { recursive: true });
  for (const part of ['src', 'package.json']) {
    cpSync(join(ROOT, part), join(root, part), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'));
  const path = join(root, file);
  const pieces = readFileSync(path, 'utf8').split(from);
  if (pieces.length !== 2) {
    remove();
    throw new Error(`"${name}": ${file} has its passage ${pieces.length - 1} times, not once`);
  }
  writeFileSync(path, pieces.join(to));
  return { root, remove };
}
