/**
 * `host:port` as the ledger's nodes table records it; an IPv6 address stands in brackets.
 */

export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** Undefined for a text that is no such address. */
export function parsePeerAddress(text: string): PeerAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}
