/**
 * All that nodes say to each other: what consensus says, with the bytes of the entries it speaks
 * of, and clients' requests on their way to the primary (design decisions 6 and 13).
 */

import type { NodeId, TxId } from '../../base/ids.ts';
import type { Append, Message } from '../../consensus/messages.ts';

/** The entries after `previous`, as they lie in the chunk files (ledger-format.md §3). */
export interface AppendWithEntries extends Append {
  /** One for each seqno from `previous.seqno + 1` to `last`. */
  readonly entries: readonly Uint8Array[];
}

/** Consensus' messages as they travel. */
export type ConsensusMessage = AppendWithEntries | Exclude<Message, Append>;

export interface ForwardedHeader {
  readonly name: string;
  readonly value: string;
}

/** A client's request, for the primary to execute or to refuse; it never forwards it again. */
export interface ForwardRequest {
  readonly kind: 'forward-request';
  /** The sender's own number for it. */
  readonly id: number;
  /** The client's certificate (DER), if it showed one: the primary looks its owner up again. */
  readonly callerCertificate?: Uint8Array;
  /** Name of the interface by which it came in. */
  readonly interfaceName: string;
  readonly verb: string;
  /** Path and query, as they came. */
  readonly target: string;
  readonly headers: readonly ForwardedHeader[];
  readonly body: Uint8Array;
}

export interface ForwardAnswer {
  readonly kind: 'forward-answer';
  /** The request's. */
  readonly id: number;
  readonly status: number;
  readonly headers: readonly ForwardedHeader[];
  readonly body: Uint8Array;
  /** Its own for a write, the last it could observe for a read. */
  readonly txId?: TxId;
}

/** The receiver is not the primary, and did nothing. */
export interface ForwardRefusal {
  readonly kind: 'forward-refusal';
  readonly id: number;
}

/** Where the nodes of the service are reached, for one that may know older ones only (`Peers`). */
export interface KnownNodes {
  readonly kind: 'known-nodes';
  /** `address`: `host:port`. */
  readonly nodes: readonly { readonly nodeId: NodeId; readonly address: string }[];
}

export type PeerMessage =
  | ConsensusMessage
  | ForwardRequest
  | ForwardAnswer
  | ForwardRefusal
  | KnownNodes;
