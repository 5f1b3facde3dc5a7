/**
 * The log: messages under numbers, in a private and in a public table. It answers exactly as the
 * C++ logging sample of CCF does (http-api.md §12), so that CCF's clients, tests and recorded
 * exchanges work against it.
 *
 * Rows are as the sample writes them: key, the id in decimal; value, the message as a JSON string.
 * The sample's historical queries, indexes and custom authentication are not here: an application
 * sees current state and receipts. Nor is `/log/private/anonymous/v2`, whose answer names its own
 * transaction, which an application does not know.
 */
import { textOf, utf8 } from '../../base/bytes.ts';
import { sha256 } from '../../crypto/hash.ts';
import type { ReadTable, ReadView, Transaction } from '../../kv/tables.ts';
import {
  type Application,
  type AppRequest,
  type AppResponse,
  type AuthenticationPolicy,
  answer,
  type Endpoint,
  type Step,
  type Verb,
} from '../interface.ts';
import { failure, success } from './answers.ts';
import { type Entry, entryOf, idOfQuery, idOfText, rawTextOf } from './input.ts';
import {
  BOOLEAN_RESULT,
  COUNT_RESULT,
  EMPTY_RESULT,
  ENTRY_BODY,
  ID_PARAMETER,
  MESSAGE_RESULT,
  TEXT_BODY,
  UNCHANGED_RESULT,
} from './open-api.ts';
import { etagOf, unmet } from './preconditions.ts';

const PRIVATE_RECORDS = 'records';
const PUBLIC_RECORDS = 'public:records';

/** The application; it keeps no state of its own. */
export function createLogApplication(): Application {
  return {
    name: 'log',
    archivedTables: [],
    endpoints: [
      ...logEndpoints('/log/private', PRIVATE_RECORDS, false),
      ...logEndpoints('/log/public', PUBLIC_RECORDS, true),
      writing('POST', '/log/private/anonymous', ['no_auth'], 'Record a message as anybody', {
        openApi: { ...ENTRY_BODY, ...BOOLEAN_RESULT },
        handle: (request) => recordStep(request, PRIVATE_RECORDS, false),
      }),
      writing('POST', '/log/private/raw_text/{id}', USERS, 'Record a body of text', {
        openApi: { ...TEXT_BODY, ...EMPTY_RESULT },
        handle: recordRawText,
      }),
    ],
  };
}

/** The sample takes `user_cose_sign1` too. */
const USERS: readonly AuthenticationPolicy[] = ['jwt', 'user_cert'];

type Rest = Pick<Endpoint, 'openApi' | 'handle'>;

/** `conditional`: answers carry entity tags and requests may set conditions on them. */
function logEndpoints(path: string, table: string, conditional: boolean): readonly Endpoint[] {
  const read = conditional ? UNCHANGED_RESULT : MESSAGE_RESULT;
  return [
    writing('POST', path, USERS, 'Record a message', {
      openApi: { ...ENTRY_BODY, ...BOOLEAN_RESULT },
      handle: (request) => recordStep(request, table, conditional),
    }),
    reading(path, USERS, 'Read a message', {
      openApi: { ...ID_PARAMETER, ...read },
      handle: (request, view) => answer(readAnswer(request, view.table(table), conditional)),
    }),
    writing('DELETE', path, USERS, 'Remove a message', {
      openApi: { ...ID_PARAMETER, ...BOOLEAN_RESULT },
      handle: (request) => removeStep(request, table, conditional),
    }),
    reading(`${path}/count`, USERS, 'Number of messages', {
      openApi: COUNT_RESULT,
      handle: (_request, view: ReadView) => answer(success(view.table(table).size)),
    }),
  ];
}

function reading(
  path: string,
  authentication: readonly AuthenticationPolicy[],
  summary: string,
  rest: Rest,
): Endpoint {
  const fixed = { verb: 'GET', effect: 'read', reads: 'current', answers: 'local' } as const;
  return { ...fixed, path, authentication, summary, ...rest };
}

function writing(
  verb: Verb,
  path: string,
  authentication: readonly AuthenticationPolicy[],
  summary: string,
  rest: Rest,
): Endpoint {
  const fixed = { effect: 'write', reads: 'current', answers: 'local' } as const;
  return { ...fixed, verb, path, authentication, summary, ...rest };
}

function recordStep(request: AppRequest, table: string, conditional: boolean): Step {
  const entry = entryOf(request);
  if ('refused' in entry) return answer(entry.refused);
  return {
    kind: 'write',
    apply: (tx) => record(tx, request, table, conditional, entry.value),
  };
}

function record(
  tx: Transaction,
  request: AppRequest,
  tableName: string,
  conditional: boolean,
  { id, msg, recordClaim }: Entry,
): AppResponse {
  const table = tx.table(tableName);
  const refused = conditional ? unmet(request, messageAt(table, id)) : undefined;
  if (refused !== undefined) return refused;
  table.put(keyOf(id), utf8(JSON.stringify(msg)));
  if (recordClaim) tx.setClaimsDigest(sha256(utf8(msg)));
  return conditional ? success(true, { etag: etagOf(msg) }) : success(true);
}

function readAnswer(request: AppRequest, table: ReadTable, conditional: boolean): AppResponse {
  const id = idOfQuery(request.query);
  if ('refused' in id) return id.refused;
  const msg = messageAt(table, id.value);
  const refused = conditional ? unmet(request, msg) : undefined;
  if (refused !== undefined) return refused;
  if (msg === undefined) {
    // 400, not 404: so does the sample.
    return failure(400, 'ResourceNotFound', `No such record: ${id.value}.`);
  }
  return conditional ? success({ msg }, { etag: etagOf(msg) }) : success({ msg });
}

function removeStep(request: AppRequest, tableName: string, conditional: boolean): Step {
  const id = idOfQuery(request.query);
  if ('refused' in id) return answer(id.refused);
  return {
    kind: 'write',
    apply: (tx) => {
      const table = tx.table(tableName);
      const msg = messageAt(table, id.value);
      const refused = conditional ? unmet(request, msg) : undefined;
      if (refused !== undefined) return refused;
      table.remove(keyOf(id.value));
      return success(msg !== undefined);
    },
  };
}

function recordRawText(request: AppRequest): Step {
  const text = rawTextOf(request);
  if ('refused' in text) return answer(text.refused);
  const id = idOfText(request.params.id ?? '');
  if (id === undefined) {
    const message = `Unable to parse '${request.params.id}' in the path as a decimal id`;
    return answer(failure(400, 'InvalidInput', message));
  }
  return {
    kind: 'write',
    apply: (tx) => {
      tx.table(PRIVATE_RECORDS).put(keyOf(id), utf8(JSON.stringify(text.value)));
      return { status: 200 };
    },
  };
}

function keyOf(id: number): Uint8Array {
  return utf8(String(id));
}

function messageAt(table: ReadTable, id: number): string | undefined {
  const value = table.get(keyOf(id));
  if (value === undefined) return undefined;
  const message: unknown = JSON.parse(textOf(value));
  // Rows of these tables are written by this file alone.
  return typeof message === 'string' ? message : undefined;
}
