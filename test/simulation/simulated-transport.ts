// What a node uses to talk to its peers, over simulated wires: the shipped codec and messenger on
// a port that dials, redials and trusts as the shipped network does.

import { isCoded } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { PEER_REDIAL_MS_MAX, PEER_REDIAL_MS_MIN } from '../../src/base/limits.ts';
import type { PeerMessage } from '../../src/node/peers/messages.ts';
import type { Peer, PeerNetworkOptions } from '../../src/node/peers/peer-network.ts';
import {
  createMessenger,
  type PeerTransport,
  type PeerTransportDependencies,
} from '../../src/node/peers/peer-transport.ts';
import type { Chance } from './chance.ts';
import type { Process } from './process.ts';
import type { Port, Wires } from './wires.ts';

export interface SimulatedTransportWorld {
  readonly wires: Wires;
  readonly process: Process;
  readonly chance: Chance;
  /** `host:port`, where others find this process. */
  readonly address: string;
  /** Bytes that may wait for one peer. */
  readonly queueBytesMax: number;
  readonly onSent: (from: NodeId, to: NodeId, message: PeerMessage) => void;
  readonly onQueued: (bytes: number) => void;
}

export class SimulatedTransport implements PeerTransport {
  readonly #world: SimulatedTransportWorld;
  readonly #deps: PeerTransportDependencies;
  readonly #nodeId: NodeId;
  readonly #port: Port;
  readonly #up = new Set<NodeId>();
  #peers = new Map<NodeId, Peer>();
  #receive: (from: NodeId, bytes: Uint8Array) => void = () => undefined;
  #isClosed = false;
  /** What is being sent, as its bytes pass through the messenger. */
  #sending: PeerMessage | undefined;
  readonly send: (to: NodeId, message: PeerMessage) => boolean;

  constructor(
    { nodeId }: PeerNetworkOptions,
    deps: PeerTransportDependencies,
    world: SimulatedTransportWorld,
  ) {
    this.#world = world;
    this.#deps = deps;
    this.#nodeId = nodeId;
    const { process } = world;
    this.#port = {
      nodeId,
      address: world.address,
      trusts: (other) => deps.isTrusted?.(other) ?? this.#peers.has(other),
      receive: (from, bytes, end) => process.deliver(() => this.#take(from, bytes, end)),
      lost: (to) => process.deliver(() => this.#lost(to)),
    };
    const messenger = createMessenger(
      nodeId,
      {
        send: (to, bytes) => this.#sendBytes(to, bytes),
        receiveWith: (receive) => {
          this.#receive = receive;
        },
      },
      deps.onMessage,
    );
    this.send = (to, message) => {
      this.#sending = message;
      return messenger.send(to, message);
    };
  }

  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    this.#world.wires.open(this.#port);
    const [host = '', port = ''] = this.#world.address.split(':');
    return { host, port: Number(port) };
  }

  setPeers(peers: readonly Peer[]): void {
    if (this.#isClosed) return;
    const others = peers.filter(({ nodeId }) => nodeId !== this.#nodeId);
    const before = this.#peers;
    this.#peers = new Map(others.map((peer) => [peer.nodeId, peer]));
    for (const [nodeId, { address }] of before) {
      if (this.#peers.get(nodeId)?.address === address) continue;
      this.#world.wires.hangUp(this.#port, nodeId);
      if (this.#up.delete(nodeId)) this.#deps.onPeerDown(nodeId);
    }
    this.#world.wires.review(this.#port);
    for (const peer of others) {
      if (before.get(peer.nodeId)?.address !== peer.address) this.#dial(peer, 0);
    }
  }

  connected(): readonly NodeId[] {
    return [...this.#up];
  }

  queuedBytes(to: NodeId): number {
    return this.#world.wires.queuedBytes(this.#port, to);
  }

  renewIdentity(): void {}

  async close(): Promise<void> {
    this.cutOff(false);
  }

  /** The process ends; `silently` when not even its operating system is left to say so. */
  cutOff(silently: boolean): void {
    this.#isClosed = true;
    this.#up.clear();
    this.#world.wires.close(this.#port, silently);
  }

  #sendBytes(to: NodeId, bytes: Uint8Array): boolean {
    const { wires, process, queueBytesMax, onSent, onQueued } = this.#world;
    if (process.isDead || this.#isClosed || !this.#up.has(to)) return false;
    const waiting = wires.queuedBytes(this.#port, to);
    const queued = waiting + bytes.length;
    // Whatever its length, one message always finds room: the true bound is far above any.
    if (waiting > 0 && queued > queueBytesMax) return false;
    onQueued(queued);
    const message = this.#sending;
    const isConsensus = message !== undefined && !message.kind.startsWith('forward');
    if (message !== undefined) onSent(this.#nodeId, to, message);
    return wires.send(this.#port, to, bytes, isConsensus);
  }

  #take(from: NodeId, bytes: Uint8Array, end: () => void): void {
    if (this.#isClosed) return;
    try {
      this.#receive(from, bytes);
    } catch (error) {
      if (!isCoded(error)) throw error;
      this.#deps.note(`node ${from} was cut off: ${error.message}`);
      end();
    }
  }

  #lost(to: NodeId): void {
    if (!this.#up.delete(to)) return;
    this.#deps.onPeerDown(to);
    const peer = this.#peers.get(to);
    if (peer !== undefined) this.#dial(peer, 0);
  }

  /** Dials until the peer answers or is no peer any more; the pauses double. */
  #dial(peer: Peer, failures: number): void {
    const { wires, process, chance } = this.#world;
    const pauseMs = Math.min(PEER_REDIAL_MS_MAX, PEER_REDIAL_MS_MIN * 2 ** failures);
    const handshakeMs = 1 + chance.next() * 4;
    process.after(failures === 0 ? handshakeMs : pauseMs * (0.5 + chance.next() / 2), () => {
      const isWanted =
        this.#peers.get(peer.nodeId)?.address === peer.address && !this.#up.has(peer.nodeId);
      if (this.#isClosed || !isWanted) return;
      if (wires.connect(this.#port, peer.nodeId, peer.address)) {
        this.#up.add(peer.nodeId);
        this.#deps.onPeerUp(peer.nodeId);
      } else {
        this.#dial(peer, failures + 1);
      }
    });
  }
}
