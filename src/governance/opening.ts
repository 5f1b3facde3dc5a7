/**
 * The first transactions of a service: its creation (2.1, ledger-format.md §12) and its opening.
 */

import type { Evidence } from '../attestation/evidence.ts';
import { base64Of, utf8 } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import { seqnoOf } from '../base/ids.ts';
import type { Wrap } from '../crypto/key-source.ts';
import type { Transaction } from '../kv/tables.ts';
import { DEFAULT_CONSTITUTION } from './constitution/default-constitution.ts';
import { type FoundersEvidence, writeFirstJoinPolicy } from './first-join-policy.ts';
import { type NodeNetwork, networkFields } from './nodes-joining.ts';
import { type ShareHolder, writeSecretRows } from './recovery-shares.ts';
import {
  CONSTITUTION,
  IDENTITY_ENDORSEMENT,
  jsonRow,
  MEMBER_ACKS,
  MEMBER_CERTS,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  NODE_CERTIFICATES,
  NODE_INFO,
  SERVICE_CONFIG,
  SERVICE_INFO,
  type ServiceInfoRow,
  SINGLETON,
  USER_CERTS,
} from './tables.ts';

export interface MemberAtCreation {
  readonly memberId: string;
  readonly certificatePem: string;
  readonly encryptionPublicKeyPem: string;
}

/** A node as its row in the ledger describes it (governance.md §1.1). */
export interface NodeDescription {
  readonly nodeId: string;
  readonly publicKeyPem: string;
  readonly encryptionPublicKeyPem: string;
  readonly certificateRequestPem: string;
  readonly certificatePem: string;
  readonly evidence: Evidence;
  /** The measurement in hexadecimal. */
  readonly codeDigest: string;
  readonly nodeAddress: string;
  readonly serviceAddress: string;
}

export interface Creation {
  readonly serviceCertificatePem: string;
  readonly members: readonly MemberAtCreation[];
  readonly recoveryThreshold: number;
  readonly certificateDaysMax: number;
  readonly node: NodeDescription;
  /** What it shows of itself: nodes like it may join. */
  readonly founder: FoundersEvidence;
}

/** Writes the rows of transaction 2.1. */
export function writeCreation(transaction: Transaction, creation: Creation): void {
  const put = (table: string, key: Uint8Array, value: Uint8Array): void =>
    transaction.table(table).put(key, value);
  put(CONSTITUTION, SINGLETON, jsonRow(DEFAULT_CONSTITUTION));
  for (const member of creation.members) {
    const key = utf8(member.memberId);
    put(MEMBER_ACKS, key, jsonRow({ state_digest: '' }));
    put(MEMBER_CERTS, key, utf8(member.certificatePem));
    put(MEMBER_ENCRYPTION_KEYS, key, utf8(member.encryptionPublicKeyPem));
    put(MEMBER_INFO, key, jsonRow({ status: 'Active', recovery_role: 'Participant' }));
  }
  writeNode(transaction, creation.node);
  writeFirstJoinPolicy(transaction, creation.founder);
  put(
    SERVICE_CONFIG,
    SINGLETON,
    jsonRow({
      recovery_threshold: creation.recoveryThreshold,
      maximum_node_certificate_validity_days: creation.certificateDaysMax,
      maximum_service_certificate_validity_days: creation.certificateDaysMax,
    }),
  );
  const info: ServiceInfoRow = {
    cert: creation.serviceCertificatePem,
    status: 'Opening',
    recovery_count: 0,
    current_service_create_txid: '2.1',
  };
  put(SERVICE_INFO, SINGLETON, jsonRow(info));
}

/** Writes the rows of one trusted node. */
export function writeNode(transaction: Transaction, node: NodeDescription): void {
  const key = utf8(node.nodeId);
  transaction.table(NODE_CERTIFICATES).put(key, utf8(node.certificatePem));
  const row = {
    certificate_signing_request: node.certificateRequestPem,
    code_digest: node.codeDigest,
    encryption_pub_key: node.encryptionPublicKeyPem,
    ledger_secret_seqno: 1,
    public_key: node.publicKeyPem,
    quote_info: node.evidence,
    status: 'Trusted',
    ...networkFields(networkOf(node)),
  };
  transaction.table(NODE_INFO).put(key, jsonRow(row));
}

/** How a node is reached, as its row says it. */
export function networkOf(
  node: Pick<NodeDescription, 'nodeAddress' | 'serviceAddress'>,
): NodeNetwork {
  return {
    node_to_node_interface: {
      bind_address: node.nodeAddress,
      published_address: node.nodeAddress,
    },
    rpc_interfaces: {
      primary_rpc_interface: {
        bind_address: node.serviceAddress,
        endorsement: { authority: 'Service' },
        protocol: 'tcp',
        published_address: node.serviceAddress,
      },
    },
  };
}

export interface Opening {
  /** The genesis secret. */
  readonly secret: Uint8Array;
  readonly holders: readonly ShareHolder[];
  readonly threshold: number;
  /** The service's endorsement of its own key (ledger-format.md §12.1). */
  readonly endorsement: Uint8Array;
  readonly endorsingKeyDer: Uint8Array;
  /** Certificates of the first users, by user id. */
  readonly users: readonly { readonly userId: string; readonly certificatePem: string }[];
}

/** Writes the rows by which a service goes from Opening to Open. */
export function writeOpening(
  transaction: Transaction,
  opening: Opening,
  random: Random,
  wrap?: Wrap,
): void {
  const services = transaction.table(SERVICE_INFO);
  const info = JSON.parse(
    Buffer.from(services.get(SINGLETON) ?? []).toString(),
  ) as ServiceInfoRow;
  services.put(SINGLETON, jsonRow({ ...info, status: 'Open' }));
  for (const { userId, certificatePem } of opening.users) {
    transaction.table(USER_CERTS).put(utf8(userId), utf8(certificatePem));
  }
  const endorsement = {
    endorsement: base64Of(opening.endorsement),
    endorsing_key: base64Of(opening.endorsingKeyDer),
    endorsement_epoch_begin: '2.1',
  };
  transaction.table(IDENTITY_ENDORSEMENT).put(SINGLETON, jsonRow(endorsement));
  writeSecretRows(
    transaction,
    {
      secret: opening.secret,
      from: seqnoOf(1),
      holders: opening.holders,
      threshold: opening.threshold,
      nodes: [],
    },
    random,
    wrap,
  );
}
