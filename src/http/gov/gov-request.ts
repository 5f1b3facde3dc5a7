/**
 * What requests under `/gov` have in common (http-api.md §11): the version they must name, ids in
 * their paths, rows as JSON with sorted members, and how a member's signature is asked for.
 */
import {
  type AppRequest,
  type AppResponse,
  answer,
  type Endpoint,
  type Step,
} from '../../apps/interface.ts';
import { base64Of, textOf } from '../../base/bytes.ts';
import { CodedError, isCoded } from '../../base/errors.ts';
import { SCRIPTS_MS_MAX } from '../../base/limits.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import type { ScriptDesk } from '../../governance/constitution-calls.ts';
import { Draft } from '../../governance/draft.ts';
import {
  type MemberMessage,
  type MessageType,
  readMemberMessage,
  type Signers,
} from '../../governance/messages.ts';
import type { ScriptEffect } from '../../governance/scripts.ts';
import { jsonRow } from '../../governance/tables.ts';
import type { ReadTable, ReadView, Row, Transaction } from '../../kv/tables.ts';
import { errorAnswer, renderCcfError } from '../answers.ts';
import { queryValue } from '../query.ts';

/** What governance needs of the node behind it. */
export interface GovernanceDesk extends ScriptDesk {
  readonly verifier: Verifier;
  /** Names a proposal that is created now, by the hex SHA-256 of its signature. */
  nameProposal(signatureDigest: string): string;
  /** Does what a transaction asks for beside its rows. Throws a coded error if it cannot be. */
  carryOut(transaction: Transaction, effects: readonly ScriptEffect[]): void;
}

const VERSIONS = ['2023-06-01-preview', '2024-07-01'];
const NEWEST = ['2024-07-01'];
const COSE = 'application/cose';
/** The state may move on under a draft; after so many times something is wrong. */
const ATTEMPTS_MAX = 8;

type Handler = (request: AppRequest, view: ReadView) => AppResponse;

export interface ReadingOptions {
  /** Only from 2024-07-01 on. */
  readonly isNew?: boolean;
  /** Its answer is about no state of the tables. */
  readonly withoutState?: boolean;
}

/** An endpoint that reads. */
export function reading(
  path: string,
  summary: string,
  handler: Handler,
  { isNew = false, withoutState = false }: ReadingOptions = {},
): Endpoint {
  const versions = isNew ? NEWEST : VERSIONS;
  return {
    verb: 'GET',
    path,
    authentication: ['no_auth'],
    effect: withoutState ? 'none' : 'read',
    reads: 'current',
    answers: 'local',
    summary,
    openApi: { parameters: [VERSION_PARAMETER] },
    handle: (request, view) =>
      answer(versionRefusal(request, versions) ?? handler(request, view)),
  };
}

const VERSION_PARAMETER = {
  in: 'query',
  name: 'api-version',
  required: true,
  schema: { type: 'string', enum: VERSIONS },
} as const;

/** The version that every request must name. */
function versionRefusal(
  request: AppRequest,
  versions: readonly string[],
): AppResponse | undefined {
  const version = queryValue(request.query, 'api-version');
  const supported = `The supported api-versions are: ${versions.join(', ')}`;
  if (version === undefined) {
    const message = `The api-version query parameter (?api-version=) is required. ${supported}`;
    return errorAnswer(400, 'MissingApiVersionParameter', message);
  }
  if (versions.includes(version)) return undefined;
  const message = `Unsupported api-version '${version.slice(0, 40)}'. ${supported}`;
  return errorAnswer(400, 'UnsupportedApiVersionValue', message);
}

/** What an endpoint that a member signs for does; its draft is taken over when it succeeds. */
export interface Deed {
  readonly response: AppResponse;
  readonly effects: readonly ScriptEffect[];
}

export interface SigningOptions {
  readonly path: string;
  readonly summary: string;
  readonly type: MessageType;
  readonly signers: Signers;
  /** What the path and the message must agree on; an error if they do not. */
  readonly check?: (request: AppRequest, message: MemberMessage) => void;
  readonly act: (
    request: AppRequest,
    message: MemberMessage,
    draft: Draft,
    desk: GovernanceDesk,
  ) => Promise<Deed> | Deed;
}

