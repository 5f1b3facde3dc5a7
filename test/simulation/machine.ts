// One machine of the simulated service: a disk, an index, a clock, and on them one process after
// another, each running the node that ships.

import type { Application } from '../../src/apps/interface.ts';
import { createLogApplication } from '../../src/apps/log/application.ts';
import { createQuorumApplication } from '../../src/apps/quorum/application.ts';
import type { Random, Sealer } from '../../src/base/environment.ts';
import { messageOf } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import {
  aeadKeyOf,
  GCM_IV_BYTES,
  GCM_KEY_BYTES,
  openWhole,
  sealWhole,
} from '../../src/crypto/aead.ts';
import type { KeySource } from '../../src/crypto/key-source.ts';
import type { NodeDependencies, NodeOptions } from '../../src/node/node-options.ts';
import type { PeerMessage } from '../../src/node/peers/messages.ts';
import type { Peer } from '../../src/node/peers/peer-network.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { type NewService, startNode } from '../../src/node/start-node.ts';
import type { Chance } from './chance.ts';
import type { DiskImage } from './disk-state.ts';
import type { EventHash } from './event-hash.ts';
import type { FaultCounts } from './fault-counts.ts';
import { MachineClock, Process } from './process.ts';
import type { Settings } from './settings.ts';
import { type DiskUser, type Operation, SimulatedDisk } from './simulated-disk.ts';
import { SimulatedIndex } from './simulated-index.ts';
import { SimulatedTransport } from './simulated-transport.ts';
import type { Timeline } from './timeline.ts';
import type { Wires } from './wires.ts';

export const NODE_FOLDER = '/node';

/** What machines tell those who watch them. */
export interface MachineWatch {
  onWrite(machine: Machine, path: string, offset: number, bytes: Uint8Array): void;
  onSent(machine: Machine, to: NodeId, message: PeerMessage): void;
  onQueued(machine: Machine, bytes: number): void;
  onLog(machine: Machine, text: string): void;
  onOperation(machine: Machine, operation: Operation, when: 'before' | 'after'): void;
  onSigned(machine: Machine): void;
  /** A node ended itself. */
  onFatal(machine: Machine, error: unknown): void;
  onRetired(machine: Machine): void;
  /** A start was refused, or went wrong. */
  onRefused(machine: Machine, error: unknown): void;
  onStarted(machine: Machine): void;
}

export interface MachineDependencies {
  readonly settings: Settings;
  readonly timeline: Timeline;
  readonly chance: Chance;
  readonly faults: FaultCounts;
  readonly hash: EventHash;
  readonly wires: Wires;
  readonly watch: MachineWatch;
  readonly keysOf: (random: Chance, onSign: () => void) => KeySource;
  readonly startMs: number;
}

/** All that a machine keeps while it is off, as it was at some moment. */
export interface MachineImage {
  readonly disk: DiskImage;
  readonly index: ReadonlyMap<string, Uint8Array>;
}

export class Machine {
  readonly name: string;
  readonly host: string;
  readonly address: string;
  readonly disk: SimulatedDisk;
  readonly index: SimulatedIndex;
  readonly clock: MachineClock;
  /** Nodes to talk to besides those the ledger names; a joiner's first friends. */
  peers: readonly Peer[] = [];
  /** Its node was retired for good. */
  isRetired = false;
  /** What was done to its disk: a start may be refused for it. */
  readonly blemishes = new Set<string>();
  readonly #deps: MachineDependencies;
  readonly #chance: Chance;
  readonly #sealer: Sealer;
  #process: Process | undefined;
  #node: RunningNode | undefined;
  #diskUser: DiskUser | undefined;
  #transport: SimulatedTransport | undefined;
  /** A second process that tries to start on the same folder. */
  #twin: Process | undefined;
  #lives = 0;
  #applications: readonly Application[] = [];

  constructor(number: number, dependencies: MachineDependencies) {
    this.name = `m${number}`;
    this.host = `10.0.0.${number + 1}`;
    this.address = `${this.host}:9000`;
    this.#deps = dependencies;
    const { chance, faults, hash, timeline, settings, watch, startMs } = dependencies;
    this.#chance = chance.fork();
    this.disk = new SimulatedDisk({
      ...{ name: this.name, faults, hash },
      chance: chance.fork(),
      onWrite: (path, offset, bytes) => watch.onWrite(this, path, offset, bytes),
    });
    this.disk.syncMsMax = settings.syncMsMax;
    this.index = new SimulatedIndex(chance.fork(), faults, (key, value) =>
      watch.onWrite(this, `${NODE_FOLDER}/index/${key}`, 0, value),
    );
    this.#sealer = machineSealer(chance.fork());
    const offsetMs = startMs + chance.between(-2_000, 2_000);
    this.clock = new MachineClock(timeline, offsetMs, 0.98 + 0.04 * chance.next());
  }

  /** The running node, once its start has ended well. */
  get node(): RunningNode | undefined {
    return this.#node;
  }

  get process(): Process | undefined {
    return this.#process;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  get isAwake(): boolean {
    return this.#node !== undefined && this.#process?.isPaused === false;
  }

  /** What runs on the node of this life. */
  get applications(): readonly Application[] {
    return this.#applications;
  }

  get lives(): number {
    return this.#lives;
  }

