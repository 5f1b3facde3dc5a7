// Looks at every running node after every event: what it holds to be committed only grows, and is
// the same everywhere; what it has not committed stays within its bound.

import { UNCOMMITTED_TRANSACTIONS_MAX } from '../../src/base/limits.ts';
import type { Fleet } from './fleet.ts';
import type { Machine } from './machine.ts';
import { require as mustHold } from './violation.ts';
import type { World } from './world.ts';

interface Seen {
  readonly life: number;
  readonly seqno: number;
}

export class CommitCheck {
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #seen = new Map<Machine, Seen>();

  readonly #onCommit: (machine: Machine) => void;

  constructor(world: World, fleet: Fleet, onCommit: (machine: Machine) => void) {
    this.#world = world;
    this.#fleet = fleet;
    this.#onCommit = onCommit;
  }

  look(): void {
    for (const machine of this.#fleet.machines) {
      const { node, lives, name } = machine;
      if (node === undefined) continue;
      const { seqno } = node.committed();
      const before = this.#seen.get(machine);
      const from = before?.life === lives ? before.seqno : 0;
      if (seqno === from && before?.life === lives) continue;
      mustHold(seqno >= from, 'MonotonicCommitIndexProp', () => `${name} took back a commit`);
      const history = node.viewHistory();
      this.#world.ledger.sawCommit(name, from, {
        seqno,
        viewAt: (at) => history.findLast((start) => start.seqno <= at)?.view ?? 0,
      });
      const { uncommitted } = node.figures();
      mustHold(
        uncommitted <= 2 * UNCOMMITTED_TRANSACTIONS_MAX,
        'QueueBound',
        () => `${uncommitted} entries of ${name} wait to be committed`,
      );
      this.#seen.set(machine, { life: lives, seqno });
      if (before?.life === lives) this.#onCommit(machine);
    }
  }
}
