/**
 * Ports on loopback: the preferred one if it is free, else one that is. Each is held until whoever
 * is to use it is about to, and claimed for as long as the sandbox runs, so that two sandboxes
 * never choose the same, not even while a node of one is starting again.
 */
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { invariant } from '../../base/assert.ts';
import { CodedError } from '../../base/errors.ts';

export const LOOPBACK = '127.0.0.1';
/**
 * A port is claimed by listening on it at another loopback address: the claim goes with the
 * process, however that ends. Where there is no such address (macOS), nothing is claimed.
 */
const CLAIMS = '127.0.0.2';
/** Below what systems give to outgoing connections, which could take a port in passing. */
const OTHERS_FROM = 20_000;
const OTHERS_TO = 32_000;
/** Who was killed lets go of its ports a moment later. */
const FIXED_MS_MAX = 2_000;
const FIXED_POLL_MS = 50;

interface Held {
  readonly port: number;
  readonly holder: Server;
  readonly claim: Server | undefined;
}

/** Ports by name, held by listeners of ours. */
export class HeldPorts {
  readonly #held = new Map<string, Held>();

  /**
   * Holds a port for each name; the `fixed` ones must be the preferred ones. Throws `PortTaken`.
   */
  static async choose(
    preferred: Readonly<Record<string, number>>,
    fixed: readonly string[] = [],
  ): Promise<HeldPorts> {
    const ports = new HeldPorts();
    try {
      for (const [name, port] of Object.entries(preferred)) {
        const held = fixed.includes(name)
          ? await holdInTime(name, port)
          : ((await hold(port)) ?? (await holdAnother()));
        ports.#held.set(name, held);
      }
      return ports;
    } catch (error) {
      await ports.releaseAll();
      throw error;
    }
  }

  /** The port of a name. */
  of(name: string): number {
    return this.#of(name).port;
  }

  /** Lets go of a port that is about to be used; it stays claimed. */
  async release(name: string): Promise<number> {
    const held = this.#of(name);
    await closed(held.holder);
    return held.port;
  }

  /** Lets go of all that are still held, and of the claims. */
  async releaseAll(): Promise<void> {
    const all = [...this.#held.values()].flatMap(({ holder, claim }) => [holder, claim]);
    await Promise.all(all.map((server) => (server === undefined ? undefined : closed(server))));
  }

  all(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#held].map(([name, { port }]) => [name, port]));
  }

  #of(name: string): Held {
    const held = this.#held.get(name);
    invariant(held !== undefined, `a port is held for ${name}`);
    return held;
  }
}

async function holdInTime(name: string, port: number): Promise<Held> {
  for (let waitedMs = 0; waitedMs <= FIXED_MS_MAX; waitedMs += FIXED_POLL_MS) {
    const held = await hold(port);
    if (held !== undefined) return held;
    await sleep(FIXED_POLL_MS);
  }
  throw new CodedError(
    'PortTaken',
    `port ${port} of ${LOOPBACK} is taken by another program, and the ledger has it as the ` +
      `address of ${name}: stop that program and start again`,
    { port, name },
  );
}

async function holdAnother(): Promise<Held> {
  const start = OTHERS_FROM + ((process.pid * 40) % (OTHERS_TO - OTHERS_FROM));
  for (let step = 0; step < OTHERS_TO - OTHERS_FROM; step += 1) {
    const port = OTHERS_FROM + ((start - OTHERS_FROM + step) % (OTHERS_TO - OTHERS_FROM));
    const held = await hold(port);
    if (held !== undefined) return held;
  }
  throw new CodedError('NoPort', `no port of ${LOOPBACK} from ${OTHERS_FROM} on is free`);
}

/** Holds a port, or undefined if somebody else has it. */
async function hold(port: number): Promise<Held | undefined> {
  const claim = await listening(CLAIMS, port);
  if (claim === 'taken') return undefined;
  const holder = await listening(LOOPBACK, port);
  if (typeof holder === 'object') {
    const chosen = (holder.address() as AddressInfo).port;
    return { port: chosen, holder, claim: claim === 'unusable' ? undefined : claim };
  }
  if (claim !== 'unusable') await closed(claim);
  return undefined;
}

function listening(host: string, port: number): Promise<Server | 'taken' | 'unusable'> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => {
      const isNoAddress = 'code' in error && error.code === 'EADDRNOTAVAIL';
      resolve(isNoAddress ? 'unusable' : 'taken');
    });
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}
