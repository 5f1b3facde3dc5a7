// What happens to one request: in the order of http-api.md §2, over real TLS, with the real log
// and store behind the door.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Application, answer, type Endpoint } from '../../src/apps/interface.ts';
import { CodedError } from '../../src/base/errors.ts';
import { askOnce, codeOf, jsonOf, RawClient } from './client.ts';
import { type House, openHouse } from './house.ts';

const JSON_TYPE = { 'content-type': 'application/json' };
const ENTRY = { headers: JSON_TYPE, body: '{"id":1,"msg":"first"}' };

const PLAIN: Omit<Endpoint, 'path' | 'handle'> = {
  verb: 'GET',
  authentication: ['no_auth'],
  effect: 'read',
  reads: 'current',
  answers: 'local',
  summary: 'for tests',
};

/** An application that says errors in its own way, and misbehaves on request. */
const blunt: Application = {
  name: 'blunt',
  archivedTables: [],
  renderError: ({ status, message }) => ({ status, body: `no: ${message}` }),
  endpoints: [
    {
      ...PLAIN,
      path: '/blunt/throws',
      handle: () => {
        throw new Error('a secret in an error');
      },
    },
    {
      ...PLAIN,
      path: '/blunt/throws-at-once',
      effect: 'none',
      handle: () => {
        throw new Error('a secret in an error');
      },
    },
    {
      ...PLAIN,
      path: '/blunt/header',
      handle: () => answer({ status: 200, headers: { location: 'a\r\nset-cookie: b' } }),
    },
    { ...PLAIN, path: '/blunt/mine', authentication: ['member_cert'], handle: ok },
    { ...PLAIN, path: '/blunt/any', authentication: ['any_cert'], handle: ok },
    {
      ...PLAIN,
      path: '/blunt/headers',
      handle: (request) => answer({ status: 200, body: String(request.header('client-cert')) }),
    },
    {
      ...PLAIN,
      verb: 'POST',
      path: '/blunt/kept',
      effect: 'write',
      handle: () => ({ kind: 'write', apply: () => ({ status: 409, applyWrites: true }) }),
    },
    {
      ...PLAIN,
      verb: 'POST',
      path: '/blunt/dropped',
      effect: 'write',
      handle: () => ({ kind: 'write', apply: () => ({ status: 200, applyWrites: false }) }),
    },
  ],
};

/** An application that cannot even say an error. */
const mute: Application = {
  name: 'mute',
  archivedTables: [],
  renderError: () => {
    throw new Error('cannot say it');
  },
  endpoints: [{ ...PLAIN, path: '/unspeakable', authentication: ['user_cert'], handle: ok }],
};

function ok(): ReturnType<typeof answer> {
  return answer({ status: 200, body: 'ok' });
}

let house: House;

beforeEach(async () => {
  house = await openHouse({ applications: [blunt, mute] });
});

afterEach(() => house.close());

describe('the transaction id', () => {
  test('a write shows its own, a read the last it could see, an error none', async () => {
    const client = await RawClient.connect(house, house.user);
    const write = await client.ask('POST', '/app/log/private', ENTRY);
    expect([write.status, write.body.toString()]).toEqual([200, 'true']);
    expect(write.headers.get('x-ms-ccf-transaction-id')).toBe('2.2');
    const read = await client.ask('GET', '/app/log/private?id=1');
    expect(read.headers.get('x-ms-ccf-transaction-id')).toBe('2.2');
    const missing = await client.ask('GET', '/app/log/private?id=2');
    expect(missing.status).toBe(400);
    expect(missing.headers.has('x-ms-ccf-transaction-id')).toBe(false);
    client.close();
  });

  test('what touches no table shows none', async () => {
    const commit = await askOnce(house, undefined, 'GET', '/app/commit');
    expect(commit.headers.has('x-ms-ccf-transaction-id')).toBe(false);
  });

  test('an error that keeps its writes shows it, a success that drops them does not', async () => {
    const kept = await askOnce(house, undefined, 'POST', '/blunt/kept');
    expect([kept.status, kept.headers.get('x-ms-ccf-transaction-id')]).toEqual([409, '2.2']);
    const dropped = await askOnce(house, undefined, 'POST', '/blunt/dropped');
    expect([dropped.status, dropped.headers.has('x-ms-ccf-transaction-id')]).toEqual([
      200,
      false,
    ]);
  });
});

