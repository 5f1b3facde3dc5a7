/**
 * One connection on which ordinary requests are read and answered without Node's HTTP objects,
 * which cost more than most requests themselves (measured: 58 µs of this thread for a request
 * over plain TCP, 19 µs so; 97 and 31 over TLS). Answers that are ready together leave together.
 *
 * At the first request that is not ordinary the connection is handed over, with that request's
 * bytes and once all before it are answered, to whoever understands HTTP whole: Node's server.
 */
import type { Socket } from 'node:net';
import { readHead } from './head.ts';
import { type CallConnection, PlainCall } from './plain-call.ts';

export interface PlainConnectionDependencies {
  /** A request whose head has come in. */
  readonly onCall: (call: PlainCall) => void;
  /** The connection is another's from here on; what was not understood is unread again. */
  readonly onUnusual: (socket: Socket) => void;
  /** Has `write` called before long, with whatever else is to be written. */
  readonly flushSoon: (connection: PlainConnection) => void;
}

export interface PlainConnectionOptions {
  /** Requests that may be unanswered; what follows them stays unread. */
  readonly callsMax: number;
  /** Requests without a `host` are not ordinary here. */
  readonly requiresHost: boolean;
}

/** With more than this in the socket's own buffer nothing is added, and no request begun. */
const CONGESTED_BYTES = 64 * 1024;

export class PlainConnection implements CallConnection {
  readonly socket: Socket;
  readonly #options: PlainConnectionOptions;
  readonly #deps: PlainConnectionDependencies;
  /** Bytes of a head that has not come in whole, or that must wait. */
  #held: Buffer | undefined;
  /** Nothing is read until there is room again for requests or for answers. */
  #full = false;
  /** Its body has not come in whole. */
  #reading: PlainCall | undefined;
  /** Requests whose answers leave in their order; the first one's is next. */
  readonly #line: PlainCall[] = [];
  /** All that have no whole answer yet. */
  readonly #open = new Set<PlainCall>();
  /** A part of its answer has left: nothing else may before the rest has. */
  #midAnswer: PlainCall | undefined;
  /** Answers that wait for that, and for nothing else. */
  readonly #behind: PlainCall[] = [];
  #out: (string | Uint8Array)[] = [];
  #outBytes = 0;
  /** What was added to since bytes last went to the socket, or still waits to have gone. */
  #written: PlainCall[] = [];
  #flushing = false;
  #state: 'plain' | 'leaving' | 'deaf' | 'left' = 'plain';
  #endsAfterFlush = false;

  constructor(
    socket: Socket,
    options: PlainConnectionOptions,
    dependencies: PlainConnectionDependencies,
  ) {
    this.socket = socket;
    this.#options = options;
    this.#deps = dependencies;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onClose);
    // What broke shows by the close that follows.
    socket.on('error', ignore);
  }

  /** No request is under way. */
  get idle(): boolean {
    return this.#open.size === 0;
  }

