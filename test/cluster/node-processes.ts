// Which process is which node of a sandbox: a node has files of its folder open from its first
// moments on, and /proc tells. Process ids change with each life; the folder does not.

import { readdir, readFile, readlink } from 'node:fs/promises';

/** The node whose folder (`<data>/node<N>`) a process has files of open: `N`, or undefined. */
export async function nodeOfProcess(pid: number, data: string): Promise<string | undefined> {
  // A process may end while it is looked at.
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const descriptor of descriptors) {
    const path = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
    if (!path.startsWith(`${data}/node`)) continue;
    const number = /^\d+(?=\/)/.exec(path.slice(`${data}/node`.length))?.[0];
    if (number !== undefined) return number;
  }
  return undefined;
}

/** The processes that a process has started and that have not ended. */
export async function childrenOf(parent: number): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    // pid (command) state parent …; the command may hold anything, brackets too.
    const [state, ppid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(ppid) === parent && state !== 'Z') found.push(Number(name));
  }
  return found;
}

/** The process of each node of a sandbox. */
export async function nodeProcesses(
  sandbox: number,
  data: string,
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const pid of await childrenOf(sandbox)) {
    const node = await nodeOfProcess(pid, data);
    if (node !== undefined) found.set(node, pid);
  }
  return found;
}
