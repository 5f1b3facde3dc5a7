/**
 * Answers as HTTP/1.1 writes them.
 */
import { STATUS_CODES } from 'node:http';
import type { AppResponse } from '../apps/interface.ts';
import { concatBytes, utf8 } from '../base/bytes.ts';

/** Headers as name, value, name, value: with the length of the body, which every answer states. */
export function flatHeaders(answer: AppResponse): string[] {
  const { headers, body, stream } = answer;
  const flat = ['content-length', String(stream?.bytes ?? lengthOf(body))];
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) flat.push(name, value);
  }
  return flat;
}

/** A whole answer that closes the connection, for where there is no response object to use. */
export function serializeAnswer(answer: AppResponse): Uint8Array {
  const flat = [...flatHeaders(answer), 'connection', 'close'];
  let head = `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? 'Unknown'}\r\n`;
  for (let at = 0; at + 1 < flat.length; at += 2) head += `${flat[at]}: ${flat[at + 1]}\r\n`;
  return concatBytes(utf8(`${head}\r\n`), bytesOf(answer.body));
}

function lengthOf(body: Uint8Array | string | undefined): number {
  if (body === undefined) return 0;
  return typeof body === 'string' ? Buffer.byteLength(body) : body.length;
}

function bytesOf(body: Uint8Array | string | undefined): Uint8Array {
  if (body === undefined) return new Uint8Array(0);
  return typeof body === 'string' ? utf8(body) : body;
}
