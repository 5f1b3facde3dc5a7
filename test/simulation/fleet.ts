// The machines of a simulated service and the nodes on them: who founds it, joins, leaves, starts
// again; and what they all tell, given on to whoever judges it.

import { InvariantError } from '../../src/base/assert.ts';
import type { Random } from '../../src/base/environment.ts';
import { isCoded, messageOf } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import type { KeySource } from '../../src/crypto/key-source.ts';
import type { MemberAtCreation } from '../../src/governance/opening.ts';
import type { Transaction } from '../../src/kv/tables.ts';
import type { PeerMessage } from '../../src/node/peers/messages.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { joinOn, makeMember, retire, trust, waitingAt } from './joining.ts';
import { Machine, type MachineWatch } from './machine.ts';
import { realKeys } from './real-keys.ts';
import type { Operation } from './simulated-disk.ts';
import { standInKeys } from './stand-in-keys.ts';
import { require as mustHold } from './violation.ts';
import { START_MS, type World } from './world.ts';

/** Machines that one simulated service may ever have. */
const MACHINES_MAX = 14;
const JOIN_MS_MAX = 15_000;

export class Fleet implements MachineWatch {
  readonly machines: Machine[] = [];
  /** Who watches more closely than the fleet itself. */
  readonly watchers: Partial<MachineWatch>[] = [];
  /** Machines that are on their way into the service. */
  readonly joining = new Set<Machine>();
  readonly #world: World;
  readonly #keys: KeySource;
  readonly #leaders = new Map<number, string>();
  /** Ids of the nodes, by machine, once they have one. */
  readonly #ids = new Map<Machine, NodeId>();
  #isChanging = false;
  #serviceCertificatePem = '';
  queuedBytesMax = 0;

  constructor(world: World) {
    this.#world = world;
    this.#keys = this.#keysOf(world.chance.fork());
  }

  get elections(): number {
    return this.#leaders.size;
  }

  /** Nodes that run, their starts ended. */
  get running(): readonly (Machine & { readonly node: RunningNode })[] {
    return this.machines.filter(hasNode);
  }

  /** The node that takes transactions, if one does; the newest by view. */
  get primary(): (Machine & { readonly node: RunningNode }) | undefined {
    return this.running
      .filter(({ node, isAwake }) => isAwake && node.isPrimary())
      .sort((left, right) => right.node.node().view - left.node.node().view)[0];
  }

  idOf(machine: Machine): NodeId | undefined {
    return this.#ids.get(machine);
  }

