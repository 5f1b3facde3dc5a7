/**
 * A gate before a TCP port. Shut, it refuses and cuts connections, as a killed process does;
 * frozen, it takes them and lets nothing through, as a stopped process or a cut network does.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class TcpGate {
  readonly #inner: number;
  readonly #sockets = new Set<Socket>();
  /** Connections that came while it was frozen. */
  readonly #held: Socket[] = [];
  #server: Server | undefined;
  #frozen = false;
  #port = 0;

  /** `inner`: the port behind the gate. */
  constructor(inner: number) {
    this.#inner = inner;
  }

  get port(): number {
    return this.#port;
  }

  async open(): Promise<void> {
    // Half-open: an end is passed on like everything else, in its turn.
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (outer) => {
      this.#watch(outer);
      if (this.#frozen) this.#held.push(outer);
      else this.#join(outer);
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async shut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#frozen = false;
    this.#held.length = 0;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await new Promise<void>((resolve) => {
      if (server === undefined) resolve();
      else server.close(() => resolve());
    });
  }

  freeze(): void {
    this.#frozen = true;
    for (const socket of this.#sockets) socket.pause();
  }

  thaw(): void {
    this.#frozen = false;
    for (const outer of this.#held.splice(0)) this.#join(outer);
    for (const socket of this.#sockets) socket.resume();
  }

  #watch(socket: Socket): void {
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #join(outer: Socket): void {
    const inner = connect({ port: this.#inner, host: '127.0.0.1', allowHalfOpen: true });
    this.#watch(inner);
    for (const [from, to] of [
      [outer, inner],
      [inner, outer],
    ] as const) {
      from.on('data', (bytes: Buffer) => to.write(bytes));
      from.on('end', () => to.end());
      from.on('close', () => to.destroy());
    }
    if (!this.#frozen) outer.resume();
  }
}
