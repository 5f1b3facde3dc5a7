/**
 * From a parsed request to its answer, in the order of http-api.md §2. What needs no body (size,
 * path, verb, an open frontend, who asks) is decided before the body is read, so that nobody fills
 * the node's memory who would be refused anyway.
 */
import type { AppResponse, Endpoint, RequestError } from '../apps/interface.ts';
import type { Clock } from '../base/environment.ts';
import { BODY_READ_AHEAD_BYTES_MAX, REQUEST_BODY_BYTES_MAX } from '../base/limits.ts';
import { renderCcfError, requestErrorOf } from './answers.ts';
import { authenticate, isCaller } from './authentication.ts';
import type { Backend, RunOptions, RunResult } from './backend.ts';
import type { BodyBudget } from './body-budget.ts';
import type { Exchange } from './exchange.ts';
import { scanHeaders } from './headers.ts';
import type { ReplyBatch } from './reply-batch.ts';
import type { FrontendName, Match, Route, Router } from './router.ts';
import { NO_WISHES, runOptionsOf } from './run-options.ts';
import { serializeAnswer } from './serialize.ts';
import type { Counters } from './stats.ts';

export interface DispatcherDependencies {
  readonly backend: Backend;
  readonly router: Router;
  readonly budget: BodyBudget;
  readonly counters: Counters;
  readonly replies: ReplyBatch;
  readonly clock: Clock;
  /** The session table's clock. */
  readonly sweep: () => number;
  /** Told of what must not happen; the client is told 500 without the reason. */
  readonly onFault: (fault: unknown, where: string) => void;
}

/** The part of a request's life in which it has a route. */
interface Plan {
  readonly route: Route;
  readonly options: RunOptions;
}

export class Dispatcher {
  readonly #deps: DispatcherDependencies;
  /** Set when the front door closes: each answer is its session's last. */
  #lastAnswers = false;

  constructor(dependencies: DispatcherDependencies) {
    this.#deps = dependencies;
  }

  /** From now on each session ends with the answer it is waiting for. */
  drain(): void {
    this.#lastAnswers = true;
  }

  /** Takes in what a session was sent; it may have to wait for what the session sent before. */
  arrive(exchange: Exchange): void {
    const { session } = exchange;
    const place = session.arrive(exchange);
    if (place === 'now') this.#start(exchange);
    else if (place === 'no room' || !this.#keep(exchange)) {
      session.stopReading(serializeAnswer(renderCcfError(TOO_MANY_WAITING)));
    }
  }

  /** Counts what Node reads ahead of a waiting request's body among the bodies in flight. */
  #keep(exchange: Exchange): boolean {
    const { contentLength, chunked } = scanHeaders(exchange.rawHeaders);
    const bytes = chunked
      ? BODY_READ_AHEAD_BYTES_MAX
      : Math.min(contentLength, BODY_READ_AHEAD_BYTES_MAX);
    if (!this.#deps.budget.tryReserve(bytes)) return false;
    exchange.reservedBytes = bytes;
    return true;
  }

