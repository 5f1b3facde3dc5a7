/**
 * How the answer to a write that succeeded lies in the ledger, so that it can be given again:
 *
 *     01 ‖ u32 status ‖ u32 number of headers ‖ {name, value}… ‖ body
 *     body = 00 (none) | 01 ‖ text | 02 ‖ bytes
 *
 * Names, values and bodies have their length before them (`record-bytes.ts`).
 */
import { invariant } from '../../base/assert.ts';
import { textOf, utf8 } from '../../base/bytes.ts';
import type { AppResponse } from '../interface.ts';
import { RecordReader, RecordWriter } from './record-bytes.ts';

const FORMAT = 1;
const NO_BODY = 0;
const TEXT_BODY = 1;
const BYTES_BODY = 2;

export function encodeOutcome({ status, headers = {}, body, stream }: AppResponse): Uint8Array {
  invariant(stream === undefined, 'the answer to a write is short');
  const named = Object.entries(headers);
  const writer = new RecordWriter().byte(FORMAT).count(status).count(named.length);
  for (const [name, value] of named) writer.sized(utf8(name)).sized(utf8(value));
  if (body === undefined) return writer.byte(NO_BODY).finish();
  return typeof body === 'string'
    ? writer.byte(TEXT_BODY).sized(utf8(body)).finish()
    : writer.byte(BYTES_BODY).sized(body).finish();
}

export function decodeOutcome(bytes: Uint8Array): AppResponse {
  const reader = new RecordReader(bytes);
  if (reader.byte() !== FORMAT) throw reader.broken(`is not of format ${FORMAT}`);
  const status = reader.count();
  const headers: Record<string, string> = {};
  const named = reader.count();
  for (let left = named; left > 0; left -= 1) {
    headers[textOf(reader.sized())] = textOf(reader.sized());
  }
  const kind = reader.byte();
  if (kind > BYTES_BODY) throw reader.broken(`has a body of kind ${kind}`);
  const body = kind === NO_BODY ? undefined : reader.sized();
  reader.finish();
  return {
    status,
    ...(named === 0 ? {} : { headers }),
    ...(body === undefined ? {} : { body: kind === TEXT_BODY ? textOf(body) : body }),
  };
}
