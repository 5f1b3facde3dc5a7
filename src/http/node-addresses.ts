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
  const name = isObject(own) ? Object.keys(own)[0] : undefined;
  const address = name === undefined ? undefined : addressOf(view, name, nodeId);
  return address === undefined ? undefined : `https://${address}`;
}

/** `host:port` that an interface of a node has published; undefined if that is not known. */
export function addressOf(
  view: ReadView,
  interfaceName: string,
  nodeId: string | undefined,
): string | undefined {
  const all = nodeId === undefined ? undefined : nodeRow(view, nodeId)?.info.rpc_interfaces;
  const one = isObject(all) ? all[interfaceName] : undefined;
  const address = isObject(one) ? one.published_address : undefined;
  return typeof address === 'string' ? address : undefined;
}