  machineOf(id: NodeId): Machine | undefined {
    return this.machines.find((machine) => this.#ids.get(machine) === id);
  }

  /** The nodes that vote, as the most knowing running node has it. */
  voters(): readonly NodeId[] {
    const best = this.running
      .map(({ node }) => node)
      .sort((left, right) => right.committed().seqno - left.committed().seqno)[0];
    return (
      best
        ?.node()
        .configurations.at(-1)
        ?.nodeIds.map((id) => id as NodeId) ?? []
    );
  }

  /** The first node of a service, with the service open. */
  async found(also: (transaction: Transaction) => void): Promise<void> {
    const world = this.#world;
    const machine = this.#newMachine();
    const making = makeMember(this.#keys, START_MS);
    await world.drive('a member has keys', 10_000, making);
    const member: MemberAtCreation = await making;
    machine.start({ members: [member], recoveryThreshold: 1 });
    await world.until('the first node runs', 5_000, () => machine.node !== undefined);
    const { node } = machine;
    if (node === undefined) return;
    await world.drive('the first node is ready', 5_000, node.ready());
    const opening = { holders: [member], threshold: 1, users: [] };
    await world.drive('the service opens', 5_000, node.openService(opening, also));
  }

  /** Another machine joins, in its own time; false when it could not be tried. */
  async join(): Promise<boolean> {
    const { primary } = this;
    if (primary === undefined || this.#isChanging) return false;
    if (this.machines.length >= MACHINES_MAX) return false;
    this.#isChanging = true;
    this.#serviceCertificatePem = primary.node.serviceCertificatePem;
    const machine = this.#newMachine();
    this.joining.add(machine);
    this.#world.faults.count('membership: joined');
    this.resumeJoining(machine);
    const late = this.#world.nowMs + JOIN_MS_MAX;
    while (this.joining.has(machine) && this.#world.nowMs < late) await this.#world.pause(20);
    this.#isChanging = false;
    return !this.joining.has(machine);
  }

  /** Begins to join, or goes on with it where a crash cut it off. */
  resumeJoining(machine: Machine): void {
    if (machine.isUp || !this.joining.has(machine)) return;
    const world = this.#world;
    const targets = {
      serviceCertificatePem: this.#serviceCertificatePem,
      machines: world.chance.shuffled(this.running),
      fetchSnapshot: world.chance.flip(0.5),
    };
    if (targets.machines.length === 0) {
      world.timeline.after(500, () => this.resumeJoining(machine));
      return;
    }
    const parts = { world, keys: this.#keys, machines: () => this.machines };
    const joined = joinOn(machine, targets, parts);
    const { process } = machine;
    joined.then(
      ({ identity, peers, ledgerEnd, snapshot }) => {
        if (process?.isDead !== false) return;
        this.joining.delete(machine);
        this.#ids.set(machine, identity.nodeKey.fingerprint as NodeId);
        machine.peers = peers;
        if (ledgerEnd !== undefined) world.faults.count('membership: joined with a ledger');
        if (snapshot !== undefined) world.faults.count('membership: joined with a snapshot');
        machine.stopProcess();
        machine.start();
      },
      (error: unknown) => {
        if (process?.isDead !== false) return;
        machine.stopProcess();
        this.#onJoinFailed(machine, error);
      },
    );
  }

  /** An operator looks for nodes that wait to be trusted. */
  async trustWaiting(): Promise<void> {
    const { primary } = this;
    if (primary === undefined) return;
    for (const waiting of waitingAt(primary.node)) {
      const machine = this.machines.find(({ address }) => address === waiting.address);
      if (machine === undefined || !this.joining.has(machine)) continue;
      this.#ids.set(machine, waiting.nodeId);
      await this.#asPrimary((node) => trust(node, waiting, this.#keys, START_MS));
    }
  }

  /** A joiner that the service sent away, or whose disk failed. */
  #onJoinFailed(machine: Machine, error: unknown): void {
    this.onLog(machine, `joining failed: ${messageOf(error)}`);
    if (isDiskFault(error)) {
      this.#world.timeline.after(500, () => this.resumeJoining(machine));
    } else if (isCoded(error, 'AlreadyJoined')) {
      // It died between having joined and being started.
      this.joining.delete(machine);
      machine.start();
    } else if (isCoded(error, 'JoinRefused') && this.#ids.has(machine)) {
      // Trusted and retired again before it was there.
      this.joining.delete(machine);
      machine.isRetired = true;
    } else this.#world.fail(error);
  }

  /** The primary retires a node; false when it could not be tried. */
  async remove(id: NodeId): Promise<boolean> {
    if (this.#isChanging) return false;
    this.#isChanging = true;
    try {
      return await this.#asPrimary((node) => retire(node, id));
    } finally {
      this.#isChanging = false;
    }
  }

  /** Has whoever is the primary do something; false when none could, or its fate is unknown. */
  async #asPrimary(work: (node: RunningNode) => Promise<void>): Promise<boolean> {
    const { primary } = this;
    if (primary === undefined) return false;
    const done = work(primary.node).then(
      () => true,
      (error: unknown) => {
        if (!isCoded(error)) throw error;
        return false;
      },
    );
    return (await this.#withTime(done, JOIN_MS_MAX)) === true;
  }

  /** Undefined when it takes too long: the node that should have done it may be dead. */
  async #withTime<Result>(work: Promise<Result>, ms: number): Promise<Result | undefined> {
    const late = this.#world.pause(ms).then(() => undefined);
    return await Promise.race([work, late]);
  }

  #newMachine(): Machine {
    const world = this.#world;
    const machine = new Machine(this.machines.length, {
      settings: world.settings,
      timeline: world.timeline,
      chance: world.chance.fork(),
      faults: world.faults,
      hash: world.hash,
      wires: world.wires,
      watch: this,
      keysOf: (random, onSign) => this.#keysOf(random, onSign),
      startMs: START_MS,
    });
    this.machines.push(machine);
    return machine;
  }

  #keysOf(random: Random, onSign: () => void = () => undefined): KeySource {
    const { settings, timeline } = this.#world;
    return settings.hasRealKeys ? realKeys(timeline.outside) : standInKeys({ random, onSign });
  }

  // What machines tell.

  onWrite(machine: Machine, path: string, offset: number, bytes: Uint8Array): void {
    this.#world.guarded(() => {
      this.#world.ledger.sawWrite(machine.name, path, offset, bytes);
      for (const watcher of this.watchers) watcher.onWrite?.(machine, path, offset, bytes);
    });
  }

