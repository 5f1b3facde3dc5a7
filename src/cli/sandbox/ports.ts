/**
 * Ports on loopback: the preferred one if it is free, else one that is. Each is held until whoever
 * is to use it is about to, so that two sandboxes that start at once do not choose the same.
 */
import { type AddressInfo, createServer, type Server } from 'node:net';
import { invariant } from '../../base/assert.ts';

export const LOOPBACK = '127.0.0.1';

/** Ports by name, held by listeners of ours. */
export class HeldPorts {
  readonly #held = new Map<string, { readonly port: number; readonly holder: Server }>();

  /** Holds a port for each name. */
  static async choose(preferred: Readonly<Record<string, number>>): Promise<HeldPorts> {
    const ports = new HeldPorts();
    for (const [name, port] of Object.entries(preferred)) {
      const holder = (await holderOf(port)) ?? (await holderOf(0));
      invariant(holder !== undefined, 'the system has a free port');
      ports.#held.set(name, { port: (holder.address() as AddressInfo).port, holder });
    }
    return ports;
  }

  /** The port of a name. */
  of(name: string): number {
    const held = this.#held.get(name);
    invariant(held !== undefined, `a port is held for ${name}`);
    return held.port;
  }

  /** Lets go of a port that is about to be used. */
  async release(name: string): Promise<number> {
    const held = this.#held.get(name);
    invariant(held !== undefined, `a port is held for ${name}`);
    await closed(held.holder);
    return held.port;
  }

  /** Lets go of all that are still held. */
  async releaseAll(): Promise<void> {
    await Promise.all([...this.#held.values()].map(({ holder }) => closed(holder)));
  }

  all(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#held].map(([name, { port }]) => [name, port]));
  }
}

/** A listener on a port, or undefined if somebody else has it. */
function holderOf(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', () => resolve(undefined));
    server.listen({ host: LOOPBACK, port, exclusive: true }, () => resolve(server));
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}
