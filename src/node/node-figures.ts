/** Figures of a running node for its operator's metrics. */
import type { Quantiles } from './node-status.ts';

export interface NodeFigures {
  readonly committedSeqno: number;
  readonly newestSeqno: number;
  readonly uncommitted: number;
  readonly view: number;
  readonly rounds: number;
  readonly transactions: number;
  readonly chunks: number;
  /** How long recent rounds took from their first transaction to their commit. */
  readonly commitMs?: Quantiles;
}
