/**
 * Ports on loopback: the preferred one if it is free, else one that is.
 */

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';

export const LOOPBACK = '127.0.0.1';

/** Chooses a port for each name, keeping earlier choices where they are still free. */
export async function choosePorts(
  preferred: Readonly<Record<string, number>>,
): Promise<Readonly<Record<string, number>>> {
  const chosen: Record<string, number> = {};
  const taken = new Set<number>();
  for (const [name, port] of Object.entries(preferred)) {
    let free = taken.has(port) ? undefined : await freePort(port);
    while (free === undefined || taken.has(free)) free = await freePort(0);
    taken.add(free);
    chosen[name] = free;
  }
  return chosen;
}

/** The port itself if it is free; with 0, any free one. */
function freePort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => {
      const { port: listening } = server.address() as AddressInfo;
      server.close(() => resolve(listening));
    });
  });
}
