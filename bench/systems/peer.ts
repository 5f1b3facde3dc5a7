/**
 * A peer that takes part in one work, and how one that is missing is named.
 */
import type { Contender } from '../contender.ts';
import type { SystemStatement } from '../result.ts';

/** Records that are durable before they are answered. */
export interface Insert {
  readonly connections: number;
  readonly bytes: number;
}

export interface Peer {
  readonly contender: Contender;
  readonly statement: SystemStatement;
  /** Ends its part in the work, and the peer if it was started for it. */
  stop(): Promise<void>;
}

export interface MissingPeer {
  readonly name: string;
  /** What to do for it to take part. */
  readonly how: string;
}