/** An endpoint for what members sign. */
export function signed(desk: GovernanceDesk, options: SigningOptions): Endpoint {
  const { path, summary } = options;
  return {
    verb: 'POST',
    path,
    // The body is signed; a session of its sender would show nothing more.
    authentication: ['no_auth'],
    effect: 'write',
    reads: 'current',
    answers: 'local',
    governs: true,
    answerMsMax: SCRIPTS_MS_MAX,
    summary,
    openApi: { parameters: [VERSION_PARAMETER] },
    handle: versioned((request, view) => ({
      kind: 'ask',
      ask: () => carryOut(desk, options, request, view),
    })),
  };
}

/** A handler behind the check of the version. */
export function versioned(handle: Endpoint['handle']): Endpoint['handle'] {
  return (request, view) => {
    const refusal = versionRefusal(request, VERSIONS);
    return refusal === undefined ? handle(request, view) : answer(refusal);
  };
}

/** The message that a request carries, or the 401 that says why it is none. */
export async function signedMessage(
  desk: GovernanceDesk,
  request: AppRequest,
  view: ReadView,
  { type, signers }: Pick<SigningOptions, 'type' | 'signers'>,
): Promise<MemberMessage | AppResponse> {
  try {
    if (request.header('content-type') !== COSE) {
      throw new CodedError(UNAUTHENTICATED, `Content type is not set to ${COSE}`);
    }
    return await readMemberMessage(request.body, type, signers, view, desk.verifier);
  } catch (thrown) {
    if (!isCoded(thrown, UNAUTHENTICATED)) throw thrown;
    return unauthenticated(`${signers}_cose_sign1`, thrown.message);
  }
}

async function carryOut(
  desk: GovernanceDesk,
  options: SigningOptions,
  request: AppRequest,
  view: ReadView,
): Promise<Step> {
  const { check, act } = options;
  const message = await signedMessage(desk, request, view, options);
  if ('status' in message) return answer(message);
  desk.log([`[gov] POST ${request.path} by ${message.memberId}: ${base64Of(message.bytes)}`]);
  check?.(request, message);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const draft = new Draft(view);
    const { response, effects } = await act(request, message, draft, desk);
    if (!draft.holds(view)) continue;
    return {
      kind: 'write',
      apply: (transaction) => {
        if (!draft.holds(transaction)) throw movedOn();
        draft.writeTo(transaction);
        desk.carryOut(transaction, effects);
        return response;
      },
    };
  }
  throw movedOn();
}

function movedOn(): CodedError {
  const message = 'the tables of governance changed while this request was judged; try again';
  return new CodedError('StateMoved', message, { status: 503, retryAfterSeconds: 1 });
}

const UNAUTHENTICATED = 'InvalidAuthenticationInfo';

function unauthenticated(auth_policy: string, message: string): AppResponse {
  return renderCcfError({
    status: 401,
    code: UNAUTHENTICATED,
    message: 'Invalid authentication credentials.',
    details: [{ auth_policy, code: UNAUTHENTICATED, message }],
    headers: { 'www-authenticate': 'COSE-SIGN1 realm="Signed request access"' },
  });
}

/** An id in a path; throws 400 `InvalidResourceName` unless it is one. */
export function idIn({ params }: AppRequest, name: string): string {
  const id = params[name] ?? '';
  if (/^[0-9a-fA-F]{64}$/.test(id)) return id;
  throw invalidName(`Value of ${name} is '${id.slice(0, 80)}', not 64 hexadecimal digits`);
}

export function invalidName(message: string): CodedError {
  return new CodedError('InvalidResourceName', message, { status: 400 });
}

/** A JSON answer whose members are sorted, as CCF sorts them. */
export function sortedAnswer(value: unknown): AppResponse {
  return {
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: jsonRow(value),
  };
}

export function scriptAnswer(text: string): AppResponse {
  return { status: 200, headers: { 'content-type': 'text/javascript' }, body: text };
}

/** All rows of a table, in byte order of their keys. */
export function allRows(table: ReadTable): readonly Row[] {
  const rows: Row[] = [];
  for (let page = table.page(); page.length > 0; ) {
    rows.push(...page);
    const last = page.at(-1);
    page = last === undefined ? [] : table.page({ after: last.key });
  }
  return rows;
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** The JSON object of a row; an empty one for anything else. */
export function objectIn(row: Uint8Array | undefined): JsonObject {
  const value: unknown = row === undefined ? undefined : JSON.parse(textOf(row));
  return typeof value === 'object' && value !== null ? (value as JsonObject) : {};
}
