/**
 * From a parsed request to its answer, in the order of http-api.md §2. What needs no body (size,
 * path, verb, an open frontend, who asks) is decided before the body is read, so that nobody fills
 * the node's memory who would be refused anyway.
 */
import type { Application, AppResponse, RequestError } from '../apps/interface.ts';
import { BODY_READ_AHEAD_BYTES_MAX } from '../base/limits.ts';
import { renderCcfError } from './answers.ts';
import { isCaller } from './authentication.ts';
import type { Backend, RunResult } from './backend.ts';
import { bringsAuthorization } from './bearer-token.ts';
import type { BodyBudget } from './body-budget.ts';
import type { Exchange } from './exchange.ts';
import { type Execution, shownTxId } from './execution.ts';
import type { Forwarder } from './forwarder.ts';
import type { HeldRequests } from './held-requests.ts';
import type { Plan, Planner } from './planning.ts';
import type { Redirector } from './redirector.ts';
import { type Refusal, refusalOf } from './refusal-note.ts';
import {
  bodyTooLarge,
  CAP_EXHAUSTED,
  FAULT,
  headersTooLarge,
  isRetryable,
  refusalAnswer,
  TOO_MANY_WAITING,
  withRetryAfter,
} from './refusals.ts';
import type { ReplyBatch } from './reply-batch.ts';
import type { Route } from './router.ts';
import { NO_WISHES } from './run-options.ts';
import { serializeAnswer } from './serialize.ts';
import type { Counters } from './stats.ts';

export interface DispatcherDependencies {
  readonly backend: Backend;
  readonly planner: Planner;
  readonly execution: Execution;
  /** What only the primary may do is sent there; without a forwarder, its client is. */
  readonly forwarder: Forwarder | undefined;
  readonly redirector: Redirector | undefined;
  readonly held: HeldRequests;
  readonly budget: BodyBudget;
  readonly counters: Counters;
  readonly replies: ReplyBatch;
  /** The session table's clock. */
  readonly sweep: () => number;
  /** Told of what must not happen; the client is told 500 without the reason. */
  readonly onFault: (fault: unknown, where: string) => void;
  /** Told of each client that was not let in, or not let do what it wanted. */
  readonly onRefused: ((refusal: Refusal) => void) | undefined;
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
    const { contentLength, chunked } = exchange.scan;
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
    const { scan } = exchange;
    if (scan.tooLarge !== undefined) {
      counters.headersTooLarge += 1;
      this.#hangUp(exchange, headersTooLarge(scan.tooLarge));
      return;
    }
    const plan = this.#deps.planner.plan(exchange, scan.contentLength, scan.own);
    switch (plan.kind) {
      case 'refusal':
        if (plan.tooLarge) this.#refuseBody(exchange, plan.error, plan.application);
        else this.#refuse(exchange, plan.error, plan.application);
        return;
      case 'verbs':
        this.#answer(exchange, { status: 204, headers: { allow: plan.allow } });
        return;
    }
    exchange.take(plan);
    if (this.#redirect(exchange, plan)) return;
    if (scan.contentLength === 0 && !scan.chunked) this.#execute(exchange, plan);
    else this.#readOn(exchange, plan, scan.chunked ? plan.bodyBytesMax : scan.contentLength);
  }

