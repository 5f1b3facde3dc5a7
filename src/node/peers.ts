/**
 * The other nodes as this one reaches them: those that the ledger names, and those that others have
 * named to it, because its own ledger may be old.
 */
import type { NodeId } from '../base/ids.ts';
import type { TlsIdentity } from '../http/tls-options.ts';
import type { NodeDependencies, NodeOptions } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import type { PeerMessage } from './peers/messages.ts';
import type { Peer } from './peers/peer-network.ts';
import {
  createPeerTransport,
  type OnMessage,
  type PeerTransport,
} from './peers/peer-transport.ts';

/** How long a stopping primary leaves its last words time to reach the others. */
const FAREWELL_MS = 50;

/**
 * How often each node tells those it is connected to which nodes there are. One that was away while
 * nodes came and went may know of nobody who leads, and lets nobody in whom it does not know.
 */
const TELL_NODES_MS = 2_000;

/** What is needed of the ledger that names them. */
type NamingLedger = Pick<OpenedLedger, 'identity'> & {
  readonly state: Pick<OpenedLedger['state'], 'nodes'>;
};

export interface PeersParts {
  readonly ledger: NamingLedger;
  /** The certificate that this node shows, with its key. */
  readonly shown: () => TlsIdentity;
  /** Nodes to begin with. */
  readonly known: readonly Peer[];
  readonly onMessage: OnMessage;
  readonly onPeerDown: (nodeId: NodeId) => void;
}

export class Peers {
  readonly #deps: NodeDependencies;
  readonly #ledger: NamingLedger;
  readonly #told: Map<NodeId, Peer>;
  /** None in a service that has but one node. */
  readonly #transport: PeerTransport | undefined;
  #cancelTelling: () => void = () => undefined;

  constructor(options: NodeOptions, dependencies: NodeDependencies, parts: PeersParts) {
    this.#deps = dependencies;
    this.#ledger = parts.ledger;
    this.#told = new Map(parts.known.map((peer) => [peer.nodeId, peer]));
    const { nodeToNode } = options;
    if (nodeToNode === undefined) return;
    const { identity } = parts.ledger;
    const { timers, random, log, openTransport } = dependencies;
    const { host, port } = nodeToNode;
    const { onMessage, onPeerDown } = parts;
    this.#transport = (openTransport ?? createPeerTransport)(
      { nodeId: identity.nodeKey.fingerprint as NodeId, host, port },
      {
        ...{ timers, random, onMessage, onPeerDown },
        identity: parts.shown,
        onPeerUp: (nodeId) => this.#tellNodes([nodeId]),
        note: (text) => log.warn(text),
      },
    );
  }

  /** Opens the port on which the others reach this node, and dials them. */
  async listen(): Promise<void> {
    await this.#transport?.listen();
    this.refresh();
    this.#tellAgain();
  }

  /** This node shows another certificate, from the next connections on. */
  renewIdentity(): void {
    this.#transport?.renewIdentity();
  }

  send(to: NodeId, message: PeerMessage): boolean {
    return this.#transport?.send(to, message) ?? false;
  }

  /** Another node has named these. */
  learn(nodes: readonly Peer[]): void {
    for (const peer of nodes) this.#told.set(peer.nodeId, peer);
    this.refresh();
  }

  /** The ledger's nodes table has changed. */
  refresh(): void {
    this.#transport?.setPeers(this.#all());
  }

  /** Ends all connections; `says` that something was just sent that should arrive. */
  async close(says: boolean): Promise<void> {
    this.#cancelTelling();
    if (says && (this.#transport?.connected().length ?? 0) > 0) {
      await new Promise<void>((resolve) => this.#deps.timers.after(FAREWELL_MS, resolve));
    }
    await this.#transport?.close();
  }

  #tellAgain(): void {
    this.#cancelTelling = this.#deps.timers.after(TELL_NODES_MS, () => {
      this.#tellNodes(this.#transport?.connected() ?? []);
      this.#tellAgain();
    });
  }

  #tellNodes(to: readonly NodeId[]): void {
    const nodes = this.#all();
    for (const nodeId of to) this.#transport?.send(nodeId, { kind: 'known-nodes', nodes });
  }

  /**
   * All that were ever trusted, until their rows are removed. One that others have named may be
   * Pending in a ledger that is still being read, and be the very node that sends it.
   */
  #all(): readonly Peer[] {
    const peers = new Map(this.#told);
    for (const [nodeId, { status, address }] of this.#ledger.state.nodes) {
      if (status !== 'Pending') peers.set(nodeId, { nodeId, address });
    }
    return [...peers.values()];
  }
}
