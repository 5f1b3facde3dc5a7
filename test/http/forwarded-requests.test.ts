// The primary's side of a forward, asked directly: a backup may be of another mind, or behind, so
// nothing that it has checked is taken as checked (design decision 6).

import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Application, answer, type Endpoint } from '../../src/apps/interface.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import type { ForwardedAnswer, ForwardedRequest } from '../../src/http/backend.ts';
import { CertificateCache } from '../../src/http/client-certificate.ts';
import { streamOfBytes } from '../../src/http/stream-writer.ts';
import { testIdentity } from './certificates.ts';
import { type House, openHouse } from './house.ts';

const PLAIN: Omit<Endpoint, 'path' | 'handle'> = {
  verb: 'GET',
  authentication: ['no_auth'],
  effect: 'read',
  reads: 'current',
  answers: 'local',
  summary: 'for tests',
};

const odd: Application = {
  name: 'odd',
  archivedTables: [],
  renderError: ({ code, status }) => {
    if (code === 'Unspeakable') throw new Error('cannot say it');
    return { status, body: `no: ${code}` };
  },
  endpoints: [
    {
      ...PLAIN,
      path: '/odd/stream',
      handle: () => answer({ status: 200, stream: streamOfBytes(utf8('long')) }),
    },
    {
      ...PLAIN,
      path: '/odd/unspeakable',
      handle: () => {
        throw new CodedError('Unspeakable', 'nobody can say it', { status: 400 });
      },
    },
    {
      ...PLAIN,
      path: '/odd/fault',
      handle: () => {
        throw new Error('a secret in an error');
      },
    },
    { ...PLAIN, path: '/odd/user', authentication: ['user_cert'], handle: ok },
  ],
};

function ok(): ReturnType<typeof answer> {
  return answer({ status: 200, body: 'ok' });
}

let house: House;

beforeEach(async () => {
  house = await openHouse({ applications: [odd], bodiesInFlightBytesMax: 1_100_000 });
});

afterEach(async () => {
  expect(house.door.stats().bodies).toEqual({ bytesInFlight: 0, requestsWaiting: 0 });
  await house.close();
});

function request(
  verb: string,
  target: string,
  rest: Partial<Omit<ForwardedRequest, 'verb' | 'target'>> = {},
): ForwardedRequest {
  const interfaceName = 'primary_rpc_interface';
  return { interfaceName, verb, target, headers: [], body: new Uint8Array(0), ...rest };
}

const execute = (one: ForwardedRequest): Promise<ForwardedAnswer | 'not-primary'> =>
  house.door.executeForwarded(one);

async function answered(one: ForwardedRequest): Promise<ForwardedAnswer & { text: string }> {
  const result = await execute(one);
  if (result === 'not-primary') throw new Error('it says it is not the primary');
  return { ...result, text: Buffer.from(result.body).toString() };
}

const derOf = (pem: string): Uint8Array => new X509Certificate(pem).raw;
const post = (body = '{"id":1,"msg":"m"}', certificate = house.user.cert): ForwardedRequest =>
  request('POST', '/app/log/private', {
    body: utf8(body),
    callerCertificate: derOf(certificate),
  });

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('a forwarded request', () => {
  test('is run and answered with its transaction', async () => {
    const { status, text, txId, headers } = await answered(post());
    expect([status, text, txId]).toEqual([200, 'true', { view: 2, seqno: 2 }]);
    expect(headers).toContainEqual({ name: 'content-type', value: 'application/json' });
  });

  test.each([
    ['an unknown path', request('GET', '/nowhere'), 404, 'ResourceNotFound'],
    ['another verb', request('DELETE', '/app/commit'), 405, 'UnsupportedHttpVerb'],
    ['about this node alone', request('GET', '/node/state'), 501, 'NotImplemented'],
    ['a stream', request('GET', '/odd/stream'), 501, 'no: NotImplemented'],
    ['a fault', request('GET', '/odd/fault'), 500, 'no: InternalError'],
    ['an error in its own words', request('GET', '/odd/user'), 401, 'no: InvalidAuth'],
    [
      'a wish that makes no sense',
      request('GET', '/odd/user', { headers: [{ name: 'x-concordat-read', value: 'x' }] }),
      400,
      'no: InvalidHeaderValue',
    ],
  ])('%s is refused', async (_what, one, status, words) => {
    const answer = await answered(one);
    expect(answer.status).toBe(status);
    expect(answer.text).toContain(words);
    expect(answer.txId).toBeUndefined();
  });

  test('too large, or for a frontend that is not open, is refused as at the door', async () => {
    const large = await answered(post('x'.repeat(1_048_577)));
    expect([large.status, large.text]).toEqual([
      413,
      expect.stringContaining('RequestBodyTooLarge'),
    ]);
    house.service.open = false;
    expect((await answered(post())).text).toContain('FrontendNotOpen');
  });

  test('to know the verbs is answered, a HEAD’s error has no body', async () => {
    const verbs = await answered(request('OPTIONS', '/app/commit'));
    expect([verbs.status, verbs.headers]).toEqual([
      204,
      [{ name: 'allow', value: 'OPTIONS, GET' }],
    ]);
    expect((await answered(request('HEAD', '/app/commit'))).text).toBe('');
  });

  test('whose error cannot be said is a 500, and a fault is told', async () => {
    const { status, text } = await answered(request('GET', '/odd/unspeakable'));
    expect([status, text.includes('cannot say it')]).toEqual([500, false]);
    expect(house.faults).toHaveLength(1);
  });
});

