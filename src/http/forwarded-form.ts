/**
 * Requests and answers in the form in which they travel between nodes (design decision 6).
 */
import type { AppRequest, AppResponse, Caller, Verb } from '../apps/interface.ts';
import { utf8 } from '../base/bytes.ts';
import type { TxId } from '../base/ids.ts';
import type { ForwardedAnswer, ForwardedRequest, RunResult } from './backend.ts';
import { headerValue } from './headers.ts';
import type { Asked, Plan } from './planning.ts';

/** A forwarded request as its endpoint sees it: as if it had come in here. */
export class ForwardedCall implements AppRequest, Asked {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly body: Uint8Array;
  path = '';
  query = '';
  params: Readonly<Record<string, string>> = {};
  caller: Caller = { policy: 'no_auth' };

  constructor({ verb, target, headers, body }: ForwardedRequest) {
    this.method = verb;
    this.target = target;
    this.rawHeaders = headers.flatMap(({ name, value }) => [name, value]);
    this.body = body;
  }

  /** Only after routing is it known to be one of these. */
  get verb(): Verb {
    return this.method as Verb;
  }

  header(name: string): string | undefined {
    return headerValue(this.rawHeaders, name);
  }

  take({ path, query, params }: Plan): void {
    this.path = path;
    this.query = query;
    this.params = params;
  }
}

export function forwardedAnswerOf(answer: AppResponse, txId?: TxId): ForwardedAnswer {
  const { status, headers = {}, body = '' } = answer;
  return {
    status,
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
    body: typeof body === 'string' ? utf8(body) : body,
    ...(txId === undefined ? {} : { txId }),
  };
}

/** The primary's answer as if the request had been run here. */
export function resultOfForwarded(answer: ForwardedAnswer): RunResult {
  const { status, headers, body, txId } = answer;
  const response: AppResponse = {
    status,
    headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])),
    ...(body.length === 0 ? {} : { body }),
    // Whether the client is to see the transaction was decided there.
    applyWrites: txId !== undefined,
  };
  return txId === undefined ? { response } : { response, txId };
}
