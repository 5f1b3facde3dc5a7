// The exchanges recorded from a CCF service, as they lie in test/vectors/ccf-http.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface StoredMessage {
  readonly head: readonly string[];
  readonly body?: string;
  readonly bodyBase64?: string;
  readonly bodyRepeats?: { readonly text: string; readonly times: number };
}

interface StoredExchange {
  readonly exchange: string;
  readonly client: ClientName;
  readonly request: StoredMessage;
  readonly response: StoredMessage;
}

/** Which certificate the client presented. */
export type ClientName = 'none' | 'user0' | 'member0' | 'member1' | 'member2';

export interface Recording {
  readonly name: string;
  readonly client: ClientName;
  readonly method: string;
  readonly target: string;
  /** In wire order, without the length of the body. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly status: number;
  readonly answerHeaders: ReadonlyMap<string, string>;
  readonly answerBody: Buffer;
}

/** All exchanges in the order in which they were recorded. */
export function recordings(): readonly Recording[] {
  const path = join(import.meta.dirname, '../vectors/ccf-http/exchanges.json');
  const stored = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly exchanges: readonly StoredExchange[];
  };
  return stored.exchanges.map(({ exchange, client, request, response }) => {
    const [requestLine = '', ...requestLines] = request.head;
    const [method = '', target = ''] = requestLine.split(' ');
    const [statusLine = '', ...answerLines] = response.head;
    return {
      name: exchange,
      client,
      method,
      target,
      headers: requestLines.map(headerOf).filter(([name]) => name !== 'content-length'),
      body: bodyOf(request),
      status: Number(statusLine.split(' ')[1]),
      answerHeaders: new Map(answerLines.map(headerOf)),
      answerBody: bodyOf(response),
    };
  });
}

function headerOf(line: string): readonly [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

function bodyOf({ body, bodyBase64, bodyRepeats }: StoredMessage): Buffer {
  if (bodyRepeats !== undefined) return Buffer.from(bodyRepeats.text.repeat(bodyRepeats.times));
  if (bodyBase64 !== undefined) return Buffer.from(bodyBase64, 'base64');
  return Buffer.from(body ?? '');
}
