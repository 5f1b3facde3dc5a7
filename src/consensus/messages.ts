/**
 * What consensus nodes say to each other, as plain values; their encoding belongs to the sessions
 * between nodes. Contract: node-lifecycle.md §6. Beyond CCF's fields there are `round` (read index,
 * design decision 10), `incarnation`, inquiries and reports (restart in place, decision 11).
 */

import type { NodeId, Seqno, TxId, View } from '../base/ids.ts';
import type { Configuration } from './configurations.ts';

/** What consensus must know of an entry; its bytes stay with the caller. */
export interface Entry extends TxId {
  readonly isSignature: boolean;
  /** The nodes that vote from this entry on, if it changes them. */
  readonly reconfiguration?: readonly NodeId[];
  /** Nodes whose retirement was committed before this entry was written. */
  readonly retiredCommitted?: readonly NodeId[];
}

/**
 * The entries (`previous`, `last`], all of one view; none when both are equal. The caller sends
 * their bytes along, and the receiving caller hands in what it read from them.
 */
export interface Append {
  readonly kind: 'append';
  readonly view: View;
  readonly previous: TxId;
  readonly last: Seqno;
  readonly commit: Seqno;
  /** The newest round of confirming leadership; the answer repeats it. */
  readonly round: number;
}

export interface AppendAnswer {
  readonly kind: 'append-answer';
  readonly view: View;
  readonly accepted: boolean;
  /** Accepted: the logs agree up to here. Refused: the latest position they may agree at. */
  readonly position: TxId;
  /** What the answering node knows to be committed. */
  readonly commit: Seqno;
  readonly round: number;
  /** Which life of the answering node speaks. */
  readonly incarnation: number;
}

/** What the receiver lacks, the leader no longer has: a snapshot at or after `oldest` is needed. */
export interface Behind {
  readonly kind: 'behind';
  readonly view: View;
  readonly oldest: TxId;
}

/** `pre`: would you vote for me in this view? `regular`: vote for me. */
export interface VoteRequest {
  readonly kind: 'vote-request';
  readonly election: 'pre' | 'regular';
  readonly view: View;
  /** The candidate's last committable position. */
  readonly position: TxId;
}

export interface VoteAnswer {
  readonly kind: 'vote-answer';
  readonly election: 'pre' | 'regular';
  readonly view: View;
  readonly granted: boolean;
  /** The voter restarted and could not learn whether what it holds is fresh. */
  readonly unproven: boolean;
}

/** The leader asks its best follower to stand at once. */
export interface ProposeVote {
  readonly kind: 'propose-vote';
  readonly view: View;
}

/** A follower asks from where on its reads are fresh; requests that wait together share one. */
export interface ReadRequest {
  readonly kind: 'read-request';
  readonly view: View;
  readonly batch: number;
  /** Which life asks: a late answer must not serve a read of the next one. */
  readonly incarnation: number;
}

export interface ReadAnswer {
  readonly kind: 'read-answer';
  readonly view: View;
  readonly batch: number;
  readonly incarnation: number;
  readonly seqno: Seqno;
}

/** A restarting node asks what it may have promised in a former life. */
export interface Inquiry {
  readonly kind: 'inquiry';
  readonly incarnation: number;
  readonly nonce: number;
  /** Whoever follows no living leader moves to this view before it answers. */
  readonly atLeast: View;
}

/** The leader knows another life of the asking node under its incarnation, or a later one. */
export interface Outlived {
  readonly kind: 'outlived';
  /** One that would be new. */
  readonly incarnation: number;
}

export interface Report {
  readonly kind: 'report';
  /** The incarnation of the asking node, repeated. */
  readonly incarnation: number;
  /** The answering node is itself restarting: its word proves nothing. */
  readonly restarting: boolean;
  readonly view: View;
  /** The highest view it took part in, promised pre-votes included. */
  readonly heard: View;
  /** The last committable position it holds or must not vote below. */
  readonly position: TxId;
  /** The living leader of its view, if it is or hears one. */
  readonly leader?: NodeId;
  /**
   * Its active configurations: a disk that was away may know older ones only. The committed one
   * bears the seqno up to which all is committed, because up to there no other can be in effect.
   */
  readonly configurations: readonly Configuration[];
}

export type Message =
  | Append
  | AppendAnswer
  | Behind
  | VoteRequest
  | VoteAnswer
  | ProposeVote
  | ReadRequest
  | ReadAnswer
  | Inquiry
  | Outlived
  | Report;
