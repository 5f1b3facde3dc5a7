/** Where a node listens for clients, from its URL. */
import { CodedError } from '../base/errors.ts';

export interface NodeAddress {
  readonly host: string;
  readonly port: number;
}

/** Reads `https://host:port`; throws `BadServiceUrl` for anything else. */
export function addressOf(url: string): NodeAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || parsed.protocol !== 'https:' || parsed.pathname !== '/') {
    throw new CodedError(
      'BadServiceUrl',
      `"${url}" is no address of a node: https://host:port`,
    );
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, '');
  return { host, port: parsed.port === '' ? 443 : Number(parsed.port) };
}

/** One way to write an address, so that two can be compared. */
export function urlOfAddress({ host, port }: NodeAddress): string {
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
