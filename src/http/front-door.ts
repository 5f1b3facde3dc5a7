/**
 * The front door: HTTP/1.1 over TLS. Ordinary requests are read by `wire/`, all others by Node's
 * own server: hot endpoints can afford neither that nor a framework (design decision 16). Sessions
 * and their limits are http-api.md §9, what happens to a request is `dispatcher.ts`.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import type { Application, RequestError } from '../apps/interface.ts';
import type { Clock, Timers } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import {
  BODIES_IN_FLIGHT_BYTES_MAX,
  FORWARDING_MS_MAX,
  HELD_REQUESTS_LOOK_MS,
  PIPELINED_REQUESTS_MAX,
  REQUEST_HEADER_BYTES_MAX,
  REQUEST_HEADERS_MS_MAX,
  REQUEST_MS_MAX,
  REQUEST_WAIT_MS_MAX,
  REQUESTS_ABREAST_MAX,
  SESSION_IDLE_MS_MAX,
  SESSION_LINGER_MS_MAX,
  SESSIONS_HARD_MAX,
  SESSIONS_SOFT_MAX,
} from '../base/limits.ts';
import type { Call } from '../wire/call.ts';
import { NodeCall } from '../wire/node-call.ts';
import { PlainConnection } from '../wire/plain-connection.ts';
import { renderCcfError } from './answers.ts';
import type { Backend, ForwardedAnswer, ForwardedRequest } from './backend.ts';
import { BodyBudget } from './body-budget.ts';
import { Dispatcher } from './dispatcher.ts';
import { Exchange } from './exchange.ts';
import { Execution } from './execution.ts';
import { OPERATOR_FEATURES, type OperatorFeature } from './file-endpoints.ts';
import { ForwardedRequests } from './forwarded-requests.ts';
import { Forwarder } from './forwarder.ts';
import { frontendApplications } from './frontends.ts';
import type { GovernanceDesk } from './gov/gov-request.ts';
import type { RecoveryEndpointDependencies } from './gov/recovery-endpoints.ts';
import { HeldRequests } from './held-requests.ts';
import type { JoinDesk } from './join-desk.ts';
import type { ActionDesk } from './operator-action-endpoint.ts';
import { Planner } from './planning.ts';
import { type Redirections, Redirector } from './redirector.ts';
import type { Refusal } from './refusal-note.ts';
import { headersTooLarge } from './refusals.ts';
import { ReplyBatch } from './reply-batch.ts';
import { Router } from './router.ts';
import { serializeAnswer } from './serialize.ts';
import type { Overdue, Session } from './session.ts';
import { SessionTable } from './session-table.ts';
import { Counters, type FrontDoorStats } from './stats.ts';
import { secureContextOf, type TlsIdentity, tlsServerOptions } from './tls-options.ts';

/** Each bound has its default in `base/limits.ts`; times are in milliseconds. */
export interface FrontDoorOptions {
  /** Under this name it appears in `/node/metrics`. */
  readonly interfaceName?: string;
  /** Downloads that are served here; all of them unless some are named. */
  readonly operatorFeatures?: readonly OperatorFeature[];
  /** How long the primary may take to answer what this interface forwards to it. */
  readonly forwardingMsMax?: number;
  /** If given, clients are sent to the node that their request is for; nothing is forwarded. */
  readonly redirections?: Redirections;
  /** How long a request is held until there is a primary for it. */
  readonly holdMsMax?: number;
  readonly sessionsSoftMax?: number;
  readonly sessionsHardMax?: number;
  readonly idleMsMax?: number;
  readonly handshakeMsMax?: number;
  readonly headersMsMax?: number;
  readonly requestMsMax?: number;
  readonly lingerMsMax?: number;
  readonly bodiesInFlightBytesMax?: number;
  /** How often time limits are looked at. */
  readonly sweepMs?: number;
  /** So long may requests in flight take when the front door closes. */
  readonly closeMsMax?: number;
}