  /** What the node's program is given. */
  get options(): NodeOptions {
    return {
      ...this.#deps.settings.node,
      folder: NODE_FOLDER,
      host: this.host,
      port: 8000,
      nodeToNode: { host: this.host, port: 9000 },
      applications: this.#applications,
      version: '0.0.0',
      frontDoor: {},
    };
  }

  /** A process on this machine that has not begun yet. */
  boot(): { readonly process: Process; readonly dependencies: NodeDependencies } {
    const { timeline, watch, wires, settings } = this.#deps;
    this.#lives += 1;
    this.#applications = [
      createQuorumApplication({ random: this.#chance.fork() }),
      createLogApplication(),
    ];
    const process = new Process(`${this.name}#${this.#lives}`, timeline, this.clock);
    const random = this.#chance.fork();
    const isPresent = (): boolean => this.#process === process && !process.isDead;
    const user: DiskUser = {
      after: (ms, action) => void process.after(ms, action),
      get isDead() {
        return process.isDead;
      },
      onOperation: (operation, when) => watch.onOperation(this, operation, when),
    };
    const disk = this.disk.session(user);
    this.#process = process;
    this.#diskUser = user;
    const dependencies: NodeDependencies = {
      disk,
      clock: this.clock,
      timers: process,
      random,
      log: {
        info: (text) => this.#log(process, text),
        warn: (text) => this.#log(process, text),
        progress: () => undefined,
      },
      keys: this.#deps.keysOf(random, () => {
        if (isPresent()) watch.onSigned(this);
      }),
      openIndex: (folder) => this.index.open(process, folder),
      openSealer: async () => this.#sealer,
      openTransport: (options, deps) => {
        this.#transport = new SimulatedTransport(options, deps, {
          ...{ wires, process, address: this.address },
          chance: this.#chance.fork(),
          queueBytesMax: settings.queueBytesMax,
          onSent: (_from, to, message) => watch.onSent(this, to, message),
          onQueued: (bytes) => watch.onQueued(this, bytes),
        });
        return this.#transport;
      },
      onFatal: (error) => {
        if (isPresent()) watch.onFatal(this, error);
      },
      onRetired: () => {
        if (isPresent()) watch.onRetired(this);
      },
    };
    const { keys } = dependencies;
    return {
      process,
      dependencies:
        keys === undefined ? dependencies : { ...dependencies, verifier: keys.verifier },
    };
  }

  /** Starts the node; it is there when its start has ended well. */
  start(creation?: NewService): void {
    if (this.isUp) return;
    const { watch } = this.#deps;
    const { process, dependencies } = this.boot();
    startNode(this.options, dependencies, creation, this.peers).then(
      ({ node }) => {
        if (process.isDead) return;
        this.#node = node;
        watch.onStarted(this);
      },
      (error: unknown) => {
        if (process.isDead) return;
        this.#log(process, `the start was refused: ${messageOf(error)}`);
        this.stopProcess();
        watch.onRefused(this, error);
      },
    );
  }

  /** The process dies at once; `power`: the whole machine with it. */
  kill(kind: 'process' | 'power'): void {
    const { faults } = this.#deps;
    const process = this.#process;
    if (process === undefined) return;
    const hasUnsynced = this.disk.state.hasUnsynced;
    faults.count(kind === 'power' ? 'crash: power lost' : 'crash: process killed');
    if (hasUnsynced) faults.count('crash: with unsynced state');
    this.stopProcess(kind === 'power');
    if (kind === 'process') return;
    this.disk.state.losePower(this.#chance, faults);
    this.index.losePower();
  }

  /** Tries to start the node a second time on the same folder, which must be refused. */
  async startTwin(): Promise<unknown> {
    const own = [this.#process, this.#diskUser, this.#transport, this.#applications] as const;
    const { process, dependencies } = this.boot();
    [this.#process, this.#diskUser, this.#transport, this.#applications] = own;
    this.#twin = process;
    const twin = startNode(this.options, dependencies, undefined, this.peers);
    try {
      await twin;
      return undefined;
    } catch (error) {
      return error;
    } finally {
      process.die();
    }
  }

  /** Ends the process without a trouble being counted. */
  stopProcess(silently = false): void {
    const process = this.#process;
    if (process === undefined) return;
    process.die();
    this.#twin?.die();
    if (this.#diskUser !== undefined) this.disk.abandon(this.#diskUser);
    this.#transport?.cutOff(silently);
    this.#process = undefined;
    this.#node = undefined;
    this.#transport = undefined;
  }

  /** What is on stable storage now. */
  image(): MachineImage {
    return { disk: this.disk.state.image(), index: this.index.image() };
  }

  restore(image: MachineImage): void {
    this.disk.state.restore(image.disk);
    this.index.restore(image.index);
  }

  #log(process: Process, text: string): void {
    if (!process.isDead) this.#deps.watch.onLog(this, text);
  }
}

/** Seals for this machine and no other, as a platform does that binds a key to itself. */
function machineSealer(random: Random): Sealer {
  const key = aeadKeyOf(random.bytes(GCM_KEY_BYTES));
  return {
    kind: 'simulated',
    seal: async (name, secret) =>
      sealWhole(key, random.bytes(GCM_IV_BYTES), Buffer.from(name), secret),
    unseal: async (name, sealed) => openWhole(key, Buffer.from(name), sealed),
  };
}
