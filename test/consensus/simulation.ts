// One simulated life of a service from a seed: 1 to 7 nodes, faults, then peace. In the first phase
// nothing may be broken (safety); in the second everything must resolve in time (liveness).

import { invariant } from '../../src/base/assert.ts';
import { type NodeId, viewOf } from '../../src/base/ids.ts';
import type { Event, LedgerPoint, Outputs } from '../../src/consensus/outputs.ts';
import { Chance } from '../simulation/chance.ts';
import { EventHash } from '../simulation/event-hash.ts';
import { FaultCounts } from '../simulation/fault-counts.ts';
import { Network } from '../simulation/network.ts';
import { Timeline } from '../simulation/timeline.ts';
import { Violation } from './checkers.ts';
import { Cluster, type ClusterOptions, USUAL_OPTIONS } from './cluster.ts';
import { EMPTY_POINT, type Host, type Implementation, type Packet } from './host.ts';
import { Misfortunes } from './misfortunes.ts';
import type { TraceWriter } from './trace-writer.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly faultsMs?: number;
  readonly implementation?: Implementation;
  readonly distort?: (outputs: Outputs) => Outputs;
  /** Is told every step. */
  readonly trace?: TraceWriter;
  /** Breaks an obligation of the host's: reports storage as done when it is not. */
  readonly acknowledgesEarly?: boolean;
}

export interface SimulationResult {
  readonly seed: number;
  readonly violation?: Error;
  readonly digest: string;
  readonly faults: FaultCounts;
  readonly virtualMs: number;
  readonly steps: number;
  readonly elections: number;
  readonly committed: number;
  readonly reconfigurations: number;
  readonly retirements: number;
  readonly reads: number;
}

const TICK_MS = 20;
const LIVENESS_MS_MAX = 20_000;
const NODES_MAX = 7;
const NODES_EVER_MAX = 20;

