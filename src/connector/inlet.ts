/**
 * A server that takes ordinary requests over its own way of reading them (`wire/`) and leaves the
 * rest to Node's: a Quorum node's requests are all ordinary. Connections of either kind are bound
 * to the same times, and end together.
 */
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { Timers } from '../base/environment.ts';
import { REQUEST_HEADERS_MS_MAX, REQUEST_MS_MAX, SESSION_IDLE_MS_MAX } from '../base/limits.ts';
import type { Call } from '../wire/call.ts';
import { NodeCall } from '../wire/node-call.ts';
import { PlainConnection } from '../wire/plain-connection.ts';

export interface InletDependencies {
  readonly timers: Timers;
  readonly handle: (call: Call) => void;
}

/** A connection, and since when it stands as it does. */
interface Place {
  readonly connection: PlainConnection;
  calls: number;
  standing: string;
  sinceMs: number;
}

/** How long requests under way may take when the connector is asked to stop. */
const DRAIN_MS_MAX = 5_000;
const DRAIN_POLL_MS = 20;
const SWEEP_MS = 1_000;
/** Requests of one connection that may be under way: a Quorum node asks one thing at a time. */
const CALLS_MAX = 16;

export class Inlet {
  readonly server: Server;
  readonly #timers: Timers;
  readonly #places = new Map<Socket, Place>();
  #stopSweep: () => void;

  constructor(tls: ServerOptions | undefined, { timers, handle }: InletDependencies) {
    this.#timers = timers;
    const server = serverOf(
      (request, response) => handle(new NodeCall(request, response)),
      tls,
    );
    // Node's server is given what is not ordinary by calling what would have listened.
    const event = tls === undefined ? 'connection' : 'secureConnection';
    const whole = server.listeners(event);
    server.removeAllListeners(event);
    server.on(event, (socket: Socket) => this.#take(socket, handle, whole));
    this.server = server;
    this.#stopSweep = timers.after(SWEEP_MS, () => this.#sweep());
  }

  #take(socket: Socket, handle: (call: Call) => void, whole: readonly unknown[]): void {
    const connection = new PlainConnection(
      socket,
      { requiresHost: true, callsMax: CALLS_MAX },
      {
        onCall: (call) => {
          place.calls += 1;
          handle(call);
        },
        onUnusual: () => {
          this.#places.delete(socket);
          for (const take of whole) if (isListener(take)) take.call(this.server, socket);
        },
        flushSoon: (ready) => queueMicrotask(() => ready.write()),
      },
    );
    const place: Place = { connection, calls: 0, standing: '', sinceMs: 0 };
    this.#places.set(socket, place);
    socket.on('close', () => this.#places.delete(socket));
  }

  /** Ends connections that have been silent for too long, or too slow with a request. */
  #sweep(): void {
    const nowMs = this.#timers.elapsedMs();
    for (const [socket, place] of this.#places) {
      const { connection, calls } = place;
      const { partial } = connection;
      const isBusy = !connection.idle && partial === undefined;
      const standing = `${calls} ${partial ?? 'idle'}`;
      if (isBusy || place.standing !== standing) {
        place.standing = standing;
        place.sinceMs = nowMs;
      } else if (nowMs - place.sinceMs >= LIMITS_MS[partial ?? 'idle']) socket.destroy();
    }
    this.#stopSweep = this.#timers.after(SWEEP_MS, () => this.#sweep());
  }

  /** Takes no more connections, and ends those there are with their last answers. */
  close(): Promise<void> {
    this.#stopSweep();
    const { server } = this;
    return new Promise((resolve) => {
      if (!server.listening) {
        resolve();
        return;
      }
      const idle = setInterval(() => this.#endIdle(), DRAIN_POLL_MS);
      const busy = setTimeout(() => {
        server.closeAllConnections();
        for (const socket of this.#places.keys()) socket.destroy();
      }, DRAIN_MS_MAX);
      server.close(() => {
        clearInterval(idle);
        clearTimeout(busy);
        resolve();
      });
    });
  }

  #endIdle(): void {
    this.server.closeIdleConnections();
    for (const [socket, { connection, calls }] of this.#places) {
      // Who has only just come, or is in the middle of asking, is still served.
      const asks = calls === 0 || connection.partial !== undefined || !connection.idle;
      if (!asks && !connection.congested) socket.destroySoon();
    }
  }
}

const LIMITS_MS = {
  idle: SESSION_IDLE_MS_MAX,
  head: REQUEST_HEADERS_MS_MAX,
  body: REQUEST_MS_MAX,
} as const;

type Listener = (this: Server, socket: Socket) => void;

function isListener(value: unknown): value is Listener {
  return typeof value === 'function';
}

function serverOf(handle: RequestListener, tls: ServerOptions | undefined): Server {
  const options = {
    // GoQuorum keeps its connections for 10 s; a request must never race with our closing.
    keepAliveTimeout: SESSION_IDLE_MS_MAX,
    headersTimeout: REQUEST_HEADERS_MS_MAX,
    requestTimeout: REQUEST_MS_MAX,
    noDelay: true,
  };
  if (tls === undefined) return createServer(options, handle);
  return createTlsServer({ ...options, ...tls }, handle);
}
