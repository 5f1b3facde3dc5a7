// A house of nodes for the stories about how they talk: real TLS on loopback, time real or manual.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Random, Timers } from '../../src/base/environment.ts';
import { type NodeId, seqnoOf, viewOf } from '../../src/base/ids.ts';
import { selfSignedCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { BEAT } from '../../src/node/peers/frames.ts';
import type { PeerMessage } from '../../src/node/peers/messages.ts';
import {
  PEER_PROTOCOL,
  type PeerCertificate,
  peerTlsOptions,
} from '../../src/node/peers/peer-identity.ts';
import type { PeerLimits } from '../../src/node/peers/peer-limits.ts';
import {
  createPeerTransport,
  type PeerTransport,
} from '../../src/node/peers/peer-transport.ts';
import { realTimers } from '../../src/node/real-time.ts';

export interface Person {
  readonly id: NodeId;
  readonly identity: PeerCertificate;
}

/** A node's key and certificate; `days` below zero: it ran out long ago. */
export async function person(days = 1): Promise<Person> {
  const key = SigningKey.generate('P-256');
  const fromMs = Date.now() - 10 * 24 * 60 * 60 * 1000;
  const validity = { fromMs, days: days < 0 ? 1 : days + 10 };
  const cert = await selfSignedCertificate(key, 'CN=Concordat Node', validity);
  return { id: key.fingerprint as NodeId, identity: { cert, key: key.privateKeyPem() } };
}

export const heartbeat = (round = 0): PeerMessage => append(round, []);

export function append(round: number, entries: readonly Uint8Array[]): PeerMessage {
  const previous = { view: viewOf(2), seqno: seqnoOf(7) };
  return {
    kind: 'append',
    view: viewOf(2),
    previous,
    last: seqnoOf(7 + entries.length),
    commit: seqnoOf(5),
    round,
    entries,
  };
}

/** A node with everything that happened to it. */
export interface House {
  readonly id: NodeId;
  readonly address: string;
  readonly transport: PeerTransport;
  readonly received: { readonly from: NodeId; readonly message: PeerMessage }[];
  /** `up ID` and `down ID`, in order. */
  readonly events: string[];
  readonly notes: string[];
  knows(...others: readonly { readonly id: NodeId; readonly address: string }[]): void;
}

export interface HouseOptions {
  readonly timers?: Timers;
  readonly random?: Random;
  readonly limits?: Partial<PeerLimits>;
  readonly port?: number;
  readonly isTrusted?: (id: NodeId) => boolean;
  readonly onMessage?: (from: NodeId, message: PeerMessage) => void;
}

const open: { close(): Promise<void> | void }[] = [];

/** For `afterEach`: ends all that the story opened. */
export async function closeAll(): Promise<void> {
  for (const each of open.splice(0)) await each.close();
}

/** Limits that make a story short: a peer is dialled again almost at once. */
export const QUICK: Partial<PeerLimits> = { redialMsMin: 10, redialMsMax: 40 };

export async function house(who: Person, options: HouseOptions = {}): Promise<House> {
  const { isTrusted } = options;
  const received: { from: NodeId; message: PeerMessage }[] = [];
  const events: string[] = [];
  const notes: string[] = [];
  const transport = createPeerTransport(
    {
      nodeId: who.id,
      host: '127.0.0.1',
      port: options.port ?? 0,
      limits: options.limits ?? QUICK,
    },
    {
      timers: options.timers ?? realTimers,
      random: options.random ?? { bytes: (count) => new Uint8Array(count) },
      identity: () => who.identity,
      ...(isTrusted === undefined ? {} : { isTrusted }),
      onPeerUp: (id) => events.push(`up ${id}`),
      onPeerDown: (id) => events.push(`down ${id}`),
      note: (text) => notes.push(text),
      onMessage: (from, message) => {
        received.push({ from, message });
        options.onMessage?.(from, message);
      },
    },
  );
  open.push(transport);
  const { port } = await transport.listen();
  return {
    id: who.id,
    address: `127.0.0.1:${port}`,
    transport,
    received,
    events,
    notes,
    knows: (...others) =>
      transport.setPeers(others.map(({ id, address }) => ({ nodeId: id, address }))),
  };
}

/** Waits for real events until something is so. */
export async function until(what: () => boolean, why: string, msMax = 10_000): Promise<void> {
  const end = Date.now() + msMax;
  while (!what()) {
    if (Date.now() > end) throw new Error(`not within ${msMax} ms: ${why}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Long enough for a loopback connection to have done what it must not do. */
export const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));

/** A client of our making on a node's port: it does what no node of ours would. */
export function stranger(
  address: string,
  identity: PeerCertificate | undefined,
  more: Readonly<Record<string, unknown>> = {},
): TLSSocket {
  const options = {
    host: '127.0.0.1',
    port: Number(address.split(':')[1]),
    ...(identity === undefined ? {} : peerTlsOptions(identity)),
    ALPNProtocols: [PEER_PROTOCOL],
    rejectUnauthorized: false,
    ...more,
  };
  const socket = connect(options);
  socket.on('error', () => undefined);
  open.push({ close: () => void socket.destroy() });
  return socket;
}

/** How a node's port takes a client: by a beat, or by ending the connection. */
export async function welcomeOf(socket: TLSSocket): Promise<'beat' | 'end'> {
  return await new Promise((resolve) => {
    socket.once('data', () => resolve('beat'));
    socket.once('close', () => resolve('end'));
  });
}

export interface Impostor {
  readonly address: string;
  /** Connections that finished their handshake. */
  readonly sockets: TLSSocket[];
}

/** A server of our making where a node is expected. `beats`: it trusts whoever comes. */
export async function impostor(
  identity: PeerCertificate,
  more: TlsOptions & { readonly beats?: boolean } = {},
): Promise<Impostor> {
  const { beats = true, ...tls } = more;
  const sockets: TLSSocket[] = [];
  const server = createServer(
    {
      ...peerTlsOptions(identity),
      ALPNProtocols: [PEER_PROTOCOL],
      requestCert: true,
      rejectUnauthorized: false,
      ...tls,
    },
    (socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      if (beats) socket.write(BEAT);
    },
  );
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, sockets };
}
