/**
 * Configurations: who votes. A ledger entry that changes the nodes makes a new configuration, in
 * effect from that entry on, beside the older ones until it is committed; several may be pending.
 * A quorum is a majority of *every* one of them, never of their union (node-lifecycle.md §6).
 */

import { invariant } from '../base/assert.ts';
import { type NodeId, type Seqno, seqnoOf } from '../base/ids.ts';
import { lower } from './positions.ts';

export interface Configuration {
  /** The entry that made it. */
  readonly seqno: Seqno;
  readonly nodes: readonly NodeId[];
}

/** The fewest nodes that are more than half of `count`. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** Whether the nodes for which `holds` are a majority of each of the configurations. */
export function isQuorumOfEach(
  configurations: readonly Configuration[],
  holds: (node: NodeId) => boolean,
): boolean {
  return (
    configurations.length > 0 &&
    configurations.every(({ nodes }) => nodes.filter(holds).length >= majorityOf(nodes.length))
  );
}

/** The highest seqno that a majority of each configuration has reached. */
export function agreedSeqno(
  configurations: readonly Configuration[],
  reached: (node: NodeId) => Seqno,
): Seqno {
  const agreed = configurations.map(({ nodes }) => {
    const descending = nodes.map(reached).sort((left, right) => right - left);
    return descending[majorityOf(nodes.length) - 1] ?? seqnoOf(0);
  });
  return agreed.length === 0 ? seqnoOf(0) : agreed.reduce(lower);
}

export class Configurations {
  /** The newest committed one first, then those that are pending, in order. */
  readonly #active: Configuration[];

  constructor(first?: Configuration) {
    this.#active = first === undefined ? [] : [first];
  }

  get active(): readonly Configuration[] {
    return this.#active;
  }

  get newest(): Configuration | undefined {
    return this.#active.at(-1);
  }

  /** Those that would be in effect if the log ended at `seqno`. */
  upTo(seqno: Seqno): readonly Configuration[] {
    return this.#active.filter((configuration) => configuration.seqno <= seqno);
  }

  /** Every node of any active configuration. Never used to count. */
  members(): ReadonlySet<NodeId> {
    return new Set(this.#active.flatMap(({ nodes }) => nodes));
  }

  add(configuration: Configuration): void {
    const { seqno, nodes } = configuration;
    invariant(nodes.length > 0, `the configuration of entry ${seqno} names a node`);
    invariant(new Set(nodes).size === nodes.length, 'a configuration names each node once');
    invariant(seqno > (this.newest?.seqno ?? -1), 'configurations are in the order of the log');
    this.#active.push(configuration);
  }

  truncate(seqno: Seqno): void {
    while ((this.#active.at(-1)?.seqno ?? 0) > seqno) this.#active.pop();
  }

  /** What is committed up to `seqno` puts the configurations before it out of effect. */
  commit(seqno: Seqno): void {
    while ((this.#active[1]?.seqno ?? Number.POSITIVE_INFINITY) <= seqno) this.#active.shift();
  }
}
