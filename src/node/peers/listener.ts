/**
 * The port on which peers reach a node. Who connects must finish a TLS 1.3 handshake in time and
 * prove the key of a node that is trusted at this moment; of those that have not done so yet only
 * so many may be there at once. Refusals are told in summary: strangers can cause any number.
 */

import type { AddressInfo, Socket } from 'node:net';
import { createServer, type TLSSocket, type Server as TlsServer } from 'node:tls';
import type { Timers } from '../../base/environment.ts';
import { messageOf } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import {
  PEER_PROTOCOL,
  type PeerCertificate,
  peerTlsOptions,
  provedPeer,
} from './peer-identity.ts';
import type { PeerLimits } from './peer-limits.ts';

/** At most one line about refusals in so much time. */
const REFUSALS_MS = 1_000;

export interface ListenerDependencies {
  readonly timers: Timers;
  readonly identity: () => PeerCertificate;
  /** Why a node may not come in, or undefined. */
  readonly faultOf: (id: NodeId) => string | undefined;
  readonly onPeer: (id: NodeId, socket: TLSSocket) => void;
  readonly note: (text: string) => void;
}

export class PeerListener {
  readonly #limits: PeerLimits;
  readonly #deps: ListenerDependencies;
  readonly #server: TlsServer;
  readonly #sockets = new Set<Socket>();
  /** Ends (address and port) of connections that have not proved anything. */
  readonly #unproved = new Set<string>();
  /** Refusals since the last line about them, and the reason of the newest. */
  #untold = 0;
  #lastReason = '';
  #cancelTelling: (() => void) | undefined;

  constructor(limits: PeerLimits, deps: ListenerDependencies) {
    this.#limits = limits;
    this.#deps = deps;
    this.#server = createServer({
      ...peerTlsOptions(deps.identity()),
      ALPNProtocols: [PEER_PROTOCOL],
      requestCert: true,
      // Whose key the handshake proved is looked at below; chains and names decide nothing.
      rejectUnauthorized: false,
      handshakeTimeout: limits.handshakeMsMax,
    });
    this.#server.on('connection', (socket: Socket) => this.#meet(socket));
    this.#server.on('secureConnection', (socket: TLSSocket) => this.#admit(socket));
    this.#server.on('tlsClientError', (error, socket) => {
      socket.destroy();
      this.#refuse(messageOf(error));
    });
  }

  async listen(host: string, port: number): Promise<{ host: string; port: number }> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    // What a port reports later (too many open files) is one connection's misfortune.
    this.#server.on('error', (error) => this.#refuse(messageOf(error)));
    const { address, port: actual } = this.#server.address() as AddressInfo;
    return { host: address, port: actual };
  }

  /** Shows a renewed certificate from the next connection on. */
  renew(): void {
    this.#server.setSecureContext(peerTlsOptions(this.#deps.identity()));
  }

  async close(): Promise<void> {
    this.#cancelTelling?.();
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #meet(socket: Socket): void {
    if (this.#unproved.size >= this.#limits.handshakesMax) {
      socket.destroy();
      this.#refuse(`${this.#unproved.size} others have not proved who they are`);
      return;
    }
    const end = endOf(socket);
    this.#unproved.add(end);
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#unproved.delete(end);
      this.#sockets.delete(socket);
    });
  }

  #admit(socket: TLSSocket): void {
    this.#unproved.delete(endOf(socket));
    // The end of the connection follows, and with it all that there is to do.
    socket.on('error', () => undefined);
    const proved = provedPeer(socket);
    const fault = 'fault' in proved ? proved.fault : this.#deps.faultOf(proved.id);
    if ('fault' in proved || fault !== undefined) {
      const from = endOf(socket);
      socket.destroy();
      this.#refuse(`from ${from}: ${fault}`);
      return;
    }
    socket.setNoDelay(true);
    this.#deps.onPeer(proved.id, socket);
  }

  #refuse(why: string): void {
    this.#untold += 1;
    this.#lastReason = why;
    if (this.#cancelTelling === undefined) this.#tell();
  }

  #tell(): void {
    this.#cancelTelling = undefined;
    if (this.#untold === 0) return;
    const what =
      this.#untold === 1
        ? 'a connection between nodes was refused: '
        : `${this.#untold} connections between nodes were refused, the last: `;
    this.#deps.note(what + this.#lastReason);
    this.#untold = 0;
    this.#cancelTelling = this.#deps.timers.after(REFUSALS_MS, () => this.#tell());
  }
}

const endOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;
