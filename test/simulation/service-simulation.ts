// One simulated life of a whole service from a seed: 1 to 7 nodes, each the code that ships, on
// simulated machines. First troubles come (safety: nothing may break), then peace (liveness:
// everything must resolve in time), then the ledger is judged as a whole.

import { messageOf } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import type { PeerMessage } from '../../src/node/peers/messages.ts';
import type { Peer } from '../../src/node/peers/peer-network.ts';
import { Chance } from './chance.ts';
import { EventHash } from './event-hash.ts';
import { FaultCounts } from './fault-counts.ts';
import { makeMember, prepareJoiner, trust } from './joining.ts';
import { LedgerWatch } from './ledger-watch.ts';
import { Machine, type MachineWatch } from './machine.ts';
import { realKeys } from './real-keys.ts';
import { drawSettings, type Settings } from './settings.ts';
import type { Operation } from './simulated-disk.ts';
import { standInKeys } from './stand-in-keys.ts';
import { Timeline } from './timeline.ts';
import { Violation } from './violation.ts';
import { Wires } from './wires.ts';

/** The moment at which every simulated service begins. */
const START_MS = Date.UTC(2040, 5, 1);

export interface ServiceOptions {
  readonly seed: number;
  readonly faultsMs?: number;
}

export interface ServiceResult {
  readonly seed: number;
  readonly violation?: Error;
  readonly digest: string;
  readonly faults: FaultCounts;
  readonly virtualMs: number;
  readonly events: number;
  readonly committed: number;
}

export async function simulateService(options: ServiceOptions): Promise<ServiceResult> {
  return await new ServiceSimulation(options).run();
}

class ServiceSimulation implements MachineWatch {
  readonly #options: ServiceOptions;
  readonly #settings: Settings;
  readonly #chance: Chance;
  readonly #timeline = new Timeline();
  readonly #faults = new FaultCounts();
  readonly #hash = new EventHash();
  readonly #wires: Wires;
  readonly #ledger = new LedgerWatch();
  readonly #machines: Machine[] = [];
  readonly #committed = new Map<Machine, number>();
  #failure: Error | undefined;
  readonly log: string[] = [];

