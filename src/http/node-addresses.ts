/**
 * Where a client reaches a node, from the nodes table.
 */
import type { ReadView } from '../kv/tables.ts';
import { isObject, nodeRow } from './governance-rows.ts';

/**
 * `https://host:port` of the interface of `nodeId` that has the name of our own first one;
 * undefined if the node or its interface is not known.
 */
export function urlOf(
  view: ReadView,
  ownId: string,
  nodeId: string | undefined,
): string | undefined {
  const own = nodeRow(view, ownId)?.info.rpc_interfaces;
  const theirs = nodeId === undefined ? undefined : nodeRow(view, nodeId)?.info.rpc_interfaces;
  const name = isObject(own) ? Object.keys(own)[0] : undefined;
  const same = name !== undefined && isObject(theirs) ? theirs[name] : undefined;
  const address = isObject(same) ? same.published_address : undefined;
  return typeof address === 'string' ? `https://${address}` : undefined;
}
