/**
 * One TLS connection of a client: who it is, what it was shown, and where it stands. Requests of a
 * session are executed one at a time and answered in order (http-api.md §9), but for those that
 * their client has tagged, which are executed beside each other; those that arrive meanwhile wait
 * here, and the connection is not read while too many do.
 */
import type { TLSSocket } from 'node:tls';
import { PIPELINED_REQUESTS_MAX, REQUESTS_ABREAST_MAX } from '../base/limits.ts';
import { type ClientCertificate, presentedCertificate } from './client-certificate.ts';
import { ShownTransactions } from './shown-transactions.ts';

/** Bounds on a session's silence, in sweeps of the session table. */
export interface SilenceLimits {
  readonly idle: number;
  readonly headers: number;
  readonly body: number;
  readonly linger: number;
}

/** What a session was too slow with. */
export type Overdue = 'idle' | 'headers' | 'body' | 'linger';

/** What a session needs to know of its requests. */
export interface SessionRequest {
  /** It may be executed, and answered, beside others that may. */
  readonly abreast: boolean;
  whenWritten(action: () => void): void;
}

export class Session<Request extends SessionRequest> {
  readonly socket: TLSSocket;
  /** Opened beyond the soft cap: its first request is told to go away. */
  readonly beyondCap: boolean;
  readonly shown = new ShownTransactions();
  /**
   * Whether its reads go where its writes were forwarded to, so that it reads what it wrote
   * (http-api.md §4): until this node holds what the session was shown, or for good when the
   * outcome of a write is not known.
   */
  readsAtPrimary: 'no' | 'until caught up' | 'for good' = 'no';
  /** What cannot be taken in, or not understood, ends the session behind what came before it. */
  lastWords: Uint8Array | undefined;
  #previous: Request | undefined;
  /** Requests being answered, in the order they came: one, or several that go abreast. */
  readonly #active: Request[] = [];
  readonly #waiting: Request[] = [];
  /** The socket is to stay unread, whatever Node thinks. */
  #unread = false;
  /** An answer that ends the session has been written, or the socket is gone. */
  #ended = false;
  #certificate: ClientCertificate | undefined;
  #certificateRead = false;
  /** While a body is being read: the request it belongs to came in at `#since`. */
  #readingBody = false;
  /** An answer has not left yet, and the active request waits for that. */
  #answerPending = false;
  #requests = 0;
  #sweptRequests = 0;
  #sweptBytes = 0;
  #sweptWritten = 0;
  #partialHeaders = false;
  #since: number;

  constructor(socket: TLSSocket, beyondCap: boolean, sweep: number) {
    this.socket = socket;
    this.beyondCap = beyondCap;
    this.#since = sweep;
    // Node resumes the socket at the end of every request and of every reply.
    socket.on('resume', () => {
      if (this.#unread) socket.pause();
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The request being answered, the oldest if there are several, or the next to be. */
  get active(): Request | undefined {
    return this.#active[0] ?? this.#waiting[0];
  }

  /** How many are being answered. */
  get activeCount(): number {
    return this.#active.length;
  }

  get requestsWaiting(): number {
    return this.#waiting.length;
  }

  /** The client's certificate, if it presented one; parsed at the first question. */
  get certificate(): ClientCertificate | undefined {
    if (!this.#certificateRead) {
      this.#certificateRead = true;
      this.#certificate = presentedCertificate(this.socket);
    }
    return this.#certificate;
  }

  /** Takes in a request, which is executed at once, waits, or finds no room to wait. */
  arrive(request: Request): 'now' | 'waits' | 'no room' {
    this.#requests += 1;
    if (this.#waiting.length === 0 && this.#mayGo(request)) {
      this.#active.push(request);
      return 'now';
    }
    if (this.#waiting.length >= PIPELINED_REQUESTS_MAX) return 'no room';
    this.#waiting.push(request);
    return 'waits';
  }

  #mayGo(request: Request): boolean {
    const [first] = this.#active;
    if (first === undefined) return !this.#answerPending;
    return request.abreast && first.abreast && this.#active.length < REQUESTS_ABREAST_MAX;
  }

  /**
   * Ends an active request. What waits and may now go is given to `start` when this answer has
   * left: a client that reads slowly is executed slowly.
   */
  finish(answered: Request, start: (next: Request) => void): void {
    const at = this.#active.indexOf(answered);
    if (at >= 0) this.#active.splice(at, 1);
    this.#previous = answered;
    const next = this.#waiting[0];
    if (next === undefined || this.#answerPending || !this.#mayGo(next)) return;
    this.#answerPending = true;
    answered.whenWritten(() => {
      this.#answerPending = false;
      this.#startWaiting(start);
    });
  }

  #startWaiting(start: (next: Request) => void): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#ended || !this.#mayGo(next)) return;
      this.#waiting.shift();
      this.#active.push(next);
      start(next);
    }
  }

  /** Reads nothing further: what has come in is answered, then `words`, then the session ends. */
  stopReading(words: Uint8Array): void {
    this.lastWords = words;
    this.#unread = true;
    // Only after the resumption that Node may have scheduled: a socket that is paused before it is
    // read all the same, and cannot be paused again.
    queueMicrotask(() => this.socket.pause());
  }

  /** A body is awaited from `sweep` on; `undefined` once it is there. */
  readBody(sweep: number | undefined): void {
    this.#readingBody = sweep !== undefined;
    if (sweep !== undefined) this.#since = sweep;
  }

  /**
   * No request is executed and nothing but one last answer is written. Returns those that get
   * none any more: what waits, and what is active.
   */
  end(sweep: number): readonly Request[] {
    this.#ended = true;
    this.#since = sweep;
    return [...this.#active.splice(0), ...this.#waiting.splice(0)];
  }

  /** Writes the last bytes of this session, behind all answers that went before. */
  sayLast(bytes: Uint8Array): void {
    this.#whenAnswered(() => this.socket.end(bytes));
  }

  /** Closes the connection once all answers have been written. */
  hangUp(): void {
    this.#whenAnswered(() => this.socket.destroySoon());
  }

  #whenAnswered(action: () => void): void {
    if (this.#previous === undefined) action();
    else this.#previous.whenWritten(action);
  }

  /**
   * Called once a sweep. Node's parser hides the bytes of an unfinished header block; that bytes
   * came in while no request began or is being answered shows that one is under way.
   */
  overdue(sweep: number, limits: SilenceLimits): Overdue | undefined {
    if (this.#ended) return sweep - this.#since >= limits.linger ? 'linger' : undefined;
    if (this.#readingBody) return sweep - this.#since >= limits.body ? 'body' : undefined;
    const bytes = this.socket.bytesRead;
    const executing = this.#active.length > 0;
    // A client that takes a long answer slowly is not idle as long as it takes any of it.
    const taking = this.socket.bytesWritten !== this.#sweptWritten;
    if (executing || taking || this.#requests !== this.#sweptRequests) {
      this.#since = sweep;
      this.#partialHeaders = false;
    } else if (bytes !== this.#sweptBytes && !this.#partialHeaders) {
      this.#since = sweep;
      this.#partialHeaders = true;
    }
    this.#sweptRequests = this.#requests;
    this.#sweptBytes = bytes;
    this.#sweptWritten = this.socket.bytesWritten;
    const limit = this.#partialHeaders ? limits.headers : limits.idle;
    if (sweep - this.#since < limit) return undefined;
    return this.#partialHeaders ? 'headers' : 'idle';
  }
}