  onSent(machine: Machine, to: NodeId, message: PeerMessage): void {
    this.#world.guarded(() => {
      if (message.kind === 'append') {
        const { previous, entries } = message;
        this.#world.ledger.sawSent(machine.name, previous, entries);
      }
      for (const watcher of this.watchers) watcher.onSent?.(machine, to, message);
    });
  }

  onQueued(_machine: Machine, bytes: number): void {
    this.queuedBytesMax = Math.max(this.queuedBytesMax, bytes);
  }

  onLog(machine: Machine, text: string): void {
    this.#world.say(`${machine.name} ${text}`);
    this.#world.guarded(() => {
      for (const watcher of this.watchers) watcher.onLog?.(machine, text);
      const view = /^this node is the primary of view (\d+)$/.exec(text)?.[1];
      if (view !== undefined) this.#noteLeader(machine, Number(view));
    });
  }

  onOperation(machine: Machine, operation: Operation, when: 'before' | 'after'): void {
    for (const watcher of this.watchers) watcher.onOperation?.(machine, operation, when);
  }

  onSigned(machine: Machine): void {
    for (const watcher of this.watchers) watcher.onSigned?.(machine);
  }

  onFatal(machine: Machine, error: unknown): void {
    this.onLog(machine, `fatal: ${messageOf(error)}`);
    const isBearable = isDiskFault(error) || isShutOut(machine, error);
    machine.stopProcess();
    if (!isBearable) this.#world.fail(error);
    for (const watcher of this.watchers) watcher.onFatal?.(machine, error);
  }

  onRetired(machine: Machine): void {
    machine.isRetired = true;
    this.#world.say(`${machine.name} is retired`);
    for (const watcher of this.watchers) watcher.onRetired?.(machine);
  }

  onRefused(machine: Machine, error: unknown): void {
    if (error instanceof InvariantError || !isExpectedRefusal(error)) this.#world.fail(error);
    for (const watcher of this.watchers) watcher.onRefused?.(machine, error);
  }

  onStarted(machine: Machine): void {
    if (machine.node !== undefined) this.#ids.set(machine, machine.node.nodeId as NodeId);
    this.#world.say(`${machine.name} started, life ${machine.lives}`);
    for (const watcher of this.watchers) watcher.onStarted?.(machine);
  }

  /** MoreThanOneLeaderInv. */
  #noteLeader(machine: Machine, view: number): void {
    const other = this.#leaders.get(view);
    mustHold(
      other === undefined || other === machine.name,
      'MoreThanOneLeaderInv',
      () => `${machine.name} and ${other} lead in view ${view}`,
    );
    this.#leaders.set(view, machine.name);
  }
}

function hasNode(machine: Machine): machine is Machine & { readonly node: RunningNode } {
  return machine.node !== undefined;
}

/** Who votes no more is told no fresh secret, and can follow no further. */
function isShutOut({ node, isRetired }: Machine, error: unknown): boolean {
  if (isRetired) return true;
  if (node === undefined || !isCoded(error, 'SealBroken')) return false;
  return node.node().configurations.every(({ nodeIds }) => !nodeIds.includes(node.nodeId));
}

/** What a disk said, as itself or as the cause of what a node makes of it. */
export function isDiskFault(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code: unknown = 'code' in cause ? cause.code : undefined;
    if (code === 'EIO' || code === 'ENOSPC') return true;
  }
  return false;
}

/** A start may be refused because of what was done to the disk, and says so in a coded error. */
function isExpectedRefusal(error: unknown): boolean {
  return isDiskFault(error) || isCoded(error);
}
