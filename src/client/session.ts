/**
 * One TLS session with a node: mutual, pinned to the service's certificate. A node that gives back
 * the tag of a request is asked many things at once, in one write for all of a turn, and its
 * answers are told apart by their tags; any other is asked one thing at a time.
 */
import { isIP } from 'node:net';
import { connect, type SecureContext, type TLSSocket } from 'node:tls';
import type { Timers } from '../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { REQUESTS_ABREAST_MAX } from '../base/limits.ts';
import { TAG_HEADER } from '../base/own-headers.ts';
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
  /** It goes beside others. */
  readonly light: boolean;
  readonly sentMs: number;
  readonly deadlineMs: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: CodedError) => void;
}

/** Why an exchange failed, and whether the node may have acted on the request. */
export interface ExchangeFailure {
  readonly mayHaveActed: boolean;
}

/** Tags go round; a request that old is long answered, or its session ended. */
const TAGS = 1_000_000_000;
/** A larger body would keep others waiting, and is one that a node reads by another parser. */
const LIGHT_BODY_BYTES_MAX = 48 * 1024;
/** Requests that were given up in one session, before it is too. */
const FORGOTTEN_MAX = 16;

/** Whether a request may go beside others; a HEAD's answer states a length it does not have. */
export function isLight({ method, body }: WireRequest): boolean {
  return method !== 'HEAD' && body.length <= LIGHT_BODY_BYTES_MAX;
}

export class Session {
  readonly #socket: TLSSocket;
  readonly #host: string;
  readonly #timers: Timers;
  readonly #reader = new AnswerReader();
  /** By their tags, in the order they were sent. */
  readonly #pending = new Map<string, Pending>();
  /** Tags of requests that nobody waits for any more; their answers may come yet. */
  readonly #forgotten = new Set<string>();
  #lastTag = 0;
  /** The node has given a tag back. */
  #knowsTags = false;
  #heardMs: number;
  #out: (string | Buffer)[] = [];
  #writing = false;
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
    this.#heardMs = this.idleSinceMs;
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

  /** Whether a part of an answer has come, and not yet all of it. */
  get hearing(): boolean {
    return this.#reader.started;
  }

  /** Nothing is asked. */
  get idle(): boolean {
    return this.#pending.size === 0 && this.#forgotten.size === 0;
  }

  /** Whether many things may be asked at once. */
  get takesMany(): boolean {
    return this.#knowsTags;
  }

  /** Whether a request may be sent now. */
  hasRoomFor(light: boolean): boolean {
    if (this.#closed) return false;
    if (this.idle) return true;
    if (!light || !this.#knowsTags) return false;
    const [first] = this.#pending.values();
    return (
      first?.light !== false && this.#pending.size + this.#forgotten.size < REQUESTS_ABREAST_MAX
    );
  }

  /**
   * Gives up what should have been answered by now; the session too, if nothing was heard since, or
   * if an answer that comes late could not be told from another.
   */
  endOverdue(nowMs: number): void {
    for (const [tag, { light, deadlineMs, sentMs, reject }] of this.#pending) {
      if (deadlineMs > nowMs) continue;
      const full = this.#forgotten.size >= FORGOTTEN_MAX;
      if (full || !light || !this.#knowsTags || this.#heardMs < sentMs) {
        this.#end('no answer in time');
        return;
      }
      this.#pending.delete(tag);
      this.#forgotten.add(tag);
      reject(failed(`${this.#host} gave no answer in time`, { mayHaveActed: true }));
    }
  }

  /** Sends a request and waits for its answer. The session must have room for it. */
  exchange(request: WireRequest, deadlineMs: number): Promise<Answer> {
    if (this.#closed) {
      return Promise.reject(failed(`${this.#host} is gone`, { mayHaveActed: false }));
    }
    return new Promise((resolve, reject) => {
      const { method, target, headerLines, body } = request;
      this.#lastTag = (this.#lastTag + 1) % TAGS;
      const tag = String(this.#lastTag);
      this.#pending.set(tag, {
        bodiless: method === 'HEAD',
        light: isLight(request),
        sentMs: this.#timers.elapsedMs(),
        ...{ deadlineMs, resolve, reject },
      });
      const length =
        body.length > 0 || method !== 'GET' ? `content-length: ${body.length}\r\n` : '';
      const own = `host: ${this.#host}\r\n${TAG_HEADER}: ${tag}\r\n`;
      this.#out.push(`${method} ${target} HTTP/1.1\r\n${own}${headerLines}${length}\r\n`);
      if (body.length > 0) this.#out.push(body);
      if (this.#knowsTags) this.#writeLater();
      else this.#write();
    });
  }

  /** What is asked in one turn of the event loop leaves together. */
  #writeLater(): void {
    if (this.#writing) return;
    this.#writing = true;
    this.#timers.soon(() => this.#write());
  }

  #write(): void {
    this.#writing = false;
    const out = this.#out;
    if (this.#closed || out.length === 0) return;
    this.#out = [];
    let length = 0;
    for (const piece of out) length += piece.length;
    const bytes = Buffer.allocUnsafe(length);
    let at = 0;
    for (const piece of out) {
      if (typeof piece === 'string') bytes.write(piece, at, 'latin1');
      else piece.copy(bytes, at);
      at += piece.length;
    }
    this.#socket.write(bytes);
  }

  /** Ends the session; an exchange under way fails. */
  close(why = 'the session was closed'): void {
    this.#end(why);
  }

  #take(chunk: Buffer): void {
    this.#heardMs = this.#timers.elapsedMs();
    try {
      let answer = this.#reader.take(chunk, this.#isBodiless());
      while (answer !== undefined) {
        this.#give(answer);
        if (this.#closed) return;
        answer = this.#reader.next(this.#isBodiless());
      }
    } catch (thrown) {
      this.#end(messageOf(thrown));
    }
    if (this.#reader.started && this.idle) this.#end('the node spoke without being asked');
  }

  /** A request whose answer has no body goes alone. */
  #isBodiless(): boolean {
    const [first] = this.#pending.values();
    return first?.bodiless === true;
  }

  #give(answer: Answer): void {
    const tag = answer.tag ?? this.#onlyTag();
    const pending = tag === undefined ? undefined : this.#pending.get(tag);
    if (answer.tag !== undefined) this.#knowsTags = true;
    if (tag === undefined || (pending === undefined && !this.#forgotten.delete(tag))) {
      this.#end('the node gave an answer that nobody asked for');
      return;
    }
    this.#pending.delete(tag);
    if (this.idle) this.idleSinceMs = this.#heardMs;
    if (answer.closes) this.#end('the node ended the session');
    pending?.resolve(answer);
  }

  /** Whose an answer without a tag is: there must be no choice. */
  #onlyTag(): string | undefined {
    if (this.#pending.size !== 1 || this.#forgotten.size > 0) return undefined;
    const [tag] = this.#pending.keys();
    return tag;
  }

  #end(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    this.#out = [];
    this.onClose?.();
    const error = failed(`${this.#host} gave no answer: ${why}`, { mayHaveActed: true });
    for (const { reject } of pending) reject(error);
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
