/**
 * The connector: what stands beside a Quorum node in Tessera's place. It serves a Unix socket
 * and, if asked to, loopback ports, for one organisation, and relays every request to the service
 * over warm sessions that carry the organisation's certificate.
 */
import type { Server } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Timers } from '../base/environment.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { BODIES_IN_FLIGHT_BYTES_MAX } from '../base/limits.ts';
import { RefusalLog } from '../base/refusal-log.ts';
import type { NodeJudge } from '../client/node-judge.ts';
import { SeenTransactions } from '../client/seen-transactions.ts';
import { type Identity, type PoolOptions, SessionPool } from '../client/session-pool.ts';
import { systemTimers } from '../client/system-timers.ts';
import { systemRandom } from '../crypto/random.ts';
import type { Surface } from './addresses.ts';
import { type AdmissionRules, isLoopback } from './admission.ts';
import { BodyRoom } from './body-room.ts';
import { Figures, type ServiceFigures } from './figures.ts';
import { healthServer } from './health.ts';
import { Inlet } from './inlet.ts';
import { namedBy, type PortTls, requireIdentity, serverTls } from './port-tls.ts';
import { Relay } from './relay.ts';
import { RequestHandler } from './request-handler.ts';
import { listenOnSocket, type SocketOptions } from './socket-file.ts';

/** A TCP port; 0 takes a free one. */
export interface PortOptions {
  /** `127.0.0.1` when absent. */
  readonly host?: string;
  readonly port: number;
}

export interface ConnectorOptions {
  /** The service, and the organisation's certificate and key for it. */
  readonly service: PoolOptions;
  readonly socket?: SocketOptions;
  /** The same as on the socket, over HTTP. */
  readonly http?: PortOptions;
  /** The third-party server. */
  readonly thirdParty?: PortOptions;
  /**
   * Both ports speak TLS. Only where they ask clients for certificates they may listen on another
   * than a loopback address.
   */
  readonly tls?: PortTls;
  /** `/upcheck` and `/metrics` alone, over HTTP, on any address. */
  readonly health?: PortOptions;
  /** Names by which the ports may be addressed, besides loopback ones. */
  readonly allowedHosts?: readonly string[];
  /** Origins whose pages may ask the third-party server; none by default. */
  readonly allowedOrigins?: readonly string[];
}

export interface ConnectorDependencies {
  /** Told what an operator should know. */
  readonly log: (line: string) => void;
  /** Decides which nodes may be given an organisation's requests (`judgeBy`). */
  readonly judge: NodeJudge;
  /** The running process's when absent. */
  readonly timers?: Timers;
}

export interface Connector {
  readonly socketPath: string | undefined;
  readonly url: string | undefined;
  readonly thirdPartyUrl: string | undefined;
  readonly healthUrl: string | undefined;
  /**
   * Files were renewed: connections from now on see and show what they hold. Throws, and changes
   * nothing, for files that do not belong together.
   */
  renew(files: RenewedFiles): void;
  /** Stops taking requests, ends those under way, removes the socket. */
  close(): Promise<void>;
}

/** What may be renewed while a connector runs. */
export interface RenewedFiles {
  readonly service: Identity;
  /** For ports that speak TLS; whether they do is decided at the start. */
  readonly tls?: PortTls;
}

