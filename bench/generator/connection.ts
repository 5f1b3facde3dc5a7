/**
 * One connection of the load generator: a raw socket that sends prepared bytes, waits for whole
 * answers, and tells how long each took. Nothing is allocated per request but what Node's sockets
 * allocate themselves. Several requests may be on their way at once (RFC 9112 §9.3.2): answers come
 * in the order of requests, and those that came together are replaced together.
 */
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AnswerReader, BYTES_FOLLOW } from './answer-reader.ts';
import type { Target } from './job.ts';

/** What a connection asks of the run that it works for, and tells it. */
export interface Load {
  readonly keepBodies: boolean;
  /** Whether another request may be sent; it counts as sent then. */
  mayStart(): boolean;
  answered(milliseconds: number, reader: AnswerReader): void;
  /** Nothing is on its way any more, and nothing may be sent. */
  ended(): void;
  failed(error: Error): void;
}

const NO_LOAD: Load = {
  keepBodies: false,
  mayStart: () => false,
  answered: () => undefined,
  ended: () => undefined,
  failed: () => undefined,
};

export class Connection {
  readonly #socket: Socket;
  readonly #requests: readonly Uint8Array[];
  /** When each request on its way was sent: a ring, `#oldest` first. */
  readonly #sentMs: Float64Array;
  #oldest = 0;
  #inFlight = 0;
  #next: number;
  #reader = new AnswerReader(false);
  #load: Load = NO_LOAD;

  private constructor(socket: Socket, target: Target, first: number) {
    this.#socket = socket;
    this.#requests = target.requests;
    this.#sentMs = new Float64Array(target.inFlight ?? 1);
    this.#next = first;
    socket.setNoDelay(true);
    // Without an encoding set, a socket gives bytes and never text.
    socket.on('data', (bytes) => this.#take(bytes as Buffer));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed a connection')));
  }

  /** Connections begin at different requests, `first` of them, and go round. */
  static open(target: Target, first: number): Promise<Connection> {
    const { host, port, tls, requests } = target;
    return new Promise((resolve, reject) => {
      const socket =
        tls === undefined
          ? connectPlain({ host, port })
          : connectTls({ host, port, ...tls, ALPNProtocols: ['http/1.1'] });
      const failed = (error: Error): void => {
        reject(new Error(`cannot connect to ${host}:${port}: ${error.message}`));
      };
      socket.once('error', failed);
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        socket.off('error', failed);
        resolve(new Connection(socket, target, first % requests.length));
      });
    });
  }

  /** False once either side has closed it: a service closes what is idle for long. */
  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  /** Sends requests one after another until the load says that it is enough. */
  start(load: Load): void {
    this.#reader = new AnswerReader(load.keepBodies);
    this.#load = load;
    this.#fill();
  }

  close(): void {
    this.#load = NO_LOAD;
    this.#socket.destroy();
  }

  /** Sends as many as may be on their way. */
  #fill(): void {
    const most = this.#sentMs.length;
    if (most > 1) this.#socket.cork();
    while (this.#inFlight < most && this.#load.mayStart()) this.#send();
    if (most > 1) this.#socket.uncork();
    if (this.#inFlight === 0) this.#load.ended();
  }

  #send(): void {
    const request = this.#requests[this.#next];
    if (request === undefined) throw new Error('there is no request to send');
    this.#next = (this.#next + 1) % this.#requests.length;
    this.#sentMs[(this.#oldest + this.#inFlight) % this.#sentMs.length] = performance.now();
    this.#inFlight += 1;
    this.#socket.write(request);
  }

  #take(bytes: Buffer): void {
    try {
      if (this.#inFlight === 0) throw new Error('bytes came that nobody asked for');
      let rest = this.#reader.take(bytes);
      if (rest === undefined) return;
      for (
        ;
        rest !== undefined;
        rest = rest.length === 0 ? undefined : this.#reader.take(rest)
      ) {
        this.#answered();
        if (this.#inFlight === 0 && rest.length > 0) throw new Error(BYTES_FOLLOW);
      }
      this.#fill();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #answered(): void {
    const sentMs = this.#sentMs[this.#oldest] ?? 0;
    this.#oldest = (this.#oldest + 1) % this.#sentMs.length;
    this.#inFlight -= 1;
    this.#load.answered(performance.now() - sentMs, this.#reader);
  }

  #fail(error: Error): void {
    const load = this.#load;
    this.close();
    load.failed(error);
  }
}
