// A TCP proxy in user space that stands between those who dial and those who listen, and lets a
// test decide at any moment what becomes of the connections that one has dialled to another: a
// link.
//
// Nodes open one connection for each direction in which they speak, so what one node dials to
// another is one directed link, and a partition that is one-way is one link of a pair.

import { createServer, connect as dial, type Server, type Socket } from 'node:net';

/**
 * What becomes of a link:
 * - `pass`: all goes through, after `delayMs` if that is given;
 * - `cut`: connections are reset, and so is each new one;
 * - `hold`: nothing moves until the link passes again, and then everything that waited, as when a
 *   cable is out for less time than TCP keeps trying;
 * - `swallow`: connections are accepted, what comes is thrown away, nothing comes back. Who had one
 *   has it half open for good: when the link passes again, new connections do.
 */
export type LinkState =
  | { readonly kind: 'pass'; readonly delayMs?: number }
  | { readonly kind: 'cut' }
  | { readonly kind: 'hold' }
  | { readonly kind: 'swallow' };

export const PASS: LinkState = { kind: 'pass' };

/** Who dialled whom, and where that one listens. */
export interface Introduction {
  readonly from: string;
  readonly to: string;
  readonly target: { readonly host: string; readonly port: number };
}

export interface LinkProxyOptions {
  /** Where it listens; port 0 takes a free one. */
  readonly port?: number;
  /**
   * Finds out about a new connection, of which it may read what is not to be carried; undefined
   * for one that is nobody's.
   */
  readonly introduce: (socket: Socket) => Promise<Introduction | undefined>;
}

interface Connection extends Introduction {
  readonly near: Socket;
  readonly far: Socket | undefined;
  /** Bytes were thrown away: what came after them would make no sense. */
  isSpoilt: boolean;
}

export class LinkProxy {
  readonly #options: LinkProxyOptions;
  readonly #server: Server;
  readonly #states = new Map<string, LinkState>();
  readonly #connections = new Set<Connection>();
  /** Connections whose dialler is being looked up. */
  readonly #unknown = new Set<Socket>();
  #ownPort = 0;

  constructor(options: LinkProxyOptions) {
    this.#options = options;
    // A connection waits unread until it is known whose it is, and an end is passed on as an end.
    this.#server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      void this.#meet(socket);
    });
  }

  get port(): number {
    return this.#ownPort;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port ?? 0, '127.0.0.1', resolve);
    });
    const address = this.#server.address();
    this.#ownPort = typeof address === 'object' && address !== null ? address.port : 0;
    return this.#ownPort;
  }

  /** From here on this becomes of what `from` dials to `to`, and of what it has dialled. */
  set(from: string, to: string, state: LinkState): void {
    this.#states.set(nameOf({ from, to }), state);
    for (const connection of [...this.#connections]) {
      if (nameOf(connection) === nameOf({ from, to })) this.#apply(connection, state);
    }
  }

  /** Links that have a connection now, as `from>to`. */
  connected(): readonly string[] {
    return [...new Set([...this.#connections].map(nameOf))].sort();
  }

  async close(): Promise<void> {
    for (const socket of this.#unknown) socket.destroy();
    for (const connection of [...this.#connections]) this.#reset(connection);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #meet(near: Socket): Promise<void> {
    near.on('error', () => near.destroy());
    this.#unknown.add(near);
    const introduction = await this.#options.introduce(near);
    this.#unknown.delete(near);
    if (near.destroyed) return;
    const state = introduction === undefined ? undefined : this.#stateOf(introduction);
    if (introduction === undefined || state === undefined || state.kind === 'cut') {
      near.resetAndDestroy();
      return;
    }
    // Of a connection that is swallowed the listener behind never hears.
    const far =
      state.kind === 'swallow'
        ? undefined
        : dial({ ...introduction.target, allowHalfOpen: true, noDelay: true });
    near.setNoDelay(true);
    const connection: Connection = { ...introduction, near, far, isSpoilt: false };
    this.#connections.add(connection);
    for (const socket of [near, far]) {
      socket?.on('error', () => this.#reset(connection));
      socket?.on('close', () => this.#reset(connection));
    }
    if (far !== undefined) {
      this.#carry(connection, near, far);
      this.#carry(connection, far, near);
    }
    this.#apply(connection, state);
  }

  /** Carries one direction: in order, and no faster than the other side reads. */
  #carry(connection: Connection, source: Socket, sink: Socket): void {
    const waiting: (() => void)[] = [];
    let dueMs = 0;
    const later = (action: () => void): void => {
      const state = this.#stateOf(connection);
      const delayMs = state.kind === 'pass' ? (state.delayMs ?? 0) : 0;
      const nowMs = performance.now();
      dueMs = Math.max(dueMs, nowMs + delayMs);
      if (waiting.length === 0 && dueMs <= nowMs) {
        action();
        return;
      }
      // Timers of whole milliseconds may fire out of order; each serves whoever waits longest.
      waiting.push(action);
      setTimeout(() => waiting.shift()?.(), dueMs - nowMs);
    };
    source.on('data', (chunk: Buffer) => {
      if (connection.isSpoilt) return;
      later(() => {
        if (connection.isSpoilt || sink.destroyed) return;
        if (!sink.write(chunk)) source.pause();
      });
    });
    sink.on('drain', () => {
      if (this.#stateOf(connection).kind !== 'hold') source.resume();
    });
    source.on('end', () => later(() => sink.end()));
  }

  #stateOf(link: Pick<Introduction, 'from' | 'to'>): LinkState {
    return this.#states.get(nameOf(link)) ?? PASS;
  }

  #apply(connection: Connection, { kind }: LinkState): void {
    const { near, far } = connection;
    if (kind === 'cut') {
      this.#reset(connection);
    } else if (kind === 'hold') {
      near.pause();
      far?.pause();
    } else {
      if (kind === 'swallow') connection.isSpoilt = true;
      near.resume();
      far?.resume();
    }
  }

  #reset(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    for (const socket of [connection.near, connection.far]) {
      if (socket?.destroyed === false) closeHard(socket);
    }
  }
}

const nameOf = ({ from, to }: Pick<Introduction, 'from' | 'to'>): string => `${from}>${to}`;

/** As when the machine at the other end has gone: what was on its way is lost. */
function closeHard(socket: Socket): void {
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}
