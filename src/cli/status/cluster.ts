/**
 * A cluster as its nodes tell of themselves at one moment, and what follows from that: who is the
 * primary, how far the others are behind, and whether all is well.
 */
import type { NodeStatus } from '../../node/node-status.ts';

/** One node: what it says, or why nothing is known of it. */
export interface SeenNode {
  /** How people know it: its place in the list. */
  readonly name: string;
  /** Its operator's listener. */
  readonly url: string;
  readonly status?: NodeStatus;
  readonly fault?: string;
}

export interface Cluster {
  readonly nodes: readonly SeenNode[];
  readonly primary?: SeenNode & { readonly status: NodeStatus };
  /** The newest commit that any node knows. */
  readonly committed?: string;
  readonly view?: number;
  /** A primary, and all nodes there and following it. */
  readonly isWell: boolean;
}

type Reached = SeenNode & { readonly status: NodeStatus };

/** Puts together what the nodes say. */
export function clusterOf(nodes: readonly SeenNode[]): Cluster {
  const reached = nodes.filter((node): node is Reached => node.status !== undefined);
  // A primary that was cut off may not know of a newer one yet.
  const primary = greatest(
    reached.filter(({ status }) => status.role === 'leader'),
    ({ status }) => status.view,
  );
  const furthest = greatest(reached, ({ status }) => status.committedSeqno);
  const view = greatest(reached, ({ status }) => status.view)?.status.view;
  return {
    nodes,
    ...(primary === undefined ? {} : { primary }),
    ...(furthest === undefined ? {} : { committed: furthest.status.committed }),
    ...(view === undefined ? {} : { view }),
    isWell:
      primary !== undefined &&
      reached.length === nodes.length &&
      reached.every(({ status }) => status.primaryId === primary.status.nodeId),
  };
}

/** Entries that a node has not yet got from the primary; undefined when nobody can tell. */
export function lagOf({ primary }: Cluster, { status }: SeenNode): number | undefined {
  if (primary === undefined || status === undefined) return undefined;
  const { newestSeqno, peers } = primary.status;
  if (status.nodeId === primary.status.nodeId) return 0;
  const told = peers.find(({ nodeId }) => nodeId === status.nodeId)?.acknowledgedSeqno;
  // What the node says of itself may be newer than what the primary has heard.
  return Math.max(0, newestSeqno - Math.max(told ?? 0, status.newestSeqno));
}

function greatest<Item>(
  items: readonly Item[],
  measure: (item: Item) => number,
): Item | undefined {
  let best: Item | undefined;
  for (const item of items) {
    if (best === undefined || measure(item) > measure(best)) best = item;
  }
  return best;
}