  constructor(options: ServiceOptions) {
    this.#options = options;
    const chance = new Chance(options.seed);
    this.#settings = drawSettings(options.seed, chance.fork(), options.faultsMs);
    this.#chance = chance.fork();
    this.#wires = new Wires({
      timeline: this.#timeline,
      chance: chance.fork(),
      faults: this.#faults,
      hash: this.#hash,
    });
  }

  async run(): Promise<ServiceResult> {
    try {
      await this.#live();
    } catch (error) {
      this.#fail(error);
    }
    if (this.#failure !== undefined) console.log(this.log.slice(-40).join('\n'));
    return {
      seed: this.#options.seed,
      ...(this.#failure === undefined ? {} : { violation: this.#failure }),
      digest: this.#hash.digest,
      faults: this.#faults,
      virtualMs: this.#timeline.nowMs(),
      events: this.#timeline.events,
      committed: this.#ledger.committedCount,
    };
  }

  async #live(): Promise<void> {
    const first = this.#newMachine();
    const keys = standInKeys({ random: this.#chance.fork() });
    const member = await makeMember(keys, START_MS);
    first.start({ members: [member], recoveryThreshold: 1 });
    await this.#until('the first node runs', 5_000, () => first.node !== undefined);
    const node = first.node;
    if (node === undefined) return;
    await this.#drive('the first node is ready', 5_000, node.ready());
    const opening = { holders: [member], threshold: 1, users: [] };
    await this.#drive(
      'the service opens',
      5_000,
      node.openService(opening, () => undefined),
    );
    for (let number = 1; number < this.#settings.nodes; number += 1) {
      await this.#drive(`node ${number} joins`, 20_000, this.#join());
    }
    await this.#play(2_000);
  }

  // Nodes.

  #newMachine(): Machine {
    const machine = new Machine(this.#machines.length, {
      settings: this.#settings,
      timeline: this.#timeline,
      chance: this.#chance.fork(),
      faults: this.#faults,
      hash: this.#hash,
      wires: this.#wires,
      watch: this,
      keysOf: (random, onSign) =>
        this.#settings.hasRealKeys
          ? realKeys(this.#timeline.outside)
          : standInKeys({ random, onSign }),
      startMs: START_MS,
    });
    this.#machines.push(machine);
    return machine;
  }

  async #join(): Promise<void> {
    const primary = this.#primary();
    if (primary?.node === undefined) return;
    const machine = this.#newMachine();
    const description = await prepareJoiner(machine, primary.node, this.#peers());
    machine.start();
    const { node } = primary;
    await trust(node, description);
    while (machine.node === undefined) await this.#pause(10);
    await machine.node.ready();
  }

  #peers(): readonly Peer[] {
    return this.#machines.flatMap(({ node, address }) =>
      node === undefined ? [] : [{ nodeId: node.nodeId as NodeId, address }],
    );
  }

  #primary(): Machine | undefined {
    return this.#machines.find(({ node }) => node?.isPrimary() === true);
  }

  // Time.

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#timeline.after(ms, resolve);
    });
  }

  async #play(ms: number, isOver: () => boolean = () => false): Promise<void> {
    await this.#timeline.play(this.#timeline.nowMs() + ms, () => {
      this.#look();
      return this.#failure !== undefined || isOver();
    });
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #until(what: string, ms: number, holds: () => boolean): Promise<void> {
    if (!holds()) await this.#play(ms, holds);
    if (!holds()) throw new Violation('Liveness', `after ${ms} ms: not ${what}`);
  }

  async #drive(what: string, ms: number, work: Promise<unknown>): Promise<void> {
    let isDone = false;
    let error: unknown;
    work.then(
      () => {
        isDone = true;
      },
      (thrown: unknown) => {
        isDone = true;
        error = thrown;
      },
    );
    await this.#until(what, ms, () => isDone);
    if (error !== undefined) throw error;
  }

  /** After every event. */
  #look(): void {
    try {
      for (const machine of this.#machines) this.#lookAt(machine);
    } catch (error) {
      this.#fail(error);
    }
  }

  #lookAt(machine: Machine): void {
    const { node } = machine;
    if (node === undefined) {
      this.#committed.delete(machine);
      return;
    }
    const { seqno } = node.committed();
    const before = this.#committed.get(machine) ?? 0;
    if (seqno === before) return;
    const history = node.viewHistory();
    this.#ledger.sawCommit(machine.name, before, {
      seqno,
      viewAt: (at) => history.findLast((start) => start.seqno <= at)?.view ?? 0,
    });
    this.#committed.set(machine, seqno);
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(error);
    }
  }

  // What machines tell.

  onWrite(machine: Machine, path: string, offset: number, bytes: Uint8Array): void {
    this.#guarded(() => this.#ledger.sawWrite(machine.name, path, offset, bytes));
  }

  onSent(machine: Machine, _to: NodeId, message: PeerMessage): void {
    if (message.kind !== 'append') return;
    const { previous, entries } = message;
    this.#guarded(() => this.#ledger.sawSent(machine.name, previous, entries));
  }

  onQueued(_machine: Machine, _bytes: number): void {}

  onLog(machine: Machine, text: string): void {
    this.log.push(`${this.#timeline.nowMs().toFixed(1)} ${machine.name} ${text}`);
    this.#hash.add(`${machine.name} ${text}`);
  }

  onOperation(_machine: Machine, _operation: Operation, _when: 'before' | 'after'): void {}

  onSigned(_machine: Machine): void {}

  onFatal(machine: Machine, error: unknown): void {
    this.#fail(error);
    this.onLog(machine, `fatal: ${messageOf(error)}`);
    machine.stopProcess();
  }

  onRetired(machine: Machine): void {
    machine.isRetired = true;
  }

  onRefused(_machine: Machine, error: unknown): void {
    this.#fail(error);
  }

  onStarted(machine: Machine): void {
    this.onLog(machine, 'started');
  }
}