describe('who asks', () => {
  test('without a certificate: 401 with the reason of each policy', async () => {
    const reply = await askOnce(house, undefined, 'GET', '/app/log/private?id=1');
    expect(reply.status).toBe(401);
    expect(jsonOf(reply)).toEqual({
      error: {
        code: 'InvalidAuthenticationInfo',
        details: [
          {
            auth_policy: 'jwt',
            code: 'InvalidAuthenticationInfo',
            message: 'Missing authorization header',
          },
          {
            auth_policy: 'user_cert',
            code: 'InvalidAuthenticationInfo',
            message: 'No caller user certificate',
          },
        ],
        message: 'Invalid authentication credentials.',
      },
    });
  });

  test.each([
    ['stranger', 'GET', '/app/log/private?id=1', 'Could not find matching user certificate'],
    ['member', 'GET', '/app/log/private?id=1', 'Could not find matching user certificate'],
    ['user', 'GET', '/blunt/mine', 'no: Invalid authentication credentials.'],
  ] as const)('a %s at %s %s is told: %s', async (who, verb, path, sentence) => {
    const reply = await askOnce(house, house[who], verb, path);
    expect(reply.status).toBe(401);
    expect(reply.body.toString()).toContain(sentence);
  });

  test('a member passes member_cert, and anybody with a certificate any_cert', async () => {
    expect((await askOnce(house, house.member, 'GET', '/blunt/mine')).status).toBe(200);
    expect((await askOnce(house, house.stranger, 'GET', '/blunt/any')).status).toBe(200);
    expect((await askOnce(house, undefined, 'GET', '/blunt/any')).status).toBe(401);
  });

  test('a proxy header with an identity reaches no application', async () => {
    const headers = { 'Client-Cert': ':MII…:' };
    const reply = await askOnce(house, undefined, 'GET', '/blunt/headers', { headers });
    expect(reply.body.toString()).toBe('undefined');
  });

  test('a body is not read before it is known who asks', async () => {
    const client = await RawClient.connect(house);
    client.send('POST /app/log/private HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n{');
    expect((await client.reply()).status).toBe(401);
    expect(house.door.stats().bodies.bytesInFlight).toBe(0);
    client.close();
  });
});

describe('errors', () => {
  test('an application says those of its own endpoints, CCF’s shape is for others', async () => {
    const wrongVerb = await askOnce(house, undefined, 'POST', '/blunt/any');
    expect(wrongVerb.status).toBe(405);
    expect(wrongVerb.body.toString()).toBe(
      "no: Allowed methods for '/blunt/any' are: OPTIONS, GET.",
    );
    expect(codeOf(await askOnce(house, undefined, 'GET', '/blunt/nothing'))).toBe(
      'ResourceNotFound',
    );
  });

  test.each(['/blunt/throws', '/blunt/throws-at-once'])(
    'at %s a fault is a 500 without its text, which onFault is given',
    async (path) => {
      const reply = await askOnce(house, undefined, 'GET', path);
      expect(reply.status).toBe(500);
      expect(reply.body.toString()).toBe('no: The request failed: see the log.');
      expect(house.faults).toEqual([
        expect.objectContaining({ message: 'a secret in an error' }),
      ]);
    },
  );

  test('a header that HTTP cannot carry is a fault, not a second header', async () => {
    const reply = await askOnce(house, undefined, 'GET', '/blunt/header');
    expect([reply.status, reply.headers.has('set-cookie')]).toEqual([500, false]);
    expect(house.faults).toEqual([expect.objectContaining({ code: 'ERR_INVALID_CHAR' })]);
  });

  test('a way to say errors that itself fails costs the session, not the node', async () => {
    const client = await RawClient.connect(house);
    client.send('GET /unspeakable HTTP/1.1\r\n\r\n');
    await client.closed();
    client.send('');
    expect(house.faults).toEqual([expect.objectContaining({ message: 'cannot say it' })]);
    expect((await askOnce(house, undefined, 'GET', '/app/commit')).status).toBe(200);
  });

  test('a coded error of the backend says status, code, sentence and when to retry', async () => {
    house.service.failure = new CodedError('TooManyPendingTransactions', 'Too many.', {
      status: 503,
      retryAfterSeconds: 2,
    });
    const reply = await askOnce(house, house.user, 'POST', '/app/log/private', ENTRY);
    expect([reply.status, codeOf(reply), reply.headers.get('retry-after')]).toEqual([
      503,
      'TooManyPendingTransactions',
      '2',
    ]);
    expect(house.faults).toEqual([]);
  });

  test('a closed application frontend is 404, /node is open meanwhile', async () => {
    house.service.open = false;
    const reply = await askOnce(house, house.user, 'GET', '/app/log/private?id=1');
    expect([reply.status, codeOf(reply)]).toEqual([404, 'FrontendNotOpen']);
    expect((await askOnce(house, undefined, 'GET', '/node/state')).status).toBe(200);
  });

  test('/gov opens when the node is part of the network', async () => {
    house.service.state = 'Pending';
    const early = await askOnce(house, undefined, 'GET', '/gov/commit');
    expect([early.status, codeOf(early)]).toEqual([404, 'FrontendNotOpen']);
    house.service.state = 'PartOfNetwork';
    expect((await askOnce(house, undefined, 'GET', '/gov/commit')).status).toBe(200);
  });
});