  readonly #start = (exchange: Exchange): void => {
    try {
      this.#begin(exchange);
    } catch (fault) {
      this.#giveUp(exchange, fault);
    }
  };

  /** Takes a request on; its session executes nothing else until it is answered. */
  #begin(exchange: Exchange): void {
    const { counters } = this.#deps;
    const { lastWords } = exchange.session;
    if (lastWords !== undefined && !exchange.complete) {
      this.#sayLast(exchange, lastWords);
      return;
    }
    if (exchange.session.beyondCap) {
      this.#hangUp(exchange, CAP_EXHAUSTED);
      return;
    }
    const scan = scanHeaders(exchange.rawHeaders);
    if (scan.tooLarge !== undefined) {
      counters.headersTooLarge += 1;
      this.#hangUp(exchange, headersTooLarge(scan.tooLarge));
      return;
    }
    const match = this.#match(exchange);
    const bytesMax = bodyBytesMaxOf(match);
    if (scan.contentLength > bytesMax) {
      counters.bodiesTooLarge += 1;
      this.#hangUp(exchange, bodyTooLarge(bytesMax), match);
      return;
    }
    if (!this.#isOpen(match.frontend)) {
      this.#refuse(exchange, match, FRONTEND_NOT_OPEN);
      return;
    }
    if (match.kind === 'other-verb' && exchange.method === 'OPTIONS') {
      this.#answer(exchange, { status: 204, headers: { allow: match.allow } });
      return;
    }
    const plan = planOf(exchange, match, scan.own);
    if ('status' in plan) {
      this.#refuse(exchange, match, plan);
      return;
    }
    if (scan.contentLength === 0 && !scan.chunked) {
      this.#execute(exchange, plan);
      return;
    }
    const caller = this.#authenticate(exchange, plan.route.endpoint);
    if ('status' in caller) {
      this.#refuse(exchange, match, caller);
      return;
    }
    this.#awaitBody(exchange, plan, scan.chunked ? bytesMax : scan.contentLength, bytesMax);
  }

  /** Ends a session whose connection is gone or cannot be understood. */
  endSession(session: Exchange['session']): void {
    if (session.active !== undefined) this.#abandon(session.active);
    for (const exchange of session.end(this.#deps.sweep())) this.#abandon(exchange);
  }

  #abandon(exchange: Exchange): void {
    exchange.stopWaiting?.();
    exchange.stopWaiting = undefined;
    // The backend still holds its body: the room is given back when it is done with it.
    if (!exchange.executing) this.#release(exchange);
  }

  #match(exchange: Exchange): Match {
    const { target } = exchange;
    const mark = target.indexOf('?');
    const path = mark === -1 ? target : target.slice(0, mark);
    exchange.query = mark === -1 ? '' : target.slice(mark + 1);
    return this.#deps.router.match(exchange.method, path);
  }

  #isOpen(frontend: FrontendName): boolean {
    const { backend } = this.#deps;
    switch (frontend) {
      case 'app':
        return backend.applicationOpen();
      case 'gov':
        return backend.node().state === 'PartOfNetwork';
      case 'node':
        return true;
    }
  }

  #authenticate(exchange: Exchange, endpoint: Endpoint): Exchange['caller'] | RequestError {
    const { backend, clock } = this.#deps;
    const policies = endpoint.authentication;
    if (policies[0] === 'no_auth') return exchange.caller;
    return authenticate(policies, exchange.session.certificate, backend.current(), clock);
  }

  #awaitBody(exchange: Exchange, plan: Plan, bytes: number, bytesMax: number): void {
    const { budget, sweep } = this.#deps;
    this.#release(exchange);
    exchange.stopWaiting = budget.reserve(bytes, () => {
      exchange.stopWaiting = undefined;
      exchange.reservedBytes = bytes;
      exchange.session.readBody(sweep());
      exchange.readBody(bytesMax, (complete) => {
        exchange.session.readBody(undefined);
        if (complete) this.#executeWithBody(exchange, plan);
        else this.#refuseBody(exchange, plan.route, bytesMax);
      });
    });
  }

  #executeWithBody(exchange: Exchange, plan: Plan): void {
    try {
      this.#release(exchange, exchange.body.length);
      this.#execute(exchange, plan);
    } catch (fault) {
      this.#giveUp(exchange, fault);
    }
  }

  #refuseBody(exchange: Exchange, route: Route | undefined, bytesMax: number): void {
    this.#deps.counters.bodiesTooLarge += 1;
    this.#hangUp(exchange, bodyTooLarge(bytesMax), undefined, route);
  }

  #execute(exchange: Exchange, plan: Plan): void {
    const { endpoint } = plan.route;
    const caller = this.#authenticate(exchange, endpoint);
    if (!isCaller(caller)) {
      this.#refuse(exchange, undefined, caller, plan.route);
      return;
    }
    exchange.caller = caller;
    const lost = this.#lostTransaction(exchange);
    if (lost !== undefined) {
      this.#hangUp(exchange, lost, undefined, plan.route);
      return;
    }
    if (endpoint.effect === 'none' && plan.options === NO_WISHES) {
      const response = this.#answerAtOnce(exchange, plan.route);
      if (response !== undefined) {
        this.#answer(exchange, response);
        return;
      }
    }
    exchange.executing = true;
    this.#run(exchange, plan).catch((fault: unknown) => this.#giveUp(exchange, fault));
  }

  /** What touches no table and wants nothing further needs no turn of the executing thread. */
  #answerAtOnce(exchange: Exchange, { endpoint, application }: Route): AppResponse | undefined {
    try {
      const step = endpoint.handle(exchange, this.#deps.backend.current());
      return step.kind === 'answer' && !step.response.absence ? step.response : undefined;
    } catch (thrown) {
      return (application.renderError ?? renderCcfError)(this.#errorOf(thrown, endpoint));
    }
  }

  async #run(exchange: Exchange, { route, options }: Plan): Promise<void> {
    let result: RunResult;
    try {
      result = await this.#deps.backend.run(route.endpoint, exchange, options);
    } catch (thrown) {
      const error = this.#errorOf(thrown, route.endpoint);
      this.#refuse(exchange, undefined, error, route);
      return;
    }
    const { response, txId } = result;
    // A write has happened: its client learns so, and of the loss with its next request.
    const lost =
      route.endpoint.effect === 'write' ? undefined : this.#lostTransaction(exchange);
    if (lost !== undefined) {
      this.#hangUp(exchange, lost, undefined, route);
      return;
    }
    const shows = response.applyWrites ?? (response.status >= 200 && response.status < 300);
    this.#answer(exchange, response, shows ? txId : undefined);
  }

  #lostTransaction({ session }: Exchange): RequestError | undefined {
    const { backend } = this.#deps;
    const lost = session.shown.lost((txId) => backend.statusOf(txId));
    if (lost === undefined) return undefined;
    const message =
      `Transaction ${lost.view}.${lost.seqno}, which this session was shown, is Invalid: ` +
      'the service went on without it. Closing session; open a new one.';
    return { status: 500, code: 'SessionConsistencyLost', message };
  }

  #errorOf(thrown: unknown, endpoint: Endpoint): RequestError {
    const error = requestErrorOf(thrown);
    if (error !== undefined) return error;
    this.#deps.onFault(thrown, `${endpoint.verb} ${endpoint.path}`);
    return FAULT;
  }

  #refuse(
    exchange: Exchange,
    match: Match | undefined,
    error: RequestError,
    route?: Route,
  ): void {
    const answer = rendererOf(match, route)(error);
    // CCF states a length of 0 where another server would state that of the error it leaves out.
    this.#answer(exchange, exchange.method === 'HEAD' ? { ...answer, body: '' } : answer);
  }

  #answer(exchange: Exchange, answer: AppResponse, txId?: RunResult['txId']): void {
    this.#release(exchange);
    const { session } = exchange;
    if (session.ended) return;
    this.#deps.counters.count(answer.status);
    if (txId !== undefined) session.shown.add(txId);
    this.#prepare(exchange, answer, txId);
    this.#deps.replies.add(exchange);
    // A session whose answer is long is not idle while it is being written.
    if (answer.stream === undefined) this.#goOn(exchange);
    else exchange.whenWritten(() => this.#goOn(exchange));
  }

  /** Lets an answered session turn to its next request. */
  #goOn(exchange: Exchange): void {
    const { session } = exchange;
    if (session.ended) return;
    if (this.#lastAnswers) {
      this.#endAnswered(session);
      return;
    }
    session.finish(this.#start);
    if (session.active === undefined && session.lastWords !== undefined) {
      this.#sayLast(exchange, session.lastWords);
    }
  }

  /** An application may have given a header that HTTP cannot carry. */
  #prepare(exchange: Exchange, answer: AppResponse, txId: RunResult['txId']): void {
    try {
      exchange.prepare(answer, txId, this.#lastAnswers);
    } catch (fault) {
      this.#deps.onFault(fault, `the answer to ${exchange.method} ${exchange.path}`);
      exchange.prepare(renderCcfError(FAULT), undefined, this.#lastAnswers);
    }
  }

  /** What must not happen has: the session cannot go on, the node may. */
  #giveUp(exchange: Exchange, fault: unknown): void {
    this.#deps.onFault(fault, `${exchange.method} ${exchange.path}`);
    this.#release(exchange);
    exchange.session.socket.destroy();
  }

  #hangUp(exchange: Exchange, error: RequestError, match?: Match, route?: Route): void {
    this.#release(exchange);
    const { session } = exchange;
    if (session.ended) return;
    this.#deps.counters.count(error.status);
    this.#endAnswered(session);
    exchange.replyAndHangUp(rendererOf(match, route)(error));
  }

  #sayLast({ session }: Exchange, words: Uint8Array): void {
    this.#endAnswered(session);
    session.sayLast(words);
  }

  /** Ends a session whose active request has its answer; what waits behind it gets none. */
  #endAnswered(session: Exchange['session']): void {
    for (const exchange of session.end(this.#deps.sweep())) this.#abandon(exchange);
  }

  /** Gives room back, but for `keep` bytes. A chunked body reserved all that it might have been. */
  #release(exchange: Exchange, keep = 0): void {
    const bytes = exchange.reservedBytes - keep;
    if (bytes <= 0) return;
    exchange.reservedBytes = keep;
    this.#deps.budget.release(bytes);
  }
}

