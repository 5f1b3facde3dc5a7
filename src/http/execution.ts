/**
 * The part of a request's life that is the same on its own node and on the primary it was
 * forwarded to: who asks, the endpoint's run, and what a failure says.
 */
import type {
  AppRequest,
  AppResponse,
  Caller,
  Endpoint,
  RequestError,
} from '../apps/interface.ts';
import type { Clock } from '../base/environment.ts';
import type { TxId } from '../base/ids.ts';
import { authenticate, type Credentials } from './authentication.ts';
import type { Backend, RunOptions, RunResult } from './backend.ts';
import { errorSaid, refusalAnswer } from './refusals.ts';
import type { Route } from './router.ts';

export interface ExecutionDependencies {
  readonly backend: Backend;
  readonly clock: Clock;
  /** Told of what must not happen; the client is told 500 without the reason. */
  readonly onFault: (fault: unknown, where: string) => void;
}

const ANYONE: Caller = { policy: 'no_auth' };
const FRESH: RunOptions = { waitForCommit: false, linearizable: true };
/** Looks at nothing: it is run for what comes before. */
const NOTHING: Endpoint = {
  verb: 'GET',
  path: '',
  authentication: ['no_auth'],
  effect: 'read',
  reads: 'committed',
  answers: 'local',
  summary: '',
  handle: () => ({ kind: 'answer', response: { status: 204 } }),
};

export class Execution {
  readonly #deps: ExecutionDependencies;

  constructor(dependencies: ExecutionDependencies) {
    this.#deps = dependencies;
  }

  /** Who asks, by this node's newest state. */
  caller({ authentication }: Endpoint, credentials: Credentials): Caller | RequestError {
    if (authentication[0] === 'no_auth') return ANYONE;
    const { backend, clock } = this.#deps;
    return authenticate(authentication, credentials, backend.current(), clock);
  }

  /** What touches no table and wants nothing further needs no turn of the executing thread. */
  answerAtOnce(request: AppRequest, { endpoint, application }: Route): AppResponse | undefined {
    try {
      const step = endpoint.handle(request, this.#deps.backend.current());
      return step.kind === 'answer' && !step.response.absence ? step.response : undefined;
    } catch (thrown) {
      return refusalAnswer(this.errorOf(thrown, endpoint), application, request.verb);
    }
  }

  run({ endpoint }: Route, request: AppRequest, options: RunOptions): Promise<RunResult> {
    return this.#deps.backend.run(endpoint, request, options);
  }

  /** Waits until this node's state holds all that was committed when the call was made. */
  async catchUp(request: AppRequest): Promise<void> {
    await this.#deps.backend.run(NOTHING, request, FRESH);
  }

  errorOf(thrown: unknown, { verb, path }: Endpoint): RequestError {
    return errorSaid(thrown, (fault) => this.#deps.onFault(fault, `${verb} ${path}`));
  }
}

/** The TxID that goes to the client: none with an answer whose transaction was discarded. */
export function shownTxId({ response, txId }: RunResult): TxId | undefined {
  const kept = response.applyWrites ?? (response.status >= 200 && response.status < 300);
  return kept ? txId : undefined;
}
