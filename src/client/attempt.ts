/** One sending of a request to one node, as those see it who wait for its answer. */
import type { Answer } from './answer-reader.ts';
import type { WireRequest } from './session.ts';

/** What a request needs of a node: any that is up to date, or best the primary. */
export type Purpose = 'read' | 'write';

export interface Attempt {
  /** The node's URL. */
  readonly url: string;
  readonly startedMs: number;
  /** Rejects with `ServiceUnreachable`; its fields say whether the node may have acted. */
  readonly answer: Promise<Answer>;
  /** Whether it waits for a session, is sent, or a part of its answer has come. */
  progress(): 'waiting' | 'sent' | 'answering';
  /** Nobody waits for it any more: it is not sent if it has not been yet. */
  abandon(): void;
}

export interface Wish {
  readonly purpose: Purpose;
  /** Nodes that were tried. */
  readonly avoid: ReadonlySet<string>;
  /** A node that another has named. */
  readonly prefer?: string | undefined;
}

/** The nodes of a service, and what a client tells about them from its experience. */
export interface ServiceNodes {
  /** Sends a request to the best node there is; undefined when none is left. */
  begin(request: WireRequest, wish: Wish, deadlineMs: number): Attempt | undefined;
  /**
   * An attempt was not answered in good time. Whether its node was wholly silent meanwhile, to
   * whomever.
   */
  noteSlow(attempt: Attempt, purpose: Purpose): boolean;
  /** A node has answered that it cannot do what it should be able to. */
  noteUnable(attempt: Attempt, purpose: Purpose): void;
}
