// One simulated life of a whole service from a seed: 1 to 7 nodes, each the code that ships, on
// simulated machines. First troubles come (safety: nothing may break), then peace (liveness:
// everything must resolve in time), then the ledger is judged as a whole.

import { invariant } from '../../src/base/assert.ts';
import { Audit } from './audit.ts';
import { CanaryWatch } from './canary-watch.ts';
import { Clients } from './clients.ts';
import { CommitCheck } from './commit-check.ts';
import { Disaster } from './disaster.ts';
import type { FaultCounts } from './fault-counts.ts';
import { Fleet } from './fleet.ts';
import { HistoryCheck } from './history-check.ts';
import type { Machine } from './machine.ts';
import { Peace } from './peace.ts';
import { Troubles } from './troubles.ts';
import { World } from './world.ts';

export interface ServiceOptions {
  readonly seed: number;
  readonly faultsMs?: number;
}

export interface ServiceResult {
  readonly seed: number;
  /** The event hash counts: the same from the same seed. */
  readonly isDeterministic: boolean;
  readonly violation?: Error;
  /** What happened last before it. */
  readonly lines: readonly string[];
  readonly digest: string;
  readonly faults: FaultCounts;
  readonly virtualMs: number;
  readonly events: number;
  readonly committed: number;
  readonly elections: number;
  /** What clients did and were told, and what was judged. */
  readonly figures: Figures;
}

export interface Figures {
  readonly nodes: number;
  readonly sent: number;
  readonly acknowledged: number;
  readonly absencesProven: number;
  readonly reads: number;
  readonly receipts: number;
  readonly repeats: number;
  readonly snapshots: number;
  readonly entries: number;
  readonly searchedBytes: number;
}

export async function simulateService(options: ServiceOptions): Promise<ServiceResult> {
  const simulation = new ServiceSimulation(options);
  return await simulation.run();
}

class ServiceSimulation {
  readonly #options: ServiceOptions;
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #clients: Clients;
  readonly #troubles: Troubles;
  readonly #canaries = new CanaryWatch();
  readonly #disaster: Disaster;

  constructor(options: ServiceOptions) {
    this.#options = options;
    this.#world = new World(options.seed, options.faultsMs);
    this.#fleet = new Fleet(this.#world);
    this.#clients = new Clients(this.#world, this.#fleet);
    this.#troubles = new Troubles(this.#world, this.#fleet);
    this.#fleet.watchers.push(this.#canaries);
    const commits = new CommitCheck(this.#world, this.#fleet, (machine) =>
      this.#troubles.onCommit(machine),
    );
    this.#disaster = new Disaster(this.#world, this.#fleet, options.seed);
    this.#world.look = () => {
      commits.look();
      this.#disaster.look();
    };
  }

  async run(): Promise<ServiceResult> {
    const world = this.#world;
    const onRejection = (error: unknown): void => world.fail(error);
    process.on('unhandledRejection', onRejection);
    try {
      await this.#live();
    } catch (error) {
      world.fail(error);
    } finally {
      process.off('unhandledRejection', onRejection);
    }
    const { failure } = world;
    return {
      seed: this.#options.seed,
      ...(failure === undefined ? {} : { violation: failure }),
      lines: failure === undefined ? [] : world.lines,
      digest: world.hash.digest,
      faults: world.faults,
      virtualMs: world.nowMs,
      events: world.timeline.events,
      committed: world.ledger.committedCount,
      elections: this.#fleet.elections,
      isDeterministic: !world.settings.hasRealKeys,
      figures: this.#figures(),
    };
  }

  #figures(): Figures {
    const { history } = this.#clients;
    const { ledger } = this.#world;
    return {
      nodes: this.#fleet.machines.length,
      sent: history.sendings.length,
      acknowledged: history.sendings.filter(({ hash }) => hash !== undefined).length,
      absencesProven: history.absences,
      reads: history.logReads.length,
      receipts: history.receipts,
      repeats: history.repeats,
      snapshots: ledger.snapshotCount,
      entries: ledger.entryCount,
      searchedBytes: this.#canaries.searchedBytes,
    };
  }

  async #live(): Promise<void> {
    const world = this.#world;
    await this.#fleet.found((transaction) => this.#clients.layDown(transaction));
    world.background('an operator', async () => {
      for (;;) {
        await world.pause(50 + world.chance.next() * 150);
        await this.#fleet.trustWaiting();
      }
    });
    for (let number = 1; number < world.settings.nodes; number += 1) {
      await world.drive(`node ${number} joins`, 20_000, this.#fleet.join());
    }
    this.#clients.start();
    this.#troubles.begin();
    this.#disaster.begin();
    await world.play(world.settings.faultsMs);
    const peace = new Peace(world, this.#fleet, this.#clients, this.#troubles);
    await peace.demand();
    await this.#judge(peace.voters());
    await this.#disaster.judge();
  }

  /** Everything is at rest. */
  async #judge(voters: readonly Machine[]): Promise<void> {
    const { primary } = this.#fleet;
    invariant(primary !== undefined, 'a service at rest has a primary');
    const audit = new Audit(this.#world, primary);
    await audit.judge(voters);
    new HistoryCheck(audit.entries, this.#clients.history).judge();
    await this.#world.drive('clients read all', 60_000, this.#clients.readAll(voters));
  }
}
