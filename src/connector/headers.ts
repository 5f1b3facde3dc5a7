/**
 * Which headers go through the connector. Those of one connection end at it (RFC 9110 §7.6.1);
 * those by which somebody would speak for the organisation, or as the connector itself, are
 * dropped.
 */
import { IDENTITY_HEADERS } from '../base/identity-headers.ts';

/** End with each connection, or are written anew for the next one. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'content-length',
  'expect',
  'date',
]);

/** What could be taken for who is asking. */
const IDENTITY: ReadonlySet<string> = new Set(['authorization', 'cookie', ...IDENTITY_HEADERS]);

const OWN_PREFIX = 'x-concordat-';

/** The header lines of a request to the service, from those of the client's. */
export function relayedRequestHeaders(raw: readonly string[]): string {
  const ended = namedByConnection(raw);
  let lines = '';
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || IDENTITY.has(lower) || lower.startsWith(OWN_PREFIX)) continue;
    if (ended?.includes(lower)) continue;
    lines += `${name}: ${raw[at + 1]}\r\n`;
  }
  return lines;
}

/** The headers of an answer to the client, from those of the service's; its length is stated. */
export function relayedAnswerHeaders(
  raw: readonly string[],
  bodyBytes: number | undefined,
  locate: (location: string) => string,
): string[] {
  const headers: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    const lower = name.toLowerCase();
    // What the service tells the connector is not for the client.
    if (HOP_BY_HOP.has(lower) || lower.startsWith(OWN_PREFIX)) continue;
    if (lower === 'location') headers.push('Location', locate(value));
    else headers.push(titled(lower), value);
  }
  if (bodyBytes !== undefined) headers.push('Content-Length', String(bodyBytes));
  return headers;
}

/** First value of a header; `name` is lowercase. */
export function firstHeader(raw: readonly string[], name: string): string | undefined {
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const candidate = raw[at];
    if (candidate?.length === name.length && candidate.toLowerCase() === name)
      return raw[at + 1];
  }
  return undefined;
}

/** What a Connection header names besides: it ends with the connection too. */
function namedByConnection(raw: readonly string[]): readonly string[] | undefined {
  return firstHeader(raw, 'connection')
    ?.toLowerCase()
    .split(',')
    .map((token) => token.trim());
}

// Written as Tessera's server wrote them: a client that compares case finds what it knew.
const TITLES: Readonly<Record<string, string>> = {
  'content-type': 'Content-Type',
  allow: 'Allow',
  vary: 'Vary',
  'retry-after': 'Retry-After',
};

function titled(name: string): string {
  return TITLES[name] ?? name;
}