export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #chance: Chance;
  readonly #timeline = new Timeline();
  readonly #faults = new FaultCounts();
  readonly #hash = new EventHash();
  readonly #network: Network<Packet>;
  readonly #cluster: Cluster;
  readonly #signatureInterval: number;
  readonly #maxSyncMs: number;
  readonly #lastTickMs = new Map<NodeId, number>();
  readonly #syncing = new Set<NodeId>();
  readonly #misfortunes: Misfortunes;
  #reads = 0;
  #openReads = new Map<string, Host>();
  #reconfigurations = 0;
  #retirements = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const chance = new Chance(options.seed);
    this.#chance = chance.fork();
    const hasOldDisks = chance.flip(0.3);
    this.#signatureInterval = chance.between(1, 10);
    this.#maxSyncMs = chance.pick([1, 10, 40]);
    const spreads = chance.fork();
    this.#network = new Network(
      this.#timeline,
      chance.fork(),
      this.#faults,
      (from, to, packet) => this.#deliver(from as NodeId, to as NodeId, packet),
    );
    const clusterOptions: ClusterOptions = {
      ...USUAL_OPTIONS,
      batchEntriesMax: chance.between(1, 8),
      inFlightEntriesMax: chance.between(1, 30),
      uncommittedMax: chance.between(5, 60),
      unproven: hasOldDisks || chance.flip(0.3) ? 'refuse' : 'allow',
    };
    this.#cluster = new Cluster(clusterOptions, {
      ...(options.implementation === undefined ? {} : options),
      ...(options.distort === undefined ? {} : { distort: options.distort }),
      spread: () => spreads.next(),
      viewLeap: () => spreads.between(1, 1_000),
      transmit: (from, to, packet) => this.#network.send(from.id, to, packet),
      onUnsynced: (host) => this.#scheduleSync(host),
      onEvent: (host, event) => this.#onEvent(host, event),
      onStep: (host, input, outputs) => {
        options.trace?.step(host, input, outputs);
        this.#hash.add(JSON.stringify([host.id, this.#timeline.nowMs(), input, outputs]));
      },
    });
    this.#misfortunes = new Misfortunes({
      chance: this.#chance,
      timeline: this.#timeline,
      faults: this.#faults,
      network: this.#network,
      cluster: this.#cluster,
      hasOldDisks,
      onCrash: (host) => this.#forget(host),
      onRestart: (host) => this.#keepTicking(host),
      tick: (host) => this.#tick(host),
    });
  }

  run(): SimulationResult {
    let violation: Error | undefined;
    try {
      this.#live();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      violation = error;
    }
    const { checkers } = this.#cluster;
    return {
      seed: this.#options.seed,
      ...(violation === undefined ? {} : { violation }),
      digest: this.#hash.digest,
      faults: this.#faults,
      virtualMs: this.#timeline.nowMs(),
      steps: checkers.steps,
      elections: checkers.elections,
      committed: checkers.committedCount,
      reconfigurations: this.#reconfigurations,
      retirements: this.#retirements,
      reads: checkers.readsServed,
    };
  }

  #live(): void {
    const first = this.#cluster.found('n0' as NodeId, viewOf(2));
    this.#keepTicking(first);
    first.write(
      this.#cluster.entries(first, [{ reconfiguration: [first.id] }, { isSignature: true }]),
    );
    this.#timeline.runUntil(200);
    const count = this.#chance.between(1, NODES_MAX);
    if (count > 1) this.#grow(count - 1);
    this.#timeline.runUntil(1_000);
    this.#plan();
    this.#timeline.runUntil(1_000 + (this.#options.faultsMs ?? 12_000));
    this.#makePeace();
    this.#demandLiveness();
  }

  // What the service does.

  #keepTicking(host: Host): void {
    const life = host.lives;
    this.#lastTickMs.set(host.id, this.#timeline.nowMs());
    const tick = (): void => {
      if (!host.isRunning || host.lives !== life) return;
      if (!this.#misfortunes.isPaused(host)) this.#tick(host);
      this.#timeline.after(TICK_MS * (0.9 + 0.2 * this.#chance.next()), tick);
    };
    this.#timeline.after(TICK_MS * this.#chance.next(), tick);
  }

  #tick(host: Host): void {
    const nowMs = this.#timeline.nowMs();
    const elapsedMs = nowMs - (this.#lastTickMs.get(host.id) ?? nowMs);
    this.#lastTickMs.set(host.id, nowMs);
    host.step({ kind: 'tick', elapsedMs });
    this.#work(host);
  }

  /** A leader signs when there is something to sign. */
  #work(host: Host): void {
    const { node } = host;
    if (node.role !== 'leader') return;
    const unsigned = node.last.seqno - node.lastCommittable.seqno;
    const isDue = unsigned >= this.#signatureInterval || this.#chance.flip(0.3);
    if (unsigned > 0 && isDue) this.#sign(host);
  }

  #sign(host: Host): void {
    host.write([this.#cluster.entry(host, { isSignature: true }, 'signature')]);
  }

  /** What a node asks its caller for is done soon after, in a step of its own. */
  #onEvent(host: Host, event: Event): void {
    const life = host.lives;
    const soon = (action: () => void): void => {
      this.#timeline.after(this.#chance.next() * 2, () => {
        if (host.isRunning && host.lives === life) this.#misfortunes.whenAwake(host, action);
      });
    };
    switch (event.kind) {
      case 'leads':
        soon(() => {
          const { node } = host;
          if (node.role !== 'leader' || node.view !== event.view) return;
          if (event.unproven) {
            this.#faults.count('unproven restart');
            host.write([this.#cluster.entry(host, {}, 'new secret')]);
          }
          this.#sign(host);
        });
        break;
      case 'record-retired':
        soon(() => {
          if (host.node.role !== 'leader') return;
          const record = { retiredCommitted: event.nodes };
          host.write([this.#cluster.entry(host, record, 'retired')]);
        });
        break;
      case 'forked':
        throw new Error(`${host.id} has committed something else than its leader`);
      case 'needs-snapshot':
        soon(() => {
          const source = this.#snapshotSource(event.oldest.seqno);
          if (source === undefined) return;
          this.#faults.count('snapshot installed');
          host.install(source.snapshot);
        });
        break;
      case 'read-ready':
        this.#openReads.delete(`${host.id} ${event.id}`);
        break;
      case 'retirement':
        if (event.phase === 'RetiredCommitted') this.#retirements += 1;
        break;
      case 'restarted':
        this.#faults.count(event.unproven ? 'restart without proof' : 'restart proven');
        this.#misfortunes.forgetful.delete(host);
        break;
      default:
        break;
    }
  }

  /** What a node was asked is lost with it. */
  #forget(host: Host): void {
    this.#syncing.delete(host.id);
    for (const [key, reader] of this.#openReads) {
      if (reader === host) this.#openReads.delete(key);
    }
  }

  #snapshotSource(atLeast: number): Host | undefined {
    const sources = this.#cluster.running.filter(({ node }) => node.commit >= atLeast);
    return sources.length === 0 ? undefined : this.#chance.pick(sources);
  }

  #write(): void {
    const leaders = this.#misfortunes.awake().filter(({ node }) => node.role === 'leader');
    if (leaders.length === 0) return;
    const host = this.#chance.pick(leaders);
    const count = this.#chance.between(1, 4);
    const written = this.#cluster.entries(
      host,
      Array.from({ length: count }, () => ({})),
    );
    if (!host.write(written)) this.#faults.count('write refused');
    else if (this.#chance.flip(0.2)) this.#sign(host);
  }

  #read(): void {
    const awake = this.#misfortunes.awake();
    if (awake.length === 0) return;
    const host = this.#chance.pick(awake);
    if (host.node.role === 'retired') return;
    this.#reads += 1;
    this.#openReads.set(`${host.id} ${this.#reads}`, host);
    this.#cluster.checkers.noteRead(host, this.#reads);
    const events = host.step({ kind: 'read', id: this.#reads });
    if (events.some(({ kind }) => kind === 'refused')) {
      this.#openReads.delete(`${host.id} ${this.#reads}`);
    }
  }

  #grow(count: number): void {
    const host = this.#misfortunes.leaderAwake();
    if (host === undefined) return;
    const names = Array.from({ length: count }, (_, index) => {
      return `n${this.#cluster.hosts.size + index}` as NodeId;
    });
    this.#reconfigure(host, (nodes) => [...nodes, ...names]);
  }

  #change(): void {
    const host = this.#misfortunes.leaderAwake();
    if (host === undefined) return;
    const ever = this.#cluster.hosts.size;
    const news = Array.from({ length: this.#chance.between(1, 4) }, (_, index) => {
      return `n${ever + index}` as NodeId;
    }).slice(0, NODES_EVER_MAX - ever);
    this.#reconfigure(host, (nodes) => {
      const kinds = ['add', 'remove', 'swap', 'remove leader', 'overhaul'] as const;
      const kind = this.#chance.pick(kinds);
      const gone = kind === 'remove leader' ? host.id : this.#chance.pick(nodes);
      const rest = nodes.filter((node) => node !== gone);
      const one = news.slice(0, 1);
      if (kind === 'add') return [...nodes, ...one].slice(0, NODES_MAX);
      if (kind === 'swap') return [...rest, ...one];
      if (kind !== 'overhaul') return rest;
      const kept = nodes.filter(() => this.#chance.flip(0.6));
      return [...kept, ...news].slice(0, NODES_MAX);
    });
    // A change of nodes is when a cut hurts most.
    if (this.#chance.flip(0.3)) {
      this.#timeline.after(this.#chance.next() * 30, () => {
        if (!this.#misfortunes.isPeace) this.#misfortunes.partition();
      });
    }
  }

  #reconfigure(host: Host, change: (nodes: readonly NodeId[]) => readonly NodeId[]): void {
    const nodes = host.node.configurations.at(-1)?.nodes ?? [];
    const changed = change(nodes);
    const next = changed.length === 0 ? nodes : changed;
    if (next.length === nodes.length && next.every((node) => nodes.includes(node))) return;
    const added = next.filter((node) => !nodes.includes(node));
    const entry = this.#cluster.entry(host, { reconfiguration: next }, 'configuration');
    if (host.node.refusal([entry.entry]) !== undefined) return;
    for (const node of added) {
      const source = this.#chance.flip(0.5) ? this.#snapshotSource(1) : undefined;
      const point: LedgerPoint = source === undefined ? EMPTY_POINT : source.snapshot;
      this.#faults.count(source === undefined ? 'joined from nothing' : 'joined from snapshot');
      this.#keepTicking(this.#cluster.join(node, point));
    }
    if (
      !this.#misfortunes.isPeace &&
      added.length > 1 &&
      nodes.length > 1 &&
      this.#chance.flip(0.8)
    ) {
      this.#misfortunes.separateOld(host.id, nodes);
    }
    host.write([entry]);
    this.#reconfigurations += 1;
    for (const node of nodes) if (!next.includes(node)) this.#faults.count('node removed');
  }

  // What the world does.

  #deliver(from: NodeId, to: NodeId, packet: Packet): void {
    const host = this.#cluster.hosts.get(to);
    if (host === undefined || !host.isRunning) return;
    const life = host.lives;
    this.#misfortunes.whenAwake(host, () => {
      if (host.isRunning && host.lives === life) host.receive(from, packet);
    });
  }

  #scheduleSync(host: Host): void {
    if (this.#syncing.has(host.id)) return;
    this.#syncing.add(host.id);
    const life = host.lives;
    if (this.#options.acknowledgesEarly === true) {
      // Broken on purpose: the caller says "stored" and lets messages go before the disk has it.
      this.#timeline.soon(() => {
        if (host.isRunning && host.lives === life) host.pretendSynced();
      });
    }
    this.#timeline.after(this.#chance.next() * this.#maxSyncMs, () => {
      this.#syncing.delete(host.id);
      if (!host.isRunning || host.lives !== life) return;
      this.#misfortunes.whenAwake(host, () => {
        if (!host.isRunning || host.lives !== life) return;
        host.sync();
        if (host.isUnsynced) this.#scheduleSync(host);
      });
    });
  }

  /** Draws from the seed what will be done to this service. */
  #plan(): void {
    const { weather } = this.#network;
    const isRough = this.#chance.flip(0.6);
    this.#network.weather = {
      ...weather,
      loss: isRough ? this.#chance.next() * 0.15 : 0,
      duplicate: isRough ? this.#chance.next() * 0.1 : 0,
      straggle: this.#chance.next() * 0.1,
      straggleMsMax: this.#chance.pick([20, 300, 2_000]),
      delayMsMax: this.#chance.pick([3, 20, 60]),
    };
    this.#misfortunes.every(5, this.#chance.pick([60, 300]), () => this.#write());
    this.#misfortunes.every(5, 200, () => this.#read());
    const often = this.#chance.pick([400, 1_500, 4_000]);
    if (this.#chance.flip(0.8))
      this.#misfortunes.every(100, often, () => this.#misfortunes.crash());
    if (this.#chance.flip(0.6))
      this.#misfortunes.every(200, often, () => this.#misfortunes.partition());
    if (this.#chance.flip(0.5))
      this.#misfortunes.every(200, often * 2, () => this.#misfortunes.pause());
    if (this.#chance.flip(0.7)) this.#misfortunes.every(200, often * 2, () => this.#change());
    if (this.#chance.flip(0.3))
      this.#misfortunes.every(500, often * 2, () => this.#misfortunes.nominate());
    if (this.#chance.flip(0.5))
      this.#misfortunes.every(300, 2_000, () => this.#misfortunes.stopRemovable());
    this.#misfortunes.every(100, 1_000, () => this.#misfortunes.saveImage());
  }

  // Peace, and what must come of it.

  #makePeace(): void {
    this.#misfortunes.isPeace = true;
    this.#network.healAll();
    this.#network.weather = { ...this.#network.weather, loss: 0, duplicate: 0, straggle: 0 };
    for (const host of this.#cluster.running) this.#misfortunes.resume(host);
    for (const host of this.#cluster.hosts.values()) this.#misfortunes.restart(host);
  }

  #demandLiveness(): void {
    const startMs = this.#timeline.nowMs();
    let open = 'nothing was looked at';
    while (this.#timeline.nowMs() < startMs + LIVENESS_MS_MAX) {
      this.#timeline.runUntil(this.#timeline.nowMs() + 250);
      for (const host of this.#cluster.running) {
        if (!this.#misfortunes.forgetful.has(host)) host.step({ kind: 'accept-unproven' });
      }
      this.#write();
      open = this.#unresolved();
      if (open === '') return;
    }
    throw new Violation('Liveness', `after ${LIVENESS_MS_MAX} ms of peace: ${open}`);
  }

  /** What is still open, in words; nothing when the service is well. */
  #unresolved(): string {
    const { leader } = this.#cluster;
    if (leader === undefined) return 'nobody leads';
    const { node } = leader;
    if (node.configurations.length !== 1) return 'a configuration is pending';
    if (node.commit < node.last.seqno - 4 * this.#signatureInterval - 8) return 'commit lags';
    if (node.viewAt(node.commit) !== node.view) return 'nothing is committed in this view';
    for (const member of node.configurations[0]?.nodes ?? []) {
      const host = this.#cluster.host(member);
      if (!host.isRunning) return `${member} does not run`;
      if (host.node.isRestarting) return `${member} is restarting`;
      if (host.node.leader !== leader.id) return `${member} does not follow ${leader.id}`;
      if (host.node.commit < node.commit - 60) return `${member} lags`;
    }
    // A retired node that was cut off may never learn it; the others say that it may go.
    for (const { id, node: other } of this.#cluster.running) {
      const isRetiring =
        other.retirement !== undefined && other.retirement !== 'RetiredCommitted';
      // Of one whose coming and going were both rolled back the service knows nothing.
      const isKnown = leader.written.some(({ entry }) => entry.reconfiguration?.includes(id));
      if (isRetiring && isKnown && !node.removable.includes(id)) {
        return `${id} is still retiring`;
      }
    }
    const members = new Set(node.configurations[0]?.nodes);
    const reads = [...this.#openReads.values()].filter(({ id }) => members.has(id));
    return reads.length === 0 ? '' : `${reads.length} reads wait`;
  }
}

/** Stops the caller when a simulation went wrong, with what is needed to see it again. */
export function mustPass(result: SimulationResult): void {
  const { violation, seed } = result;
  invariant(violation === undefined, `seed ${seed}: ${violation?.stack}`);
}
