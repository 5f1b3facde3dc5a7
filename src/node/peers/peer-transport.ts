/**
 * What a node uses to talk to its peers: messages on the outside, the codec and a network within.
 */

import type { Network } from '../../base/environment.ts';
import type { NodeId } from '../../base/ids.ts';
import { decodeMessage, encodeMessage } from './message-codec.ts';
import type { PeerMessage } from './messages.ts';
import {
  type Peer,
  PeerNetwork,
  type PeerNetworkDependencies,
  type PeerNetworkOptions,
} from './peer-network.ts';

/** Messages over any network, a simulated one too. */
export interface Messenger {
  /**
   * False, and nothing sent, when the node cannot be reached now or too much waits for it already:
   * whoever sends tries again later. Byte strings in the message must not be changed afterwards.
   */
  send(to: NodeId, message: PeerMessage): boolean;
}

/** Who is given what arrives. Byte strings in it are views that keep more alive than they show. */
export type OnMessage = (from: NodeId, message: PeerMessage) => void;

/** Passes `nodeId`'s messages through the codec; a message that cannot be read is a coded error. */
export function createMessenger(
  nodeId: NodeId,
  network: Network,
  onMessage: OnMessage,
): Messenger {
  network.receiveWith((from, bytes) => onMessage(from, decodeMessage(from, bytes)));
  return { send: (to, message) => network.send(to, encodeMessage(nodeId, message)) };
}

export interface PeerTransport extends Messenger {
  /** Opens the port on which peers reach this node. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** The nodes to talk to from here on; those not in the list are cut off at once. */
  setPeers(peers: readonly Peer[]): void;
  /** The nodes that can be sent to. */
  connected(): readonly NodeId[];
  /** Bytes that wait for a peer to read them. */
  queuedBytes(to: NodeId): number;
  /** The node's certificate was renewed. */
  renewIdentity(): void;
  close(): Promise<void>;
}

export interface PeerTransportDependencies extends PeerNetworkDependencies {
  readonly onMessage: OnMessage;
}

export function createPeerTransport(
  options: PeerNetworkOptions,
  deps: PeerTransportDependencies,
): PeerTransport {
  const network = new PeerNetwork(options, deps);
  const messenger = createMessenger(options.nodeId, network, deps.onMessage);
  return {
    send: messenger.send,
    listen: () => network.listen(),
    setPeers: (peers) => network.setPeers(peers),
    connected: () => network.connected(),
    queuedBytes: (to) => network.queuedBytes(to),
    renewIdentity: () => network.renewIdentity(),
    close: () => network.close(),
  };
}
