/**
 * The connection on which one peer hears us. We dial, prove who we are, check whom we reached, and
 * are up once the peer's first beat says that it takes us for a node it trusts. From then on we
 * write and it only beats. A connection that ends is dialled again, more and more slowly, until
 * `close`.
 */

import { connect, type TLSSocket } from 'node:tls';
import type { Random, Timers } from '../../base/environment.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { FrameReader } from './frames.ts';
import { Heartbeat } from './heartbeat.ts';
import {
  PEER_PROTOCOL,
  type PeerCertificate,
  type ProvedPeer,
  peerTlsOptions,
  provedPeer,
} from './peer-identity.ts';
import type { PeerLimits } from './peer-limits.ts';
import { SendQueue } from './send-queue.ts';

export interface OutgoingOptions {
  readonly peer: NodeId;
  readonly host: string;
  readonly port: number;
  readonly limits: PeerLimits;
}

export interface OutgoingDependencies {
  readonly timers: Timers;
  /** Spreads the times at which nodes dial again. */
  readonly random: Random;
  readonly identity: () => PeerCertificate;
  readonly onUp: () => void;
  /** It was up, and is no more. */
  readonly onDown: () => void;
  /** What a person should know; once for each time that the peer is out of reach. */
  readonly note: (text: string) => void;
}

export class OutgoingLink {
  readonly #options: OutgoingOptions;
  readonly #deps: OutgoingDependencies;
  #socket: TLSSocket | undefined;
  /** There while the link is up. */
  #queue: SendQueue | undefined;
  #heartbeat: Heartbeat | undefined;
  #cancelTimer: () => void = () => undefined;
  #failures = 0;
  #isClosed = false;

  constructor(options: OutgoingOptions, deps: OutgoingDependencies) {
    this.#options = options;
    this.#deps = deps;
    this.#dial();
  }

  get isUp(): boolean {
    return this.#queue !== undefined;
  }

  /** Where this link dials. */
  get address(): { readonly host: string; readonly port: number } {
    return this.#options;
  }

  get queuedBytes(): number {
    return this.#queue?.bytes ?? 0;
  }

  send(frame: Uint8Array): boolean {
    return this.#queue?.push(frame) ?? false;
  }

  /** Ends the link at once; what waited is lost. */
  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
    this.#hangUp();
  }

  #dial(): void {
    const { host, port, limits } = this.#options;
    const options = {
      host,
      port,
      ...peerTlsOptions(this.#deps.identity()),
      ALPNProtocols: [PEER_PROTOCOL],
      // The peer's key is compared below, which is stricter than any chain or name.
      rejectUnauthorized: false,
      highWaterMark: limits.writeBytes,
    };
    const socket = connect(options);
    this.#socket = socket;
    socket.setNoDelay(true);
    this.#cancelTimer = this.#deps.timers.after(limits.handshakeMsMax, () => {
      this.#lose(socket, `it did not answer within ${limits.handshakeMsMax} ms`);
    });
    socket.on('error', (error) => this.#lose(socket, messageOf(error)));
    socket.on('close', () => this.#lose(socket, 'it closed the connection'));
    socket.on('secureConnect', () => this.#check(socket));
  }

  #check(socket: TLSSocket): void {
    const fault = this.#faultOf(provedPeer(socket));
    if (fault !== undefined) {
      this.#lose(socket, fault);
      return;
    }
    const reader = new FrameReader(0);
    socket.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
        while (reader.next() !== undefined) this.#hear(socket);
      } catch (thrown) {
        if (!(thrown instanceof CodedError)) throw thrown;
        this.#lose(socket, `it may only send beats here, but ${thrown.message}`);
      }
    });
  }

  #faultOf(proved: ProvedPeer): string | undefined {
    if ('fault' in proved) return proved.fault;
    return proved.id === this.#options.peer
      ? undefined
      : `the node that answers there is ${proved.id}`;
  }

  #hear(socket: TLSSocket): void {
    if (socket !== this.#socket) return;
    if (this.#heartbeat === undefined) this.#rise(socket);
    else this.#heartbeat.hear();
  }

  /** The first beat: the peer trusts us. */
  #rise(socket: TLSSocket): void {
    this.#cancelTimer();
    const { limits, peer } = this.#options;
    const { timers } = this.#deps;
    const queue = new SendQueue(socket, limits.queueBytesMax, (action) => timers.soon(action));
    this.#queue = queue;
    this.#heartbeat = new Heartbeat(limits, {
      timers,
      beat: () => queue.beat(),
      silent: () => this.#lose(socket, 'nothing comes back from it any more'),
    });
    if (this.#failures > 1) this.#deps.note(`node ${peer} is reached again`);
    this.#failures = 0;
    this.#deps.onUp();
  }

  /** The connection is no good (any more): it is given up, and another one tried later. */
  #lose(socket: TLSSocket, why: string): void {
    if (socket !== this.#socket || this.#isClosed) return;
    this.#cancelTimer();
    const wasUp = this.isUp;
    this.#failures += 1;
    // One failure is what any restart looks like.
    if (this.#failures === 2) {
      const { peer, host, port } = this.#options;
      this.#deps.note(`node ${peer} cannot be reached at ${host}:${port}: ${why}`);
    }
    this.#cancelTimer = this.#deps.timers.after(this.#pauseMs(), () => this.#dial());
    this.#hangUp();
    if (wasUp) this.#deps.onDown();
  }

  #hangUp(): void {
    const socket = this.#socket;
    this.#heartbeat?.stop();
    this.#heartbeat = undefined;
    this.#queue = undefined;
    this.#socket = undefined;
    socket?.destroy();
  }

  /** Doubles with each failure up to a bound; between half of that and all of it, by chance. */
  #pauseMs(): number {
    const { redialMsMin, redialMsMax } = this.#options.limits;
    const full = Math.min(redialMsMax, redialMsMin * 2 ** Math.min(this.#failures - 1, 30));
    const chance = Buffer.from(this.#deps.random.bytes(2)).readUInt16BE(0) / 0x1_0000;
    return Math.round((full * (1 + chance)) / 2);
  }
}