  /** A request has come in only in part. */
  get partial(): 'head' | 'body' | undefined {
    if (this.#full) return undefined;
    if (this.#held !== undefined) return 'head';
    return this.#reading === undefined ? undefined : 'body';
  }

  get congested(): boolean {
    return this.#outBytes + this.socket.writableLength > CONGESTED_BYTES;
  }

  /** From now on nothing that comes in is looked at. */
  stopListening(): void {
    this.#held = undefined;
    this.#state = 'deaf';
  }

  readonly #onData = (chunk: Buffer): void => {
    switch (this.#state) {
      case 'plain':
        if (!this.#full) {
          this.#take(chunk);
          return;
        }
        this.#held = joined(this.#held, chunk);
        return;
      case 'leaving':
        this.#held = joined(this.#held, chunk);
    }
  };

  #take(chunk: Buffer): void {
    const bytes = joined(this.#held, chunk);
    this.#held = undefined;
    let at = 0;
    const reading = this.#reading;
    if (reading !== undefined) {
      at = reading.take(bytes, 0);
      if (reading.complete) this.#reading = undefined;
    }
    while (at < bytes.length && this.#state === 'plain') {
      if (this.#open.size >= this.#options.callsMax || this.congested) {
        this.#held = bytes.subarray(at);
        this.#full = true;
        this.socket.pause();
        return;
      }
      const head = readHead(bytes, at);
      if (head === 'partial') {
        this.#held = bytes.subarray(at);
        return;
      }
      if (head === 'unusual' || (this.#options.requiresHost && !head.namesHost)) {
        this.#leave(bytes.subarray(at));
        return;
      }
      const call = new PlainCall(this, head);
      at = call.take(bytes, head.end);
      if (!call.complete) this.#reading = call;
      this.#line.push(call);
      this.#open.add(call);
      this.#deps.onCall(call);
    }
  }

  /** Reads on, if there is room again. */
  #readOn(): void {
    if (!this.#full || this.#open.size >= this.#options.callsMax || this.congested) return;
    this.#full = false;
    if (this.#state === 'plain') this.#take(NOTHING);
    if (!this.#full && this.#state !== 'leaving') this.socket.resume();
  }

  letPass(call: PlainCall): void {
    const at = this.#line.lastIndexOf(call);
    if (at >= 0) this.#line.splice(at, 1);
  }

  answered(call: PlainCall): void {
    if (this.socket.destroyed || this.#endsAfterFlush) return;
    if (this.#midAnswer !== undefined && this.#midAnswer !== call) {
      if (call.abreast && !this.#behind.includes(call)) this.#behind.push(call);
      return;
    }
    if (call.abreast) this.#handOver(call);
    this.#serveLine();
    while (this.#midAnswer === undefined) {
      const next = this.#behind.shift();
      if (next === undefined) break;
      this.#handOver(next);
    }
    this.#flushLater();
  }

  #serveLine(): void {
    for (let first = this.#line[0]; first !== undefined; first = this.#line[0]) {
      if (this.#midAnswer !== undefined && this.#midAnswer !== first) return;
      this.#handOver(first);
      if (!first.ended) return;
      this.#line.shift();
    }
  }

  #handOver(call: PlainCall): void {
    if (this.#endsAfterFlush) return;
    const pieces = call.handOver();
    if (pieces.length === 0 && !call.ended) return;
    for (const piece of pieces) {
      this.#out.push(piece);
      this.#outBytes += piece.length;
    }
    if (this.#written.at(-1) !== call) this.#written.push(call);
    this.#midAnswer = call.ended ? undefined : call;
    if (!call.ended) return;
    this.#open.delete(call);
    if (call.last) this.#endsAfterFlush = true;
  }

  #flushLater(): void {
    if (this.#flushing) return;
    if (this.#out.length === 0) {
      // The end of a long answer may add nothing to it.
      if (!this.congested) this.#noteWritten();
      return;
    }
    this.#flushing = true;
    this.#deps.flushSoon(this);
  }

  /** Writes what is ready, in one piece: one TLS record, one packet, one waking of the client. */
  write(): void {
    this.#flushing = false;
    const { socket } = this;
    if (!socket.writable || this.#out.length === 0) return;
    const bytes = inOnePiece(this.#out, this.#outBytes);
    this.#out = [];
    this.#outBytes = 0;
    socket.write(bytes, this.#onTaken);
    if (this.#endsAfterFlush) socket.end();
    if (!this.congested) this.#noteWritten();
    if (this.#state === 'leaving') this.#leaveIfIdle();
    this.#readOn();
  }

  readonly #onTaken = (): void => {
    if (!this.congested) this.#noteWritten();
    this.#readOn();
  };

  #noteWritten(): void {
    if (this.#written.length === 0 || this.#out.length > 0) return;
    const calls = this.#written;
    this.#written = [];
    for (const call of calls) {
      if (call.ended) call.noteWritten();
      else call.noteRoom();
    }
  }

  #leave(rest: Buffer): void {
    this.#state = 'leaving';
    this.#held = rest;
    this.socket.pause();
    this.#leaveIfIdle();
  }

  #leaveIfIdle(): void {
    if (this.#open.size > 0 || this.#out.length > 0 || this.socket.destroyed) return;
    const { socket } = this;
    const rest = this.#held;
    this.#held = undefined;
    this.#state = 'left';
    socket.off('data', this.#onData).off('end', this.#onEnd).off('error', ignore);
    if (rest !== undefined) socket.unshift(rest);
    this.#deps.onUnusual(socket);
    socket.resume();
  }

  /** As Node's server does: who says no more is not waiting either. */
  readonly #onEnd = (): void => {
    this.socket.end();
  };

  readonly #onClose = (): void => {
    const open = [...this.#open];
    this.#open.clear();
    this.#line.length = 0;
    this.#out = [];
    this.#written = [];
    this.#behind.length = 0;
    for (const call of open) call.break();
  };
}

const NOTHING: Buffer = Buffer.alloc(0);

function joined(held: Buffer | undefined, chunk: Buffer): Buffer {
  return held === undefined ? chunk : Buffer.concat([held, chunk]);
}

function ignore(): void {
  // A listener must be there: an error that nobody listens to would end the process.
}

/** Heads are Latin-1 in memory as on the wire. */
function inOnePiece(pieces: readonly (string | Uint8Array)[], length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const piece of pieces) {
    if (typeof piece === 'string') bytes.write(piece, at, 'latin1');
    else bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
