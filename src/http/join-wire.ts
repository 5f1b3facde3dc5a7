/**
 * What a joiner and the service say to each other in `POST /node/join`, as JSON
 * (node-lifecycle.md §4). Members that begin with `concordat_` are ours alone.
 */
import type { Evidence } from '../attestation/evidence.ts';
import type { NodeStatus } from '../governance/nodes.ts';
import type { NodeNetwork } from '../governance/nodes-joining.ts';

export interface JoinRequestBody {
  readonly node_info_network: NodeNetwork;
  readonly quote_info: Evidence;
  /** RSA, SubjectPublicKeyInfo in PEM. */
  readonly public_encryption_key: string;
  /** The seqno that the joiner's state begins from; 0 or null when it begins from nothing. */
  readonly startup_seqno: number | null;
  /** PKCS #10 in PEM, for the key that the joiner's TLS session shows. */
  readonly certificate_signing_request?: string;
  readonly node_data?: unknown;
}

export interface JoinAnswerBody {
  readonly node_status: Exclude<NodeStatus, 'Retired'>;
  readonly node_id: string;
  /** Only for a node that is Trusted. */
  readonly network_info?: NetworkInfo;
}

export interface NetworkInfo {
  readonly public_only: boolean;
  readonly last_recovered_signed_idx: number;
  /** By the first seqno that each one seals, in decimal. */
  readonly ledger_secrets: Readonly<Record<string, LedgerSecretInfo>>;
  /** Both PEM. */
  readonly identity: { readonly cert: string; readonly priv_key: string };
  readonly service_status: string;
  /** PEM; absent if the node asked for none. */
  readonly endorsed_certificate?: string;
  readonly cose_signatures_config: { readonly issuer: string; readonly subject: string };
  /** The nodes that are trusted now. */
  readonly concordat_nodes: readonly NodeAddresses[];
}

export interface LedgerSecretInfo {
  /** Base64. */
  readonly raw_key: string;
  readonly previous_secret_stored_version?: number;
  /** The view in which it was made: after a rollback there may be two for one seqno. */
  readonly concordat_view: number;
}

export interface NodeAddresses {
  readonly node_id: string;
  /** `host:port` at which other nodes reach it. */
  readonly address: string;
  /** `host:port` of its first interface for clients. */
  readonly service_address?: string;
}
