/**
 * How this application answers: JSON, and errors in CCF's shape (http-api.md §8).
 */
import type { AppResponse } from '../interface.ts';

const JSON_HEADERS = { 'content-type': 'application/json' } as const;

/** 200 with a JSON body. */
export function success(
  value: unknown,
  headers?: Readonly<Record<string, string>>,
): AppResponse {
  return {
    status: 200,
    headers: headers === undefined ? JSON_HEADERS : { ...JSON_HEADERS, ...headers },
    body: JSON.stringify(value),
  };
}

/** What is wrong with a request; nothing it wrote is kept. */
export function failure(status: number, code: string, message: string): AppResponse {
  return { status, headers: JSON_HEADERS, body: JSON.stringify({ error: { code, message } }) };
}
