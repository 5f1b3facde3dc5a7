/** What a node's configuration says of federation, as the node takes it. */
import { readFileSync } from 'node:fs';
import type { OutsidePeers } from '../../apps/quorum/sending.ts';
import type { NodeConfig } from '../../config/node-config.ts';
import { type FederationOptions, unreachablePeers } from '../../federation/federation.ts';
import { createPeerClient, type PeerTls } from '../../federation/peer-client.ts';

type FederationSettings = NonNullable<NodeConfig['federation']>;

/** What a strict send and its forwarding may take together; GoQuorum gives up after 5 s. */
export const STRICT_FORWARDING_MS = 4_500;

export function federationOptionsOf(settings: FederationSettings): FederationOptions {
  const { bind_address: at, url, tls, whitelist } = settings;
  const secured =
    tls === undefined
      ? {}
      : { tls: { ...tlsOf(tls), demandsCertificates: tls.client_certificates } };
  return {
    server: { ...at, whitelist, ...secured },
    ...(url === undefined ? {} : { url: `${url}/` }),
    peers: settings.peers,
    discovery: settings.discovery,
    validatesKeys: settings.key_validation,
    partyInfoMs: settings.party_info_interval,
    send: settings.send,
  };
}

/** Whom a strict send asks before it stores anything; nobody when sends are queued. */
export function outsidePeersOf(
  { send, tls }: FederationSettings,
  warn: (text: string) => void,
): { readonly peers?: OutsidePeers } {
  if (send === 'queued') return {};
  const client = createPeerClient(tls === undefined ? undefined : tlsOf(tls));
  return { peers: { unreachable: (urls) => unreachablePeers(client, urls, warn) } };
}

function tlsOf(tls: NonNullable<FederationSettings['tls']>): PeerTls {
  const { certificate_file: cert, key_file: key, trusted_ca_file: ca } = tls;
  const read = (file: string): string => readFileSync(file, 'utf8');
  return { cert: read(cert), key: read(key), ...(ca === undefined ? {} : { ca: read(ca) }) };
}
