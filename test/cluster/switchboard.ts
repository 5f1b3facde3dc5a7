// Where the dials of a sandbox's nodes arrive (redirected-dials.ts): each begins with a line that
// says which process dials, and where.

import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Introduction, LinkProxy } from './link-proxy.ts';

const LINE_BYTES_MAX = 200;

/** How long a process may take until it is known which node it is. */
const KNOWN_MS_MAX = 2_000;
const POLL_MS = 20;

/**
 * A proxy for all that nodes dial to nodes. Who dials is named by `nodeOf`, whom by the port: nodes
 * dial each other before anybody has been told their ports.
 */
export function newSwitchboard(
  nodeOf: (pid: number) => Promise<string | undefined>,
): LinkProxy {
  const introduce = async (socket: Socket): Promise<Introduction | undefined> => {
    const [pid, host, port] = (await firstLineOf(socket)).split(' ');
    // Who was killed while it dialled has said nothing.
    if (pid === undefined || host === undefined || port === undefined) return undefined;
    for (let waitedMs = 0; waitedMs < KNOWN_MS_MAX; waitedMs += POLL_MS) {
      const from = await nodeOf(Number(pid));
      if (from !== undefined) return { from, to: port, target: { host, port: Number(port) } };
      await sleep(POLL_MS);
    }
    return undefined;
  };
  return new LinkProxy({ introduce });
}

/** Reads up to the first end of line; what follows stays to be read. */
async function firstLineOf(socket: Socket): Promise<string> {
  let read = Buffer.alloc(0);
  for (;;) {
    const bytes: Buffer | null = socket.read();
    if (bytes === null) {
      if (socket.destroyed || socket.readableEnded) return '';
      await new Promise<void>((resolve) => {
        for (const event of ['readable', 'end', 'close']) socket.once(event, () => resolve());
      });
      continue;
    }
    read = Buffer.concat([read, bytes]);
    const end = read.indexOf('\n');
    if (end === -1 && read.length < LINE_BYTES_MAX) continue;
    if (end === -1) return '';
    socket.unshift(read.subarray(end + 1));
    return read.subarray(0, end).toString();
  }
}
