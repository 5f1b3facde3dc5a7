/**
 * Request ids: what is asked for twice under one id is done once, and answered twice (design
 * decision 13). Whoever got no answer asks again under the same id, of any node.
 *
 * An id is stored in the effect's own transaction: both are in the ledger, or neither is. Its row
 * lies in an archived table under the organisation's label. So memory holds 20 bytes of it, the
 * entry is the effect's, and the value there is the first answer. Each organisation's newest ids
 * are kept; older ones make way, and the label's horizon says how far. An id is made after its `S`
 * was committed and before its effect was: one that is not there has either made no effect, or its
 * `S` lies before the horizon, and then it is refused.
 */
import { InvariantError } from '../../base/assert.ts';
import { equalBytes, utf8 } from '../../base/bytes.ts';
import { ERROR_CODE_HEADER, REQUEST_ID_HEADER } from '../../base/own-headers.ts';
import { sha256Text } from '../../crypto/hash.ts';
import type { Archive, ArchiveRow, ReadArchive, ReadView } from '../../kv/tables.ts';
import { type AppRequest, type AppResponse, answer, type Step } from '../interface.ts';
import { callerOf } from './organisation.ts';
import { decodeOutcome, encodeOutcome } from './outcome.ts';
import { REQUESTS } from './tables.ts';
import { Refusal, text } from './wire/answers.ts';

export interface RequestId {
  /** The highest committed seqno that its maker had seen. */
  readonly seen: number;
  /** Under which it is stored: its first bytes spread well, however ids are chosen. */
  readonly key: Uint8Array;
  readonly text: string;
}

const FORM = /^(0|[1-9]\d{0,15})\.[0-9a-f]{32}$/;

/** The header, as an OpenAPI document tells of it. */
export const REQUEST_ID_PARAMETER = {
  in: 'header',
  name: REQUEST_ID_HEADER,
  required: false,
  description: 'What is asked again under the same id is done once and answered alike.',
  schema: { type: 'string', pattern: FORM.source },
} as const;

/** Reads `<S>.<32 hexadecimal digits>`; refuses anything else. */
export function requestIdOf(value: string): RequestId {
  const seen = Number(FORM.exec(value)?.[1] ?? Number.NaN);
  if (Number.isSafeInteger(seen)) return { seen, key: sha256Text(value), text: value };
  const sentence =
    `${REQUEST_ID_HEADER} is ${JSON.stringify(value.slice(0, 80))}, it must be ` +
    '<committed seqno>.<32 lowercase hexadecimal digits>';
  throw new Refusal(withCode('InvalidHeaderValue', text(400, sentence)));
}

/** One attempt of a request: whose it is, and under which id. */
interface Attempt {
  readonly id: RequestId;
  /** The organisation's id, as the label of its rows. */
  readonly label: Uint8Array;
  /** How many ids of the organisation are kept. */
  readonly kept: number;
  /** Entries whose rows begin like the id's but were found to be another's. */
  readonly others: ReadonlySet<number>;
}

/**
 * Runs a writing handler, unless its request carries an id that has had its effect: then the first
 * answer is given again. It is read from committed state, so its effect is committed too.
 */
export function onceUnderId(
  request: AppRequest,
  view: ReadView,
  kept: number,
  handle: () => Step,
): Step {
  const value = request.header(REQUEST_ID_HEADER);
  if (value === undefined) return handle();
  const id = requestIdOf(value);
  const label = utf8(callerOf(request, view).id);
  const rows = rowsOf(view.archive(REQUESTS), id, label);
  if (rows.length === 0) return first({ id, label, kept, others: new Set() }, handle());
  return {
    kind: 'fetch',
    rows: rows.map((row) => ({ table: REQUESTS, key: id.key, row })),
    next: (values) => {
      const outcome = values.find((one) => one !== undefined);
      if (outcome !== undefined) return answer(decodeOutcome(outcome));
      const others = new Set(rows.map(({ seqno }) => seqno));
      return first({ id, label, kept, others }, handle());
    },
  };
}

/** The organisation's rows that may be the id's. */
function rowsOf(
  requests: ReadArchive,
  id: RequestId,
  label: Uint8Array,
): readonly ArchiveRow[] {
  return requests.find(id.key).filter((row) => equalBytes(row.label, label));
}

/**
 * The steps of an attempt whose id committed state does not know. They end in a transaction even if
 * there is nothing to write: what they found may be due to another attempt, which shows only in the
 * newest state.
 */
function first(attempt: Attempt, step: Step): Step {
  switch (step.kind) {
    case 'answer':
      return {
        kind: 'write',
        apply: (tx) => refusal(tx.archive(REQUESTS), attempt) ?? step.response,
      };
    case 'write':
      return {
        kind: 'write',
        apply: (tx) => {
          const requests = tx.archive(REQUESTS);
          return refusal(requests, attempt) ?? noted(requests, attempt, step.apply(tx));
        },
      };
    case 'fetch':
      return {
        kind: 'fetch',
        rows: step.rows,
        next: (values) => first(attempt, step.next(values)),
      };
    case 'ask':
      return { kind: 'ask', ask: async () => first(attempt, await step.ask()) };
    case 'receipt':
    case 'file':
      throw new InvariantError(`no write of the transaction manager asks for a ${step.kind}`);
  }
}

/** Why an attempt must not run in the newest state, if it must not. */
function refusal(
  requests: ReadArchive,
  { id, label, others }: Attempt,
): AppResponse | undefined {
  if (rowsOf(requests, id, label).some(({ seqno }) => !others.has(seqno))) return underWay(id);
  const horizon = requests.horizonOf(label);
  return id.seen < horizon ? tooOld(id, horizon) : undefined;
}

/**
 * Another attempt came first, and its answer cannot be read before it is committed. What is absent
 * is a committed outcome; so this attempt runs again when all that it saw is committed, and
 * finds it.
 */
function underWay(id: RequestId): AppResponse {
  const sentence = `another attempt of request ${id.text} is not committed yet, ask again`;
  const response = withCode('TransactionPendingOrUnknown', text(503, sentence));
  const headers = { ...response.headers, 'retry-after': '1' };
  return { ...response, headers, absence: true };
}

function tooOld(id: RequestId, horizon: number): AppResponse {
  const sentence =
    `request id ${id.text} is from before seqno ${horizon}, up to which this organisation's ids ` +
    'are not kept any more: whether it was executed is not known. Ask under a new id';
  return withCode('RequestIdTooOld', text(409, sentence));
}

/** The connector goes by the code, not by the sentence. */
function withCode(code: string, response: AppResponse): AppResponse {
  return { ...response, headers: { ...response.headers, [ERROR_CODE_HEADER]: code } };
}

/** Stores an answer under its id if what was done stays; what has no effect may be asked again. */
function noted(
  requests: Archive,
  { id, label, kept }: Attempt,
  response: AppResponse,
): AppResponse {
  const succeeded = response.status >= 200 && response.status < 300;
  if (response.applyWrites ?? succeeded) {
    requests.store(id.key, label, encodeOutcome(response), kept);
  }
  return response;
}
