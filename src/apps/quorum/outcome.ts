/**
 * How the answer to a write that succeeded lies in the ledger, so that it can be given again: JSON
 * of its status, its headers and its body, which is text or nothing.
 */
import { invariant } from '../../base/assert.ts';
import { textOf, utf8 } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import type { AppResponse } from '../interface.ts';

interface StoredOutcome {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export function encodeOutcome({ status, headers, body, stream }: AppResponse): Uint8Array {
  invariant(stream === undefined && typeof body !== 'object', 'a write is answered with text');
  const outcome: StoredOutcome = {
    status,
    ...(headers === undefined ? {} : { headers }),
    ...(body === undefined ? {} : { body }),
  };
  return utf8(JSON.stringify(outcome));
}

export function decodeOutcome(bytes: Uint8Array): AppResponse {
  try {
    const outcome = JSON.parse(textOf(bytes)) as StoredOutcome;
    if (Number.isInteger(outcome.status)) return outcome;
  } catch {
    // Whatever it is, it is no outcome.
  }
  throw new CodedError('BadRecord', `a stored answer of ${bytes.length} bytes is none`);
}
