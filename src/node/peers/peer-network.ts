/**
 * Messages between nodes over mutual TLS 1.3, as bytes: `base`'s Network in a running node. Each
 * pair of nodes has two connections, one for each direction, opened by the one that speaks on it;
 * so no two nodes ever wait for each other to read, and each loss is noticed where it matters.
 */

import type { TLSSocket } from 'node:tls';
import { invariant } from '../../base/assert.ts';
import type { Network, Random, Timers } from '../../base/environment.ts';
import type { NodeId } from '../../base/ids.ts';
import { IncomingLink } from './incoming-link.ts';
import { PeerListener } from './listener.ts';
import { OutgoingLink } from './outgoing-link.ts';
import { parsePeerAddress } from './peer-address.ts';
import type { PeerCertificate } from './peer-identity.ts';
import { PEER_LIMITS, type PeerLimits } from './peer-limits.ts';

/** A node to talk to, as the ledger's nodes table records it. */
export interface Peer {
  readonly nodeId: NodeId;
  /** `host:port` */
  readonly address: string;
}

export interface PeerNetworkOptions {
  readonly nodeId: NodeId;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly limits?: Partial<PeerLimits>;
}

export interface PeerNetworkDependencies {
  readonly timers: Timers;
  readonly random: Random;
  /** This node's certificate and key; asked for each time they are needed. */
  readonly identity: () => PeerCertificate;
  /**
   * Whether a node may talk to this one; without it, whoever is in the list of peers. A joiner may
   * have to trust more nodes than its ledger names yet. Looked at when a node connects and at every
   * `setPeers`.
   */
  readonly isTrusted?: (nodeId: NodeId) => boolean;
  /** A peer can be sent to, or no longer. */
  readonly onPeerUp: (nodeId: NodeId) => void;
  readonly onPeerDown: (nodeId: NodeId) => void;
  /** What a person should know. */
  readonly note: (text: string) => void;
}

export class PeerNetwork implements Network {
  readonly #options: PeerNetworkOptions;
  readonly #deps: PeerNetworkDependencies;
  readonly #limits: PeerLimits;
  readonly #listener: PeerListener;
  readonly #outgoing = new Map<NodeId, OutgoingLink>();
  readonly #incoming = new Map<NodeId, IncomingLink>();
  #peers: ReadonlySet<NodeId> = new Set();
  #receive: (from: NodeId, bytes: Uint8Array) => void = () => undefined;
  #isClosed = false;

  constructor(options: PeerNetworkOptions, deps: PeerNetworkDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#limits = { ...PEER_LIMITS, ...options.limits };
    this.#listener = new PeerListener(this.#limits, {
      timers: deps.timers,
      identity: deps.identity,
      note: deps.note,
      faultOf: (id) => this.#faultOf(id),
      onPeer: (id, socket) => this.#accept(id, socket),
    });
  }

  receiveWith(receive: (from: NodeId, bytes: Uint8Array) => void): void {
    this.#receive = receive;
  }

  /** Opens the port on which peers reach this node. */
  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    return await this.#listener.listen(this.#options.host, this.#options.port);
  }

  /**
   * The nodes to talk to from here on. New ones are dialled; those that are gone are cut off at
   * once, in both directions. This node itself may be in the list.
   */
  setPeers(peers: readonly Peer[]): void {
    if (this.#isClosed) return;
    const others = peers.filter(({ nodeId }) => nodeId !== this.#options.nodeId);
    this.#peers = new Set(others.map(({ nodeId }) => nodeId));
    for (const nodeId of [...this.#outgoing.keys()]) {
      if (!this.#peers.has(nodeId)) this.#drop(nodeId);
    }
    for (const [nodeId, link] of [...this.#incoming]) {
      if (this.#faultOf(nodeId) !== undefined) link.close();
    }
    for (const peer of others) this.#dial(peer);
  }

  send(to: NodeId, bytes: Uint8Array): boolean {
    invariant(bytes.length > 0, 'a message has at least one byte: an empty frame is a beat');
    invariant(
      bytes.length <= this.#limits.frameBytesMax,
      `a message of ${bytes.length} bytes is longer than a frame of ${this.#limits.frameBytesMax}`,
    );
    return this.#outgoing.get(to)?.send(bytes) ?? false;
  }

  /** The nodes that can be sent to. */
  connected(): readonly NodeId[] {
    return [...this.#outgoing].filter(([, link]) => link.isUp).map(([nodeId]) => nodeId);
  }

  /** Bytes that wait for a peer to read them. */
  queuedBytes(to: NodeId): number {
    return this.#outgoing.get(to)?.queuedBytes ?? 0;
  }

  /** Shows what `identity` gives now to whoever connects from here on. */
  renewIdentity(): void {
    this.#listener.renew();
  }

  /** Ends all connections at once, and frees the port. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#peers = new Set();
    for (const nodeId of [...this.#outgoing.keys()]) this.#drop(nodeId);
    for (const link of [...this.#incoming.values()]) link.close();
    await this.#listener.close();
  }

  #dial({ nodeId, address }: Peer): void {
    const parsed = parsePeerAddress(address);
    const before = this.#outgoing.get(nodeId);
    if (parsed !== undefined && before !== undefined) {
      const { host, port } = before.address;
      if (host === parsed.host && port === parsed.port) return;
    }
    this.#drop(nodeId);
    if (parsed === undefined) {
      this.#deps.note(
        `node ${nodeId} cannot be dialled: ${JSON.stringify(address)} is not host:port`,
      );
      return;
    }
    const { timers, random, identity, note } = this.#deps;
    const link = new OutgoingLink(
      { peer: nodeId, ...parsed, limits: this.#limits },
      {
        timers,
        random,
        identity,
        note,
        onUp: () => this.#deps.onPeerUp(nodeId),
        onDown: () => this.#deps.onPeerDown(nodeId),
      },
    );
    this.#outgoing.set(nodeId, link);
  }

  #drop(nodeId: NodeId): void {
    const link = this.#outgoing.get(nodeId);
    if (link === undefined) return;
    const wasUp = link.isUp;
    this.#outgoing.delete(nodeId);
    link.close();
    if (wasUp) this.#deps.onPeerDown(nodeId);
  }

  #faultOf(nodeId: NodeId): string | undefined {
    if (this.#isClosed) return 'this node is stopping';
    if (nodeId === this.#options.nodeId) return "it showed this node's own key";
    const isTrusted = this.#deps.isTrusted?.(nodeId) ?? this.#peers.has(nodeId);
    return isTrusted ? undefined : `node ${nodeId} is not one of this service's`;
  }

  #accept(nodeId: NodeId, socket: TLSSocket): void {
    // A peer dials again only when it has given the old connection up.
    this.#incoming.get(nodeId)?.close();
    const link = new IncomingLink(nodeId, socket, this.#limits, {
      timers: this.#deps.timers,
      onFrame: (frame) => this.#receive(nodeId, frame),
      onEnd: (why) => {
        if (this.#incoming.get(nodeId) === link) this.#incoming.delete(nodeId);
        if (why !== undefined) this.#deps.note(`node ${nodeId} was cut off: ${why}`);
      },
    });
    this.#incoming.set(nodeId, link);
  }
}
