// What an operator may order over his listener, and who may not carry orders there: web pages in a
// browser on the same machine.

import { request } from 'node:http';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OPERATOR_ACTION_BYTES_MAX } from '../../src/base/limits.ts';
import {
  createOperatorListener,
  type OperatorListener,
} from '../../src/http/operator-listener.ts';

let listener: OperatorListener;
let port: number;
let ordered: string[];
let faults: unknown[];

beforeEach(async () => {
  ordered = [];
  faults = [];
  listener = createOperatorListener({
    registry: new Registry(),
    isReady: () => true,
    routes: {
      '/state': { method: 'GET', answer: () => ({ status: 200, json: { well: true } }) },
      '/order': {
        method: 'POST',
        contentType: 'application/json',
        answer: (body) => {
          ordered.push(Buffer.from(body).toString());
          return { status: 202, json: { taken: true } };
        },
      },
      '/broken': {
        method: 'GET',
        answer: () => {
          throw new Error('it cannot be told');
        },
      },
    },
    onFault: (fault) => faults.push(fault),
  });
  ({ port } = await listener.listen('127.0.0.1', 0));
});

afterEach(() => listener.close());

interface Reply {
  readonly status: number;
  readonly allow: string | undefined;
  readonly text: string;
}

function ask(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body = '',
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, method, path, headers }, (response) => {
      let text = '';
      response.on('data', (piece: Buffer) => {
        text += piece.toString();
      });
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, allow: response.headers.allow, text });
      });
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

const JSON_TYPE = { 'content-type': 'application/json' };

test('a document is answered as JSON, and named where nothing is', async () => {
  expect(await ask('GET', '/state')).toMatchObject({ status: 200, text: '{"well":true}\n' });
  const { status, text } = await ask('GET', '/stat');
  expect([status, text]).toEqual([
    404,
    'There are /metrics, /ready, /state, /order, /broken here.\n',
  ]);
});

test('an order is taken with its body', async () => {
  expect(await ask('POST', '/order', JSON_TYPE, '{"go":1}')).toMatchObject({
    status: 202,
    text: '{"taken":true}\n',
  });
  expect(ordered).toEqual(['{"go":1}']);
});

test.each([
  ['POST', '/state', 'GET, HEAD'],
  ['GET', '/order', 'POST'],
  ['DELETE', '/order', 'POST'],
  ['PUT', '/metrics', 'GET, HEAD'],
])('%s %s is told what is allowed', async (method, path, allow) => {
  expect(await ask(method, path)).toMatchObject({ status: 405, allow });
});

test('a document that cannot be told is a 500 and a fault, not the end', async () => {
  expect((await ask('GET', '/broken')).status).toBe(500);
  expect(faults).toHaveLength(1);
  expect((await ask('GET', '/state')).status).toBe(200);
});

describe('what a web page could send is not taken', () => {
  test.each<readonly [string, Readonly<Record<string, string>>, number]>([
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
    ['a text', { 'content-type': 'text/plain;charset=UTF-8' }, 415],
    ['nothing said of its type', {}, 415],
    ['with an origin', { ...JSON_TYPE, origin: 'https://example.org' }, 403],
    ['with the origin null', { ...JSON_TYPE, origin: 'null' }, 403],
    ['by a name of its own for this machine', { ...JSON_TYPE, host: 'evil.example:80' }, 403],
  ])('%s', async (_how, headers, status) => {
    expect((await ask('POST', '/order', headers, '{}')).status).toBe(status);
    expect(ordered).toEqual([]);
  });

  test.each(['localhost', '127.0.0.1:9', '[::1]:9'])('but %s is this machine', async (host) => {
    const headers = { 'content-type': 'application/json; charset=utf-8', host };
    expect((await ask('POST', '/order', headers, '{}')).status).toBe(202);
  });
});

test('a body may be as long as the bound and no longer', async () => {
  const longest = 'x'.repeat(OPERATOR_ACTION_BYTES_MAX);
  expect((await ask('POST', '/order', JSON_TYPE, longest)).status).toBe(202);
  const outcome = await ask('POST', '/order', JSON_TYPE, `${longest}x`.repeat(2)).catch(
    (error: NodeJS.ErrnoException) => error.code,
  );
  // The connection may be gone before the whole body was sent.
  expect(typeof outcome === 'object' ? outcome.status : outcome).toSatisfy((seen: unknown) =>
    [413, 'ECONNRESET', 'EPIPE'].includes(seen as string | number),
  );
  expect(ordered).toHaveLength(1);
});
