/**
 * A request that Node's own parser has read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Call, HeadOptions } from './call.ts';

/** Node sends a head together with a body that is a string, and apart from one that is bytes. */
const ONE_WRITE_BYTES_MAX = 16 * 1024;

export class NodeCall implements Call {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly #expectsContinue: boolean;

  constructor(request: IncomingMessage, response: ServerResponse, expectsContinue = false) {
    this.#request = request;
    this.#response = response;
    this.#expectsContinue = expectsContinue;
  }

  get method(): string {
    return this.#request.method ?? '';
  }

  get target(): string {
    return this.#request.url ?? '';
  }

  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }

  get socket(): Socket {
    return this.#request.socket;
  }

  get complete(): boolean {
    return this.#request.complete;
  }

  get gone(): boolean {
    return this.#response.destroyed || this.#response.closed;
  }

  readBody(
    bytesMax: number,
    done: (body: Uint8Array | undefined) => void,
    broken?: () => void,
  ): void {
    const request = this.#request;
    let chunks: Uint8Array[] = [];
    let received = 0;
    if (this.#expectsContinue) this.#response.writeContinue();
    request.on('data', (chunk: Uint8Array) => {
      received += chunk.length;
      if (received > bytesMax) {
        chunks = [];
        request.removeAllListeners('data').removeAllListeners('end');
        done(undefined);
        return;
      }
      chunks.push(chunk);
    });
    request.on('end', () => {
      const [first] = chunks;
      done(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
      chunks = [];
    });
    if (broken === undefined) return;
    request.on('error', broken);
    request.on('close', () => {
      if (!request.complete) broken();
    });
  }

  letPass(): void {
    // Node keeps the order of requests, and those who read these answers do without it.
  }

  drop(): void {
    this.#request.resume();
  }

  whenReceived(action: () => void): void {
    this.#request.once('end', action).once('error', action).resume();
  }

  head(status: number, headers: readonly string[], { last, dated }: HeadOptions): void {
    const response = this.#response;
    const all = [...headers];
    if (last) all.push('connection', 'close');
    // Node would say `keep-alive` to everyone; HTTP/1.1 means it without saying.
    else if (response.shouldKeepAlive) response.removeHeader('connection');
    response.sendDate = dated;
    response.writeHead(status, all);
  }

  end(body?: Uint8Array | string): void {
    const response = this.#response;
    if (body === undefined) response.end();
    else if (typeof body === 'string' || body.length > ONE_WRITE_BYTES_MAX) response.end(body);
    else response.end(latin1Of(body), 'latin1');
  }

  write(piece: Uint8Array): boolean {
    return this.#response.write(piece);
  }

  drained(): Promise<void> {
    const response = this.#response;
    return new Promise((resolve) => {
      const done = (): void => {
        response.off('drain', done).off('close', done);
        resolve();
      };
      response.on('drain', done).on('close', done);
    });
  }

  abort(): void {
    this.#response.destroy();
  }

  whenWritten(action: () => void): void {
    if (this.#response.writableFinished) action();
    else this.#response.once('finish', action);
  }
}

function latin1Of({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('latin1');
}