const FAULT: RequestError = {
  status: 500,
  code: 'InternalError',
  message: 'The request failed: see the log.',
};
const CAP_EXHAUSTED: RequestError = {
  status: 503,
  code: 'SessionCapExhausted',
  message: 'Service is currently busy and unable to serve new connections',
};
const TOO_MANY_WAITING: RequestError = {
  status: 503,
  code: 'TooManyPendingRequests',
  message: 'Too many requests, or too large ones, wait in this session for those before them.',
};
const FRONTEND_NOT_OPEN: RequestError = {
  status: 404,
  code: 'FrontendNotOpen',
  message: 'Frontend is not open.',
};

/** The 431, whoever notices: the front door or Node's parser. */
export function headersTooLarge(message: string): RequestError {
  return { status: 431, code: 'RequestHeaderTooLarge', message };
}

function bodyTooLarge(bytesMax: number): RequestError {
  const message = `HTTP request body is too large (max size allowed: ${bytesMax})`;
  return { status: 413, code: 'RequestBodyTooLarge', message };
}

function planOf(exchange: Exchange, match: Match, ownHeaders: boolean): Plan | RequestError {
  if (match.kind !== 'found') return refusalOf(match);
  exchange.path = match.path;
  exchange.params = match.params;
  const options = ownHeaders ? runOptionsOf(exchange.rawHeaders) : NO_WISHES;
  return 'status' in options ? options : { route: match.route, options };
}

function bodyBytesMaxOf(match: Match): number {
  if (match.kind !== 'found') return REQUEST_BODY_BYTES_MAX;
  return match.route.endpoint.bodyBytesMax ?? REQUEST_BODY_BYTES_MAX;
}

function refusalOf(match: Exclude<Match, { kind: 'found' }>): RequestError {
  const { path } = match;
  switch (match.kind) {
    case 'unknown-path':
      return { status: 404, code: 'ResourceNotFound', message: `Unknown path: ${path}.` };
    case 'ambiguous':
      return {
        status: 500,
        code: 'InternalError',
        message: `Two endpoints are installed for ${path}: the application must be corrected.`,
      };
    case 'other-verb':
      return {
        status: 405,
        code: 'UnsupportedHttpVerb',
        message: `Allowed methods for '${path}' are: ${match.allow}.`,
        headers: { allow: match.allow },
      };
  }
}

function rendererOf(
  match: Match | undefined,
  route: Route | undefined,
): (error: RequestError) => AppResponse {
  const application =
    route?.application ??
    (match?.kind === 'found' ? match.route.application : undefined) ??
    (match?.kind === 'other-verb' ? match.application : undefined);
  return application?.renderError ?? renderCcfError;
}
