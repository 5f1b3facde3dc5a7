/**
 * Where we answer otherwise than Tessera, on purpose: each with its reason in part 1 of
 * transaction-manager.md, the recorded exchanges it is for, and what our answer must then be.
 */
import type { Answer } from './compare.ts';
import { mediaType } from './compare.ts';
import { headerOf, type Recorded } from './recordings.ts';

export interface Deviation {
  readonly reason: string;
  readonly isFor: (recorded: Recorded, status: number, text: string) => boolean;
  /** Whether our answer is what part 1 decides. */
  readonly expects: (answer: Answer, recorded: Recorded, text: string) => boolean;
}

const METHOD_TEXT = 'HTTP 405 Method Not Allowed';

export const DEVIATIONS: readonly Deviation[] = [
  {
    reason: 'decision 2: a wrong method is 405 with Allow, not 500',
    isFor: (_, status, text) => status === 500 && text === METHOD_TEXT,
    expects: (answer, _, text) =>
      answer.status === 405 &&
      textOf(answer) === text &&
      headerOf(answer.headers, 'allow') !== undefined,
  },
  {
    reason: 'decision 2: a media type that is not taken is 415, not 500',
    isFor: (_, status, text) => status === 500 && text === 'HTTP 415 Unsupported Media Type',
    expects: (answer, _, text) => answer.status === 415 && textOf(answer) === text,
  },
  {
    reason: 'decision 2: a media type that is not given is 406, not 500',
    isFor: (_, status, text) => status === 500 && text === 'HTTP 406 Not Acceptable',
    expects: (answer, _, text) => answer.status === 406 && textOf(answer) === text,
  },
  {
    reason: 'decision 2: base64 that is none is 400, not 500',
    isFor: (_, status, text) => status === 500 && text.startsWith('Illegal base64 character'),
    expects: (answer, _, text) => answer.status === 400 && textOf(answer) === text,
  },
  {
    reason: 'decision 2: a key of too few bytes is 400, not 500',
    isFor: (_, status, text) => status === 500 && /^Index \d+ out of bounds/.test(text),
    expects: isSentence(400),
  },
  {
    reason: 'decision 2: execution hash or mandatory list under the wrong flag is 400, not 500',
    isFor: (_, status, text) =>
      status === 500 && /^(ExecutionHash data|Mandatory recipients data)/.test(text),
    expects: (answer, _, text) => answer.status === 400 && textOf(answer) === text,
  },
  {
    reason: "decision 2: other mistakes of the client's are 400 with a sentence, not 500",
    isFor: (_, status, text) =>
      status === 500 &&
      /^(No enum constant|recipient not found in|No suitable recipient|Cannot read the array)/.test(
        text,
      ),
    expects: isSentence(400),
  },
  {
    reason: 'decision 2: privacyFlag 4 or -1 is 400, not 201',
    isFor: ({ request }, status) =>
      status === 201 && /"privacyFlag":(4|-1)\b/.test(request.body.toString()),
    expects: isSentence(400),
  },
  {
    reason: 'decision 2: a missing execution hash is told without Java object identities',
    isFor: (_, status, text) => status === 400 && text.startsWith('Exec hash missing'),
    expects: (answer) =>
      answer.status === 400 && textOf(answer).startsWith('Exec hash missing'),
  },
  {
    reason: 'decision 2: payloads to 10 MiB are accepted',
    isFor: (_, status, text) => status === 500 && text.startsWith('Value too long for column'),
    expects: (answer) => answer.status === 201,
  },
  {
    reason: 'decision 2: a second sendsignedtx repeats the first answer',
    isFor: ({ request }, status, text) =>
      status === 500 && request.path === '/sendsignedtx' && /primary key/i.test(text),
    expects: (answer) => answer.status === 201 || answer.status === 200,
  },
  {
    reason: 'decision 2: pages of the Java server are not copied, their status is',
    isFor: ({ response }) =>
      response !== undefined && mediaType(response.headers) === 'text/html',
    expects: (answer, recorded) =>
      answer.status === recorded.response?.status ||
      (recorded.request.path === '/api' && answer.status === 406),
  },
  {
    reason:
      'decision 2: accidents of this build (/api, /application.wadl, OPTIONS) are not copied',
    isFor: (_, status, text) =>
      status === 500 && /^(Cannot invoke "java.net.URL|Unable to make protected)/.test(text),
    expects: (answer, { request }) => {
      if (headerOf(request.headers, 'origin') !== undefined) return answer.status === 403;
      if (request.method === 'OPTIONS') return answer.status === 204;
      if (request.path !== '/api') return answer.status === 404;
      const yaml = headerOf(request.headers, 'accept')?.includes('yaml') === true;
      return answer.status === (yaml ? 406 : 200);
    },
  },
  {
    reason: 'decision 3: no recipient is ever down, it finds the payload when it comes back',
    isFor: ({ scenario }, status, text) =>
      scenario.startsWith('13-') &&
      (status === 410 || text.startsWith('Recipient not found for key')),
    expects: (answer) => answer.status === 201,
  },
  {
    reason: 'decision 10: an Origin that is not allowed is 403, the CORS list is empty',
    isFor: ({ request }, status) =>
      status === 200 && headerOf(request.headers, 'origin') !== undefined,
    expects: isSentence(403),
  },
];

function textOf(answer: Answer): string {
  return answer.body.toString('utf8');
}

function isSentence(status: number): (answer: Answer) => boolean {
  return (answer) =>
    answer.status === status &&
    mediaType(answer.headers) === 'text/plain' &&
    textOf(answer).length > 0;
}
