/**
 * The endpoints that every frontend has (http-api.md §5): the last commit, the status of a
 * transaction, receipts, and the frontend's own description.
 */
import { type AppResponse, answer, type Endpoint, type Step } from '../apps/interface.ts';
import { textOfTxId } from '../base/ids.ts';
import { errorAnswer, jsonAnswer } from './answers.ts';
import type { Backend } from './backend.ts';
import { queryValue, wholeNumber } from './query.ts';
import { receiptEndpoint } from './receipt-endpoints.ts';
import { queryParameter, TRANSACTION_ID_SCHEMA, transactionIdOf } from './transaction-query.ts';

const BAD_QUERY = 'InvalidQueryParameterValue';

/** `describe` makes the frontend's OpenAPI document. */
export function commonEndpoints(
  backend: Backend,
  describe: () => unknown,
): readonly Endpoint[] {
  return [
    commitEndpoint(backend),
    statusEndpoint(backend),
    receiptEndpoint(backend, 'json'),
    receiptEndpoint(backend, 'cose'),
    {
      verb: 'GET',
      path: '/api',
      authentication: ['no_auth'],
      effect: 'none',
      reads: 'current',
      answers: 'local',
      summary: 'OpenAPI schema',
      handle: () => answer(jsonAnswer(describe())),
    },
  ];
}

function commitEndpoint(backend: Backend): Endpoint {
  return {
    verb: 'GET',
    path: '/commit',
    authentication: ['no_auth'],
    effect: 'none',
    reads: 'current',
    answers: 'local',
    summary: 'Current commit level',
    openApi: {
      description: 'Latest transaction ID that has been committed on the service',
      parameters: [
        queryParameter('view_history', { type: 'boolean' }, false),
        queryParameter('view_history_since', { type: 'integer', minimum: 1 }, false),
      ],
    },
    handle: ({ query }) => answer(commitAnswer(backend, query)),
  };
}

function commitAnswer(backend: Backend, query: string): AppResponse {
  const transaction_id = textOfTxId(backend.committed());
  if (query === '') return jsonAnswer({ transaction_id });
  const wish = queryValue(query, 'view_history');
  if (wish !== undefined && wish !== 'true' && wish !== 'false') {
    const message = 'Invalid value for view_history, must be one of [true, false] when present';
    return errorAnswer(400, BAD_QUERY, message);
  }
  const sinceText = queryValue(query, 'view_history_since');
  if (sinceText !== undefined) {
    const since = wholeNumber(sinceText);
    const message = 'Invalid value for view_history_since, must be in range [1, current_term]';
    if (since === undefined || since < 1) return errorAnswer(400, BAD_QUERY, message);
    if (since > backend.node().view) return errorAnswer(404, BAD_QUERY, message);
    const view_history = backend.viewHistory().filter(({ view }) => view >= since);
    return jsonAnswer({ transaction_id, view_history: view_history.map(textOfTxId) });
  }
  if (wish !== 'true') return jsonAnswer({ transaction_id });
  return jsonAnswer({ transaction_id, view_history: backend.viewHistory().map(textOfTxId) });
}

function statusEndpoint(backend: Backend): Endpoint {
  return {
    verb: 'GET',
    path: '/tx',
    authentication: ['no_auth'],
    effect: 'none',
    reads: 'current',
    answers: 'local',
    summary: 'Current status of a transaction',
    openApi: {
      description: 'Possible statuses returned are Unknown, Pending, Committed or Invalid.',
      parameters: [queryParameter('transaction_id', TRANSACTION_ID_SCHEMA, true)],
    },
    handle: ({ query }): Step => {
      const txId = transactionIdOf(query);
      if ('status' in txId) return answer(txId);
      const status = backend.statusOf(txId);
      return answer(jsonAnswer({ status, transaction_id: textOfTxId(txId) }));
    },
  };
}
