/**
 * One request and the way back for its answer, whichever parser has read it: `PlainCall` for what
 * is ordinary, `NodeCall` for the rest.
 */

import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** How an answer is written besides its status and headers. */
export interface HeadOptions {
  /** It is the last one of its connection, and says so. */
  readonly last: boolean;
  /** It says when it was made (RFC 9110 §6.6.1). */
  readonly dated: boolean;
}

export interface Call {
  readonly method: string;
  /** Path and query, not decoded. */
  readonly target: string;
  /** Name, value, name, value, as they came. */
  readonly rawHeaders: readonly string[];
  readonly socket: Socket | TLSSocket;
  /** Whether all of the request has come in. */
  readonly complete: boolean;
  /** Whether nobody is there any more to be answered. */
  readonly gone: boolean;
  /**
   * Reads the body, then calls `done`: with `undefined` when it is longer than `bytesMax`. A
   * connection that breaks calls `broken`, if there is any.
   */
  readBody(
    bytesMax: number,
    done: (body: Uint8Array | undefined) => void,
    broken?: () => void,
  ): void;
  /** Its answer may leave before those of the requests before it, where that can be. */
  letPass(): void;
  /** What of the body is still to come is read and dropped. */
  drop(): void;
  /** Drops the body, and calls `action` once all of it has come, or nothing more will. */
  whenReceived(action: () => void): void;
  /** Sets status and headers (name, value, …) of the answer; throws for what HTTP cannot carry. */
  head(status: number, headers: readonly string[], options: HeadOptions): void;
  /** Ends the answer. Answers of a connection leave in the order of its requests. */
  end(body?: Uint8Array | string): void;
  /** Adds to a body; false when it is better to wait for `drained`. Ended by `end`. */
  write(piece: Uint8Array): boolean;
  /** Resolves when more may be written, or the connection is gone. */
  drained(): Promise<void>;
  /** Breaks the answer off, and the connection with it. */
  abort(): void;
  /** Calls `action` when the answer has been handed to the socket, or at once if it was. */
  whenWritten(action: () => void): void;
}