/** Starts a connector; rejects when it cannot listen. The service need not be there yet. */
export async function startConnector(
  options: ConnectorOptions,
  { log, judge, timers = systemTimers }: ConnectorDependencies,
): Promise<Connector> {
  if (options.socket === undefined && options.http === undefined) {
    throw new CodedError('NothingToServe', 'a connector needs a socket or a port to serve');
  }
  const { tls } = options;
  const tlsOptions = tls === undefined ? undefined : serverTls(tls);
  const isMutual = tls?.clientAuthorities !== undefined;
  if (!isMutual) {
    for (const port of [options.http, options.thirdParty]) requireLoopback(port?.host);
  }
  const seen = new SeenTransactions();
  const onLoss = (): void => relay.checkForLoss();
  const pool = new SessionPool(options.service, { timers, seen, judge, onLoss });
  const relay: Relay = new Relay({ nodes: pool, seen, timers, random: systemRandom, log });
  const room = new BodyRoom(BODIES_IN_FLIGHT_BYTES_MAX);
  const refusals = new RefusalLog(log, timers);
  const figures = new Figures({
    timers,
    service: () => ({ ...serviceFigures(pool, relay), refusals: refusals.count }),
  });
  const endings: (() => Promise<void>)[] = [];
  const tlsServers: TlsServer[] = [];
  let isOwnName = tls === undefined ? () => false : namedBy(tls.certificate);

  const serve = (surface: Surface, overSocket: boolean): Server => {
    const allowedOrigins = surface === 'third-party' ? (options.allowedOrigins ?? []) : [];
    const rules: AdmissionRules = {
      allowedHosts: (options.allowedHosts ?? []).map((name) => name.toLowerCase()),
      allowedOrigins,
      isOwnName: (name) => isOwnName(name),
    };
    const overTls = overSocket ? undefined : tlsOptions;
    const handler = new RequestHandler({
      surface,
      overSocket,
      scheme: overTls === undefined ? 'http' : 'https',
      refusals,
      rules,
      relay,
      room,
      figures,
      timers,
      log,
    });
    const inlet = new Inlet(overTls, { timers, handle: (call) => handler.handle(call) });
    const { server } = inlet;
    server.on('tlsClientError', (error: TlsFault, { remoteAddress = 'somebody' }: Socket) =>
      refusals.note(
        `${remoteAddress} (${surface})`,
        'a TLS session',
        error.reason ?? error.message,
      ),
    );
    endings.push(() => inlet.close());
    if (server instanceof TlsServer) tlsServers.push(server);
    return server;
  };
  const renew = ({ service, tls: renewed }: RenewedFiles): void => {
    const shown = renewed === undefined ? undefined : serverTls(renewed);
    requireIdentity(service);
    pool.present(service);
    if (renewed === undefined || shown === undefined) return;
    isOwnName = namedBy(renewed.certificate);
    for (const server of tlsServers) server.setSecureContext(shown);
  };
  let closing = false;
  const close = async (): Promise<void> => {
    closing = true;
    await Promise.all(endings.map((end) => end()));
    pool.close();
  };

  try {
    const { socket, http, thirdParty, health } = options;
    const scheme = tls === undefined ? 'http' : 'https';
    const socketPath =
      socket === undefined ? undefined : await listenOnSocket(serve('q2t', true), socket);
    const url =
      http === undefined ? undefined : await listenOnPort(serve('q2t', false), http, scheme);
    const thirdPartyUrl =
      thirdParty === undefined
        ? undefined
        : await listenOnPort(serve('third-party', false), thirdParty, scheme);
    const watched = health === undefined ? undefined : healthServer({ figures, relay, timers });
    if (watched !== undefined) endings.push(() => closed(watched));
    const healthUrl =
      watched === undefined || health === undefined
        ? undefined
        : await listenOnPort(watched, health, 'http');
    pool.warmUp().then(
      () => relay.prepare(),
      (thrown: unknown) => {
        // Who closes a connector at once cuts its first sessions off; that is nobody's news.
        if (!closing) log(`the service is not there yet: ${messageOf(thrown)}`);
      },
    );
    return { socketPath, url, thirdPartyUrl, healthUrl, renew, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** OpenSSL's own words, without where in its source they stand. */
type TlsFault = Error & { readonly reason?: string };

function serviceFigures(pool: SessionPool, relay: Relay): Omit<ServiceFigures, 'refusals'> {
  const { known, good } = pool.count();
  const { counters, lost } = relay;
  return { nodesKnown: known, nodesHealthy: good, refused: lost !== undefined, counters };
}

/** A port acts as the organisation: it is for this machine alone. */
function requireLoopback(host: string | undefined): void {
  if (host === undefined || isLoopback(host)) return;
  throw new CodedError(
    'NotLoopback',
    `${host} is no loopback address, and a connector's port is for this machine alone, unless ` +
      'it speaks TLS and asks for certificates (--tls-certificate, --tls-key, --tls-client-ca)',
    { host },
  );
}

function listenOnPort(
  server: Server,
  { host = '127.0.0.1', port }: PortOptions,
  scheme: 'http' | 'https',
): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      const bound = server.address() as AddressInfo;
      const shown = host.includes(':') ? `[${host}]` : host;
      resolve(`${scheme}://${shown}:${bound.port}`);
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) {
      resolve();
      return;
    }
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
