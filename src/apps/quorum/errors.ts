/**
 * Errors that arise before or beside the endpoints, in Tessera's words: a plain sentence under the
 * right status (transaction-manager.md part 1, decision 2). The code goes along in a header: the
 * connector decides by it what may be sent again, and shows it to nobody.
 */
import { ERROR_CODE_HEADER } from '../../base/own-headers.ts';
import type { AppResponse, RequestError } from '../interface.ts';

const SENTENCES: Readonly<Record<number, string>> = {
  400: 'HTTP 400 Bad Request',
  404: 'HTTP 404 Not Found',
  405: 'HTTP 405 Method Not Allowed',
  406: 'HTTP 406 Not Acceptable',
  413: 'HTTP 413 Request Entity Too Large',
  415: 'HTTP 415 Unsupported Media Type',
};

/** An error of the front door or of the node, as a client of Tessera expects it. */
export function renderError(error: RequestError): AppResponse {
  // A frontend that is not open yet is 404 in CCF; here 404 would say that the caller is no party.
  if (error.code === 'FrontendNotOpen') {
    const headers = { [ERROR_CODE_HEADER]: error.code, 'retry-after': '1' };
    return plain(503, 'the service is not open yet, ask again', headers);
  }
  const headers = { ...error.headers, [ERROR_CODE_HEADER]: error.code };
  return plain(error.status, SENTENCES[error.status] ?? error.message, headers);
}

function plain(
  status: number,
  sentence: string,
  headers: Readonly<Record<string, string>> = {},
): AppResponse {
  return { status, headers: { ...headers, 'content-type': 'text/plain' }, body: sentence };
}
