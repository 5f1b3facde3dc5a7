/**
 * Request headers, read from the raw list: name, value, name, value, in wire order.
 *
 * One pass per request finds all that the front door itself needs. Headers by which a proxy would
 * vouch for a caller are not shown to anyone: who asks is decided by TLS, or by a token
 * that its issuer signed (design decision 6).
 */
import { IDENTITY_HEADERS } from '../base/identity-headers.ts';
import { REQUEST_HEADER_BYTES_MAX, REQUEST_HEADERS_COUNT_MAX } from '../base/limits.ts';
import { TAG_HEADER } from '../base/own-headers.ts';
import type { ForwardedHeader } from './backend.ts';

/** Headers of ours that a client may send; all others of our prefix are dropped. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'x-concordat-wait',
  'x-concordat-min-txid',
  'x-concordat-read',
  'x-concordat-request-id',
]);

const IDENTITY: ReadonlySet<string> = new Set(IDENTITY_HEADERS);

const OWN_PREFIX = 'x-concordat-';

/** Headers about a request's connection (RFC 9110 §7.6.1) and the extent of its body. */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What the front door needs to know of a request's headers. */
export interface HeaderScan {
  /** Set when a bound is broken: the sentence for the 431. */
  readonly tooLarge: string | undefined;
  readonly contentLength: number;
  readonly chunked: boolean;
  /** Whether any header of ours is there: most requests have none. */
  readonly own: boolean;
  /** What the client tells the answer by, if it is a whole number of at most nine digits. */
  readonly tag: string | undefined;
}

/** One pass over the raw header list. */
export function scanHeaders(raw: readonly string[]): HeaderScan {
  let tooLarge: string | undefined;
  let contentLength = 0;
  let chunked = false;
  let own = false;
  let tag: string | undefined;
  let total = 0;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    total += name.length + value.length + 4;
    if (value.length > REQUEST_HEADER_BYTES_MAX) {
      tooLarge = `Header value for '${name.toLowerCase()}' is too large ${SIZE_ALLOWED}`;
    }
    switch (name.length) {
      case 14:
        if (name.toLowerCase() === 'content-length') contentLength = Number(value);
        break;
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') chunked = true;
        break;
      default:
        if (name.length > OWN_PREFIX.length && name.charCodeAt(1) === DASH) {
          const known = name.toLowerCase();
          if (known === TAG_HEADER && TAG.test(value)) tag = value;
          else own ||= known.startsWith(OWN_PREFIX);
        }
    }
  }
  // The header that broke the bound by itself is the better thing to name.
  if (tooLarge === undefined && total > REQUEST_HEADER_BYTES_MAX) {
    tooLarge = `HTTP request headers are too large ${SIZE_ALLOWED}`;
  }
  if (raw.length / 2 > REQUEST_HEADERS_COUNT_MAX) {
    tooLarge = `Too many headers (max number allowed: ${REQUEST_HEADERS_COUNT_MAX})`;
  }
  return { tooLarge, contentLength, chunked, own, tag };
}

const TAG = /^\d{1,9}$/;
const DASH = '-'.charCodeAt(0);
const SIZE_ALLOWED = `(max size allowed: ${REQUEST_HEADER_BYTES_MAX})`;

/** First value of a header that may be shown; `name` is lowercase. */
export function headerValue(raw: readonly string[], name: string): string | undefined {
  if (!mayBeShown(name)) return undefined;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const candidate = raw[at];
    if (candidate?.length === name.length && candidate.toLowerCase() === name)
      return raw[at + 1];
  }
  return undefined;
}

/** What of a request's headers goes to the primary with it, in wire order. */
export function forwardedHeaders(raw: readonly string[]): readonly ForwardedHeader[] {
  const headers: ForwardedHeader[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const known = name.toLowerCase();
    if (!mayBeShown(known) || CONNECTION_HEADERS.has(known)) continue;
    headers.push({ name, value: raw[at + 1] ?? '' });
  }
  return headers;
}

function mayBeShown(name: string): boolean {
  if (IDENTITY.has(name)) return false;
  return !name.startsWith(OWN_PREFIX) || OWN_HEADERS.has(name);
}
