/**
 * A connection on which a peer talks to us. We only read it; what we write are beats, the first of
 * which tells the peer that we trust it.
 */

import type { TLSSocket } from 'node:tls';
import type { Timers } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { BEAT, FrameReader } from './frames.ts';
import { Heartbeat } from './heartbeat.ts';
import type { PeerLimits } from './peer-limits.ts';

export interface IncomingDependencies {
  readonly timers: Timers;
  /** Throws a coded error for a frame that is no message. */
  readonly onFrame: (frame: Uint8Array) => void;
  /** Called once; with a reason if the peer did what it must not. */
  readonly onEnd: (why: string | undefined) => void;
}

export class IncomingLink {
  readonly peer: NodeId;
  readonly #socket: TLSSocket;
  readonly #deps: IncomingDependencies;
  readonly #reader: FrameReader;
  readonly #heartbeat: Heartbeat;
  #isOpen = true;

  constructor(peer: NodeId, socket: TLSSocket, limits: PeerLimits, deps: IncomingDependencies) {
    this.peer = peer;
    this.#socket = socket;
    this.#deps = deps;
    this.#reader = new FrameReader(limits.frameBytesMax);
    this.#heartbeat = new Heartbeat(limits, {
      timers: deps.timers,
      beat: (heard) => {
        if (heard) this.#beat();
      },
      silent: () => this.#end('nothing comes from it any more'),
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('close', () => this.#end(undefined));
    this.#beat();
  }

  /** Ends the link at once: not even what has arrived already is read. */
  close(): void {
    this.#end(undefined);
  }

  #beat(): void {
    // A peer that does not read its beats gets no more of them piled up.
    if (this.#socket.writableLength === 0) this.#socket.write(BEAT);
  }

  #read(chunk: Buffer): void {
    this.#heartbeat.hear();
    this.#reader.push(chunk);
    try {
      while (this.#isOpen) {
        const frame = this.#reader.next();
        if (frame === undefined) break;
        if (frame.length > 0) this.#deps.onFrame(frame);
      }
    } catch (thrown) {
      if (!(thrown instanceof CodedError)) throw thrown;
      this.#end(thrown.message);
    }
  }

  #end(why: string | undefined): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#heartbeat.stop();
    this.#socket.destroy();
    this.#deps.onEnd(why);
  }
}
