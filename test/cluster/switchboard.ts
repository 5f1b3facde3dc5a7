// Where the dials of a sandbox's nodes arrive (redirected-dials.ts): each begins with a line that
// says which process dials, and where.

import type { Socket } from 'node:net';
import { type Introduction, LinkProxy } from './link-proxy.ts';

const LINE_BYTES_MAX = 200;

export interface SwitchboardOptions {
  /** The node whose process this is. */
  readonly nodeOf: (pid: number) => Promise<string | undefined>;
  /** The node that listens at this port. */
  readonly nodeAt: (port: number) => string | undefined;
}

/** A proxy for all that nodes dial to nodes. */
export function newSwitchboard({ nodeOf, nodeAt }: SwitchboardOptions): LinkProxy {
  const introduce = async (socket: Socket): Promise<Introduction | undefined> => {
    const [pid, host, port] = (await firstLineOf(socket)).split(' ');
    // Who was killed while it dialled has said nothing.
    if (pid === undefined || host === undefined || port === undefined) return undefined;
    const target = { host, port: Number(port) };
    const from = await nodeOf(Number(pid));
    const to = nodeAt(target.port);
    // Whom nobody knows yet is a node that starts: nothing can be done to it by its name.
    return { from: from ?? `process ${pid}`, to: to ?? `port ${port}`, target };
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
