/**
 * What a request names in its path and query. Segments arrive undecoded, because `%2F` is no
 * separator and a bare `+` is no blank: GoQuorum escapes only the slash (transaction-manager.md
 * §A).
 */
import type { AppRequest } from '../../interface.ts';
import { notBase64, refuseViolation, refuseWith } from './answers.ts';
import { decodeStrict } from './base64.ts';
import { bytesOfText } from './body.ts';

/** Text of a path segment or a query value; `+` stays what it is. */
export function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    throw refuseWith(400, 'HTTP 400 Bad Request');
  }
}

/** First value of a query parameter, or undefined. */
export function queryValue(request: AppRequest, name: string): string | undefined {
  for (const part of request.query.split('&')) {
    const at = part.indexOf('=');
    if ((at < 0 ? part : part.slice(0, at)) === name) {
      return percentDecoded(at < 0 ? '' : part.slice(at + 1));
    }
  }
  return undefined;
}

/** The hash in the path; refused in the words of Java's decoder. */
export function hashOfPath(request: AppRequest): Buffer {
  return bytesOfText(percentDecoded(request.params.hash ?? ''));
}

/** The hash in the path; refused in the words of Tessera's validator. */
export function validHashOfPath(request: AppRequest, type: string, path: string): Buffer {
  const value = percentDecoded(request.params.hash ?? '');
  const decoded = decodeStrict(value);
  if (!decoded.ok) throw refuseViolation(type, notBase64(path, value));
  return decoded.bytes;
}
