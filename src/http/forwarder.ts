/**
 * A backup's part in what only the primary may do: which requests go there, in what form, and what
 * it means when nothing comes back (http-api.md §4).
 */
import type { Timers } from '../base/environment.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { type TxId, textOfTxId } from '../base/ids.ts';
import { REQUEST_HEADERS_COUNT_MAX } from '../base/limits.ts';
import type {
  Backend,
  ForwardedAnswer,
  ForwardedHeader,
  ForwardedRequest,
  RunResult,
} from './backend.ts';
import type { Exchange } from './exchange.ts';
import { resultOfForwarded } from './forwarded-form.ts';
import { forwardedHeaders } from './headers.ts';
import type { Plan } from './planning.ts';
import { FORWARDING_TIMEOUT, isRetryable } from './refusals.ts';
import type { Route } from './router.ts';
import type { Session } from './session.ts';
import type { Counters } from './stats.ts';

export interface ForwarderOptions {
  /** Of the interface whose requests it forwards. */
  readonly interfaceName: string;
  readonly timeoutMs: number;
}

export interface ForwarderDependencies {
  readonly backend: Backend;
  readonly timers: Timers;
  readonly counters: Counters;
}

const MIN_TXID = 'x-concordat-min-txid';

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #deps: ForwarderDependencies;

  constructor(options: ForwarderOptions, dependencies: ForwarderDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  /** Whether a request is not for this node to execute. */
  goesToPrimary({ forwarding }: Route, session: Session<Exchange>): boolean {
    if (forwarding === 'never' || this.#deps.backend.isPrimary()) return false;
    return forwarding === 'always' || this.#readsAtPrimary(session);
  }

  #readsAtPrimary(session: Session<Exchange>): boolean {
    if (
      session.readsAtPrimary === 'until caught up' &&
      this.#unsettled(session) === undefined
    ) {
      session.readsAtPrimary = 'no';
    }
    return session.readsAtPrimary !== 'no';
  }

  /**
   * Has the primary execute a request whose body has come in. Rejects with a coded error; the
   * request may be forwarded again only if that is retryable.
   */
  async forward(exchange: Exchange, { route, options }: Plan): Promise<RunResult> {
    const { session } = exchange;
    const timeoutMs = Math.max(this.#options.timeoutMs, route.endpoint.answerMsMax ?? 0);
    try {
      const request = this.#requestOf(exchange, options.minTxId);
      const answer = this.#deps.backend.forward(request, timeoutMs);
      const result = resultOfForwarded(await this.#inTime(answer, timeoutMs));
      this.#deps.counters.forwarded += 1;
      if (session.readsAtPrimary === 'no') session.readsAtPrimary = 'until caught up';
      return result;
    } catch (thrown) {
      if (isRetryable(thrown)) throw thrown;
      if (route.endpoint.effect === 'write') session.readsAtPrimary = 'for good';
      else if (isCoded(thrown) && thrown.fields.status === 503) throw asRetryable(thrown);
      throw thrown;
    }
  }

  #requestOf(exchange: Exchange, minTxId: TxId | undefined): ForwardedRequest {
    const certificate = exchange.session.certificate;
    const headers = forwardedHeaders(exchange.rawHeaders);
    return {
      ...(certificate === undefined ? {} : { callerCertificate: certificate.der }),
      interfaceName: this.#options.interfaceName,
      verb: exchange.method,
      target: exchange.target,
      headers: withMinTxId(headers, later(this.#unsettled(exchange.session), minTxId)),
      body: exchange.body,
    };
  }

  #unsettled({ shown }: Session<Exchange>): TxId | undefined {
    return shown.unsettled((txId) => this.#deps.backend.statusOf(txId));
  }

  #inTime(answer: Promise<ForwardedAnswer>, timeoutMs: number): Promise<ForwardedAnswer> {
    return new Promise((resolve, reject) => {
      const cancel = this.#deps.timers.after(timeoutMs, () => reject(silence(timeoutMs)));
      answer.then(
        (value) => {
          cancel();
          resolve(value);
        },
        (reason: unknown) => {
          cancel();
          reject(reason);
        },
      );
    });
  }
}

/**
 * The primary is to have what the session was shown: a session that has lost a transaction executes
 * nothing further, even if this node does not know of the loss yet (design decision 9).
 */
function withMinTxId(
  headers: readonly ForwardedHeader[],
  minTxId: TxId | undefined,
): readonly ForwardedHeader[] {
  if (minTxId === undefined) return headers;
  const others = headers.filter(({ name }) => name.toLowerCase() !== MIN_TXID);
  if (others.length >= REQUEST_HEADERS_COUNT_MAX) return headers;
  return [...others, { name: MIN_TXID, value: textOfTxId(minTxId) }];
}

function later(one: TxId | undefined, other: TxId | undefined): TxId | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  if (one.view !== other.view) return one.view > other.view ? one : other;
  return one.seqno > other.seqno ? one : other;
}

function silence(timeoutMs: number): CodedError {
  const message =
    `The primary did not answer within ${timeoutMs} ms: ` +
    'whether the request was executed is not known.';
  return new CodedError(FORWARDING_TIMEOUT, message, { status: 504 });
}

/** What only reads may be asked as often as one likes. */
function asRetryable({ code, message, fields }: CodedError): CodedError {
  return new CodedError(code, message, { ...fields, retryable: true });
}
