/**
 * What the front door itself says no to, and how: each application may have its own way to say
 * errors (http-api.md §8).
 */
import type { Application, AppResponse, RequestError } from '../apps/interface.ts';
import { isCoded } from '../base/errors.ts';
import { renderCcfError, requestErrorOf, textAnswer } from './answers.ts';

export const FAULT: RequestError = {
  status: 500,
  code: 'InternalError',
  message: 'The request failed: see the log.',
};
export const CAP_EXHAUSTED: RequestError = {
  status: 503,
  code: 'SessionCapExhausted',
  message: 'Service is currently busy and unable to serve new connections',
};
export const TOO_MANY_WAITING: RequestError = {
  status: 503,
  code: 'TooManyPendingRequests',
  message: 'Too many requests, or too large ones, wait in this session for those before them.',
};
export const FRONTEND_NOT_OPEN: RequestError = {
  status: 404,
  code: 'FrontendNotOpen',
  message: 'Frontend is not open.',
};

/** The 431, whoever notices: the front door or Node's parser. */
export function headersTooLarge(message: string): RequestError {
  return { status: 431, code: 'RequestHeaderTooLarge', message };
}

export function bodyTooLarge(bytesMax: number): RequestError {
  const message = `HTTP request body is too large (max size allowed: ${bytesMax})`;
  return { status: 413, code: 'RequestBodyTooLarge', message };
}

/** Code of a primary's silence; CCF has none, since it says this in plain text. */
export const FORWARDING_TIMEOUT = 'ForwardingTimeout';

/** An error as the application says it whose endpoint was asked for, if there is one. */
export function refusalAnswer(
  error: RequestError,
  application: Application | undefined,
  method: string,
): AppResponse {
  const answer = rendererOf(error, application)(error);
  // CCF states a length of 0 where another server would state that of the error it leaves out.
  return method === 'HEAD' ? { ...answer, body: '' } : answer;
}

function rendererOf(
  { code }: RequestError,
  application: Application | undefined,
): (error: RequestError) => AppResponse {
  if (application?.renderError !== undefined) return application.renderError;
  return code === FORWARDING_TIMEOUT ? renderInText : renderCcfError;
}

function renderInText({ status, message }: RequestError): AppResponse {
  return textAnswer(status, message);
}

/**
 * What something thrown says to the client. What carries no HTTP status is a fault of ours: of that
 * `onFault` is told, and the client is not.
 */
export function errorSaid(thrown: unknown, onFault: (fault: unknown) => void): RequestError {
  const error = requestErrorOf(thrown);
  if (error !== undefined) return error;
  onFault(thrown);
  return FAULT;
}

/** Whether nothing was done and it may go otherwise a moment later (`backend.ts`). */
export function isRetryable(thrown: unknown): boolean {
  return isCoded(thrown) && thrown.fields.retryable === true;
}

/** An error that says when to ask again, if it does not do so already. */
export function withRetryAfter(error: RequestError): RequestError {
  return { ...error, headers: { 'retry-after': '1', ...error.headers } };
}