describe('its caller', () => {
  test('is looked up here: unknown, none, and not yet or no longer valid are refused', async () => {
    const hour = 3_600_000;
    const old = await testIdentity('user', Date.now() - 3 * hour, Date.now() - hour);
    const early = await testIdentity('user', Date.now() + hour, Date.now() + 3 * hour);
    const own = await openHouse({ service: { userCertificates: [old.cert, early.cert] } });
    for (const certificate of [house.user.cert, old.cert, early.cert]) {
      const result = await own.door.executeForwarded(post('{"id":1,"msg":"m"}', certificate));
      expect(result).toMatchObject({ status: 401 });
    }
    expect(own.service.runs).toHaveLength(0);
    await own.close();
    const nobody = await answered(request('GET', '/app/log/private?id=1'));
    expect([nobody.status, nobody.text]).toEqual([
      401,
      expect.stringContaining('No caller user certificate'),
    ]);
  });

  test('that is no certificate at all is a fault of the other node', async () => {
    const callerCertificate = utf8('not a certificate');
    const one = await answered(request('GET', '/odd/user', { callerCertificate }));
    expect(one.status).toBe(500);
    expect(house.faults).toHaveLength(1);
  });

  test('has its certificate read once; those seen longest ago are forgotten', async () => {
    const cache = new CertificateCache(2);
    const [first, second, third] = [house.user, house.member, house.stranger].map(({ cert }) =>
      derOf(cert),
    ) as [Uint8Array, Uint8Array, Uint8Array];
    const known = cache.read(first);
    cache.read(second);
    expect(cache.read(Uint8Array.from(first))).toBe(known);
    cache.read(third);
    expect(cache.count).toBe(2);
    expect(cache.read(first)).toBe(known);
  });
});

describe('a node that is not the primary', () => {
  test.each(['backup', 'candidate', 'retired'] as const)('%s: does nothing', async (role) => {
    house.service.role = role;
    expect(await execute(post())).toBe('not-primary');
    expect(house.service.runs).toHaveLength(0);
  });

  test('any more when it was to begin says so', async () => {
    const message = 'the leader has changed';
    house.service.failure = new CodedError('NotPrimary', message, {
      status: 503,
      retryable: true,
    });
    expect(await execute(post())).toBe('not-primary');
    house.service.failure = new CodedError('Unclear', message, { status: 503 });
    expect((await answered(post())).text).toContain('Unclear');
  });

  test('because it stops: what it began is answered before its door is closed', async () => {
    let letGo = (): void => undefined;
    house.service.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    const began = answered(post());
    await until(() => house.service.runs.length === 1);
    let closed = false;
    const closing = house.close().then(() => {
      closed = true;
    });
    expect(await execute(post())).toBe('not-primary');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(closed).toBe(false);
    letGo();
    expect((await began).status).toBe(200);
    await closing;
  });
});

describe('room for bodies', () => {
  const large = (): ForwardedRequest =>
    post(JSON.stringify({ id: 1, msg: 'x'.repeat(1_000_000) }));

  test('is shared with the door’s own: a second large one waits', async () => {
    let letGo = (): void => undefined;
    house.service.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    const both = [answered(large()), answered(large())];
    await until(() => house.service.runs.length === 1);
    expect(house.door.stats().bodies.requestsWaiting).toBe(1);
    letGo();
    for (const one of both) expect((await one).status).toBe(200);
  });

  test('one that waits while the primary changes is not executed', async () => {
    let letGo = (): void => undefined;
    house.service.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    const first = answered(large());
    await until(() => house.service.runs.length === 1);
    const second = execute(large());
    house.service.role = 'backup';
    house.service.failure = new CodedError('Stopped', 'deposed', { status: 503 });
    letGo();
    expect((await first).status).toBe(503);
    expect(await second).toBe('not-primary');
    expect(house.service.runs).toHaveLength(1);
  });

  test('that does not come in time: 503, and nothing is executed', async () => {
    const own = await openHouse({ bodiesInFlightBytesMax: 1_100_000, forwardingMsMax: 100 });
    let letGo = (): void => undefined;
    own.service.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    const certificate = derOf(own.user.cert);
    const one = { ...large(), callerCertificate: certificate };
    const first = own.door.executeForwarded(one);
    await until(() => own.service.runs.length === 1);
    const second = await own.door.executeForwarded(one);
    expect(second).toMatchObject({ status: 503 });
    letGo();
    expect(await first).toMatchObject({ status: 200 });
    expect(own.service.runs).toHaveLength(1);
    expect(own.door.stats().bodies).toEqual({ bytesInFlight: 0, requestsWaiting: 0 });
    await own.close();
  });
});