export interface FrontDoorDependencies {
  readonly backend: Backend;
  /** They share the app frontend; two of them must not declare the same endpoint. */
  readonly applications: readonly Application[];
  readonly clock: Clock;
  readonly timers: Timers;
  readonly tls: TlsIdentity;
  /** What joining nodes are served with; without it none can join by way of this one. */
  readonly join?: JoinDesk;
  /** What members' signed orders need; without it they are not taken. */
  readonly actions?: ActionDesk;
  readonly recovery?: RecoveryEndpointDependencies;
  /** What members' decisions need; without it none are taken. */
  readonly governance?: GovernanceDesk;
  /** Told of what must not happen. A broken invariant among it should stop the node. */
  readonly onFault: (fault: unknown, where: string) => void;
  /** Told of each client that was not let in, or not let do what it wanted. */
  readonly onRefused?: (refusal: Refusal) => void;
}

export interface FrontDoor {
  /** Port 0 takes a free one; what was taken is returned. */
  listen(host: string, port: number): Promise<{ host: string; port: number }>;
  /** For connections from now on; those that are open keep theirs. */
  setCertificate(identity: TlsIdentity): void;
  /**
   * Executes what another node forwards to this one as to the primary, by this node's own state.
   * `not-primary`: nothing was done. Never rejects.
   */
  executeForwarded(request: ForwardedRequest): Promise<ForwardedAnswer | 'not-primary'>;
  /** Takes nothing new, ends each session with the answer it waits for, then returns. */
  close(): Promise<void>;
  stats(): FrontDoorStats;
}

export function createFrontDoor(
  options: FrontDoorOptions,
  dependencies: FrontDoorDependencies,
): FrontDoor {
  return new HttpsFrontDoor(options, dependencies);
}

/** More than a session takes in; it says itself what becomes of those beyond. */
const SESSION_CALLS_MAX = 2 * (PIPELINED_REQUESTS_MAX + REQUESTS_ABREAST_MAX);

