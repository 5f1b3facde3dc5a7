/**
 * A node that asks to join: the row that the service writes about it, once
 * (node-lifecycle.md §4.5, governance.md §1.1).
 */
import type { Evidence } from '../attestation/evidence.ts';
import { utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { PENDING_NODES_MAX } from '../base/limits.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import {
  addressOf,
  allNodes,
  type KnownNode,
  latestLedgerSecretSeqno,
  type NetInterface,
  nodeKey,
} from './nodes.ts';
import { FORMER_NODES, jsonRow, NODE_CERTIFICATES, NODE_INFO } from './tables.ts';

/** `node_info_network`: what a node says of its listeners. */
export interface NodeNetwork {
  readonly node_to_node_interface: NetInterface;
  /** At least one. */
  readonly rpc_interfaces: Readonly<Record<string, NetInterface>>;
}

export interface JoiningNode {
  readonly nodeId: string;
  readonly publicKeyPem: string;
  readonly network: NodeNetwork;
  readonly evidence: Evidence;
  /** The measurement in hexadecimal, as the join policy found it good. */
  readonly codeDigest: string;
  readonly encryptionPublicKeyPem: string;
  readonly certificateRequestPem?: string;
  readonly nodeData?: unknown;
}

/** Writes the row of a node that waits to be trusted. */
export function writePendingNode(tx: Transaction, node: JoiningNode): void {
  const pending = allNodes(tx).filter(({ info }) => info.status === 'Pending').length;
  if (pending >= PENDING_NODES_MAX) {
    throw new CodedError(
      'TooManyPendingNodes',
      `${pending} nodes wait to be trusted already. Trust some, or remove them, and try again`,
      { status: 503, retryAfterSeconds: 1 },
    );
  }
  tx.table(NODE_INFO).put(nodeKey(node.nodeId), joiningRow(node, 'Pending', undefined));
}

/** Writes the rows of a node that a service which has not opened yet trusts at once. */
export function writeTrustedNode(
  tx: Transaction,
  node: JoiningNode,
  certificatePem: string | undefined,
): void {
  const key = nodeKey(node.nodeId);
  const row = joiningRow(node, 'Trusted', latestLedgerSecretSeqno(tx));
  tx.table(NODE_INFO).put(key, row);
  if (certificatePem !== undefined) tx.table(NODE_CERTIFICATES).put(key, utf8(certificatePem));
}

/** The live node that others reach where this one wants to be reached, if there is one. */
export function nodeInTheWay(view: ReadView, node: JoiningNode): KnownNode | undefined {
  const address = addressOf(node.network.node_to_node_interface);
  return allNodes(view).find(
    ({ nodeId, info }) =>
      nodeId !== node.nodeId &&
      info.status !== 'Retired' &&
      addressOf(info.node_to_node_interface) === address,
  );
}

/** Whether this identity was retired and deleted: it never comes back. */
export function isFormerNode(view: ReadView, nodeId: string): boolean {
  return view.table(FORMER_NODES).has(nodeKey(nodeId));
}

function joiningRow(
  node: JoiningNode,
  status: 'Pending' | 'Trusted',
  ledgerSecretSeqno: number | undefined,
): Uint8Array {
  return jsonRow({
    ...networkFields(node.network),
    certificate_signing_request: node.certificateRequestPem,
    code_digest: node.codeDigest,
    encryption_pub_key: node.encryptionPublicKeyPem,
    ledger_secret_seqno: ledgerSecretSeqno,
    node_data: node.nodeData,
    public_key: node.publicKeyPem,
    quote_info: node.evidence,
    status,
  });
}

/** The interfaces, with the copies that CCF keeps of them for readers of its first release. */
export function networkFields(network: NodeNetwork): Readonly<Record<string, unknown>> {
  const [first] = Object.keys(network.rpc_interfaces).sort();
  const rpc = first === undefined ? undefined : network.rpc_interfaces[first];
  const [nodehost, nodeport] = hostAndPort(network.node_to_node_interface.bind_address);
  const [rpchost, rpcport] = hostAndPort(rpc?.bind_address ?? '');
  const [pubhost, pubport] = hostAndPort(rpc === undefined ? '' : addressOf(rpc));
  return { ...network, nodehost, nodeport, pubhost, pubport, rpchost, rpcport };
}

function hostAndPort(address: string): readonly [string, string] {
  const colon = address.lastIndexOf(':');
  return colon < 0 ? [address, ''] : [address.slice(0, colon), address.slice(colon + 1)];
}
