// The project's own files as the tidy checks see them: a list of paths and texts. The checks take
// such a list, so that each can be shown a planted fault.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface SourceFile {
  /** From the project's top folder, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** Finds faults; each is a line a person can act on, beginning with the place. */
export type Check = (files: readonly SourceFile[]) => readonly string[];

export const projectRoot: string = resolve(import.meta.dirname, '..', '..');

/** What git tracks or would track: a new file is checked before it is committed. */
export function projectFiles(): readonly SourceFile[] {
  const listing = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    { cwd: projectRoot, encoding: 'utf8' },
  );
  return listing
    .split('\0')
    .filter((path) => path !== '' && existsSync(join(projectRoot, path)))
    .map((path) => ({ path, text: readFileSync(join(projectRoot, path), 'utf8') }));
}

export const isScript = (path: string): boolean => /\.m?[jt]s$/.test(path);
export const isShipped = (path: string): boolean => path.startsWith('src/') && isScript(path);

export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}
