/**
 * What the constitution's actions `transition_node_to_trusted` and `remove_node` write, row by row
 * (governance.md §6). CCF's are scripts: they read a row, change a member of it and write it back,
 * so the members keep their order and a new one comes last.
 *
 * Where CCF's actions quietly do nothing, these refuse: whoever calls them is told.
 */
import { textOf, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import {
  certificateDaysMax,
  latestLedgerSecretSeqno,
  type NodeInfoRow,
  nodeInfo,
  nodeKey,
  nodesThatAre,
} from './nodes.ts';
import { NODE_CERTIFICATES, NODE_INFO } from './tables.ts';

/** Arguments of `transition_node_to_trusted`. */
export interface TrustArguments {
  readonly node_id: string;
  /** From when on the node's certificate is valid: `YYMMDDHHMMSSZ` or ISO 8601. */
  readonly valid_from: string;
  readonly validity_period_days?: number;
}

/** A certificate that is to be made for a node. */
export interface WantedEndorsement {
  readonly requestPem: string;
  readonly validFrom: string;
  readonly days: number;
}

/**
 * The certificate that trusting a node needs; undefined if the node asked for none. Throws as
 * `transitionNodeToTrusted` does.
 */
export function endorsementWanted(
  view: ReadView,
  args: TrustArguments,
): WantedEndorsement | undefined {
  const { certificate_signing_request: requestPem } = pendingNode(view, args.node_id);
  const daysMax = certificateDaysMax(view);
  const days = args.validity_period_days ?? daysMax;
  if (days > daysMax) {
    throw new CodedError(
      'InvalidInput',
      `Validity period ${days} is not allowed: max allowed is ${daysMax}`,
      { status: 400, days, daysMax },
    );
  }
  if (requestPem === undefined) return undefined;
  return { requestPem, validFrom: args.valid_from, days };
}

/** Trusts a Pending node: it takes part from here on. */
export function transitionNodeToTrusted(
  tx: Transaction,
  nodeId: string,
  certificatePem: string | undefined,
): void {
  pendingNode(tx, nodeId);
  change(tx, nodeId, { status: 'Trusted', ledger_secret_seqno: latestLedgerSecretSeqno(tx) });
  if (certificatePem === undefined) return;
  tx.table(NODE_CERTIFICATES).put(nodeKey(nodeId), utf8(certificatePem));
}

/** Forgets a Pending node; retires a Trusted one. */
export function removeNode(tx: Transaction, nodeId: string): 'Forgotten' | 'Retired' {
  const info = knownNode(tx, nodeId);
  switch (info.status) {
    case 'Pending':
      tx.table(NODE_INFO).remove(nodeKey(nodeId));
      return 'Forgotten';
    case 'Trusted':
      if (nodesThatAre(tx, 'Trusted').length === 1) {
        throw new CodedError(
          'LastTrustedNode',
          `node ${nodeId} is the only one that is trusted: without it the service would end. ` +
            'Trust another one first',
          { status: 400, nodeId },
        );
      }
      change(tx, nodeId, { status: 'Retired' });
      return 'Retired';
    case 'Retired':
      throw new CodedError('InvalidNodeState', `node ${nodeId} is Retired already`, {
        status: 400,
        nodeId,
      });
  }
}

function knownNode(view: ReadView, nodeId: string): NodeInfoRow {
  const info = nodeInfo(view, nodeId);
  if (info !== undefined) return info;
  throw new CodedError('ResourceNotFound', `No such node: ${nodeId}`, { status: 404, nodeId });
}

function pendingNode(view: ReadView, nodeId: string): NodeInfoRow {
  const info = knownNode(view, nodeId);
  if (info.status === 'Pending') return info;
  throw new CodedError(
    'InvalidNodeState',
    `node ${nodeId} is ${info.status}: only a Pending node can be trusted`,
    { status: 400, nodeId, nodeStatus: info.status },
  );
}

/** Changes members of a row, which keeps whatever else it holds. */
function change(
  tx: Transaction,
  nodeId: string,
  members: Readonly<Record<string, unknown>>,
): void {
  const table = tx.table(NODE_INFO);
  const value = table.get(nodeKey(nodeId));
  const row: object = value === undefined ? {} : JSON.parse(textOf(value));
  table.put(nodeKey(nodeId), utf8(JSON.stringify({ ...row, ...members })));
}
