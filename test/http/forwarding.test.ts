// Two nodes behind two front doors: what reaches the backup and only the primary may do is done by
// the primary, as if it had been asked itself (http-api.md §4, design decisions 6 and 9).

import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Application, answer, type Endpoint } from '../../src/apps/interface.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256Hex } from '../../src/crypto/hash.ts';
import { USER_CERTS } from '../../src/governance/tables.ts';
import { askOnce, codeOf, jsonOf, RawClient, type Reply } from './client.ts';
import { type HouseOptions, openPair, type Pair } from './house.ts';

const ENTRY = { body: '{"id":1,"msg":"first"}' };
const TXID = 'x-ms-ccf-transaction-id';

const PLAIN: Omit<Endpoint, 'path' | 'handle'> = {
  verb: 'GET',
  authentication: ['user_cert'],
  effect: 'read',
  reads: 'current',
  answers: 'local',
  summary: 'for tests',
};

/** An application that says errors in its own way, and answers with what it was asked. */
const blunt: Application = {
  name: 'blunt',
  archivedTables: [],
  renderError: ({ status, message }) => ({ status, body: `no: ${message}` }),
  endpoints: [
    {
      ...PLAIN,
      verb: 'PUT',
      path: '/blunt/echo/{name}',
      effect: 'write',
      bodyBytesMax: 4_000_000,
      handle: ({ params, query, caller, body }) => {
        const said = [params.name, query, caller.policy, body.length, sha256Hex(body)];
        return { kind: 'write', apply: () => ({ status: 201, body: said.join(' ') }) };
      },
    },
    {
      ...PLAIN,
      verb: 'PUT',
      path: '/blunt/kept',
      effect: 'write',
      handle: () => ({ kind: 'write', apply: () => ({ status: 409, applyWrites: true }) }),
    },
    {
      ...PLAIN,
      verb: 'PUT',
      path: '/blunt/slow',
      effect: 'write',
      answerMsMax: 60_000,
      handle: () => ({ kind: 'write', apply: () => ({ status: 200, body: 'at last' }) }),
    },
    { ...PLAIN, path: '/blunt/read', handle: () => answer({ status: 200, body: 'read' }) },
  ],
};

let pair: Pair;

async function open(backup: HouseOptions = {}, primary: HouseOptions = {}): Promise<void> {
  await pair?.close();
  const applications = [blunt];
  pair = await openPair({
    primary: { applications, ...primary },
    backup: { applications, ...backup },
  });
}

beforeEach(() => open());

afterEach(async () => {
  const { primary, backup, close } = pair;
  for (const { door } of [primary, backup]) {
    expect(door.stats().bodies).toEqual({ bytesInFlight: 0, requestsWaiting: 0 });
  }
  await close();
});

/** Asks the backup, as a user unless another is named. */
const ask = (
  method: string,
  path: string,
  options: Parameters<RawClient['ask']>[2] = {},
  who: 'user' | 'stranger' | 'nobody' = 'user',
): Promise<Reply> => {
  const identity = who === 'nobody' ? undefined : pair.backup[who];
  return askOnce(pair.backup, identity, method, path, options);
};

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const keyOf = (pem: string): Uint8Array => utf8(sha256Hex(new X509Certificate(pem).raw));

