/**
 * One connection of the load generator: a raw socket that sends prepared bytes, waits for the whole
 * answer, and tells how long that took. Nothing is allocated per request but what Node's sockets
 * allocate themselves.
 */
import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AnswerReader } from './answer-reader.ts';
import type { Target } from './job.ts';

/** Told of each complete answer; gives back whether to send the next request. */
export type OnAnswer = (milliseconds: number, reader: AnswerReader) => boolean;

export class Connection {
  readonly #socket: Socket;
  readonly #requests: readonly Uint8Array[];
  #next: number;
  #reader = new AnswerReader(false);
  #sentMs = 0;
  #waiting = false;
  #onAnswer: OnAnswer = () => false;
  #onFailure: (error: Error) => void = () => undefined;

  private constructor(socket: Socket, requests: readonly Uint8Array[], first: number) {
    this.#socket = socket;
    this.#requests = requests;
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
        resolve(new Connection(socket, requests, first % requests.length));
      });
    });
  }

  /** Sends requests one after another until `onAnswer` says that it is enough. */
  start(keepBodies: boolean, onAnswer: OnAnswer, onFailure: (error: Error) => void): void {
    this.#reader = new AnswerReader(keepBodies);
    this.#onAnswer = onAnswer;
    this.#onFailure = onFailure;
    this.#send();
  }

  close(): void {
    this.#onFailure = () => undefined;
    this.#socket.destroy();
  }

  #send(): void {
    const request = this.#requests[this.#next];
    if (request === undefined) throw new Error('there is no request to send');
    this.#next = (this.#next + 1) % this.#requests.length;
    this.#waiting = true;
    this.#sentMs = performance.now();
    this.#socket.write(request);
  }

  #take(bytes: Buffer): void {
    try {
      if (!this.#waiting) throw new Error('bytes came that nobody asked for');
      if (!this.#reader.push(bytes)) return;
      this.#waiting = false;
      if (this.#onAnswer(performance.now() - this.#sentMs, this.#reader)) this.#send();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #fail(error: Error): void {
    const tell = this.#onFailure;
    this.close();
    tell(error);
  }
}
