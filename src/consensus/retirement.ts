/**
 * Retirement in phases (node-lifecycle.md §6): Ordered when a configuration without the node is
 * appended, Signed when a signature follows, Completed when that is committed (the node counts no
 * more), RetiredCommitted when a second entry that says so is committed (it may be shut down).
 *
 * The phase is derived from the log and its commit position, so rollback needs no care.
 */

import { invariant } from '../base/assert.ts';
import type { NodeId, Seqno } from '../base/ids.ts';
import type { LogPositions } from './positions.ts';

export type RetirementPhase = 'Ordered' | 'Signed' | 'Completed' | 'RetiredCommitted';

export interface Retirement {
  readonly node: NodeId;
  /** The entry whose configuration leaves the node out. */
  readonly ordered: Seqno;
  /** The entry that says the retirement was committed. */
  readonly recorded?: Seqno;
}

export class Retirements {
  readonly #byNode = new Map<NodeId, Retirement>();

  constructor(known: readonly Retirement[]) {
    for (const retirement of known) this.#byNode.set(retirement.node, retirement);
  }

  get all(): readonly Retirement[] {
    return [...this.#byNode.values()];
  }

  isRetired(node: NodeId): boolean {
    return this.#byNode.has(node);
  }

  order(node: NodeId, seqno: Seqno): void {
    invariant(
      !this.#byNode.has(node),
      `${node} retires once; its identity is never used again`,
    );
    this.#byNode.set(node, { node, ordered: seqno });
  }

  record(node: NodeId, seqno: Seqno): void {
    const retirement = this.#byNode.get(node);
    invariant(retirement !== undefined, `${node} was retired before this was recorded`);
    if (retirement.recorded === undefined) {
      this.#byNode.set(node, { ...retirement, recorded: seqno });
    }
  }

  truncate(seqno: Seqno): void {
    for (const { node, ordered, recorded } of this.all) {
      if (ordered > seqno) this.#byNode.delete(node);
      else if ((recorded ?? 0) > seqno) this.#byNode.set(node, { node, ordered });
    }
  }

  phaseOf(node: NodeId, log: LogPositions): RetirementPhase | undefined {
    const retirement = this.#byNode.get(node);
    if (retirement === undefined) return undefined;
    const { ordered, recorded } = retirement;
    if (recorded !== undefined && recorded <= log.commit) return 'RetiredCommitted';
    if (ordered <= log.commit) return 'Completed';
    return (log.signatures.at(-1) ?? 0) > ordered ? 'Signed' : 'Ordered';
  }

  /** Retired nodes that still need the leader's messages. */
  stillServed(log: LogPositions): readonly NodeId[] {
    return this.all
      .filter(({ node }) => this.phaseOf(node, log) !== 'RetiredCommitted')
      .map(({ node }) => node);
  }

  /** Nodes whose retirement is committed and not yet recorded in the log. */
  toBeRecorded(log: LogPositions): readonly NodeId[] {
    return this.all
      .filter(({ ordered, recorded }) => ordered <= log.commit && recorded === undefined)
      .map(({ node }) => node);
  }
}
