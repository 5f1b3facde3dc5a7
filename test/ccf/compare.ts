// What an answer of ours must have in common with a recorded one: the status; each recorded header,
// by value where the value is stable; every field of the body, with the same kind of value; of an
// error, code and sentence to the letter.

import type { Reply } from '../http/client.ts';
import type { Recording } from './recordings.ts';

/** What differs, as short sentences; none when the answers agree. */
export function differences(
  recording: Recording,
  reply: Reply,
  ours: (recordedTxId: string) => string,
): readonly string[] {
  // A receipt or state that CCF still had to fetch, we may have at once (issue 3).
  if (recording.status === 202 && reply.status === 200) return [];
  if (reply.status !== recording.status) {
    return [`status ${reply.status}, recorded ${recording.status}: ${excerpt(reply)}`];
  }
  return [
    ...[...recording.answerHeaders].flatMap(([name, value]) =>
      headerDifference(name, value, reply, ours),
    ),
    ...bodyDifferences(recording, reply, ours),
  ];
}

function headerDifference(
  name: string,
  value: string,
  reply: Reply,
  ours: (recordedTxId: string) => string,
): readonly string[] {
  const actual = reply.headers.get(name);
  if (actual === undefined) return [`header ${name} is missing, recorded ${value}`];
  switch (name) {
    case 'content-length':
      return Number(actual) === reply.body.length ? [] : [`content-length is ${actual}`];
    case 'x-ms-ccf-transaction-id':
      return /^\d+\.\d+$/.test(actual) ? [] : [`header ${name} is ${actual}`];
    default:
      return actual === inOurTerms(value, ours)
        ? []
        : [`header ${name} is ${actual}, recorded ${value}`];
  }
}

function bodyDifferences(
  recording: Recording,
  reply: Reply,
  ours: (recordedTxId: string) => string,
): readonly string[] {
  const recordedText = inOurTerms(recording.answerBody.toString(), ours);
  if (recording.answerHeaders.get('content-type') !== 'application/json') {
    return reply.body.toString() === recordedText ? [] : [`body is ${excerpt(reply)}`];
  }
  if (recordedText === '') return reply.body.length === 0 ? [] : ['body is not empty'];
  return valueDifferences('', JSON.parse(recordedText), JSON.parse(reply.body.toString()));
}

/** Values that hold on every service: compared as they are. */
const EXACT =
  /^(?:\/error\/(?:code|message)|\/error\/details\/\d+\/\w+|\/msg|\/format|\/status)$/;

function valueDifferences(path: string, recorded: unknown, actual: unknown): readonly string[] {
  if (kindOf(recorded) !== kindOf(actual)) {
    return [`${path || 'body'} is ${kindOf(actual)}, recorded ${kindOf(recorded)}`];
  }
  if (Array.isArray(recorded) && Array.isArray(actual)) {
    if (recorded.length > 0 && actual.length === 0) return [`${path || 'body'} is empty`];
    return recorded.length === 0 ? [] : valueDifferences(`${path}/0`, recorded[0], actual[0]);
  }
  if (isObject(recorded) && isObject(actual)) {
    const byKind = new Map(Object.entries(actual).map(([key, value]) => [keyKind(key), value]));
    return Object.entries(recorded).flatMap(([key, value]) =>
      byKind.has(keyKind(key))
        ? valueDifferences(`${path}/${key}`, value, byKind.get(keyKind(key)))
        : [`field ${path}/${key} is missing`],
    );
  }
  if (EXACT.test(path) && recorded !== actual) {
    return [`${path} is ${JSON.stringify(actual)}, recorded ${JSON.stringify(recorded)}`];
  }
  return [];
}

/** Keys that are ids differ from service to service. */
function keyKind(key: string): string {
  return /^[0-9a-f]{64}$/.test(key) ? 'an id' : key;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** A recorded text with its transaction ids replaced by those of our service. */
export function inOurTerms(text: string, ours: (recordedTxId: string) => string): string {
  return text.replace(/(?<![\d.])2\.\d+(?![\d.])/g, ours);
}

function excerpt(reply: Reply): string {
  return reply.body.toString().slice(0, 160);
}
