/**
 * What clients send to the log, checked. Sentences are those of CCF's logging sample wherever a
 * client might know them by heart (recorded in its exchanges), ours where they only explain.
 */
import { textOf } from '../../base/bytes.ts';
import type { AppRequest, AppResponse } from '../interface.ts';
import { failure } from './answers.ts';

/** A message to record. */
export interface Entry {
  readonly id: number;
  readonly msg: string;
  /** Whether a receipt of this write shall vouch for the message. */
  readonly recordClaim: boolean;
}

/** Input that was refused, with the answer that says why. */
export type Checked<Value> = { readonly value: Value } | { readonly refused: AppResponse };

/** Longest piece of a client's input that an error message repeats, in characters. */
const QUOTED_MAX = 200;

/** The query parameter `id`. */
export function idOfQuery(query: string): Checked<number> {
  const pair = query.split('&').find((piece) => piece === 'id' || piece.startsWith('id='));
  if (pair === undefined) return badQuery("Missing query parameter 'id'");
  const text = pair.slice(3);
  const id = idOfText(text);
  if (id !== undefined) return { value: id };
  return badQuery(`Unable to parse value '${text}' in parameter 'id'`);
}

/** A decimal id. CCF's are of 64 bits; ours of 53, which is what a JSON number holds safely. */
export function idOfText(text: string): number | undefined {
  const id = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(id) ? id : undefined;
}

/** The body of a POST: `{id, msg, record_claim?}`. */
export function entryOf(request: AppRequest): Checked<Entry> {
  const contentType = request.header('content-type');
  if (contentType !== undefined && !/^application\/json\s*(;|$)/i.test(contentType)) {
    const message = `Unsupported content type ${contentType}. Send application/json.`;
    return { refused: failure(415, 'UnsupportedContentType', message) };
  }
  const parsed = parse(request.body);
  if ('refused' in parsed) return parsed;
  const fields = parsed.value;
  for (const name of ['id', 'msg']) {
    if (!Object.hasOwn(fields, name)) {
      return badInput(`At #/: Missing required field '${name}' in object: ${quoted(fields)}`);
    }
  }
  const { id, msg, record_claim: recordClaim = false } = fields;
  if (typeof id !== 'number') return wrongType('number', id);
  if (!Number.isSafeInteger(id) || id < 0) {
    return badInput(`At #/id: expected a whole number from 0 to 2^53 - 1, found: ${id}`);
  }
  if (typeof msg !== 'string') return wrongType('string', msg);
  if (typeof recordClaim !== 'boolean') return wrongType('boolean', recordClaim);
  if (msg === '') return badInput('Cannot record an empty log message.');
  return { value: { id, msg, recordClaim } };
}

/** A body that is text as it is. */
export function rawTextOf(request: AppRequest): Checked<string> {
  const contentType = request.header('content-type');
  if (contentType !== 'text/plain') {
    const message = `Expected content-type 'text/plain'. Got '${contentType ?? ''}'.`;
    return { refused: failure(415, 'InvalidHeaderValue', message) };
  }
  const text = textOrUndefined(request.body);
  return text === undefined ? badInput('The body is not UTF-8 text.') : { value: text };
}

function parse(body: Uint8Array): Checked<Readonly<Record<string, unknown>>> {
  // An empty body stands for an object without fields, as with CCF.
  if (body.length === 0) return { value: {} };
  const text = textOrUndefined(body);
  if (text === undefined) return badInput('The body is not UTF-8 text.');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return badInput(`[json.exception.parse_error.101] parse error: ${why}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return { value: { ...value } };
  }
  return badInput(`At #/: Expected object, found: ${quoted(value)}`);
}

function textOrUndefined(bytes: Uint8Array): string | undefined {
  try {
    return textOf(bytes);
  } catch {
    return undefined;
  }
}

function wrongType(expected: string, value: unknown): { readonly refused: AppResponse } {
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const message = `[json.exception.type_error.302] type must be ${expected}, but is ${type}`;
  return badInput(message);
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= QUOTED_MAX ? text : `${text.slice(0, QUOTED_MAX)}…`;
}

function badInput(message: string): { readonly refused: AppResponse } {
  return { refused: failure(400, 'InvalidInput', message) };
}

function badQuery(message: string): { readonly refused: AppResponse } {
  return { refused: failure(400, 'InvalidQueryParameterValue', message) };
}