describe('a write sent to a backup', () => {
  test('is executed by the primary, and answered with its transaction', async () => {
    const reply = await ask('POST', '/app/log/private', ENTRY);
    expect([reply.status, reply.body.toString(), reply.headers.get(TXID)]).toEqual([
      200,
      'true',
      '2.2',
    ]);
    expect(reply.headers.get('content-type')).toBe('application/json');
    expect(pair.backup.service.runs).toHaveLength(0);
    expect(pair.primary.service.runs).toHaveLength(1);
    expect(pair.primary.door.stats().counters.executedForOthers).toBe(1);
    expect(pair.backup.door.stats().counters).toMatchObject({ forwarded: 1, held: 0 });
  });

  test('arrives there whole: path, query, caller and a body of megabytes', async () => {
    const body = Buffer.alloc(3_500_000, 'payload ');
    const reply = await ask('PUT', '/blunt/echo/a%2Fb?x=%20&y', { body });
    const expected = `a%2Fb x=%20&y user_cert ${body.length} ${sha256Hex(body)}`;
    expect([reply.status, reply.body.toString()]).toEqual([201, expected]);
  });

  test('in pieces is put together before it goes on', async () => {
    const client = await RawClient.connect(pair.backup, pair.backup.user);
    client.send('PUT /blunt/echo/a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n');
    client.send('3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n');
    const expected = `a  user_cert 5 ${sha256Hex(utf8('abcde'))}`;
    expect((await client.reply()).body.toString()).toBe(expected);
    client.close();
  });

  test('without a body goes there too', async () => {
    await ask('POST', '/app/log/private', ENTRY);
    expect((await ask('DELETE', '/app/log/private?id=1')).headers.get(TXID)).toBe('2.3');
  });

  test('fails as there: the endpoint’s own errors, with its writes or without', async () => {
    const wrong = await ask('POST', '/app/log/private', { body: '{"id":1}' });
    expect([wrong.status, wrong.headers.has(TXID)]).toEqual([400, false]);
    const kept = await ask('PUT', '/blunt/kept');
    expect([kept.status, kept.headers.get(TXID)]).toEqual([409, '2.2']);
  });

  test('keeps its wishes: what it wants to wait for is waited for there', async () => {
    const headers = { 'x-concordat-wait': 'commit', 'x-concordat-min-txid': '2.1' };
    await ask('POST', '/app/log/private', { ...ENTRY, headers });
    expect(pair.primary.service.runs.at(-1)?.options).toEqual({
      waitForCommit: true,
      linearizable: false,
      minTxId: { view: 2, seqno: 1 },
    });
  });
});

describe('what stays on a backup', () => {
  test.each([
    '/app/commit',
    '/app/tx?transaction_id=2.1',
    '/node/state',
    '/node/network/nodes/self',
    '/node/quotes/self',
    '/node/service/configuration',
  ])('%s, even in a session that was forwarded', async (path) => {
    const client = await RawClient.connect(pair.backup, pair.backup.user);
    await client.ask('POST', '/app/log/private', ENTRY);
    expect((await client.ask('GET', path)).status).toBe(200);
    expect(pair.backup.service.forwarded).toHaveLength(1);
    client.close();
  });

  test('reads, by the state it has', async () => {
    await ask('POST', '/app/log/private', ENTRY);
    expect(codeOf(await ask('GET', '/app/log/private?id=1'))).toBe('ResourceNotFound');
    pair.backup.service.catchUp();
    const reply = await ask('GET', '/app/log/private?id=1');
    expect(jsonOf(reply)).toEqual({ msg: 'first' });
    expect(pair.backup.service.forwarded).toHaveLength(1);
  });

  test('a linearizable read too: it catches up first', async () => {
    await ask('POST', '/app/log/private', ENTRY);
    const headers = { 'x-concordat-read': 'linearizable' };
    const reply = await ask('GET', '/app/log/private?id=1', { headers });
    expect(jsonOf(reply)).toEqual({ msg: 'first' });
    expect(pair.backup.service.forwarded).toHaveLength(1);
  });
});

