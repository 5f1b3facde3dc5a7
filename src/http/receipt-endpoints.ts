/**
 * Receipts of committed transactions (http-api.md §5.3, §7, ledger-format.md §14), as JSON and as
 * COSE. What is not there yet is a 202 that says when to ask again; only what will never be
 * there is a 404.
 */
import {
  type AppRequest,
  type AppResponse,
  answer,
  type Endpoint,
  type NoReceipt,
  type Receipt,
  type Step,
} from '../apps/interface.ts';
import { type TxId, textOfTxId } from '../base/ids.ts';
import { errorAnswer, jsonAnswer, renderCcfError, textAnswer } from './answers.ts';
import type { Backend } from './backend.ts';
import { queryParameter, TRANSACTION_ID_SCHEMA, transactionIdOf } from './transaction-query.ts';

type Form = 'json' | 'cose';

/** Seconds: a JSON receipt waits as CCF's historical queries do, a COSE one for one signature. */
const RETRY_AFTER: Readonly<Record<Form, string>> = { json: '3', cose: '1' };
const NO_CACHE = { 'cache-control': 'no-cache' } as const;
const COSE_HEADERS = { 'content-type': 'application/cose' } as const;

export function receiptEndpoint(backend: Backend, form: Form): Endpoint {
  return {
    verb: 'GET',
    path: form === 'json' ? '/receipt' : '/receipt/cose',
    authentication: ['no_auth'],
    effect: 'read',
    reads: 'committed',
    answers: 'local',
    summary: form === 'json' ? 'Receipt for a transaction' : 'COSE receipt for a transaction',
    openApi: {
      description: 'A signed statement from the service over a transaction entry in the ledger',
      parameters: [queryParameter('transaction_id', TRANSACTION_ID_SCHEMA, true)],
      responses: form === 'json' ? JSON_RESPONSES : COSE_RESPONSES,
    },
    handle: (request) => receiptStep(backend, request, form),
  };
}

function receiptStep(backend: Backend, { query }: AppRequest, form: Form): Step {
  const txId = transactionIdOf(query);
  if ('status' in txId) return answer(txId);
  const status = backend.statusOf(txId);
  if (status !== 'Committed') return answer(notCommitted(txId, status));
  return {
    kind: 'receipt',
    seqno: txId.seqno,
    form,
    next: (receipt) => answer(receiptAnswer(txId, receipt, form)),
  };
}

function notCommitted(txId: TxId, status: 'Unknown' | 'Pending' | 'Invalid'): AppResponse {
  const which = textOfTxId(txId);
  const message = `Only committed transactions can be queried. Transaction ${which} is ${status}`;
  if (status === 'Invalid') return errorAnswer(404, 'TransactionInvalid', message);
  // It may be committed a moment from now.
  const code = 'TransactionPendingOrUnknown';
  return renderCcfError({ status: 404, code, message, headers: NO_CACHE });
}

function receiptAnswer(txId: TxId, receipt: Receipt | NoReceipt, form: Form): AppResponse {
  if (receipt === 'pending') {
    const text = `Historical transaction ${textOfTxId(txId)} is not currently available.`;
    const wait = {
      ...NO_CACHE,
      'content-type': 'text/plain',
      'retry-after': RETRY_AFTER[form],
    };
    return { ...textAnswer(202, text), headers: wait };
  }
  if (receipt === 'unavailable') {
    const message = `No ${form.toUpperCase()} receipt exists for transaction ${textOfTxId(txId)}`;
    return errorAnswer(404, 'ResourceNotFound', message);
  }
  if (receipt.form === 'cose')
    return { status: 200, headers: COSE_HEADERS, body: receipt.bytes };
  return jsonAnswer(receipt.json);
}

const PENDING = {
  description: 'Not available yet: ask again after the seconds given in retry-after',
  content: { 'text/plain': { schema: { type: 'string' } } },
} as const;
const JSON_RESPONSES = {
  '200': { description: 'The receipt', content: { 'application/json': { schema: {} } } },
  '202': PENDING,
} as const;
const COSE_RESPONSES = {
  '200': {
    description: 'The receipt',
    content: { 'application/cose': { schema: { type: 'string', format: 'binary' } } },
  },
  '202': PENDING,
} as const;
