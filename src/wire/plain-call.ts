/**
 * A request that was ordinary enough to be read here, and its answer as bytes.
 */
import type { Socket } from 'node:net';
import { answerHead } from './answer-head.ts';
import type { Call, HeadOptions } from './call.ts';
import type { Head } from './head.ts';

/** What a call needs of the connection it came by. */
export interface CallConnection {
  readonly socket: Socket;
  /** The call has its whole answer, or, for a long one, a part of it. */
  answered(call: PlainCall): void;
  /** Takes a call out of the order of answers. */
  letPass(call: PlainCall): void;
  /** Whether so much has not been taken by the kernel that nothing should be added. */
  readonly congested: boolean;
}

const NOTHING: Uint8Array = new Uint8Array(0);

export class PlainCall implements Call {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly #connection: CallConnection;
  #body: Buffer[] = [];
  #missing: number;
  readonly #bodyBytes: number;
  #onBody: ((body: Uint8Array | undefined) => void) | undefined;
  #onBroken: (() => void) | undefined;
  #dropped = false;
  #head = '';
  #pieces: (string | Uint8Array)[] = [];
  #last = false;
  #abreast = false;
  #ended = false;
  #written = false;
  #actions: (() => void)[] = [];
  #onRoom: (() => void) | undefined;

  constructor(connection: CallConnection, head: Head) {
    this.#connection = connection;
    this.method = head.method;
    this.target = head.target;
    this.rawHeaders = head.rawHeaders;
    this.#missing = head.bodyBytes;
    this.#bodyBytes = head.bodyBytes;
  }

  get socket(): Socket {
    return this.#connection.socket;
  }

  get complete(): boolean {
    return this.#missing === 0;
  }

  get gone(): boolean {
    return this.#connection.socket.destroyed;
  }

  /** The whole answer is there. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Its answer need not wait for those of the requests before it. */
  get abreast(): boolean {
    return this.#abreast;
  }

  /** The connection ends with this answer. */
  get last(): boolean {
    return this.#last;
  }

  /** Takes of `bytes`, from `at`, what belongs to the body; gives back where it ends. */
  take(bytes: Buffer, at: number): number {
    const end = Math.min(bytes.length, at + this.#missing);
    if (end === at) return at;
    if (!this.#dropped) this.#body.push(bytes.subarray(at, end));
    this.#missing -= end - at;
    if (this.#missing === 0) this.#tellBody();
    return end;
  }

  /** The connection is gone. */
  break(): void {
    this.#body = [];
    this.#pieces = [];
    this.noteRoom();
    if (this.#missing > 0) this.#onBroken?.();
  }

  /** More of a long answer may be written. */
  noteRoom(): void {
    const tell = this.#onRoom;
    this.#onRoom = undefined;
    tell?.();
  }

  readBody(
    bytesMax: number,
    done: (body: Uint8Array | undefined) => void,
    broken?: () => void,
  ): void {
    if (this.#bodyBytes > bytesMax) {
      this.drop();
      done(undefined);
      return;
    }
    this.#onBody = done;
    this.#onBroken = broken;
    if (this.#missing === 0) this.#tellBody();
  }

  #tellBody(): void {
    const done = this.#onBody;
    if (done === undefined) return;
    this.#onBody = undefined;
    const chunks = this.#body;
    this.#body = [];
    done(chunks.length === 1 ? (chunks[0] ?? NOTHING) : Buffer.concat(chunks));
  }

  letPass(): void {
    this.#abreast = true;
    this.#connection.letPass(this);
  }

  drop(): void {
    this.#dropped = true;
    this.#body = [];
    this.#onBody = undefined;
  }

  whenReceived(action: () => void): void {
    this.drop();
    this.#onBroken = action;
    this.#onBody = action;
    if (this.#missing === 0) this.#tellBody();
  }

  head(status: number, headers: readonly string[], options: HeadOptions): void {
    this.#head = answerHead(status, headers, options);
    this.#last = options.last;
  }

  end(body?: Uint8Array | string): void {
    this.#begin();
    if (body !== undefined && body.length > 0 && this.method !== 'HEAD') {
      this.#pieces.push(typeof body === 'string' ? Buffer.from(body, 'utf8') : body);
    }
    this.#ended = true;
    this.#connection.answered(this);
  }

  write(piece: Uint8Array): boolean {
    this.#begin();
    this.#pieces.push(piece);
    this.#connection.answered(this);
    return this.#pieces.length === 0 && !this.#connection.congested;
  }

  #begin(): void {
    if (this.#head.length > 0) this.#pieces.push(this.#head);
    this.#head = '';
  }

  /** Hands over what there is of the answer; what comes later can be asked for again. */
  handOver(): readonly (string | Uint8Array)[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  drained(): Promise<void> {
    if (this.gone) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onRoom = resolve;
    });
  }

  abort(): void {
    this.socket.destroy();
  }

  whenWritten(action: () => void): void {
    if (this.#written) action();
    else this.#actions.push(action);
  }

  /** Its bytes have been handed to the socket. */
  noteWritten(): void {
    this.#written = true;
    const actions = this.#actions;
    this.#actions = [];
    for (const action of actions) action();
  }
}