describe('wishes', () => {
  test('reach the backend as they were said', async () => {
    const headers = {
      ...JSON_TYPE,
      'x-concordat-wait': 'commit',
      'x-concordat-min-txid': '2.1',
      'x-concordat-read': 'linearizable',
    };
    await askOnce(house, house.user, 'POST', '/app/log/private', { ...ENTRY, headers });
    expect(house.service.runs.at(-1)?.options).toEqual({
      waitForCommit: true,
      linearizable: true,
      minTxId: { view: 2, seqno: 1 },
    });
  });

  test('that cannot be understood are a 400, and nothing is run', async () => {
    const headers = { ...JSON_TYPE, 'x-concordat-wait': 'forever' };
    const reply = await askOnce(house, house.user, 'POST', '/app/log/private', {
      ...ENTRY,
      headers,
    });
    expect([reply.status, codeOf(reply)]).toEqual([400, 'InvalidHeaderValue']);
    expect(house.service.runs).toEqual([]);
  });

  test('send even /commit through the backend, which can wait', async () => {
    const headers = { 'x-concordat-min-txid': '2.1' };
    await askOnce(house, undefined, 'GET', '/app/commit', { headers });
    expect(house.service.runs).toHaveLength(1);
  });
});

describe('forms of a request', () => {
  test('a chunked body', async () => {
    const client = await RawClient.connect(house, house.user);
    client.send('POST /app/log/private HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n');
    client.send('5\r\n{"id"\r\n11\r\n:3,"msg":"chunk"}\r\n0\r\n\r\n');
    expect((await client.reply()).body.toString()).toBe('true');
    const read = await client.ask('GET', '/log/private?id=3');
    expect(jsonOf(read)).toEqual({ msg: 'chunk' });
    expect(house.door.stats().bodies.bytesInFlight).toBe(0);
    client.close();
  });

  test('a client that waits for 100 Continue is told to go on, or the error', async () => {
    const client = await RawClient.connect(house, house.user);
    const head = 'POST /app/log/private HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: ';
    client.send(`${head}22\r\n\r\n`);
    expect((await client.reply()).status).toBe(100);
    client.send('{"id":1,"msg":"first"}');
    expect((await client.reply()).status).toBe(200);
    client.send(`${head}2000000\r\n\r\n`);
    expect((await client.reply()).status).toBe(413);
    await client.closed();
  });

  test('connection: close is obeyed', async () => {
    const client = await RawClient.connect(house);
    const headers = { connection: 'close' };
    expect((await client.ask('GET', '/app/commit', { headers })).status).toBe(200);
    await client.closed();
  });

  test('a HEAD is answered without a body, its errors with a length of 0', async () => {
    const client = await RawClient.connect(house);
    expect((await client.ask('HEAD', '/node/primary')).status).toBe(200);
    const wrong = await client.ask('HEAD', '/app/commit');
    expect([wrong.status, wrong.headers.get('content-length')]).toEqual([405, '0']);
    expect((await client.ask('GET', '/app/commit')).status).toBe(200);
    client.close();
  });

  test('no answer says who wrote it, when, or keep-alive', async () => {
    const reply = await askOnce(house, undefined, 'GET', '/app/commit');
    expect([...reply.headers.keys()].sort()).toEqual(['content-length', 'content-type']);
  });
});
