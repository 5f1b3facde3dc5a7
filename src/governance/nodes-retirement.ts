/**
 * The end of a node's life in the ledger (node-lifecycle.md §6): once its retirement is committed
 * its row is marked; once that mark is committed the node may be shut down and its row deleted.
 */
import { invariant } from '../base/assert.ts';
import { textOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { type KnownNode, nodeInfo, nodeKey, nodesThatAre } from './nodes.ts';
import { FORMER_NODES, jsonRow, NODE_CERTIFICATES, NODE_INFO, SINGLETON } from './tables.ts';

/**
 * Marks nodes whose retirement is committed, as the leader's consensus says. Gives back how many
 * rows it changed: a node may have been marked by the leader before, and deleted since.
 */
export function markRetiredCommitted(tx: Transaction, nodeIds: readonly string[]): number {
  const table = tx.table(NODE_INFO);
  let marked = 0;
  for (const nodeId of nodeIds) {
    const value = table.get(nodeKey(nodeId));
    if (value === undefined) continue;
    const row: { status?: unknown; retired_committed?: unknown } = JSON.parse(textOf(value));
    invariant(row.status === 'Retired', `${nodeId}, whose retirement is committed, is Retired`);
    if (row.retired_committed === true) continue;
    table.put(nodeKey(nodeId), jsonRow({ ...row, retired_committed: true }));
    marked += 1;
  }
  return marked;
}

/** Nodes that may be shut down; `committed` is the committed state, not the newest. */
export function removableNodes(committed: ReadView): readonly KnownNode[] {
  return nodesThatAre(committed, 'Retired').filter(({ info }) => info.retired_committed);
}

/** Throws a coded error unless a node may be deleted; `committed` is the committed state. */
export function mustBeRemovable(committed: ReadView, nodeId: string): void {
  const info = nodeInfo(committed, nodeId);
  if (info === undefined) {
    throw new CodedError('ResourceNotFound', 'No such node', { status: 404, nodeId });
  }
  if (info.status === 'Retired' && info.retired_committed === true) return;
  throw new CodedError('NodeNotRetiredCommitted', 'Node is not completely retired', {
    status: 400,
    nodeId,
    nodeStatus: info.status,
  });
}

/**
 * Deletes the rows of a node that `mustBeRemovable` let pass, and keeps in mind that it was. Throws
 * the same when another request was quicker: a row is removed only if it is there.
 */
export function deleteRetiredNode(tx: Transaction, nodeId: string): void {
  mustBeRemovable(tx, nodeId);
  const key = nodeKey(nodeId);
  tx.table(NODE_INFO).remove(key);
  tx.table(NODE_CERTIFICATES).remove(key);
  tx.table(FORMER_NODES).put(key, SINGLETON);
}
