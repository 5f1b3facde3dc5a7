/**
 * Reads HTTP/1.1 answers as far as a load generator must: status, length, end (RFC 9112 §6). What
 * follows an answer is given back: it is the next one's, if one was asked for.
 */

const HEAD_END = Buffer.from('\r\n\r\n');
const STATUS_AT = 'HTTP/1.1 '.length;
const LINE_FEED = 0x0a;
const NO_BYTES: Buffer = Buffer.alloc(0);
/** From this status on an answer says why it is none. */
const REFUSAL = 400;
export const BYTES_FOLLOW = 'bytes follow the end of an answer';

export class AnswerReader {
  readonly #keepsBodies: boolean;
  /** Whether the body of this answer is kept. */
  #keepsThis = false;
  #status = 0;
  /** Bytes of an unfinished head, or of an unfinished body in chunks. */
  #held: Buffer = NO_BYTES;
  #state: 'head' | 'length' | 'chunks' = 'head';
  #missing = 0;
  #chunkAt = 0;
  #body: Buffer[] = [];

  /** Bodies are kept only on request, but for refusals: it costs, and measuring needs none. */
  constructor(keepsBodies: boolean) {
    this.#keepsBodies = keepsBodies;
  }

  /** Status of the last answer. */
  get status(): number {
    return this.#status;
  }

  /** Body of the last answer, if bodies are kept. */
  get body(): Buffer {
    return Buffer.concat(this.#body);
  }

  /** As `take`, where one answer at a time is on its way: bytes behind its end are an error. */
  push(bytes: Buffer): boolean {
    const rest = this.take(bytes);
    if (rest === undefined) return false;
    if (rest.length > 0) throw new Error(BYTES_FOLLOW);
    return true;
  }

  /** Takes what the socket brought; when the answer is complete, gives back what follows it. */
  take(bytes: Buffer): Buffer | undefined {
    if (this.#state === 'length') return this.#takeBody(bytes);
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    if (this.#state === 'chunks') return this.#takeChunks(all);
    const headEnd = all.indexOf(HEAD_END);
    if (headEnd === -1) {
      this.#held = all;
      return undefined;
    }
    this.#held = NO_BYTES;
    this.#body = [];
    this.#status = statusOf(all);
    this.#keepsThis = this.#keepsBodies || this.#status >= REFUSAL;
    const rest = all.subarray(headEnd + HEAD_END.length);
    const length = lengthOf(all, headEnd, this.#status);
    if (length === 'chunked') {
      this.#state = 'chunks';
      this.#chunkAt = 0;
      return this.#takeChunks(rest);
    }
    this.#state = 'length';
    this.#missing = length;
    return this.#takeBody(rest);
  }

  #takeBody(bytes: Buffer): Buffer | undefined {
    const taken = Math.min(bytes.length, this.#missing);
    this.#missing -= taken;
    if (this.#keepsThis) this.#body.push(bytes.subarray(0, taken));
    if (this.#missing > 0) return undefined;
    this.#state = 'head';
    return restOf(bytes, taken);
  }

  #takeChunks(all: Buffer): Buffer | undefined {
    this.#held = all;
    for (;;) {
      const lineEnd = all.indexOf(LINE_FEED, this.#chunkAt);
      if (lineEnd === -1) return undefined;
      const size = Number.parseInt(all.toString('latin1', this.#chunkAt, lineEnd), 16);
      if (!Number.isInteger(size))
        throw new Error('an answer in chunks has a line without size');
      const next = lineEnd + 1 + size + 2;
      if (next > all.length) return undefined;
      if (this.#keepsThis) this.#body.push(all.subarray(lineEnd + 1, lineEnd + 1 + size));
      this.#chunkAt = next;
      if (size > 0) continue;
      this.#held = NO_BYTES;
      this.#state = 'head';
      return restOf(all, next);
    }
  }
}

/** Mostly nothing follows, which needs no view of its own. */
function restOf(bytes: Buffer, end: number): Buffer {
  return end === bytes.length ? NO_BYTES : bytes.subarray(end);
}

function statusOf(head: Buffer): number {
  const status = Number.parseInt(head.toString('latin1', STATUS_AT, STATUS_AT + 3), 10);
  if (!Number.isInteger(status)) {
    throw new Error(`not an HTTP answer: ${JSON.stringify(head.toString('latin1', 0, 40))}`);
  }
  return status;
}

/** The two headers that matter, found by the length and first letter of their lines. */
function lengthOf(head: Buffer, headEnd: number, status: number): number | 'chunked' {
  for (let line = head.indexOf(LINE_FEED) + 1; line > 0 && line < headEnd; ) {
    const first = (head[line] ?? 0) | 0x20;
    if (first === 0x63 || first === 0x74) {
      const end = head.indexOf('\r', line, 'latin1');
      const text = head.toString('latin1', line, end).toLowerCase();
      if (text.startsWith('content-length:')) return Number(text.slice(15));
      if (text.startsWith('transfer-encoding:')) return 'chunked';
    }
    line = head.indexOf(LINE_FEED, line) + 1;
  }
  if (status === 204 || status === 304) return 0;
  throw new Error(`an answer with status ${status} states no length`);
}
