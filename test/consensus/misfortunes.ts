// What befalls a simulated service: crashes, old disks, partitions, pauses. It decides who is away
// and for how long; what a node does when it is there is the simulation's.

import type { NodeId } from '../../src/base/ids.ts';
import type { Chance } from '../simulation/chance.ts';
import type { FaultCounts } from '../simulation/fault-counts.ts';
import type { Network } from '../simulation/network.ts';
import type { Timeline } from '../simulation/timeline.ts';
import type { Cluster } from './cluster.ts';
import type { DiskImage, Host, Packet } from './host.ts';

export interface MisfortuneDependencies {
  readonly chance: Chance;
  readonly timeline: Timeline;
  readonly faults: FaultCounts;
  readonly network: Network<Packet>;
  readonly cluster: Cluster;
  /** Old disks come back only where every restart can be proven: they are the quorum's to catch. */
  readonly hasOldDisks: boolean;
  readonly onCrash: (host: Host) => void;
  readonly onRestart: (host: Host) => void;
  /** A node that was away hears how much time has passed. */
  readonly tick: (host: Host) => void;
}

export class Misfortunes {
  readonly #chance: Chance;
  readonly #timeline: Timeline;
  readonly #faults: FaultCounts;
  readonly #network: Network<Packet>;
  readonly #cluster: Cluster;
  readonly #hasOldDisks: boolean;
  readonly #deps: MisfortuneDependencies;
  readonly #paused = new Map<NodeId, (() => void)[]>();
  readonly #images = new Map<NodeId, DiskImage>();
  readonly #stopped = new Set<NodeId>();
  /** Nodes that came back with an old disk and have not learned yet what they missed. */
  readonly forgetful = new Set<Host>();
  isPeace = false;

  constructor(dependencies: MisfortuneDependencies) {
    this.#deps = dependencies;
    this.#chance = dependencies.chance;
    this.#timeline = dependencies.timeline;
    this.#faults = dependencies.faults;
    this.#network = dependencies.network;
    this.#cluster = dependencies.cluster;
    this.#hasOldDisks = dependencies.hasOldDisks;
  }

  isPaused(host: Host): boolean {
    return this.#paused.has(host.id);
  }

