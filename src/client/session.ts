/**
 * One TLS session with a node: mutual, pinned to the service's certificate, one exchange at a time.
 */
import { isIP } from 'node:net';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import type { Timers } from '../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { type Answer, AnswerReader } from './answer-reader.ts';
import { type NodeAddress, urlOfAddress } from './node-address.ts';

/** A request as it is written on the wire. */
export interface WireRequest {
  readonly method: string;
  readonly target: string;
  /** Header lines, each ended by CRLF; without `host` and `content-length`. */
  readonly headerLines: string;
  readonly body: Buffer;
}

interface Pending {
  readonly bodiless: boolean;
  readonly deadlineMs: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: CodedError) => void;
}

/** Why an exchange failed, and whether the node may have acted on the request. */
export interface ExchangeFailure {
  readonly mayHaveActed: boolean;
}

/** Up to here head and body go out in one write, one TLS record and one packet. */
const ONE_WRITE_BYTES_MAX = 16 * 1024;

export class Session {
  readonly #socket: TLSSocket;
  readonly #host: string;
  readonly #timers: Timers;
  readonly #reader = new AnswerReader();
  #pending: Pending | undefined;
  #closed = false;
  /** When the last exchange ended, for those who close idle sessions. */
  idleSinceMs: number;
  /** Called when the session is gone, whoever ended it. */
  onClose: (() => void) | undefined;

  private constructor(socket: TLSSocket, host: string, timers: Timers) {
    this.#socket = socket;
    this.#host = host;
    this.#timers = timers;
    this.idleSinceMs = timers.elapsedMs();
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('the node closed the connection'));
  }

  /** Connects and makes sure that the node's certificate is signed by the service. */
  static open(
    address: NodeAddress,
    secureContext: SecureContext,
    timeoutMs: number,
    timers: Timers,
  ): Promise<Session> {
    return new Promise((resolve, reject) => {
      const { host, port } = address;
      const socket = connect({
        host,
        port,
        secureContext,
        ALPNProtocols: ['http/1.1'],
        ...(isIP(host) === 0 ? { servername: host } : {}),
      });
      const refuse = (why: string): void => {
        cancelTimer();
        socket.destroy();
        reject(unreachable(address, why));
      };
      const late = `no answer within ${timeoutMs} ms`;
      const cancelTimer = timers.after(timeoutMs, () => refuse(late));
      socket.once('error', (error) => refuse(error.message));
      socket.once('close', () => refuse('the connection was closed'));
      socket.once('secureConnect', () => {
        cancelTimer();
        socket.removeAllListeners('error').removeAllListeners('close');
        const name = urlOfAddress(address).slice('https://'.length);
        resolve(new Session(socket, name, timers));
      });
    });
  }

  /** The key (SPKI, DER) that the node has proven to hold; undefined once the session is gone. */
  get publicKeyDer(): Uint8Array | undefined {
    const certificate = this.#socket.getPeerX509Certificate();
    return certificate?.publicKey.export({ type: 'spki', format: 'der' });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether a part of the answer has come. */
  get hearing(): boolean {
    return this.#reader.started;
  }

  /** Whether the exchange under way should have been answered by now. */
  isOverdue(nowMs: number): boolean {
    return this.#pending !== undefined && this.#pending.deadlineMs <= nowMs;
  }

  /** Sends a request and waits for its answer. The session must be idle. */
  exchange(request: WireRequest, deadlineMs: number): Promise<Answer> {
    if (this.#closed) {
      return Promise.reject(failed(`${this.#host} is gone`, { mayHaveActed: false }));
    }
    return new Promise((resolve, reject) => {
      const { method, target, headerLines, body } = request;
      this.#pending = { bodiless: method === 'HEAD', deadlineMs, resolve, reject };
      const length =
        body.length > 0 || method !== 'GET' ? `content-length: ${body.length}\r\n` : '';
      const host = `host: ${this.#host}\r\n`;
      const head = `${method} ${target} HTTP/1.1\r\n${host}${headerLines}${length}\r\n`;
      if (body.length > ONE_WRITE_BYTES_MAX) {
        this.#socket.write(head, 'latin1');
        this.#socket.write(body);
        return;
      }
      const bytes = Buffer.allocUnsafe(head.length + body.length);
      bytes.write(head, 0, 'latin1');
      body.copy(bytes, head.length);
      this.#socket.write(bytes);
    });
  }

  /** Ends the session; an exchange under way fails. */
  close(why = 'the session was closed'): void {
    this.#end(why);
  }

  #take(chunk: Buffer): void {
    const pending = this.#pending;
    if (pending === undefined) {
      this.#end('the node spoke without being asked');
      return;
    }
    let answer: Answer | undefined;
    try {
      answer = this.#reader.take(chunk, pending.bodiless);
    } catch (thrown) {
      this.#end(messageOf(thrown));
      return;
    }
    if (answer === undefined) return;
    this.#pending = undefined;
    this.idleSinceMs = this.#timers.elapsedMs();
    if (answer.closes || this.#reader.started) this.#end('the node ended the session');
    pending.resolve(answer);
  }

  #end(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    const pending = this.#pending;
    this.#pending = undefined;
    this.onClose?.();
    if (pending === undefined) return;
    pending.reject(failed(`${this.#host} gave no answer: ${why}`, { mayHaveActed: true }));
  }
}

/** The failure of a request that was not sent. */
export function unreachable(address: NodeAddress, why: string): CodedError {
  const node = urlOfAddress(address).slice('https://'.length);
  return failed(`the node at ${node} cannot be reached: ${why}`, { mayHaveActed: false });
}

function failed(sentence: string, failure: ExchangeFailure): CodedError {
  return new CodedError('ServiceUnreachable', sentence, { ...failure });
}

/** Whether a failed exchange may have had an effect all the same. */
export function mayHaveActed(thrown: unknown): boolean {
  return !isCoded(thrown, 'ServiceUnreachable') || thrown.fields.mayHaveActed !== false;
}
