/**
 * What an answer means for the request that it answers: whether it is the one to give to the
 * client, or another node, or the same a little later, may still do what was asked. The codes are
 * those of http-api.md §8 and design decisions 9, 10, 11 and 13.
 */
import { ERROR_CODE_HEADER } from '../base/own-headers.ts';
import type { Answer } from '../client/answer-reader.ts';
import type { Purpose } from '../client/attempt.ts';
import { addressOf, urlOfAddress } from '../client/node-address.ts';
import { firstHeader } from './headers.ts';

export type Verdict =
  /** The client's answer. */
  | { readonly kind: 'final' }
  /**
   * Not now or not here. `acted`: the request may have had its effect all the same; `unable`: the
   * node could not do what nodes should be able to.
   */
  | { readonly kind: 'again'; readonly acted: boolean; readonly unable: boolean }
  /** Something is broken there. Another node may do better; if none does, that is the answer. */
  | { readonly kind: 'fault' }
  /** The primary is elsewhere. */
  | { readonly kind: 'moved'; readonly url: string }
  /** The id was made on too old a state (design decision 13). Nothing was done. */
  | { readonly kind: 'too old' }
  /** The node says that something this client was shown is not in the ledger. */
  | { readonly kind: 'lost' };

/**
 * With these the request was certainly not carried out. A node that stops says so of what it has
 * begun as well, so that is not among them.
 */
const NOT_DONE: ReadonlySet<string> = new Set([
  'BackupNotFound',
  'FrontendNotOpen',
  'NotPrimary',
  'PrimaryNotFound',
  'RequestAlreadyForwarded',
  'SessionCapExhausted',
  'TooManyPendingRequests',
  'TooManyPendingTransactions',
  'TransactionInvalid',
]);
/** With these a node has too much to do, and is well otherwise. */
const OVERLOADED: ReadonlySet<string> = new Set([
  'SessionCapExhausted',
  'TooManyPendingRequests',
  'TooManyPendingTransactions',
]);
/** An error's body is short. */
const ERROR_BYTES_MAX = 4096;

const FINAL: Verdict = { kind: 'final' };

export function verdictOn(answer: Answer, purpose: Purpose): Verdict {
  const { status, headers } = answer;
  switch (status) {
    case 307:
    case 308:
      return movedTo(firstHeader(headers, 'location')) ?? FINAL;
    case 409: {
      const tooOld = purpose === 'write' && errorCodeOf(answer) === 'RequestIdTooOld';
      return tooOld ? { kind: 'too old' } : FINAL;
    }
    case 500:
      return verdictOnFault(errorCodeOf(answer));
    case 503: {
      const code = errorCodeOf(answer);
      // An application's own 503 that asks for no repetition is its answer.
      if (code === undefined && firstHeader(headers, 'retry-after') === undefined) return FINAL;
      return again(code);
    }
    case 504:
      return { kind: 'again', acted: true, unable: true };
    default:
      return FINAL;
  }
}

function verdictOnFault(code: string | undefined): Verdict {
  switch (code) {
    case 'SessionConsistencyLost':
      return { kind: 'lost' };
    case 'TransactionInvalid':
      return again(code);
    default:
      return { kind: 'fault' };
  }
}

/** An application that says 503 itself has kept nothing: only a 2xx keeps what was written. */
function again(code: string | undefined): Verdict {
  return {
    kind: 'again',
    acted: code !== undefined && !NOT_DONE.has(code),
    unable: code !== undefined && !OVERLOADED.has(code),
  };
}

/** The code of an error, from its header or, in CCF's shape, from its body. */
export function errorCodeOf({ headers, body }: Answer): string | undefined {
  const stated = firstHeader(headers, ERROR_CODE_HEADER);
  if (stated !== undefined) return stated;
  const type = firstHeader(headers, 'content-type');
  if (type?.startsWith('application/json') !== true || body.length > ERROR_BYTES_MAX) {
    return undefined;
  }
  try {
    const { error } = JSON.parse(body.toString('utf8')) as {
      readonly error?: { readonly code?: unknown };
    };
    return typeof error?.code === 'string' ? error.code : undefined;
  } catch {
    // A body that is no JSON names no code.
    return undefined;
  }
}

function movedTo(location: string | undefined): Verdict | undefined {
  if (location === undefined || !URL.canParse(location)) return undefined;
  const { protocol, origin } = new URL(location);
  if (protocol !== 'https:') return undefined;
  return { kind: 'moved', url: urlOfAddress(addressOf(origin)) };
}
