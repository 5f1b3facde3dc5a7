/**
 * The nodes of a service, as the ledger's nodes table tells of them (governance.md §1.1). Rows are
 * read here; what changes them is in `nodes-joining.ts`, `nodes-actions.ts`, `nodes-retirement.ts`.
 */
import type { Evidence } from '../attestation/evidence.ts';
import { textOf, utf8 } from '../base/bytes.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { type Seqno, seqnoAfter, seqnoOf } from '../base/ids.ts';
import type { ReadView, Row } from '../kv/tables.ts';
import {
  HISTORICAL_SECRET,
  NODE_INFO,
  SERVICE_CONFIG,
  SERVICE_INFO,
  type ServiceInfoRow,
  SINGLETON,
} from './tables.ts';

export const NODE_STATUSES = ['Pending', 'Trusted', 'Retired'] as const;
export type NodeStatus = (typeof NODE_STATUSES)[number];

/** Where a node is reached, and how; what is not told here is kept as it came. */
export interface NetInterface {
  readonly bind_address: string;
  readonly published_address?: string;
  readonly protocol?: string;
  readonly endorsement?: { readonly authority: string };
}

/** What this code reads of a row. Rows may hold more, which it leaves as it is. */
export interface NodeInfoRow {
  readonly status: NodeStatus;
  readonly node_to_node_interface: NetInterface;
  readonly rpc_interfaces: Readonly<Record<string, NetInterface>>;
  readonly quote_info?: Evidence;
  readonly encryption_pub_key?: string;
  readonly public_key?: string;
  readonly certificate_signing_request?: string;
  readonly code_digest?: string;
  readonly ledger_secret_seqno?: number;
  readonly node_data?: unknown;
  readonly retired_committed?: boolean;
}

export interface KnownNode {
  readonly nodeId: string;
  readonly info: NodeInfoRow;
}

/** The table's key of a node. */
export function nodeKey(nodeId: string): Uint8Array {
  return utf8(nodeId);
}

/** One node, or undefined. */
export function nodeInfo(view: ReadView, nodeId: string): NodeInfoRow | undefined {
  const value = view.table(NODE_INFO).get(nodeKey(nodeId));
  return value === undefined ? undefined : infoOf(nodeId, value);
}

/** All nodes, in byte order of their ids. */
export function allNodes(view: ReadView): readonly KnownNode[] {
  const table = view.table(NODE_INFO);
  const nodes: KnownNode[] = [];
  for (let page: readonly Row[] = table.page(); page.length > 0; ) {
    for (const { key, value } of page) {
      const nodeId = textOf(key);
      nodes.push({ nodeId, info: infoOf(nodeId, value) });
    }
    const last = page.at(-1);
    page = last === undefined ? [] : table.page({ after: last.key });
  }
  return nodes;
}

/** Nodes of one status, in byte order of their ids. */
export function nodesThatAre(view: ReadView, status: NodeStatus): readonly KnownNode[] {
  return allNodes(view).filter(({ info }) => info.status === status);
}

/** The address at which others reach an interface. */
export function addressOf(one: NetInterface): string {
  return one.published_address ?? one.bind_address;
}

/** The service's row, or undefined before there is a service. */
export function serviceInfo(view: ReadView): ServiceInfoRow | undefined {
  const value = view.table(SERVICE_INFO).get(SINGLETON);
  return value === undefined ? undefined : objectOf<ServiceInfoRow>('the service', value);
}

/** How long a node's certificate may be valid; CCF's default when the service does not say. */
export function certificateDaysMax(view: ReadView): number {
  const value = view.table(SERVICE_CONFIG).get(SINGLETON);
  const what = "the service's configuration";
  const row = value === undefined ? undefined : objectOf<JsonObject>(what, value);
  const days = row?.maximum_node_certificate_validity_days;
  return typeof days === 'number' ? days : CERTIFICATE_DAYS_DEFAULT;
}

const CERTIFICATE_DAYS_DEFAULT = 365;

/**
 * From which seqno on the newest ledger secret applies (ledger-format.md §11.1): what the last row
 * about it says, or, after a rekey, which says nothing, the seqno behind that row.
 */
export function latestLedgerSecretSeqno(view: ReadView): Seqno {
  const table = view.table(HISTORICAL_SECRET);
  const value = table.get(SINGLETON);
  if (value === undefined) return seqnoOf(1);
  const next = objectOf<JsonObject>('the last ledger secret', value).next_version;
  return typeof next === 'number'
    ? seqnoOf(next)
    : seqnoAfter(table.versionOf(SINGLETON) ?? seqnoOf(0));
}

function infoOf(nodeId: string, value: Uint8Array): NodeInfoRow {
  const row = objectOf<JsonObject>(`node ${nodeId}`, value);
  const status = NODE_STATUSES.find((each) => each === row.status);
  if (status === undefined) {
    throw damaged(`node ${nodeId}`, `its status is ${JSON.stringify(row.status)}`);
  }
  return { ...EMPTY, ...row, status };
}

/** What rows of a sparse writer may leave out, although nothing can be done with such a node. */
const EMPTY = { node_to_node_interface: { bind_address: '' }, rpc_interfaces: {} } as const;

type JsonObject = Readonly<Record<string, unknown>>;

function objectOf<Shape>(what: string, value: Uint8Array): Shape {
  let row: unknown;
  try {
    row = JSON.parse(textOf(value));
  } catch (cause) {
    throw damaged(what, messageOf(cause), cause);
  }
  if (typeof row !== 'object' || row === null) throw damaged(what, 'it is not an object');
  return row as Shape;
}

function damaged(what: string, why: string, cause?: unknown): CodedError {
  const message = `the ledger's row about ${what} cannot be read: ${why}`;
  return new CodedError('LedgerDamaged', message, { what }, { cause });
}