describe('who asks, over a forward', () => {
  const CLAIMS = {
    'x-forwarded-client-cert': 'the certificate of somebody else',
    'X-Client-Cert': 'the certificate of somebody else',
    'x-concordat-caller': 'somebody else',
    'client-cert': 'the certificate of somebody else',
  };

  test.each(['nobody', 'stranger'] as const)(
    '%s is not believed, whatever the headers say',
    async (who) => {
      const pem = pair.backup.user.cert.replaceAll('\n', '');
      const headers = Object.fromEntries(Object.keys(CLAIMS).map((name) => [name, pem]));
      const withBody = await ask('POST', '/app/log/private', { ...ENTRY, headers }, who);
      expect([withBody.status, codeOf(withBody)]).toEqual([401, 'InvalidAuthenticationInfo']);
      const without = await ask('DELETE', '/app/log/private?id=1', { headers }, who);
      expect([without.status, codeOf(without)]).toEqual([401, 'InvalidAuthenticationInfo']);
      expect(pair.primary.service.runs).toHaveLength(0);
    },
  );

  test('such headers do not even travel, nor those about the connection', async () => {
    const headers = { ...CLAIMS, 'keep-alive': '5', te: 'trailers', 'x-own': 'kept' };
    await ask('POST', '/app/log/private', { ...ENTRY, headers });
    const [request] = pair.backup.service.forwarded;
    expect(request?.headers).toEqual([
      { name: 'host', value: 'test' },
      { name: 'x-own', value: 'kept' },
    ]);
    expect(request?.interfaceName).toBe('primary_rpc_interface');
    const { raw } = new X509Certificate(pair.backup.user.cert);
    expect(Buffer.compare(request?.callerCertificate ?? new Uint8Array(), raw)).toBe(0);
  });

  test('a user whom only the backup still knows is refused by the primary', async () => {
    pair.primary.service.write((tx) => {
      tx.table(USER_CERTS).remove(keyOf(pair.backup.user.cert));
    });
    const reply = await ask('POST', '/app/log/private', ENTRY);
    expect([reply.status, codeOf(reply)]).toEqual([401, 'InvalidAuthenticationInfo']);
    expect(pair.backup.service.forwarded).toHaveLength(1);
    expect(pair.primary.service.runs).toHaveLength(0);
  });

  test('a user of whom the backup has not heard is known once it has caught up', async () => {
    const pem = pair.backup.stranger.cert;
    pair.primary.service.write((tx) => tx.table(USER_CERTS).put(keyOf(pem), utf8(pem)));
    expect((await ask('POST', '/app/log/private', ENTRY, 'stranger')).status).toBe(200);
    pair.primary.service.write((tx) => tx.table('records').put(utf8('7'), utf8('"x"')));
    expect((await ask('GET', '/app/log/private/count', {}, 'stranger')).status).toBe(200);
  });

  test('a reader of whom it has not heard, too', async () => {
    const pem = pair.backup.stranger.cert;
    pair.primary.service.write((tx) => tx.table(USER_CERTS).put(keyOf(pem), utf8(pem)));
    expect((await ask('GET', '/app/log/private/count', {}, 'stranger')).status).toBe(200);
    expect(pair.backup.service.forwarded).toHaveLength(0);
  });

  test('an unknown caller’s body is not read, and nothing of it reaches the primary', async () => {
    const client = await RawClient.connect(pair.backup, pair.backup.stranger);
    client.send('PUT /blunt/echo/a HTTP/1.1\r\ncontent-length: 4000000\r\n\r\n');
    const reply = await client.reply();
    expect([reply.status, reply.body.toString()]).toEqual([
      401,
      'no: Invalid authentication credentials.',
    ]);
    expect(pair.backup.service.forwarded).toHaveLength(0);
    client.close();
  });

  test('nobody is called unknown by a backup that cannot catch up', async () => {
    pair.backup.service.failure = new CodedError('InternalError', 'no leader was confirmed', {
      status: 503,
      retryAfterSeconds: 1,
    });
    const reply = await ask('GET', '/blunt/read', {}, 'stranger');
    expect([reply.status, reply.body.toString()]).toEqual([503, 'no: no leader was confirmed']);
  });
});

describe('a session that has written through a backup', () => {
  test('reads what it wrote: from the primary, until the backup has it', async () => {
    const client = await RawClient.connect(pair.backup, pair.backup.user);
    await client.ask('POST', '/app/log/private', ENTRY);
    const early = await client.ask('GET', '/app/log/private?id=1');
    expect([jsonOf(early), early.headers.get(TXID)]).toEqual([{ msg: 'first' }, '2.2']);
    expect(pair.backup.service.forwarded).toHaveLength(2);
    pair.backup.service.catchUp();
    expect(jsonOf(await client.ask('GET', '/app/log/private?id=1'))).toEqual({ msg: 'first' });
    expect(pair.backup.service.forwarded).toHaveLength(2);
    client.close();
  });

  test('as long as what it was shown is not committed, as far as the backup knows', async () => {
    await open({}, { service: { commitsAtOnce: false } });
    const client = await RawClient.connect(pair.backup, pair.backup.user);
    await client.ask('POST', '/app/log/private', ENTRY);
    pair.backup.service.catchUp();
    await client.ask('GET', '/app/log/private?id=1');
    expect(pair.backup.service.forwarded).toHaveLength(2);
    pair.primary.service.commit();
    pair.backup.service.catchUp();
    await client.ask('GET', '/app/log/private?id=1');
    expect(pair.backup.service.forwarded).toHaveLength(2);
    client.close();
  });

  test('says what it was shown, and executes nothing more once that is lost', async () => {
    await open({}, { service: { commitsAtOnce: false } });
    const client = await RawClient.connect(pair.backup, pair.backup.user);
    await client.ask('POST', '/app/log/private', ENTRY);
    const headers = { 'x-concordat-min-txid': '2.1' };
    await client.ask('POST', '/app/log/private', { ...ENTRY, headers });
    expect(pair.backup.service.forwarded.at(-1)?.headers).toContainEqual({
      name: 'x-concordat-min-txid',
      value: '2.2',
    });
    // A new primary does not have either; the backup has not heard of that.
    pair.primary.service.elect();
    const lost = await client.ask('POST', '/app/log/private', ENTRY);
    expect([lost.status, codeOf(lost)]).toEqual([500, 'SessionConsistencyLost']);
    expect(pair.primary.service.committed().seqno).toBe(2);
    pair.backup.service.catchUp();
    const known = await client.ask('GET', '/app/log/private/count');
    expect([known.status, codeOf(known)]).toEqual([500, 'SessionConsistencyLost']);
    await client.closed();
    expect(pair.backup.service.forwarded).toHaveLength(3);
  });
});