class HttpsFrontDoor implements FrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #timers: Timers;
  readonly #counters = new Counters();
  readonly #budget: BodyBudget;
  readonly #sessions: SessionTable<Exchange>;
  readonly #dispatcher: Dispatcher;
  readonly #forwarded: ForwardedRequests;
  readonly #replies: ReplyBatch;
  readonly #server: TlsServer;
  /** Node's own, for what is not ordinary: given connections, it never listens itself. */
  readonly #wholeHttp: Server;
  /** Beneath TLS, so that unfinished handshakes are among them. */
  readonly #connections = new Set<Socket>();

  constructor(options: FrontDoorOptions, dependencies: FrontDoorDependencies) {
    const { backend, applications, clock, timers, tls, onFault } = dependencies;
    this.#options = options;
    this.#timers = timers;
    this.#budget = new BodyBudget(options.bodiesInFlightBytesMax ?? BODIES_IN_FLIGHT_BYTES_MAX);
    const limits = {
      softMax: options.sessionsSoftMax ?? SESSIONS_SOFT_MAX,
      idleMsMax: options.idleMsMax ?? SESSION_IDLE_MS_MAX,
      headersMsMax: options.headersMsMax ?? REQUEST_HEADERS_MS_MAX,
      bodyMsMax: options.requestMsMax ?? REQUEST_MS_MAX,
      lingerMsMax: options.lingerMsMax ?? SESSION_LINGER_MS_MAX,
      sweepMs: options.sweepMs ?? 1_000,
    };
    this.#sessions = new SessionTable(limits, timers, (session, what) =>
      this.#onOverdue(session, what),
    );
    const router = new Router();
    const stats = (): FrontDoorStats => this.stats();
    for (const { frontend, application } of frontendApplications({
      backend,
      applications,
      clock,
      stats,
      features: options.operatorFeatures ?? OPERATOR_FEATURES,
      join: dependencies.join,
      actions: dependencies.actions,
      recovery: dependencies.recovery,
      governance: dependencies.governance,
      routes: (name) => router.routes(name),
    })) {
      router.add(frontend, application);
    }
    this.#replies = new ReplyBatch(timers);
    const planner = new Planner(router, backend);
    const execution = new Execution({ backend, clock, onFault });
    const budget = this.#budget;
    const counters = this.#counters;
    const timeoutMs = options.forwardingMsMax ?? FORWARDING_MS_MAX;
    const shared = { backend, planner, execution, budget, counters, timers, onFault };
    this.#forwarded = new ForwardedRequests(timeoutMs, shared);
    const interfaceName = this.#interfaceName;
    const { redirections } = options;
    this.#dispatcher = new Dispatcher({
      ...shared,
      forwarder:
        redirections === undefined
          ? new Forwarder({ interfaceName, timeoutMs }, { backend, timers, counters })
          : undefined,
      redirector:
        redirections === undefined
          ? undefined
          : new Redirector(redirections, interfaceName, backend),
      held: new HeldRequests(
        {
          lookMs: HELD_REQUESTS_LOOK_MS,
          waitMsMax: options.holdMsMax ?? REQUEST_WAIT_MS_MAX,
        },
        { timers, hasPrimary: () => hasPrimary(backend) },
      ),
      replies: this.#replies,
      onRefused: dependencies.onRefused,
      sweep: () => this.#sessions.sweep,
    });
    this.#wholeHttp = this.#createWholeHttp();
    this.#server = this.#createServer(tls, options.handshakeMsMax ?? REQUEST_HEADERS_MS_MAX);
  }

  listen(host: string, port: number): Promise<{ host: string; port: number }> {
    return new Promise((resolve, reject) => {
      const refuse = (cause: NodeJS.ErrnoException): void => {
        const message = `cannot listen on ${host}:${port}: ${cause.message}`;
        reject(new CodedError('CannotListen', message, { host, port }, { cause }));
      };
      this.#server.once('error', refuse);
      this.#server.listen(port, host, () => {
        this.#server.off('error', refuse);
        const address = this.#server.address() as AddressInfo;
        resolve({ host: address.address, port: address.port });
      });
    });
  }

  setCertificate(identity: TlsIdentity): void {
    this.#server.setSecureContext(secureContextOf(identity));
  }

  async close(): Promise<void> {
    this.#dispatcher.drain();
    const forwarded = this.#forwarded.drain();
    let stopTimer: () => void = () => undefined;
    const outOfTime = new Promise<void>((resolve) => {
      const closeMsMax =
        this.#options.closeMsMax ?? REQUEST_WAIT_MS_MAX + SESSION_LINGER_MS_MAX;
      stopTimer = this.#timers.after(closeMsMax, () => {
        for (const connection of this.#connections) connection.destroy();
        resolve();
      });
    });
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const session of this.#sessions.all()) {
      if (session.active === undefined) session.hangUp();
    }
    await closed;
    await Promise.race([forwarded, outOfTime]);
    stopTimer();
    this.#sessions.stop();
  }

  executeForwarded(request: ForwardedRequest): Promise<ForwardedAnswer | 'not-primary'> {
    return this.#forwarded.execute(request);
  }

  get #interfaceName(): string {
    return this.#options.interfaceName ?? 'primary_rpc_interface';
  }

  stats(): FrontDoorStats {
    return {
      interfaceName: this.#interfaceName,
      sessions: {
        active: this.#sessions.active,
        peak: this.#sessions.peak,
        softCap: this.#options.sessionsSoftMax ?? SESSIONS_SOFT_MAX,
        hardCap: this.#options.sessionsHardMax ?? SESSIONS_HARD_MAX,
      },
      bodies: {
        bytesInFlight: this.#budget.bytesInFlight,
        requestsWaiting: this.#budget.requestsWaiting,
      },
      counters: this.#counters,
    };
  }

  #createServer(tls: TlsIdentity, handshakeMsMax: number): TlsServer {
    const server = createTlsServer({ ...tlsServerOptions(tls, handshakeMsMax), noDelay: true });
    server.maxConnections = this.#options.sessionsHardMax ?? SESSIONS_HARD_MAX;
    server.on('drop', () => {
      this.#counters.dropped += 1;
    });
    server.on('connection', (connection) => {
      this.#connections.add(connection);
      connection.on('close', () => this.#connections.delete(connection));
    });
    server.on('secureConnection', (socket) => this.#onConnection(socket));
    server.on('tlsClientError', (_error, socket) => {
      this.#counters.handshakesFailed += 1;
      socket.destroy();
    });
    return server;
  }

  #createWholeHttp(): Server {
    const server = createServer({
      // Twice the bound: a header block that Node refuses itself could not be named in the 431.
      maxHeaderSize: 2 * REQUEST_HEADER_BYTES_MAX,
      // CCF does not ask for it, and Node would answer in its own words.
      requireHostHeader: false,
      optimizeEmptyRequests: true,
      // The session table keeps time; Node's own limits would cost a timer per request.
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
    });
    server.timeout = 0;
    server.maxHeadersCount = 0;
    server.on('request', (request, response) =>
      this.#onCall(request.socket, new NodeCall(request, response)),
    );
    server.on('checkContinue', (request, response) =>
      this.#onCall(request.socket, new NodeCall(request, response, true)),
    );
    server.on('checkExpectation', (request, response) =>
      this.#onCall(request.socket, new NodeCall(request, response)),
    );
    server.on('clientError', (error, socket) => this.#onClientError(error, socket));
    return server;
  }

  #onConnection(socket: TLSSocket): void {
    this.#sessions.open(socket);
    socket.on('close', () => {
      const session = this.#sessions.of(socket);
      this.#sessions.forget(socket);
      if (session !== undefined) this.#dispatcher.endSession(session);
    });
    const connection = new PlainConnection(
      socket,
      { requiresHost: false, callsMax: SESSION_CALLS_MAX },
      {
        onCall: (call) => {
          if (!this.#onCall(socket, call)) connection.stopListening();
        },
        onUnusual: () => this.#wholeHttp.emit('connection', socket),
        flushSoon: (ready) => this.#replies.add(ready),
      },
    );
  }

  /** False for what follows the end of a session: it is read and dropped. */
  #onCall(socket: Socket, call: Call): boolean {
    const session = this.#sessions.of(socket);
    if (session === undefined || session.ended || session.lastWords !== undefined) {
      call.drop();
      return false;
    }
    this.#dispatcher.arrive(new Exchange(session, call));
    return true;
  }

  /** The parser gave up on this connection: nothing after this point can be understood. */
  #onClientError(error: ParserError, socket: Duplex): void {
    const session = this.#sessions.of(socket);
    if (session === undefined) {
      // A handshake that failed or took too long.
      socket.destroy();
      return;
    }
    if (session.ended || session.lastWords !== undefined) return;
    if (error.code === 'ECONNRESET' || !session.socket.writable) {
      session.socket.destroy();
      return;
    }
    this.#counters.unparsable += 1;
    session.lastWords = parserAnswer(error);
    // Requests that came in whole before the unparsable bytes are answered first.
    if (session.active?.complete) return;
    this.#dispatcher.endSession(session);
    session.sayLast(session.lastWords);
  }

  #onOverdue(session: Session<Exchange>, what: Overdue): void {
    if (what === 'idle') this.#counters.idleSessions += 1;
    if (what === 'headers' || what === 'body') this.#counters.slowSessions += 1;
    session.socket.destroy();
  }
}

/** Whether this node or another that it knows of takes writes. */
function hasPrimary(backend: Backend): boolean {
  if (backend.isPrimary()) return true;
  const { primaryId, nodeId } = backend.node();
  return primaryId !== undefined && primaryId !== nodeId;
}

interface ParserError extends Error {
  readonly code?: string;
  readonly rawPacket?: Uint8Array;
}

/** As CCF answers what it cannot parse: with the reason and the piece it stumbled over. */
function parserAnswer(error: ParserError): Uint8Array {
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    const tooLarge: RequestError = headersTooLarge(
      `HTTP request headers are too large (max size allowed: ${REQUEST_HEADER_BYTES_MAX})`,
    );
    return serializeAnswer(renderCcfError(tooLarge));
  }
  const text =
    `Unable to parse data as a HTTP request. Error message is: ${error.message}\n` +
    'Error occurred while parsing fragment:\n';
  const body = Buffer.concat([Buffer.from(text), error.rawPacket ?? new Uint8Array(0)]);
  return serializeAnswer({ status: 400, headers: { 'content-type': 'text/plain' }, body });
}
