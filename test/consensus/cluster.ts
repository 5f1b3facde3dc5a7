// A set of hosts with the checkers on: what scenarios and simulations have in common.

import type { NodeId, View } from '../../src/base/ids.ts';
import { Consensus } from '../../src/consensus/consensus.ts';
import type { Event, Input, LedgerPoint, Outputs } from '../../src/consensus/outputs.ts';
import { Checkers } from './checkers.ts';
import { Host, type Implementation, type Packet, type Written } from './host.ts';

export interface ClusterOptions {
  readonly electionTimeoutMs: number;
  readonly messageTimeoutMs: number;
  readonly uncommittedMax: number;
  readonly batchEntriesMax: number;
  readonly inFlightEntriesMax: number;
  readonly readsMax: number;
  readonly unproven: 'allow' | 'refuse';
}

export const USUAL_OPTIONS: ClusterOptions = {
  electionTimeoutMs: 500,
  messageTimeoutMs: 50,
  uncommittedMax: 100,
  batchEntriesMax: 5,
  inFlightEntriesMax: 20,
  readsMax: 50,
  unproven: 'allow',
};

export interface ClusterDependencies {
  readonly implementation?: Implementation;
  readonly spread: (node: NodeId) => number;
  readonly viewLeap: () => number;
  readonly transmit: (from: Host, to: NodeId, packet: Packet) => void;
  readonly onUnsynced: (host: Host) => void;
  readonly onEvent: (host: Host, event: Event) => void;
  readonly onStep?: (host: Host, input: Input | undefined, outputs: Outputs) => void;
  readonly distort?: (outputs: Outputs) => Outputs;
}

export class Cluster {
  readonly hosts = new Map<NodeId, Host>();
  readonly checkers: Checkers;
  readonly #options: ClusterOptions;
  readonly #deps: ClusterDependencies;
  #payloads = 0;

  constructor(options: ClusterOptions, dependencies: ClusterDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.checkers = new Checkers({
      electionTimeoutMs: options.electionTimeoutMs,
      uncommittedMax: options.uncommittedMax,
      hostOf: (node) => this.hosts.get(node),
    });
  }

  host(node: NodeId): Host {
    const host = this.hosts.get(node);
    if (host === undefined) throw new RangeError(`there is no node ${node}`);
    return host;
  }

  get running(): readonly Host[] {
    return [...this.hosts.values()].filter(({ isRunning }) => isRunning);
  }

  /** The leader of the newest view, if one leads. */
  get leader(): Host | undefined {
    const leaders = this.running.filter(({ node }) => node.role === 'leader');
    return leaders.sort((left, right) => right.node.view - left.node.view)[0];
  }

  found(node: NodeId, view: View): Host {
    const host = this.#make(node);
    host.found(view);
    return host;
  }

  join(node: NodeId, point: LedgerPoint): Host {
    const host = this.#make(node);
    host.join(point);
    return host;
  }

  /** The next entry a leader may write, with a text that no other entry has. */
  entry(host: Host, what: Partial<Written['entry']> = {}, text?: string): Written {
    return this.entries(host, [what], text)[0] as Written;
  }

  entries(host: Host, whats: readonly Partial<Written['entry']>[], text?: string): Written[] {
    const { node } = host;
    return whats.map((what, index) => {
      this.#payloads += 1;
      const seqno = (node.last.seqno + 1 + index) as Written['entry']['seqno'];
      const entry = { view: node.view, seqno, isSignature: false, ...what };
      return { entry, payload: `${text ?? 'entry'} #${this.#payloads} of ${host.id}` };
    });
  }

  #make(id: NodeId): Host {
    const {
      implementation = { Consensus },
      spread,
      viewLeap,
      transmit,
      onUnsynced,
      distort,
    } = this.#deps;
    const host = new Host(id, this.#options, {
      implementation,
      consensus: { spread: () => spread(id), viewLeap },
      transmit: (from, to, packet) => {
        this.checkers.noteSent(from, to, packet.message);
        transmit(from, to, packet);
      },
      onUnsynced,
      onStep: (stepped, input, outputs) => {
        this.#deps.onStep?.(stepped, input, outputs);
        this.checkers.afterStep(stepped, input, outputs);
        for (const event of outputs.events) this.#deps.onEvent(stepped, event);
      },
      ...(distort === undefined ? {} : { distort }),
    });
    this.hosts.set(id, host);
    return host;
  }
}
