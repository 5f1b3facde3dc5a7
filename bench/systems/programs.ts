/**
 * Where a peer's programs are, and as whom they run.
 */
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The program's path: what the variable names, or else the first in `folders`. */
export function findProgram(
  name: string,
  folders: readonly string[],
  named: string | undefined,
): string | undefined {
  if (named !== undefined && named !== '') return isProgram(named) ? named : undefined;
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

export function pathFolders(path: string | undefined): readonly string[] {
  return (path ?? '').split(delimiter).filter((folder) => folder !== '');
}

/** Folders inside one whose names are numbers, the highest first: Debian's way with versions. */
export function versionFolders(parent: string): readonly string[] {
  let names: readonly string[] = [];
  try {
    names = readdirSync(parent);
  } catch {
    // There is none.
  }
  return names
    .filter((name) => /^\d+$/.test(name))
    .sort((left, right) => Number(right) - Number(left))
    .map((name) => join(parent, name));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** For a program that refuses to run as root: somebody who is not, when this process is root. */
export function unprivilegedUser(users: string = readFileSync('/etc/passwd', 'utf8')): User {
  const lines = users.split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const line = lines.find(([name]) => name === wanted);
    if (line !== undefined) return { uid: Number(line[2]), gid: Number(line[3]) };
  }
  throw new Error('neither postgres nor nobody is a user of this machine');
}
