/**
 * What goes into a step of consensus and what comes out. The obligations that bind the caller to
 * these outputs are numbered in `consensus.ts`.
 */

import type { NodeId, Seqno, TxId, View } from '../base/ids.ts';
import type { Configuration } from './configurations.ts';
import type { Entry, Message } from './messages.ts';
import type { LogStart } from './positions.ts';
import type { Retirement, RetirementPhase } from './retirement.ts';

/** A ledger, or a snapshot of one, as consensus must know it: all of it is committed. */
export interface LedgerPoint extends LogStart {
  /** The newest configuration at the point; none before the first entry. */
  readonly configuration?: Configuration;
  readonly retirements: readonly Retirement[];
}

/** The newest view a node took part in, and whom it voted for there. */
export interface VoteRecord {
  readonly view: View;
  readonly votedFor?: NodeId;
}

export type Input =
  /** Time passed. A pause of the whole process is one long tick. */
  | { readonly kind: 'tick'; readonly elapsedMs: number }
  /** A message came; with an `append`, what the caller read from the entries that came along. */
  | {
      readonly kind: 'message';
      readonly from: NodeId;
      readonly message: Message;
      readonly entries?: readonly Entry[];
    }
  /** This leader wrote entries. */
  | { readonly kind: 'replicate'; readonly entries: readonly Entry[] }
  /** Storage operations up to this number are on stable storage. */
  | { readonly kind: 'stored'; readonly operation: number }
  /** Asks for the seqno from which on a read that begins now is fresh. */
  | { readonly kind: 'read'; readonly id: number }
  /** Nobody waits for this read any more. */
  | { readonly kind: 'forget-read'; readonly id: number }
  /** Asks this leader to hand over to its best follower. */
  | { readonly kind: 'nominate' }
  /** The caller replaced its ledger by a committed snapshot. */
  | { readonly kind: 'install'; readonly point: LedgerPoint }
  /** The operator lets an unproven restart go on. */
  | { readonly kind: 'accept-unproven' };

/** What the caller does to its stable storage; in the order of the numbers. */
export type StorageOperation = { readonly operation: number } & (
  | { readonly kind: 'record'; readonly record: VoteRecord }
  /** Keeps entries up to this one only. */
  | { readonly kind: 'truncate'; readonly seqno: Seqno }
  /** Appends these entries, whose bytes came with the input of this step. */
  | { readonly kind: 'append'; readonly entries: readonly Entry[] }
);

export interface Outgoing {
  readonly to: NodeId;
  readonly message: Message;
  /** The message may leave once this storage operation is on stable storage; 0: at once. */
  readonly after: number;
}

export type Role = 'follower' | 'pre-candidate' | 'candidate' | 'leader' | 'retired';

export type Refusal =
  | 'NotLeader'
  /** The first entry of a view is a signature. */
  | 'SignatureFirst'
  | 'TooManyUncommitted'
  | 'TooManyReads';

export type Event =
  /** The node leads from here on: `last` is its log's end; it must sign next. */
  | {
      readonly kind: 'leads';
      readonly view: View;
      readonly last: TxId;
      /** A voter, or this node, could not prove its log fresh (design decision 11). */
      readonly unproven: boolean;
    }
  | { readonly kind: 'follows'; readonly view: View; readonly leader?: NodeId }
  /** Entries after `seqno` are gone; their seqnos will be used again in a later view. */
  | { readonly kind: 'rolled-back'; readonly seqno: Seqno }
  | { readonly kind: 'committed'; readonly seqno: Seqno }
  /** A read that began before may be served from what is applied up to `seqno`, committed here. */
  | { readonly kind: 'read-ready'; readonly id: number; readonly seqno: Seqno }
  /** `replicate` or `read` was not accepted. */
  | { readonly kind: 'refused'; readonly reason: Refusal }
  /** This leader should write an entry that records these retirements as committed. */
  | { readonly kind: 'record-retired'; readonly nodes: readonly NodeId[] }
  | { readonly kind: 'retirement'; readonly phase: RetirementPhase }
  /** What this node lacks can only come from a snapshot at or after this position. */
  | { readonly kind: 'needs-snapshot'; readonly oldest: TxId }
  /** The others have something else, or nothing, where this is committed: the node cannot go on. */
  | { readonly kind: 'forked'; readonly at: TxId }
  /** A restart waits: for these nodes' word, or for the operator. */
  | {
      readonly kind: 'restart-waits';
      readonly nodes: readonly NodeId[];
      readonly forOperator: boolean;
    }
  /** A restarted node takes part again. */
  | { readonly kind: 'restarted'; readonly unproven: boolean };

export interface Outputs {
  readonly storage: readonly StorageOperation[];
  readonly messages: readonly Outgoing[];
  readonly events: readonly Event[];
}
