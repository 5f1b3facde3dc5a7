/**
 * Who may speak to the connector's ports. The socket is a credential by its file mode; a port is
 * open to everything on the machine, web pages in a browser included. So a request must be
 * addressed to a loopback or configured name (against DNS rebinding), and must not come from a
 * page of an origin that is not allowed (transaction-manager.md part 1, decision 10).
 */
import { isIP } from 'node:net';
import { firstHeader } from './headers.ts';

export interface AdmissionRules {
  /** Names by which a port may be addressed, besides loopback ones. Lowercase, without port. */
  readonly allowedHosts: readonly string[];
  /** Whether a port's own certificate names it so; for ports with TLS. */
  readonly isOwnName?: (name: string) => boolean;
  /** Origins whose pages may ask; none by default. */
  readonly allowedOrigins: readonly string[];
}

/** Why a request is not let in, or undefined. `overSocket`: its Host is then of no meaning. */
export function refusalOf(
  raw: readonly string[],
  rules: AdmissionRules,
  overSocket: boolean,
): string | undefined {
  const origin = firstHeader(raw, 'origin');
  if (origin !== undefined && !rules.allowedOrigins.includes(origin)) {
    return `requests from pages of ${origin} are not allowed here`;
  }
  if (overSocket) return undefined;
  const host = firstHeader(raw, 'host');
  if (host === undefined) return 'the request names no Host';
  const name = nameOf(host);
  if (isLoopback(name) || rules.allowedHosts.includes(name)) return undefined;
  if (rules.isOwnName?.(name) === true) return undefined;
  return `the Host ${host} is neither loopback nor configured`;
}

/** What a page of an allowed origin must be told so that its browser shows it the answer. */
export function crossOriginHeaders(
  raw: readonly string[],
  rules: AdmissionRules,
): readonly string[] {
  const origin = firstHeader(raw, 'origin');
  if (origin === undefined || !rules.allowedOrigins.includes(origin)) return [];
  return [
    'Access-Control-Allow-Origin',
    origin,
    'Access-Control-Allow-Credentials',
    'true',
    'Access-Control-Allow-Methods',
    'GET,POST,DELETE,OPTIONS',
    'Access-Control-Allow-Headers',
    'Accept,Content-Type',
    'Vary',
    'Origin',
  ];
}

/** Whether a name or address stays on this machine. */
export function isLoopback(name: string): boolean {
  if (name === 'localhost' || name === '::1') return true;
  return isIP(name) === 4 && name.startsWith('127.');
}

/** A Host header's name, lowercase, without port and brackets. */
function nameOf(host: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(host);
  return (bracketed?.[1] ?? host.split(':', 1)[0] ?? '').toLowerCase();
}
