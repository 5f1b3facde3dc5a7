// Who is at the other end of a connection on this machine. TLS hides it from a proxy, and nodes
// dial from any port they are given, but Linux tells: /proc/net/tcp names the socket of each end
// (proc_net_tcp.txt in the kernel's documentation), and /proc/PID/fd who holds it.

import { readdir, readFile, readlink } from 'node:fs/promises';

/** The process, of those named, that holds the end of a loopback connection; undefined: none. */
export async function holderOf(
  localPort: number,
  remotePort: number,
  processes: readonly number[],
): Promise<number | undefined> {
  const inode = await inodeOf(localPort, remotePort);
  if (inode === undefined) return undefined;
  for (const pid of processes) {
    if (await holds(pid, `socket:[${inode}]`)) return pid;
  }
  return undefined;
}

async function inodeOf(localPort: number, remotePort: number): Promise<string | undefined> {
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'utf8').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      // sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode
      const [, local = '', remote = '', , , , , , , inode] = line.trim().split(/\s+/);
      if (portOf(local) === localPort && portOf(remote) === remotePort) return inode;
    }
  }
  return undefined;
}

function portOf(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16);
}

async function holds(pid: number, target: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  // A process may end while it is looked at.
  const numbers = await readdir(folder).catch(() => []);
  for (const number of numbers) {
    if ((await readlink(`${folder}/${number}`).catch(() => '')) === target) return true;
  }
  return false;
}
