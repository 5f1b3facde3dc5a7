// Sessions: requests in order and one at a time, what a session was shown, certificates that are
// exchanged under it, and how the door is closed.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Application } from '../../src/apps/interface.ts';
import { REQUESTS_ABREAST_MAX } from '../../src/base/limits.ts';
import { testIdentity } from './certificates.ts';
import { askOnce, codeOf, jsonOf, RawClient } from './client.ts';
import { type House, openHouse } from './house.ts';

const post = (id: number): string => {
  const body = `{"id":${id},"msg":"message ${id}"}`;
  return `POST /app/log/private HTTP/1.1\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
};
const get = (id: number): string => `GET /app/log/private?id=${id} HTTP/1.1\r\n\r\n`;

let house: House;

beforeEach(async () => {
  house = await openHouse({ service: { commitsAtOnce: false }, lingerMsMax: 300, sweepMs: 50 });
});

afterEach(() => house.close());

/** Something that holds every run until it is let go. */
function gate(): () => void {
  let letGo = (): void => undefined;
  house.service.gate = new Promise((resolve) => {
    letGo = () => {
      house.service.gate = undefined;
      resolve();
    };
  });
  return letGo;
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('pipelined requests', () => {
  test('are executed one after another and answered in order', async () => {
    const client = await RawClient.connect(house, house.user);
    const ids = Array.from({ length: 100 }, (_, index) => index);
    client.send(ids.map((id) => post(id) + get(id)).join(''));
    for (const id of ids) {
      expect((await client.reply()).body.toString()).toBe('true');
      expect(jsonOf(await client.reply())).toEqual({ msg: `message ${id}` });
    }
    client.close();
  });

  test('a quick one waits for the slow one before it', async () => {
    const letGo = gate();
    const client = await RawClient.connect(house, house.user);
    client.send(`${get(1)}GET /app/commit HTTP/1.1\r\n\r\n`);
    await until(() => house.service.runs.length === 1);
    letGo();
    expect(codeOf(await client.reply())).toBe('ResourceNotFound');
    expect((await client.reply()).status).toBe(200);
    client.close();
  });

  test('that came in whole are answered before what follows is called unparsable', async () => {
    const letGo = gate();
    const client = await RawClient.connect(house, house.user);
    client.send(`${post(1)}${get(1)}\u0001\u0002 is not HTTP\r\n\r\n`);
    await until(() => house.service.runs.length === 1);
    letGo();
    expect((await client.reply()).status).toBe(200);
    expect(jsonOf(await client.reply())).toEqual({ msg: 'message 1' });
    expect((await client.reply()).status).toBe(400);
    await client.closed();
  });

  test('beyond the bound are not taken in: those before are answered, then 503', async () => {
    const letGo = gate();
    const client = await RawClient.connect(house, house.user);
    client.send(get(1).repeat(20_000));
    await until(() => house.service.runs.length === 1);
    letGo();
    for (let at = 0; at < 257; at += 1) expect((await client.reply()).status).toBe(400);
    const last = await client.reply();
    expect([last.status, codeOf(last)]).toEqual([503, 'TooManyPendingRequests']);
    await client.closed();
    expect(house.service.runs).toHaveLength(257);
  });

  test('a client that hangs up leaves nothing behind', async () => {
    const letGo = gate();
    const client = await RawClient.connect(house, house.user);
    client.send(post(1) + post(2));
    await until(() => house.service.runs.length === 1);
    client.close();
    await until(() => house.door.stats().sessions.active === 0);
    letGo();
    await until(() => house.door.stats().bodies.bytesInFlight === 0);
    // What was being executed is; what waited behind it is not.
    expect(house.service.runs).toHaveLength(1);
  });
});

describe('tagged requests', () => {
  const tagged = (tag: string, request: string): string =>
    request.replace('\r\n', `\r\nx-concordat-tag: ${tag}\r\n`);

  test('are executed beside each other and answered as they are done', async () => {
    const letGo = gate();
    const client = await RawClient.connect(house, house.user);
    client.send(tagged('7', get(1)));
    await until(() => house.service.runs.length === 1);
    client.send(tagged('8', 'GET /app/commit HTTP/1.1\r\n\r\n'));
    const quick = await client.reply();
    expect([quick.status, quick.headers.get('x-concordat-tag')]).toEqual([200, '8']);
    letGo();
    const slow = await client.reply();
    expect([codeOf(slow), slow.headers.get('x-concordat-tag')]).toEqual([
      'ResourceNotFound',
      '7',
    ]);
    client.close();
  });

  test('beyond the bound wait until one of those before them is answered', async () => {
    const letGo = gate();
    const client = await RawClient.connect(house, house.user);
    const tags = Array.from({ length: REQUESTS_ABREAST_MAX + 6 }, (_, at) => String(at));
    client.send(tags.map((tag) => tagged(tag, get(1))).join(''));
    await until(() => house.service.runs.length === REQUESTS_ABREAST_MAX);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(house.service.runs).toHaveLength(REQUESTS_ABREAST_MAX);
    letGo();
    const told = [];
    for (const _tag of tags) told.push((await client.reply()).headers.get('x-concordat-tag'));
    expect(new Set(told)).toEqual(new Set(tags));
    client.close();
  });

  test('wait for one without a tag, which waits for all before it', async () => {
    const letGo = gate();
    const client = await RawClient.connect(house, house.user);
    const commit = 'GET /app/commit HTTP/1.1\r\n\r\n';
    client.send(tagged('1', get(1)) + commit + tagged('2', commit));
    await until(() => house.service.runs.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    letGo();
    const tags = [await client.reply(), await client.reply(), await client.reply()].map(
      ({ headers }) => headers.get('x-concordat-tag'),
    );
    expect(tags).toEqual(['1', undefined, '2']);
    client.close();
  });

  test('are told by their tags too that the session ends', async () => {
    const client = await RawClient.connect(house, house.user);
    client.send(tagged('5', `GET /app/commit HTTP/1.1\r\nlong: ${'x'.repeat(17_000)}\r\n\r\n`));
    const reply = await client.reply();
    expect([reply.status, reply.headers.get('x-concordat-tag')]).toEqual([431, '5']);
    await client.closed();
  });

  test('with a tag that is none are answered like any other', async () => {
    const client = await RawClient.connect(house, house.user);
    client.send(tagged('one', 'GET /app/commit HTTP/1.1\r\n\r\n'));
    const reply = await client.reply();
    expect([reply.status, reply.headers.has('x-concordat-tag')]).toEqual([200, false]);
    client.close();
  });

  test('of a session that is closed get their answers first, the last one says so', async () => {
    const letGo = gate();
    const client = await RawClient.connect(house, house.user);
    client.send(tagged('1', get(1)) + tagged('2', get(2)));
    await until(() => house.service.runs.length === 2);
    const closed = house.door.close();
    letGo();
    const replies = [await client.reply(), await client.reply()];
    expect(replies.map(({ headers }) => headers.get('connection'))).toEqual([
      undefined,
      'close',
    ]);
    await closed;
  });
});

describe('a client that reads slowly', () => {
  let runs = 0;
  const large: Application = {
    name: 'large',
    archivedTables: [],
    endpoints: [
      {
        verb: 'GET',
        path: '/large',
        authentication: ['no_auth'],
        effect: 'read',
        reads: 'current',
        answers: 'local',
        summary: 'a large answer',
        handle: ({ query }) => {
          runs += 1;
          const body = Buffer.alloc(Number(query), 'x');
          return { kind: 'answer', response: { status: 200, body } };
        },
      },
    ],
  };
  let own: House;

  beforeEach(async () => {
    runs = 0;
    own = await openHouse({ idleMsMax: 1000, sweepMs: 50, applications: [large] });
  });

  afterEach(() => own.close());

  test('is executed slowly, and ends as an idle one if it does not read at all', async () => {
    const client = await RawClient.connect(own);
    client.socket.pause();
    client.send('GET /large?1000000 HTTP/1.1\r\n\r\n'.repeat(100));
    await until(() => runs > 0);
    await until(() => own.door.stats().sessions.active === 0);
    // As many as the kernel's buffers take; a hundred of them would be 100 MB of the node's.
    expect(runs).toBeLessThan(50);
  });

  test('gets all of a long answer, however long after the idle limit', async () => {
    const client = await RawClient.connect(own);
    const bytes = 10_000_000;
    client.send(`GET /large?${bytes} HTTP/1.1\r\n\r\n`);
    const began = performance.now();
    let seen = 0;
    client.socket.removeAllListeners('data');
    client.socket.on('data', (chunk: Buffer) => {
      seen += chunk.length;
      client.socket.pause();
      setTimeout(() => client.socket.resume(), 5);
    });
    await until(() => seen > bytes || client.isClosed);
    expect(seen).toBeGreaterThan(bytes);
    expect(performance.now() - began).toBeGreaterThan(2000);
    client.close();
  });
});

describe('a session', () => {
  test('survives a change of view in which nothing it was shown is lost', async () => {
    const client = await RawClient.connect(house, house.user);
    client.send(post(1));
    await client.reply();
    house.service.commit();
    house.service.elect();
    client.send(get(1));
    expect(jsonOf(await client.reply())).toEqual({ msg: 'message 1' });
    client.close();
  });

  test('is lost when a transaction it was shown is', async () => {
    const client = await RawClient.connect(house, house.user);
    client.send(post(1));
    expect((await client.reply()).headers.get('x-ms-ccf-transaction-id')).toBe('2.2');
    house.service.elect();
    const before = house.service.runs.length;
    client.send(post(2));
    const reply = await client.reply();
    expect([reply.status, codeOf(reply)]).toEqual([500, 'SessionConsistencyLost']);
    expect(reply.body.toString()).toContain('2.2');
    await client.closed();
    expect(house.service.runs).toHaveLength(before);
    // A new session knows of no loss.
    expect((await askOnce(house, house.user, 'GET', '/log/private/count')).status).toBe(200);
  });

  test('is lost when the transaction is lost while a read runs', async () => {
    const client = await RawClient.connect(house, house.user);
    client.send(post(1));
    await client.reply();
    const letGo = gate();
    client.send(get(1));
    await until(() => house.service.runs.length === 2);
    house.service.elect();
    letGo();
    expect(codeOf(await client.reply())).toBe('SessionConsistencyLost');
    await client.closed();
  });
});

describe('the certificate', () => {
  test('can be exchanged: new sessions see the new one, open ones go on', async () => {
    const client = await RawClient.connect(house);
    const renewed = await testIdentity('renewed');
    house.door.setCertificate(renewed);
    const later = await RawClient.connect(house);
    expect(later.socket.getPeerCertificate().subject.CN).toBe('renewed');
    expect((await client.ask('GET', '/app/commit')).status).toBe(200);
    client.close();
    later.close();
  });
});

describe('closing', () => {
  test('answers what is being executed, ends idle sessions, and takes no new ones', async () => {
    const idle = await RawClient.connect(house);
    const busy = await RawClient.connect(house, house.user);
    const letGo = gate();
    busy.send(post(1));
    await until(() => house.service.runs.length === 1);
    const closed = house.door.close();
    await idle.closed();
    await expect(RawClient.connect(house)).rejects.toThrow();
    letGo();
    const reply = await busy.reply();
    expect([reply.status, reply.headers.get('connection')]).toEqual([200, 'close']);
    await busy.closed();
    await closed;
  });

  test('does not wait for ever for what does not end', async () => {
    const stuck = await openHouse({ closeMsMax: 100 });
    stuck.service.gate = new Promise(() => undefined);
    const client = await RawClient.connect(stuck, stuck.user);
    client.send(get(1));
    await until(() => stuck.service.runs.length === 1);
    await stuck.close();
    await client.closed();
  });
});
