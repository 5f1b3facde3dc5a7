/**
 * Reads the head of an ordinary HTTP/1.1 request (RFC 9112 §2–§6): what well-behaved clients send
 * all day, in a narrower grammar than the standard's. Everything else is called unusual and left to
 * Node's parser, so that nothing can be read in two ways: what is read here, Node reads alike.
 */

export interface Head {
  readonly method: string;
  /** Path and query, not decoded. */
  readonly target: string;
  /** Name, value, name, value, as they came. */
  readonly rawHeaders: readonly string[];
  /** Bytes of the body that follows. */
  readonly bodyBytes: number;
  /** Whether a `host` is among the headers. */
  readonly namesHost: boolean;
  /** Where the body begins. */
  readonly end: number;
}

/** `partial`: what is there may become an ordinary head when more arrives. */
export type HeadRead = Head | 'partial' | 'unusual';

/** An ordinary request's bounds; a larger one is no less right, but Node's. */
const HEAD_BYTES_MAX = 8 * 1024;
export const PLAIN_BODY_BYTES_MAX = 64 * 1024;

const BLANK_LINE = Buffer.from('\r\n\r\n');
const REQUEST_LINE = /^(GET|HEAD|POST|PUT|DELETE) (\/[!-~]*) HTTP\/1\.1$/;
/** The beginning of one, as far as it has come. */
const PART_OF_REQUEST_LINE = /^[A-Z]{1,7}(?: (?:\/[!-~]*(?: [HTP/1.]*\r?)?)?)?$/;
/** What no ordinary head has: other than visible ASCII, or only half of a line break. */
const STRANGE = /[^\t\r\n -~]|\r[^\n]|[^\r]\n/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LENGTH = /^\d{1,9}$/;
const SPACE = 0x20;
const TAB = 0x09;

/** Reads the head that begins at `from`. */
export function readHead(bytes: Buffer, from: number): HeadRead {
  const end = bytes.indexOf(BLANK_LINE, from);
  if (end < 0) {
    return bytes.length - from > HEAD_BYTES_MAX ? 'unusual' : partOf(bytes, from);
  }
  if (end - from > HEAD_BYTES_MAX) return 'unusual';
  const text = bytes.toString('latin1', from, end);
  if (STRANGE.test(text)) return 'unusual';
  const lineEnd = text.indexOf('\r\n');
  const line = REQUEST_LINE.exec(lineEnd < 0 ? text : text.slice(0, lineEnd));
  const [, method, target] = line ?? [];
  if (method === undefined || target === undefined) return 'unusual';
  const rawHeaders: string[] = [];
  let bodyBytes: number | undefined;
  let namesHost = false;
  for (let at = lineEnd < 0 ? text.length : lineEnd + 2; at < text.length; ) {
    const next = text.indexOf('\r\n', at);
    const stop = next < 0 ? text.length : next;
    const colon = text.indexOf(':', at);
    if (colon < 0 || colon > stop) return 'unusual';
    const name = text.slice(at, colon);
    if (!TOKEN.test(name)) return 'unusual';
    const value = trimmed(text, colon + 1, stop);
    switch (meaningOf(name, value)) {
      case 'unusual':
        return 'unusual';
      case 'length':
        if (bodyBytes !== undefined || !LENGTH.test(value)) return 'unusual';
        bodyBytes = Number(value);
        break;
      case 'host':
        // Of two hosts, each reader might believe another.
        if (namesHost) return 'unusual';
        namesHost = true;
    }
    rawHeaders.push(name, value);
    at = stop + 2;
  }
  bodyBytes ??= 0;
  if (bodyBytes > PLAIN_BODY_BYTES_MAX) return 'unusual';
  return {
    ...{ method, target, rawHeaders, bodyBytes, namesHost },
    end: end + BLANK_LINE.length,
  };
}

function partOf(bytes: Buffer, from: number): 'partial' | 'unusual' {
  const text = bytes.toString('latin1', from);
  const whole = text.endsWith('\r') ? text.slice(0, -1) : text;
  const lineEnd = text.indexOf('\r\n');
  if (lineEnd < 0) return PART_OF_REQUEST_LINE.test(text) ? 'partial' : 'unusual';
  const isGood = REQUEST_LINE.test(text.slice(0, lineEnd)) && !STRANGE.test(whole);
  return isGood ? 'partial' : 'unusual';
}

/** Without the white space around it (RFC 9112 §5). */
function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** Headers that say where a request ends, or that change the connection. Known by length first. */
function meaningOf(name: string, value: string): 'unusual' | 'length' | 'host' | 'other' {
  switch (name.length) {
    case 4:
      return name.toLowerCase() === 'host' ? 'host' : 'other';
    case 6:
      return name.toLowerCase() === 'expect' ? 'unusual' : 'other';
    case 7:
      return /^(?:upgrade|trailer)$/i.test(name) ? 'unusual' : 'other';
    case 10:
      if (name.toLowerCase() !== 'connection') return 'other';
      return value.toLowerCase() === 'keep-alive' ? 'other' : 'unusual';
    case 14:
      return name.toLowerCase() === 'content-length' ? 'length' : 'other';
    case 16:
      return name.toLowerCase() === 'proxy-connection' ? 'unusual' : 'other';
    case 17:
      return name.toLowerCase() === 'transfer-encoding' ? 'unusual' : 'other';
    default:
      return 'other';
  }
}
