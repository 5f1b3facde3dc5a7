/**
 * The query parameter `transaction_id` (http-api.md §5.2, §7), and how parameters are described.
 */
import type { AppResponse } from '../apps/interface.ts';
import { type TxId, txIdOfText } from '../base/ids.ts';
import { errorAnswer } from './answers.ts';
import { queryValue } from './query.ts';

const BAD_QUERY = 'InvalidQueryParameterValue';

/** The query parameter `transaction_id`, or the 400 that says what is wrong with it. */
export function transactionIdOf(query: string): TxId | AppResponse {
  const text = queryValue(query, 'transaction_id');
  if (text === undefined) {
    return errorAnswer(400, BAD_QUERY, "Missing query parameter 'transaction_id'");
  }
  const txId = txIdOfText(text);
  if (txId !== undefined) return txId;
  const message =
    `The value '${text}' passed as query parameter 'transaction_id' ` +
    'could not be converted to a valid Transaction ID.';
  return errorAnswer(400, BAD_QUERY, message);
}

/** What every client may rely on; the very largest views and seqnos have a digit more. */
export const TRANSACTION_ID_SCHEMA = {
  type: 'string',
  pattern: '^[0-9]{1,9}\\.[0-9]{1,15}$',
} as const;

/** A query parameter of an OpenAPI operation. */
export function queryParameter(
  name: string,
  schema: Readonly<Record<string, unknown>>,
  required: boolean,
): Readonly<Record<string, unknown>> {
  return { in: 'query', name, required, schema };
}
