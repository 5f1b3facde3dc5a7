/**
 * Status line and headers of an answer as HTTP/1.1 writes them (RFC 9112 §4).
 */
import { STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http';
import type { HeadOptions } from './call.ts';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What no header can hold: line breaks and other control characters, and what is not Latin-1. */
const UNSPEAKABLE = /[^\t -~\u0080-\u00ff]/;

const statusLines = new Map<number, string>();

/** Throws for what HTTP cannot carry: a header must not become two. */
export function answerHead(
  status: number,
  headers: readonly string[],
  { last, dated }: HeadOptions,
): string {
  let head = statusLineOf(status);
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    if (!TOKEN.test(name) || UNSPEAKABLE.test(value)) {
      // Node's own words, for whoever knows them.
      validateHeaderName(name);
      validateHeaderValue(name, value);
      throw new TypeError(`HTTP cannot carry the header ${JSON.stringify(name)} as it is`);
    }
    head += `${name}: ${value}\r\n`;
  }
  if (dated) head += dateLine();
  return last ? `${head}connection: close\r\n\r\n` : `${head}\r\n`;
}

function statusLineOf(status: number): string {
  const known = statusLines.get(status);
  if (known !== undefined) return known;
  const line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`;
  statusLines.set(status, line);
  return line;
}

let datedSecond = -1;
let datedLine = '';

/** Made once a second, as its precision is. */
function dateLine(): string {
  const nowMs = Date.now();
  const second = Math.floor(nowMs / 1000);
  if (second !== datedSecond) {
    datedSecond = second;
    datedLine = `Date: ${new Date(nowMs).toUTCString()}\r\n`;
  }
  return datedLine;
}