  /** Whether the client was told to ask another node. */
  #redirect(exchange: Exchange, { route }: Plan): boolean {
    const { redirector, counters } = this.#deps;
    const elsewhere = redirector?.elsewhere(route, exchange.target);
    if (elsewhere === undefined) return false;
    counters.redirected += 1;
    if ('code' in elsewhere) this.#refuse(exchange, elsewhere, route.application);
    else this.#answer(exchange, elsewhere);
    return true;
  }

  /** Ends a session whose connection is gone or cannot be understood. */
  endSession(session: Exchange['session']): void {
    for (const exchange of session.end(this.#deps.sweep())) this.#abandon(exchange);
  }

  #abandon(exchange: Exchange): void {
    exchange.stopWaiting?.();
    exchange.stopWaiting = undefined;
    exchange.held?.end();
    // The backend still holds its body: the room is given back when it is done with it.
    if (!exchange.executing) this.#release(exchange);
  }

  /** Reads the body of a request whose caller may have it read. */
  #readOn(exchange: Exchange, plan: Plan, bytes: number): void {
    if (!this.#identify(exchange, plan, () => this.#readOn(exchange, plan, bytes))) return;
    const { budget, sweep } = this.#deps;
    this.#release(exchange);
    exchange.stopWaiting = budget.reserve(bytes, () => {
      exchange.stopWaiting = undefined;
      exchange.reservedBytes = bytes;
      exchange.session.readBody(sweep());
      exchange.readBody(plan.bodyBytesMax, (complete) => {
        exchange.session.readBody(undefined);
        if (complete) this.#executeWithBody(exchange, plan);
        else {
          const { application } = plan.route;
          this.#refuseBody(exchange, bodyTooLarge(plan.bodyBytesMax), application);
        }
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

  #refuseBody(
    exchange: Exchange,
    error: RequestError,
    application: Application | undefined,
  ): void {
    this.#deps.counters.bodiesTooLarge += 1;
    this.#hangUp(exchange, error, application);
  }

  /**
   * Whether the caller is known. If not, the request is refused; on a backup, which may not have
   * heard of the caller yet, only after it has caught up with the primary: else `goOn` is called.
   */
  #identify(exchange: Exchange, { route }: Plan, goOn: () => void): boolean {
    const { backend, execution } = this.#deps;
    const { certificate } = exchange.session;
    const { rawHeaders } = exchange;
    const caller = execution.caller(route.endpoint, { certificate, rawHeaders });
    if (isCaller(caller)) {
      exchange.caller = caller;
      return true;
    }
    const { authentication } = route.endpoint;
    const bringsToken = authentication.includes('jwt') && bringsAuthorization(rawHeaders);
    const isNobody = certificate === undefined && !bringsToken;
    if (exchange.caughtUp || backend.isPrimary() || isNobody) {
      this.#refuse(exchange, caller, route.application);
      return false;
    }
    exchange.caughtUp = true;
    this.#catchUp(exchange, route, goOn).catch((fault: unknown) => {
      this.#giveUp(exchange, fault);
    });
    return false;
  }

  async #catchUp(exchange: Exchange, route: Route, goOn: () => void): Promise<void> {
    const { execution } = this.#deps;
    try {
      await execution.catchUp(exchange);
    } catch (thrown) {
      const error = execution.errorOf(thrown, route.endpoint);
      this.#refuse(exchange, error, route.application);
      return;
    }
    if (exchange.session.ended) this.#settle(exchange);
    else goOn();
  }

  #execute(exchange: Exchange, plan: Plan): void {
    const { route, options } = plan;
    const { forwarder, execution } = this.#deps;
    const forwards = forwarder?.goesToPrimary(route, exchange.session) === true;
    // Who asks is for the primary to say, by its own state.
    if (!forwards && !this.#identify(exchange, plan, () => this.#execute(exchange, plan)))
      return;
    const lost = this.#lostTransaction(exchange);
    if (lost !== undefined) {
      this.#hangUp(exchange, lost, route.application);
      return;
    }
    if (route.endpoint.effect === 'none' && options === NO_WISHES) {
      const response = execution.answerAtOnce(exchange, route);
      if (response !== undefined) {
        this.#answer(exchange, response);
        return;
      }
    }
    exchange.executing = true;
    this.#run(exchange, plan, forwards ? forwarder : undefined).catch((fault: unknown) => {
      this.#giveUp(exchange, fault);
    });
  }

  async #run(exchange: Exchange, plan: Plan, forwarder: Forwarder | undefined): Promise<void> {
    const { execution } = this.#deps;
    const { route, options } = plan;
    let result: RunResult;
    try {
      result = await (forwarder === undefined
        ? execution.run(route, exchange, options)
        : forwarder.forward(exchange, plan));
    } catch (thrown) {
      if (isRetryable(thrown)) await this.#hold(exchange, plan, thrown);
      else this.#refuseThrown(exchange, route, thrown);
      return;
    }
    // A write has happened: its client learns so, and of the loss with its next request.
    const lost =
      route.endpoint.effect === 'write' ? undefined : this.#lostTransaction(exchange);
    if (lost !== undefined) this.#hangUp(exchange, lost, route.application);
    else this.#answer(exchange, result.response, shownTxId(result));
  }

  /** Nothing has been done for a request: it is tried again when there may be a primary for it. */
  async #hold(exchange: Exchange, plan: Plan, thrown: unknown): Promise<void> {
    const { held, counters } = this.#deps;
    if (exchange.held === undefined) {
      counters.held += 1;
      exchange.held = held.hold();
    }
    const again = await exchange.held.again();
    if (again && !exchange.session.ended) this.#execute(exchange, plan);
    else this.#refuseThrown(exchange, plan.route, thrown);
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

  #refuse(exchange: Exchange, error: RequestError, application: Application | undefined): void {
    this.#answer(exchange, refusalAnswer(error, application, exchange.method));
  }

  #refuseThrown(exchange: Exchange, { endpoint, application }: Route, thrown: unknown): void {
    const error = this.#deps.execution.errorOf(thrown, endpoint);
    const said = isRetryable(thrown) ? withRetryAfter(error) : error;
    this.#refuse(exchange, said, application);
  }

  #answer(exchange: Exchange, answer: AppResponse, txId?: RunResult['txId']): void {
    this.#settle(exchange);
    const { session } = exchange;
    if (session.ended) return;
    this.#deps.counters.count(answer.status);
    if (answer.status === 401 || answer.status === 403) {
      this.#deps.onRefused?.(refusalOf(exchange, answer));
    }
    if (txId !== undefined) session.shown.add(txId);
    this.#prepare(exchange, answer, txId);
    exchange.send(this.#deps.replies);
    // A session whose answer is long is not idle while it is being written.
    if (answer.stream === undefined) this.#goOn(exchange);
    else exchange.whenWritten(() => this.#goOn(exchange));
  }

  /** Lets an answered session turn to its next request. */
  #goOn(exchange: Exchange): void {
    const { session } = exchange;
    if (session.ended) return;
    if (this.#isLast(session)) {
      this.#endAnswered(session);
      return;
    }
    session.finish(exchange, this.#start);
    if (session.active === undefined && session.lastWords !== undefined) {
      this.#sayLast(exchange, session.lastWords);
    }
  }

  /** Whether a session ends with the answer that it gets now. */
  #isLast(session: Exchange['session']): boolean {
    return this.#lastAnswers && session.activeCount === 1;
  }

  /** An application may have given a header that HTTP cannot carry. */
  #prepare(exchange: Exchange, answer: AppResponse, txId: RunResult['txId']): void {
    const isLast = this.#isLast(exchange.session);
    try {
      exchange.prepare(answer, txId, isLast);
    } catch (fault) {
      this.#deps.onFault(fault, `the answer to ${exchange.method} ${exchange.path}`);
      exchange.prepare(renderCcfError(FAULT), undefined, isLast);
    }
  }

  /** What must not happen has: the session cannot go on, the node may. */
  #giveUp(exchange: Exchange, fault: unknown): void {
    this.#deps.onFault(fault, `${exchange.method} ${exchange.path}`);
    this.#settle(exchange);
    exchange.session.socket.destroy();
  }

  #hangUp(exchange: Exchange, error: RequestError, application?: Application): void {
    this.#settle(exchange);
    const { session } = exchange;
    if (session.ended) return;
    this.#deps.counters.count(error.status);
    this.#endAnswered(session);
    exchange.replyAndHangUp(refusalAnswer(error, application, exchange.method));
  }

  #sayLast({ session }: Exchange, words: Uint8Array): void {
    this.#endAnswered(session);
    session.sayLast(words);
  }

  /** Ends a session with the answer that it got last; what else was asked gets none. */
  #endAnswered(session: Exchange['session']): void {
    for (const exchange of session.end(this.#deps.sweep())) this.#abandon(exchange);
  }

  /** Nothing more is done for a request: gives back all that it held. */
  #settle(exchange: Exchange): void {
    exchange.held?.end();
    this.#release(exchange);
  }

  /** Gives room back, but for `keep` bytes. A chunked body reserved all that it might have been. */
  #release(exchange: Exchange, keep = 0): void {
    const bytes = exchange.reservedBytes - keep;
    if (bytes <= 0) return;
    exchange.reservedBytes = keep;
    this.#deps.budget.release(bytes);
  }
}
