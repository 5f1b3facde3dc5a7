// When troubles have ended: nodes that cannot come back are replaced, an operator lets restarts go
// on that nobody can prove, and within a bound everything must resolve. Then a random minority
// dies for good, and the rest must still serve.

import { utf8 } from '../../src/base/bytes.ts';
import { isCoded } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import type { Clients } from './clients.ts';
import type { Fleet } from './fleet.ts';
import type { Machine } from './machine.ts';
import type { Troubles } from './troubles.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** Within so much virtual time everything resolves. */
const LIVENESS_MS_MAX = 40_000;
const STEP_MS = 250;
/** An operator looks for so long before he lets an unproven restart go on. */
const OPERATOR_MS = 3_000;

export class Peace {
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #clients: Clients;
  readonly #troubles: Troubles;
  #isReplacing = false;
  #probes = 0;

  constructor(world: World, fleet: Fleet, clients: Clients, troubles: Troubles) {
    this.#world = world;
    this.#fleet = fleet;
    this.#clients = clients;
    this.#troubles = troubles;
  }

  /** Everything that was begun is decided, all nodes agree, and then fewer go on. */
  async demand(): Promise<void> {
    const world = this.#world;
    this.#troubles.end();
    const startMs = world.nowMs;
    await this.#resolve('troubles end', () => {
      if (world.nowMs - startMs > OPERATOR_MS) this.#acceptUnproven();
      this.#replace();
      return this.#unresolved();
    });
    this.#clients.end();
    await world.until('all clients are answered', 20_000, () => this.#clients.busy === 0);
    await this.#resolve('clients end', () => this.#unequal());
    await this.#loseMinority();
    const backMs = world.nowMs;
    await this.#resolve('a minority came back', () => {
      if (world.nowMs - backMs > OPERATOR_MS) this.#acceptUnproven();
      this.#replace();
      return this.#unresolved() || this.#unequal();
    });
    // What the others made certain may still be on its way to a node's own disk.
    await world.play(1_000);
  }

  /** The voters' machines. */
  voters(): readonly Machine[] {
    return this.#fleet.voters().flatMap((id) => this.#fleet.machineOf(id) ?? []);
  }

  async #resolve(since: string, open: () => string): Promise<void> {
    const world = this.#world;
    const endMs = world.nowMs + LIVENESS_MS_MAX;
    let what = open();
    while (what !== '' && world.nowMs < endMs) {
      await world.play(STEP_MS);
      what = open();
    }
    if (what === '') return;
    throw new Violation('Liveness', `${LIVENESS_MS_MAX} ms after ${since}: ${what}`);
  }

  #acceptUnproven(): void {
    for (const machine of this.#fleet.running) {
      const { node } = machine;
      // Who knows that a disk has forgotten does not vouch for it.
      if (!this.#troubles.forgetful.has(machine)) node.acceptUnproven();
    }
  }

  /** Nodes that never start again make way for others. */
  #replace(): void {
    const lost = this.#fleet.voters().find((id) => {
      const machine = this.#fleet.machineOf(id);
      return machine !== undefined && this.#troubles.broken.has(machine);
    });
    if (lost === undefined || this.#isReplacing || this.#fleet.primary === undefined) return;
    this.#isReplacing = true;
    this.#world.background('a replacement', async () => {
      await this.#fleet.join();
      await this.#fleet.remove(lost);
      this.#world.faults.count('membership: broken node replaced');
      this.#isReplacing = false;
    });
  }

  /** What is still open, in words; nothing when the service is well. */
  #unresolved(): string {
    const { primary } = this.#fleet;
    if (primary === undefined) return 'nobody is the primary';
    const { configurations, primaryId } = primary.node.node();
    if (configurations.length !== 1) return 'a configuration is pending';
    if (this.#fleet.joining.size > 0) return 'a node is still joining';
    for (const id of configurations[0]?.nodeIds ?? []) {
      const open = this.#unresolvedAt(id as NodeId, primaryId);
      if (open !== '') return open;
    }
    return this.#isReplacing ? 'a node is being replaced' : '';
  }

  #unresolvedAt(id: NodeId, primaryId: string | undefined): string {
    const machine = this.#fleet.machineOf(id);
    if (machine === undefined) return `nobody is node ${id}`;
    const { node, name } = machine;
    if (node === undefined) return `${name} does not run`;
    const facts = node.node();
    if (facts.state !== 'PartOfNetwork') return `${name} is not ready`;
    if (facts.primaryId !== primaryId) return `${name} does not follow the primary`;
    return '';
  }

  /** Whether all voters hold the same, and all of it is committed. */
  #unequal(): string {
    const { primary } = this.#fleet;
    if (primary === undefined) return 'nobody is the primary';
    const end = primary.node.figures().newestSeqno;
    for (const { name, node } of this.voters()) {
      if (node === undefined) return `${name} does not run`;
      const { committedSeqno, newestSeqno } = node.figures();
      if (newestSeqno !== end) return `${name} ends at ${newestSeqno}, the primary at ${end}`;
      if (committedSeqno !== end) return `${name} committed ${committedSeqno} of ${end}`;
    }
    return '';
  }

  async #loseMinority(): Promise<void> {
    const voters = this.voters();
    const count = Math.floor((voters.length - 1) / 2);
    if (count === 0) return;
    const lost = this.#world.chance.shuffled(voters).slice(0, count);
    for (const machine of lost) machine.kill('power');
    await this.#resolve('a minority was lost', () =>
      this.#probed() ? '' : 'no write commits',
    );
    for (const machine of lost) machine.start();
  }

  /** Whether a write that began after the loss is committed; begins one if none is under way. */
  #probed(): boolean {
    if (this.#probes < 0) return true;
    const node = this.#fleet.primary?.node;
    if (node === undefined) return false;
    this.#probes += 1;
    const value = utf8(`probe ${this.#probes}`);
    node
      .commitService((transaction) =>
        transaction.table('public:concordat.probe').put(utf8('probe'), value),
      )
      .then(
        () => {
          this.#probes = -1;
        },
        (error: unknown) => {
          if (!isCoded(error)) this.#world.fail(error);
        },
      );
    return false;
  }
}
