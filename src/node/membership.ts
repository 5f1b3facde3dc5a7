/**
 * Who is a node of the service, as the ledger's nodes table says it (governance.md §1.1), entry by
 * entry: what consensus must know of an entry is read from the rows that it writes.
 */
import { binaryTextOf, bytesOfBinaryText, textOf, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type NodeId, type Seqno, seqnoOf, viewOf } from '../base/ids.ts';
import type { Entry } from '../consensus/messages.ts';
import { NODE_INFO } from '../governance/tables.ts';
import type { ReadView, Row } from '../kv/tables.ts';
import type { MapWrites } from '../kv/write-set.ts';

export interface KnownNode {
  readonly status: 'Pending' | 'Trusted' | 'Retired';
  /** The ledger says that its retirement was committed. */
  readonly retiredCommitted: boolean;
  /** `host:port` at which other nodes reach it. */
  readonly address: string;
}

/** All nodes that the table names after some entry. Never changed: a new one is made. */
export type KnownNodes = ReadonlyMap<NodeId, KnownNode>;

export const NO_NODES: KnownNodes = new Map();

/** The nodes that vote, in order of their ids. */
export function votersOf(nodes: KnownNodes): readonly NodeId[] {
  return [...nodes]
    .filter(([, { status }]) => status === 'Trusted')
    .map(([id]) => id)
    .sort();
}

/** The nodes after an entry with these writes; the same object when it changes none. */
export function nodesAfter(nodes: KnownNodes, maps: readonly MapWrites[]): KnownNodes {
  const map = maps.find(({ name }) => name === NODE_INFO);
  if (map === undefined) return nodes;
  const after = new Map(nodes);
  for (const [key, value] of map.writes) {
    after.set(nodeIdOfKey(bytesOfBinaryText(key)), nodeOfRow(key, value));
  }
  for (const key of map.removes) after.delete(nodeIdOfKey(bytesOfBinaryText(key)));
  return after;
}

/** What consensus must know of the entry that led from `before` to `after`. */
export function factsOf(
  entry: { readonly view: number; readonly seqno: number; readonly isSignature: boolean },
  before: KnownNodes,
  after: KnownNodes,
): Entry {
  const { isSignature } = entry;
  const txId = { view: viewOf(entry.view), seqno: seqnoOf(entry.seqno) };
  if (before === after) return { ...txId, isSignature };
  const voters = votersOf(after);
  const retiredCommitted = [...after]
    .filter(([id, node]) => node.retiredCommitted && before.get(id)?.retiredCommitted !== true)
    .map(([id]) => id);
  return {
    ...txId,
    isSignature,
    ...(voters.join() === votersOf(before).join() ? {} : { reconfiguration: voters }),
    ...(retiredCommitted.length === 0 ? {} : { retiredCommitted }),
  };
}

/** The nodes that a state names. */
export function nodesIn(view: ReadView): KnownNodes {
  const nodes = new Map<NodeId, KnownNode>();
  for (const { key, value } of rowsOf(view)) {
    nodes.set(nodeIdOfKey(key), nodeOfRow(binaryTextOf(key), value));
  }
  return nodes;
}

/** The entry that last changed each node's row. */
export function nodeVersions(view: ReadView): ReadonlyMap<NodeId, Seqno> {
  const versions = new Map<NodeId, Seqno>();
  const table = view.table(NODE_INFO);
  for (const { key } of rowsOf(view)) {
    versions.set(nodeIdOfKey(key), table.versionOf(key) ?? seqnoOf(0));
  }
  return versions;
}

/** The table's key of a node. */
export function nodeKey(id: string): Uint8Array {
  return utf8(id);
}

function rowsOf(view: ReadView): readonly Row[] {
  const rows: Row[] = [];
  for (let page = view.table(NODE_INFO).page(); page.length > 0; ) {
    rows.push(...page);
    const last = page.at(-1);
    if (last === undefined) break;
    page = view.table(NODE_INFO).page({ after: last.key });
  }
  return rows;
}

function nodeIdOfKey(key: Uint8Array): NodeId {
  return textOf(key) as NodeId;
}

function nodeOfRow(key: string, value: Uint8Array): KnownNode {
  const row: unknown = JSON.parse(textOf(value));
  const field = (of: unknown, name: string): unknown =>
    typeof of === 'object' && of !== null ? Reflect.get(of, name) : undefined;
  const status = field(row, 'status');
  if (status !== 'Pending' && status !== 'Trusted' && status !== 'Retired') {
    throw new CodedError('LedgerDamaged', `node ${key} has the status ${String(status)}`, {
      key,
    });
  }
  const network = field(row, 'node_to_node_interface');
  const address = field(network, 'published_address') ?? field(network, 'bind_address');
  return {
    status,
    retiredCommitted: field(row, 'retired_committed') === true,
    address: typeof address === 'string' ? address : '',
  };
}
