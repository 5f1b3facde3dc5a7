/**
 * The primary's part in what backups forward: it is routed, bounded, authenticated and run as if it
 * had come in here, by this node's own state, and never goes any further (design decision 6).
 */
import type { Application, RequestError } from '../apps/interface.ts';
import type { Timers } from '../base/environment.ts';
import { FORWARDED_CERTIFICATES_MAX } from '../base/limits.ts';
import { renderCcfError } from './answers.ts';
import { isCaller } from './authentication.ts';
import type { Backend, ForwardedAnswer, ForwardedRequest } from './backend.ts';
import type { BodyBudget } from './body-budget.ts';
import { CertificateCache, type ClientCertificate } from './client-certificate.ts';
import { type Execution, shownTxId } from './execution.ts';
import { ForwardedCall, forwardedAnswerOf } from './forwarded-form.ts';
import { scanHeaders } from './headers.ts';
import type { Plan, Planner } from './planning.ts';
import { FAULT, isRetryable, refusalAnswer, withRetryAfter } from './refusals.ts';
import type { Counters } from './stats.ts';

export interface ForwardedRequestsDependencies {
  readonly backend: Backend;
  readonly planner: Planner;
  readonly execution: Execution;
  readonly budget: BodyBudget;
  readonly counters: Counters;
  readonly timers: Timers;
  /** Told of what must not happen; the client is told 500 without the reason. */
  readonly onFault: (fault: unknown, where: string) => void;
}

export class ForwardedRequests {
  readonly #roomMsMax: number;
  readonly #deps: ForwardedRequestsDependencies;
  readonly #certificates = new CertificateCache(FORWARDED_CERTIFICATES_MAX);
  #executing = 0;
  #whenIdle: (() => void) | undefined;
  #draining = false;

  /** After `roomMsMax` the backup has given up on a request that still waits for room. */
  constructor(roomMsMax: number, dependencies: ForwardedRequestsDependencies) {
    this.#roomMsMax = roomMsMax;
    this.#deps = dependencies;
  }

  /** `not-primary`: nothing was done, whoever asked may ask another. */
  async execute(request: ForwardedRequest): Promise<ForwardedAnswer | 'not-primary'> {
    if (this.#isNotPrimary()) return 'not-primary';
    this.#deps.counters.executedForOthers += 1;
    this.#executing += 1;
    try {
      return await this.#execute(request);
    } catch (fault) {
      this.#deps.onFault(fault, `forwarded ${request.verb} ${request.target}`);
      return forwardedAnswerOf(renderCcfError(FAULT));
    } finally {
      this.#executing -= 1;
      if (this.#executing === 0) this.#whenIdle?.();
    }
  }

  /** Takes nothing new, and resolves when what is being executed is answered. */
  drain(): Promise<void> {
    this.#draining = true;
    if (this.#executing === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  #isNotPrimary(): boolean {
    return this.#draining || !this.#deps.backend.isPrimary();
  }

  async #execute(request: ForwardedRequest): Promise<ForwardedAnswer | 'not-primary'> {
    const { planner, budget } = this.#deps;
    const call = new ForwardedCall(request);
    const bytes = request.body.length;
    const plan = planner.plan(call, bytes, scanHeaders(call.rawHeaders).own);
    switch (plan.kind) {
      case 'refusal':
        return refused(plan.error, plan.application, call);
      case 'verbs':
        return forwardedAnswerOf({ status: 204, headers: { allow: plan.allow } });
    }
    if (plan.route.forwarding === 'never') {
      return refused(NOT_FORWARDED, plan.route.application, call);
    }
    call.take(plan);
    if (!(await this.#room(bytes))) {
      return refused(withRetryAfter(NO_ROOM), plan.route.application, call);
    }
    try {
      return this.#isNotPrimary() ? 'not-primary' : await this.#run(call, plan, request);
    } finally {
      budget.release(bytes);
    }
  }

  /** Counts the body among those in flight; false if there was no room for it in time. */
  #room(bytes: number): Promise<boolean> | true {
    const { budget, timers } = this.#deps;
    let whenThere: (() => void) | undefined;
    const giveUp = budget.reserve(bytes, () => whenThere?.());
    if (giveUp === undefined) return true;
    return new Promise((resolve) => {
      const stopTimer = timers.after(this.#roomMsMax, () => {
        giveUp();
        resolve(false);
      });
      whenThere = () => {
        stopTimer();
        resolve(true);
      };
    });
  }

  async #run(
    call: ForwardedCall,
    { route, options }: Plan,
    { callerCertificate }: ForwardedRequest,
  ): Promise<ForwardedAnswer | 'not-primary'> {
    const { execution } = this.#deps;
    const { endpoint, application } = route;
    try {
      const certificate = this.#certificate(callerCertificate);
      const caller = execution.caller(endpoint, { certificate, rawHeaders: call.rawHeaders });
      if (!isCaller(caller)) return refused(caller, application, call);
      call.caller = caller;
      const result = await execution.run(route, call, options);
      if (result.response.stream !== undefined) {
        return refused(NOT_FORWARDED, application, call);
      }
      return forwardedAnswerOf(result.response, shownTxId(result));
    } catch (thrown) {
      // It stopped being the primary before it did anything.
      if (isRetryable(thrown)) return 'not-primary';
      return refused(execution.errorOf(thrown, endpoint), application, call);
    }
  }

  #certificate(der: Uint8Array | undefined): ClientCertificate | undefined {
    return der === undefined ? undefined : this.#certificates.read(der);
  }
}

function refused(
  error: RequestError,
  application: Application | undefined,
  { method }: ForwardedCall,
): ForwardedAnswer {
  return forwardedAnswerOf(refusalAnswer(error, application, method));
}

const NOT_FORWARDED: RequestError = {
  status: 501,
  code: 'NotImplemented',
  message: 'This endpoint answers only for the node that is asked itself: it is not forwarded.',
};
const NO_ROOM: RequestError = {
  status: 503,
  code: 'TooManyPendingRequests',
  message: 'The primary has no room for this request among those it is executing: try again.',
};
