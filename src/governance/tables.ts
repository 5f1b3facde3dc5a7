/**
 * Names and rows of the public tables of governance (governance.md §1) and of the ledger secrets
 * (ledger-format.md §11 and §12), as CCF lays them out.
 */
import { utf8 } from '../base/bytes.ts';

export const CONSTITUTION = 'public:ccf.gov.constitution';
export const MEMBER_ACKS = 'public:ccf.gov.members.acks';
export const MEMBER_CERTS = 'public:ccf.gov.members.certs';
export const MEMBER_ENCRYPTION_KEYS = 'public:ccf.gov.members.encryption_public_keys';
export const MEMBER_INFO = 'public:ccf.gov.members.info';
export const USER_CERTS = 'public:ccf.gov.users.certs';
export const NODE_INFO = 'public:ccf.gov.nodes.info';
export const NODE_CERTIFICATES = 'public:ccf.gov.nodes.endorsed_certificates';
export const VIRTUAL_MEASUREMENTS = 'public:ccf.gov.nodes.virtual.measurements';
export const VIRTUAL_HOST_DATA = 'public:ccf.gov.nodes.virtual.host_data';
export const SNP_MEASUREMENTS = 'public:ccf.gov.nodes.snp.measurements';
/** Host data, 64 hexadecimal digits → JSON string: the container policy, or empty. */
export const SNP_HOST_DATA = 'public:ccf.gov.nodes.snp.host_data';
/** did:x509 → JSON `{feed: {svn: "n"}}`. */
export const SNP_UVM_ENDORSEMENTS = 'public:ccf.gov.nodes.snp.uvm_endorsements';
/** Processor, eight hexadecimal digits → JSON `TcbRow`; of all platforms that AMD vouches for. */
export const SNP_TCB_VERSIONS = 'public:ccf.gov.nodes.snp.tcb_versions';
/** Measurements of Microsoft's paravisor: CCF knows no confidential VMs. */
export const AZURE_CVM_MEASUREMENTS = 'public:ccf.gov.nodes.azure_cvm.measurements';
/** Register of the vTPM, in decimal → JSON list of values, 64 hexadecimal digits each. */
export const AZURE_CVM_PCRS = 'public:ccf.gov.nodes.azure_cvm.pcrs';
export const SERVICE_CONFIG = 'public:ccf.gov.service.config';
export const SERVICE_INFO = 'public:ccf.gov.service.info';
export const RECOVERY_SHARES = 'public:ccf.internal.recovery_shares';
export const HISTORICAL_SECRET = 'public:ccf.internal.historical_encrypted_ledger_secret';
export const ENCRYPTED_SECRETS = 'public:ccf.internal.encrypted_ledger_secrets';
export const IDENTITY_ENDORSEMENT = 'public:ccf.internal.previous_service_identity_endorsement';
/**
 * TxID text → JSON `RestartRow`: every restart in place, whether or not its freshness was
 * proven.
 */
export const RESTARTS = 'public:concordat.restarts';
/**
 * Node id → eight zero bytes: nodes that were retired and then deleted from the nodes table. A
 * retired identity never comes back, and after the deletion only this row still knows it.
 */
export const FORMER_NODES = 'public:concordat.former_nodes';
/**
 * `<created_at, 10 digits>:<hex SHA-256 of what was signed>` → JSON string, base64 of the signed
 * request: the newest operator's actions (`operator-actions.ts`).
 */
export const OPERATOR_ACTIONS = 'public:concordat.operator_actions';

/** The key of a table that holds one value. */
export const SINGLETON: Uint8Array = new Uint8Array(8);

export type ServiceStatus = 'Opening' | 'Open' | 'WaitingForRecoveryShares' | 'Recovering';

export interface ServiceInfoRow {
  readonly cert: string;
  readonly status: ServiceStatus;
  readonly recovery_count?: number;
  readonly current_service_create_txid?: string;
}

export interface RestartRow {
  readonly node_id: string;
  /** The last transaction that the restarting node held and kept. */
  readonly continues: string;
  /** Whether a quorum vouched for that being the newest (design decision 11). */
  readonly proven: boolean;
}

/**
 * JSON as CCF writes it: no white space, object keys sorted, undefined members left out
 * (ledger-format.md §5.2).
 */
export function jsonRow(value: unknown): Uint8Array {
  return utf8(JSON.stringify(value, sortKeys));
}

function sortKeys(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries);
}