describe('a primary that does not answer', () => {
  test('is a 504 in plain text, as CCF says it; nothing is sent again', async () => {
    await open({ forwardingMsMax: 100 });
    let answerLate = (): void => undefined;
    pair.backup.service.forwardTo = (request) =>
      new Promise((resolve) => {
        answerLate = () => resolve(pair.primary.door.executeForwarded(request));
      });
    const client = await RawClient.connect(pair.backup, pair.backup.user);
    const reply = await client.ask('POST', '/app/log/private', ENTRY);
    expect([reply.status, reply.headers.get('content-type')]).toEqual([504, 'text/plain']);
    expect(reply.body.toString()).toMatch(/^The primary did not answer within 100 ms/);
    expect(pair.backup.service.forwarded).toHaveLength(1);
    // What comes too late changes nothing here; and the session cannot tell whether it has written.
    answerLate();
    await until(() => pair.primary.service.runs.length === 1);
    pair.backup.service.forwardTo = (request) => pair.primary.door.executeForwarded(request);
    expect(jsonOf(await client.ask('GET', '/app/log/private?id=1'))).toEqual({ msg: 'first' });
    pair.backup.service.catchUp();
    await client.ask('GET', '/app/log/private?id=1');
    expect(pair.backup.service.forwarded).toHaveLength(3);
    client.close();
  });

  test('is said in the application’s own words, where it has its own', async () => {
    await open({ forwardingMsMax: 50 });
    pair.backup.service.forwardTo = () => new Promise(() => undefined);
    const reply = await ask('PUT', '/blunt/kept');
    expect(reply.status).toBe(504);
    expect(reply.body.toString()).toMatch(/^no: The primary did not answer/);
  });

  test('is waited for where an endpoint may take longer than the interface allows', async () => {
    await open({ forwardingMsMax: 50 });
    pair.backup.service.forwardTo = async (request) => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      return await pair.primary.door.executeForwarded(request);
    };
    const reply = await ask('PUT', '/blunt/slow');
    expect([reply.status, reply.body.toString()]).toEqual([200, 'at last']);
  });

  test('is lost on the way: a write is not sent again', async () => {
    let sent = 0;
    pair.backup.service.forwardTo = () => {
      sent += 1;
      const message = 'the connection to the primary broke';
      return Promise.reject(new CodedError('InternalError', message, { status: 503 }));
    };
    const reply = await ask('POST', '/app/log/private', ENTRY);
    expect([reply.status, codeOf(reply), sent]).toEqual([503, 'InternalError', 1]);
  });

  test('is lost on the way: a read is', async () => {
    const client = await RawClient.connect(pair.backup, pair.backup.user);
    await client.ask('POST', '/app/log/private', ENTRY);
    const forwardTo = pair.backup.service.forwardTo;
    pair.backup.service.forwardTo = () => {
      pair.backup.service.forwardTo = forwardTo;
      return Promise.reject(new CodedError('InternalError', 'it broke', { status: 503 }));
    };
    expect(jsonOf(await client.ask('GET', '/app/log/private?id=1'))).toEqual({ msg: 'first' });
    client.close();
  });
});

