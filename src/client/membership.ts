/**
 * Which nodes a client goes to. The addresses it was given are where it begins; from then on the
 * service's own list says who has joined and who has left. A node is known by its id: it may be
 * reached under another address than the one it publishes.
 */
import type { Sighting } from './node-probe.ts';
import type { Standing } from './service-node.ts';

export interface KnownNode {
  readonly url: string;
  readonly nodeId: string | undefined;
  readonly standing: Standing;
}

export interface Joined {
  readonly url: string;
  readonly nodeId: string;
}

export interface Changes {
  /** URLs of known nodes of which the list tells the id. */
  readonly named: readonly Joined[];
  readonly joined: readonly Joined[];
  /** URLs of nodes that have left, and of such that are another's second address. */
  readonly left: readonly string[];
}

/** What a sighting by the node at `by` changes in what is known. */
export function changesOf(known: readonly KnownNode[], by: string, seen: Sighting): Changes {
  const trusted = seen.nodes.filter(({ status }) => status === 'Trusted');
  const idAt = new Map(trusted.map(({ url, nodeId }) => [url, nodeId]));
  const idOf = (node: KnownNode): string | undefined =>
    node.url === by ? seen.nodeId : (node.nodeId ?? idAt.get(node.url));
  const named = known.flatMap((node) => {
    const nodeId = idOf(node);
    return nodeId === undefined || nodeId === node.nodeId ? [] : [{ url: node.url, nodeId }];
  });
  const joined = trusted.flatMap(({ url, nodeId }) => {
    if (url === undefined || known.some((node) => node.url === url)) return [];
    // One that cannot be reached where we know it may have moved to where it says it is.
    const reached = known.some((node) => idOf(node) === nodeId && node.standing !== 'silent');
    return reached ? [] : [{ url, nodeId }];
  });
  const members = new Set(trusted.map(({ nodeId }) => nodeId));
  const left = known.filter((node) => {
    const nodeId = idOf(node);
    if (nodeId === undefined || node.url === by) return false;
    return nodeId === seen.nodeId || !members.has(nodeId);
  });
  // A list that names nobody, or not the one who gave it, is no reason to leave anybody.
  const complete = members.has(seen.nodeId);
  return { named, joined, left: complete ? left.map(({ url }) => url) : [] };
}
