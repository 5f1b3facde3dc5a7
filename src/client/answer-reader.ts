/**
 * Reads the answers of a node from a connection, one after the other (RFC 9112). A node states the
 * length of every answer, so a body is the bytes that follow its head; anything else is refused.
 */
import { CodedError } from '../base/errors.ts';
import { TAG_HEADER } from '../base/own-headers.ts';

/** Bytes of an answer's status line and headers. */
const HEAD_BYTES_MAX = 64 * 1024;
/** Bytes of an answer's body: a received payload in base64, or a ledger chunk. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;

export interface Answer {
  readonly status: number;
  /** Name, value, name, value, as they came. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** The node closes the connection after this answer. */
  readonly closes: boolean;
  /** What the request was tagged with. */
  readonly tag?: string | undefined;
}

interface Head extends Omit<Answer, 'body'> {
  readonly bodyBytes: number;
}

const NOTHING = Buffer.alloc(0);
const BLANK_LINE = Buffer.from('\r\n\r\n');

export class AnswerReader {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #head: Head | undefined;
  /** Whether anything of an answer has arrived. */
  started = false;

  /**
   * Takes bytes in; gives the answer back once it is complete. `bodiless`: the answer to a HEAD.
   */
  take(chunk: Buffer, bodiless: boolean): Answer | undefined {
    this.started = true;
    if (chunk.length > 0) this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#head === undefined && !this.#readHead(bodiless)) return undefined;
    const head = this.#head;
    if (head === undefined || this.#bytes < head.bodyBytes) return undefined;
    const bytes = this.#joined();
    this.#chunks = bytes.length > head.bodyBytes ? [bytes.subarray(head.bodyBytes)] : [];
    this.#bytes -= head.bodyBytes;
    this.#head = undefined;
    this.started = this.#bytes > 0;
    const { status, headers, closes, tag } = head;
    return { status, headers, closes, tag, body: bytes.subarray(0, head.bodyBytes) };
  }

  /** Another answer, if the bytes that came with the last one hold it. */
  next(bodiless: boolean): Answer | undefined {
    return this.#bytes === 0 ? undefined : this.take(NOTHING, bodiless);
  }

  #readHead(bodiless: boolean): boolean {
    for (;;) {
      const bytes = this.#joined();
      const end = bytes.indexOf(BLANK_LINE);
      if (end < 0) {
        if (bytes.length > HEAD_BYTES_MAX)
          throw bad(`has a head of over ${HEAD_BYTES_MAX} bytes`);
        return false;
      }
      const head = headOf(bytes.toString('latin1', 0, end), bodiless);
      const rest = bytes.subarray(end + BLANK_LINE.length);
      this.#chunks = [rest];
      this.#bytes = rest.length;
      // An interim answer (1xx) is followed by the one that counts.
      if (head.status < 200) continue;
      this.#head = head;
      return true;
    }
  }

  #joined(): Buffer {
    const [first] = this.#chunks;
    if (first === undefined) return NOTHING;
    if (this.#chunks.length === 1) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}

function headOf(text: string, bodiless: boolean): Head {
  const lines = text.split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(lines[0] ?? '')?.[1];
  if (status === undefined) throw bad(`begins with "${(lines[0] ?? '').slice(0, 60)}"`);
  const headers: string[] = [];
  let bodyBytes: number | undefined;
  let closes = false;
  let tag: string | undefined;
  for (let at = 1; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const colon = line.indexOf(':');
    if (colon <= 0) throw bad(`has the header line "${line.slice(0, 60)}"`);
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).trim();
    headers.push(name, value);
    switch (name.toLowerCase()) {
      case 'content-length':
        bodyBytes = lengthOf(value);
        break;
      case 'connection':
        closes = value.toLowerCase() === 'close';
        break;
      case TAG_HEADER:
        tag = value;
        break;
      case 'transfer-encoding':
        throw bad(`is encoded as ${value}`);
    }
  }
  const code = Number(status);
  const none = bodiless || code < 200 || code === 204 || code === 304;
  if (!none && bodyBytes === undefined) throw bad('does not state its length');
  return { status: code, headers, bodyBytes: none ? 0 : (bodyBytes ?? 0), closes, tag };
}

function lengthOf(value: string): number {
  const length = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (!(length <= BODY_BYTES_MAX)) throw bad(`states a length of ${value} bytes`);
  return length;
}

function bad(what: string): CodedError {
  return new CodedError('BadAnswer', `the answer of the node ${what}`);
}