  /** Cuts a part of those who voted before off from the leader and those who vote from now on. */
  separateOld(leader: NodeId, before: readonly NodeId[]): void {
    const old = before.filter((node) => node !== leader && this.#chance.flip(0.8));
    if (old.length === 0) return;
    this.#faults.count('partition: old from new');
    for (const left of old) {
      for (const right of this.#cluster.hosts.keys()) {
        if (old.includes(right)) continue;
        this.#network.cut(left, right);
        this.#network.cut(right, left);
      }
    }
    this.#timeline.after(this.#chance.between(500, 4_000), () => this.#network.healAll());
  }

  whenAwake(host: Host, action: () => void): void {
    const waiting = this.#paused.get(host.id);
    if (waiting === undefined) action();
    else waiting.push(action);
  }

  awake(): readonly Host[] {
    return this.#cluster.running.filter(({ id }) => !this.#paused.has(id));
  }

  leaderAwake(): Host | undefined {
    const { leader } = this.#cluster;
    return leader === undefined || this.#paused.has(leader.id) ? undefined : leader;
  }

  every(leastMs: number, mostMs: number, action: () => void): void {
    const again = (): void => {
      if (this.isPeace) return;
      action();
      this.#timeline.after(this.#chance.between(leastMs, mostMs), again);
    };
    this.#timeline.after(this.#chance.between(0, mostMs), again);
  }

  crash(): void {
    const { running } = this.#cluster;
    const anyAway = [...this.#cluster.hosts.values()].some(
      (host) => !this.#stopped.has(host.id) && (!host.isRunning || host.node.isRestarting),
    );
    if (this.#hasOldDisks && anyAway) return;
    const victims = running.filter(({ disk }) => this.#isSettled(disk));
    if (victims.length === 0) return;
    const isMassive = !this.#hasOldDisks && this.#chance.flip(0.1);
    const chosen = isMassive
      ? victims.filter(() => this.#chance.flip(0.6))
      : [this.#leaderVictim(victims) ?? this.#chance.pick(victims)];
    for (const host of chosen) this.#crashOne(host);
  }

  #leaderVictim(victims: readonly Host[]): Host | undefined {
    return this.#chance.flip(0.4)
      ? victims.find(({ node }) => node.role === 'leader')
      : undefined;
  }

  /** A node that lost its very first transaction is not a node that restarts. */
  #isSettled(disk: DiskImage): boolean {
    return disk.written.length + disk.point.committed > 0;
  }

  #crashOne(host: Host): void {
    this.#faults.count(host.isUnsynced ? 'crash with unsynced state' : 'crash');
    // Part of what was on its way may have reached the disk.
    if (this.#chance.flip(0.3)) host.loseMemoryAfter(this.#chance.below(4));
    else host.crash();
    this.#paused.delete(host.id);
    this.#deps.onCrash(host);
    this.#timeline.after(this.#chance.between(5, 3_000), () => this.restart(host));
  }

  restart(host: Host): void {
    if (host.isRunning || this.#stopped.has(host.id)) return;
    const old = this.#images.get(host.id);
    // Of a node alone nobody else knows what it forgot.
    const isAlone = this.#cluster.leader === undefined || this.#leaderIsAlone();
    const mayForget = this.#hasOldDisks && !this.isPeace && !isAlone;
    if (mayForget && old !== undefined && this.#chance.flip(0.5)) {
      this.#faults.count('restart with an old disk');
      this.#cluster.checkers.noteOldDisk(host.id);
      this.forgetful.add(host);
      host.restart(old);
    } else {
      this.#faults.count('restart');
      host.restart();
    }
    this.#deps.onRestart(host);
  }

  #leaderIsAlone(): boolean {
    const configurations = this.#cluster.leader?.node.configurations ?? [];
    return configurations.some(({ nodes }) => nodes.length === 1);
  }

  saveImage(): void {
    const { running } = this.#cluster;
    if (running.length === 0) return;
    const { id, disk } = this.#chance.pick(running);
    if (this.#isSettled(disk)) this.#images.set(id, disk);
  }

  partition(): void {
    const ids = [...this.#cluster.hosts.keys()];
    const { leader } = this.#cluster;
    const kind = this.#chance.pick([
      'halves',
      'isolate',
      'leader',
      'one way',
      'bridge',
    ] as const);
    this.#faults.count(`partition: ${kind}`);
    const both = (left: NodeId, right: NodeId): void => {
      this.#network.cut(left, right);
      this.#network.cut(right, left);
    };
    const alone =
      kind === 'leader' && leader !== undefined ? leader.id : this.#chance.pick(ids);
    const side = new Set(ids.filter(() => this.#chance.flip(0.5)));
    for (const left of ids) {
      for (const right of ids) {
        if (left === right) continue;
        if (kind === 'one way') {
          if (left === alone && this.#chance.flip(0.7)) this.#network.cut(left, right);
        } else if (kind === 'halves') {
          if (side.has(left) !== side.has(right)) both(left, right);
        } else if (kind === 'bridge') {
          const isBridge = left === alone || right === alone;
          if (!isBridge && side.has(left) !== side.has(right)) both(left, right);
        } else if (left === alone) both(left, right);
      }
    }
    this.#timeline.after(this.#chance.between(50, 3_000), () => this.#network.healAll());
  }

  pause(): void {
    const awake = this.awake();
    if (awake.length === 0) return;
    const { leader } = this.#cluster;
    const host =
      this.#chance.flip(0.5) && leader !== undefined ? leader : this.#chance.pick(awake);
    if (this.#paused.has(host.id)) return;
    this.#faults.count('pause');
    this.#paused.set(host.id, []);
    const life = host.lives;
    this.#timeline.after(this.#chance.between(50, 3_000), () => {
      if (host.lives === life && host.isRunning) this.resume(host);
    });
  }

  /** Time first, then what arrived meanwhile. */
  resume(host: Host): void {
    const waiting = this.#paused.get(host.id);
    if (waiting === undefined) return;
    this.#paused.delete(host.id);
    this.#deps.tick(host);
    for (const action of waiting) action();
  }

  nominate(): void {
    this.#faults.count('nomination');
    this.leaderAwake()?.step({ kind: 'nominate' });
  }

  /** Nodes that any node says may be shut down are shut down for good. */
  stopRemovable(): void {
    for (const host of this.#cluster.running) {
      if (!host.isRunning) continue;
      for (const gone of host.node.removable) {
        if (this.#stopped.has(gone)) continue;
        this.#stopped.add(gone);
        this.#faults.count('retired node shut down');
        this.#cluster.hosts.get(gone)?.crash();
        this.#paused.delete(gone);
      }
    }
  }
}