describe('during an election', () => {
  test('a write is held until there is a primary, and executed once', async () => {
    const { service } = pair.backup;
    const forwardTo = service.forwardTo;
    service.forwardTo = undefined;
    service.primaryId = undefined;
    const reply = ask('POST', '/app/log/private', ENTRY);
    await until(() => pair.backup.door.stats().counters.held === 1);
    await new Promise((resolve) => setTimeout(resolve, 200));
    service.forwardTo = forwardTo;
    service.primaryId = pair.primary.service.nodeId;
    expect((await reply).status).toBe(200);
    expect(service.forwarded).toHaveLength(1);
    expect(pair.primary.service.runs).toHaveLength(1);
  });

  test('one that reached a node that is no primary is sent again', async () => {
    pair.primary.service.role = 'candidate';
    const reply = ask('POST', '/app/log/private', ENTRY);
    await until(() => pair.backup.service.forwarded.length >= 2);
    expect(pair.primary.service.runs).toHaveLength(0);
    pair.primary.service.role = 'primary';
    expect((await reply).status).toBe(200);
    expect(pair.primary.service.runs).toHaveLength(1);
  });

  test('a node that becomes the primary itself executes what it holds', async () => {
    const { service } = pair.backup;
    service.forwardTo = undefined;
    service.primaryId = undefined;
    const reply = ask('POST', '/app/log/private', ENTRY);
    await until(() => pair.backup.door.stats().counters.held === 1);
    service.role = 'primary';
    expect((await reply).headers.get(TXID)).toBe('2.2');
    expect(pair.primary.service.runs).toHaveLength(0);
  });

  test('a primary that was deposed before it began has it done elsewhere', async () => {
    const { service } = pair.primary;
    service.role = 'primary';
    let letGo = (): void => undefined;
    service.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    service.forwardTo = (request) => pair.backup.door.executeForwarded(request);
    const client = await RawClient.connect(pair.primary, pair.primary.user);
    const reply = client.ask('POST', '/app/log/private', ENTRY);
    await until(() => service.runs.length === 1);
    service.role = 'backup';
    service.primaryId = pair.backup.service.nodeId;
    pair.backup.service.role = 'primary';
    letGo();
    expect((await reply).status).toBe(200);
    expect(pair.backup.service.committed().seqno).toBe(2);
    expect(service.committed().seqno).toBe(1);
    client.close();
  });

  test('one that finds no primary in time is a 503 that says when to ask again', async () => {
    await open({ holdMsMax: 150 });
    pair.backup.service.forwardTo = undefined;
    const began = performance.now();
    const reply = await ask('POST', '/app/log/private', ENTRY);
    expect([reply.status, codeOf(reply), reply.headers.get('retry-after')]).toEqual([
      503,
      'InternalError',
      '1',
    ]);
    expect(performance.now() - began).toBeGreaterThan(100);
  });

  test('one whose client hangs up is forgotten at once, and its room given back', async () => {
    pair.backup.service.forwardTo = undefined;
    pair.backup.service.primaryId = undefined;
    const client = await RawClient.connect(pair.backup, pair.backup.user);
    const reply = client.ask('POST', '/app/log/private', ENTRY);
    await until(() => pair.backup.door.stats().counters.held === 1);
    const began = performance.now();
    client.close();
    await expect(reply).rejects.toThrow();
    await until(() => pair.backup.door.stats().bodies.bytesInFlight === 0);
    // Long before its four seconds are over.
    expect(performance.now() - began).toBeLessThan(2_000);
    pair.backup.service.primaryId = pair.primary.service.nodeId;
    pair.backup.service.forwardTo = (request) => pair.primary.door.executeForwarded(request);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(pair.backup.service.forwarded).toHaveLength(0);
  });
});

describe('bodies in flight', () => {
  test('are counted on both nodes until there is an answer', async () => {
    let letGo = (): void => undefined;
    pair.primary.service.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    const body = Buffer.alloc(1_000_000, 'x');
    const reply = ask('PUT', '/blunt/echo/a', { body });
    await until(() => pair.primary.service.runs.length === 1);
    for (const { door } of [pair.primary, pair.backup]) {
      expect(door.stats().bodies.bytesInFlight).toBe(body.length);
    }
    letGo();
    expect((await reply).status).toBe(201);
  });
});
