/**
 * Answers in CCF's shape (http-api.md §8): JSON bodies, and errors as `{"error":{code,message}}`.
 */
import type { AppResponse, RequestError } from '../apps/interface.ts';
import { isCoded } from '../base/errors.ts';

const JSON_HEADERS = { 'content-type': 'application/json' } as const;
const TEXT_HEADERS = { 'content-type': 'text/plain' } as const;

/** A JSON answer. */
export function jsonAnswer(value: unknown, status = 200): AppResponse {
  return { status, headers: JSON_HEADERS, body: JSON.stringify(value) };
}

/** A plain text answer. */
export function textAnswer(status: number, text: string): AppResponse {
  return { status, headers: TEXT_HEADERS, body: text };
}

/** An answer that is a status and nothing else. */
export function bareAnswer(status: number): AppResponse {
  return { status };
}

/** An error as CCF says it. Members are in the order in which CCF writes them. */
export function renderCcfError(error: RequestError): AppResponse {
  const { code, message, details } = error;
  const body = details === undefined ? { code, message } : { code, details, message };
  return {
    status: error.status,
    headers: error.headers === undefined ? JSON_HEADERS : { ...JSON_HEADERS, ...error.headers },
    body: JSON.stringify({ error: body }),
  };
}

/** A `RequestError` rendered at once. */
export function errorAnswer(status: number, code: string, message: string): AppResponse {
  return renderCcfError({ status, code, message });
}

/**
 * What a failed run says to its client. A coded error that carries an HTTP status speaks for
 * itself; anything else is a fault of ours, whose text may hold what a client must not see.
 */
export function requestErrorOf(thrown: unknown): RequestError | undefined {
  if (!isCoded(thrown)) return undefined;
  const { status, retryAfterSeconds } = thrown.fields;
  if (typeof status !== 'number' || !Number.isInteger(status) || status < 400 || status > 599) {
    return undefined;
  }
  const error = { status, code: thrown.code, message: thrown.message };
  if (typeof retryAfterSeconds !== 'number') return error;
  return { ...error, headers: { 'retry-after': String(retryAfterSeconds) } };
}
