/**
 * How a request wants to be run, from its headers (http-api.md, top; design decision 9). What
 * cannot be understood is refused: a client that asked to wait must not be answered early.
 */
import type { RequestError } from '../apps/interface.ts';
import { txIdOfText } from '../base/ids.ts';
import type { RunOptions } from './backend.ts';
import { headerValue } from './headers.ts';

/** No wish at all; compared by identity where the ordinary case has a shorter way. */
export const NO_WISHES: RunOptions = Object.freeze({
  waitForCommit: false,
  linearizable: false,
});

/** Reads the three headers, or says which one is nonsense. */
export function runOptionsOf(raw: readonly string[]): RunOptions | RequestError {
  const wait = headerValue(raw, 'x-concordat-wait');
  if (wait !== undefined && wait !== 'commit') {
    return refusal('x-concordat-wait', wait, `'commit'`);
  }
  const read = headerValue(raw, 'x-concordat-read');
  if (read !== undefined && read !== 'linearizable') {
    return refusal('x-concordat-read', read, `'linearizable'`);
  }
  const minText = headerValue(raw, 'x-concordat-min-txid');
  const minTxId = minText === undefined ? undefined : txIdOfText(minText);
  if (minText !== undefined && minTxId === undefined) {
    return refusal('x-concordat-min-txid', minText, 'a transaction id such as 2.15');
  }
  if (wait === undefined && read === undefined && minTxId === undefined) return NO_WISHES;
  const options = { waitForCommit: wait !== undefined, linearizable: read !== undefined };
  return minTxId === undefined ? options : { ...options, minTxId };
}

function refusal(header: string, value: string, expected: string): RequestError {
  const message =
    `The value '${value}' of header '${header}' is not understood: ` +
    `it must be ${expected}, or the header must be left out.`;
  return { status: 400, code: 'InvalidHeaderValue', message };
}
