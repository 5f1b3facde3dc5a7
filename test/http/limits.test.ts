// Every bound of the front door, reached (http-api.md §9, src/base/limits.ts).

import { connect as connectTcp } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { codeOf, jsonOf, RawClient } from './client.ts';
import { type House, type HouseOptions, openHouse } from './house.ts';

let houses: House[] = [];

async function house(options: HouseOptions = {}): Promise<House> {
  const opened = await openHouse({ sweepMs: 20, lingerMsMax: 200, ...options });
  houses.push(opened);
  return opened;
}

afterEach(async () => {
  await Promise.all(houses.map((one) => one.close()));
  houses = [];
});

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const POST = 'POST /app/log/private HTTP/1.1\r\n';

describe('sizes', () => {
  test('one header that is too large is a 431 that names it, as CCF does', async () => {
    const client = await RawClient.connect(await house());
    const reply = await client.ask('GET', '/app/commit', {
      headers: { 'X-Big': 'a'.repeat(20_000) },
    });
    expect(reply.status).toBe(431);
    expect(jsonOf(reply)).toEqual({
      error: {
        code: 'RequestHeaderTooLarge',
        message: "Header value for 'x-big' is too large (max size allowed: 16384)",
      },
    });
    await client.closed();
  });

  test.each([
    ['many small ones', 'x: y\r\n'.repeat(3000)],
    ['one beyond what is parsed at all', `x-huge: ${'a'.repeat(200_000)}\r\n`],
    ['more than 256', 'a: b\r\n'.repeat(257)],
  ])('headers: %s are a 431, and the connection ends', async (_what, headers) => {
    const target = await house();
    const client = await RawClient.connect(target);
    client.send(`GET /app/commit HTTP/1.1\r\n${headers}\r\n`);
    const reply = await client.reply();
    expect([reply.status, codeOf(reply)]).toEqual([431, 'RequestHeaderTooLarge']);
    await client.closed();
  });

  test('256 headers are fine', async () => {
    const client = await RawClient.connect(await house());
    client.send(`GET /app/commit HTTP/1.1\r\n${'a: b\r\n'.repeat(256)}\r\n`);
    expect((await client.reply()).status).toBe(200);
    client.close();
  });

  test('a body that says it is too large is a 413 at once, as CCF does', async () => {
    const target = await house();
    const client = await RawClient.connect(target, target.user);
    client.send(`${POST}content-length: 1048577\r\n\r\n`);
    const reply = await client.reply();
    expect(reply.status).toBe(413);
    expect(jsonOf(reply)).toEqual({
      error: {
        code: 'RequestBodyTooLarge',
        message: 'HTTP request body is too large (max size allowed: 1048576)',
      },
    });
    await client.closed();
  });

  test('a client that sends it all the same still sees the answer', async () => {
    const target = await house();
    const client = await RawClient.connect(target, target.user);
    client.send(`${POST}content-length: 1048586\r\n\r\n${'x'.repeat(1_048_586)}`);
    expect((await client.reply()).status).toBe(413);
    await client.closed();
  });

  test('a body of exactly the bound is read', async () => {
    const target = await house();
    const client = await RawClient.connect(target, target.user);
    const body = JSON.stringify({ id: 1, msg: 'x'.repeat(1_048_576 - 17) });
    expect(body).toHaveLength(1_048_576);
    expect((await client.ask('POST', '/app/log/private', { body })).status).toBe(200);
    client.close();
  });

  test('a chunked body that grows too large is a 413, and its room is given back', async () => {
    const target = await house();
    const client = await RawClient.connect(target, target.user);
    client.send(`${POST}transfer-encoding: chunked\r\n\r\n`);
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    client.send(chunk.repeat(17));
    expect(codeOf(await client.reply())).toBe('RequestBodyTooLarge');
    await client.closed();
    expect(target.door.stats().bodies.bytesInFlight).toBe(0);
  });
});

describe('bodies in flight', () => {
  test('beyond the bound wait unread, in order, and go on as others end', async () => {
    const target = await house({ bodiesInFlightBytesMax: 1_500_000 });
    let letGo = (): void => undefined;
    target.service.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    const body = JSON.stringify({ id: 1, msg: 'x'.repeat(1_000_000) });
    const request = `${POST}content-length: ${body.length}\r\n\r\n${body}`;
    const clients = await Promise.all(
      [1, 2, 3].map(() => RawClient.connect(target, target.user)),
    );
    const [first, ...others] = clients;
    first?.send(request);
    await until(() => target.service.runs.length === 1);
    for (const client of others) client.send(request);
    await until(() => target.door.stats().bodies.requestsWaiting === 2);
    expect(target.door.stats().bodies.bytesInFlight).toBe(body.length);
    // A request without a body is not held up.
    const other = await RawClient.connect(target);
    expect((await other.ask('GET', '/app/commit')).status).toBe(200);
    expect(target.service.runs).toHaveLength(1);
    letGo();
    for (const client of clients) expect((await client.reply()).status).toBe(200);
    expect(target.door.stats().bodies).toEqual({ bytesInFlight: 0, requestsWaiting: 0 });
  });

  test('one that gives up while it waits makes room for the next', async () => {
    const target = await house({ bodiesInFlightBytesMax: 1_048_576 });
    const hold = await RawClient.connect(target, target.user);
    hold.send(`${POST}content-length: 1000000\r\n\r\n`);
    await until(() => target.door.stats().bodies.bytesInFlight === 1_000_000);
    const waiting = await RawClient.connect(target, target.user);
    waiting.send(`${POST}content-length: 900000\r\n\r\n`);
    await until(() => target.door.stats().bodies.requestsWaiting === 1);
    waiting.close();
    await until(() => target.door.stats().bodies.requestsWaiting === 0);
    hold.close();
    await until(() => target.door.stats().bodies.bytesInFlight === 0);
  });
});

describe('sessions', () => {
  test('beyond the soft cap are told at their first request, at the hard cap dropped', async () => {
    const target = await house({ sessionsSoftMax: 2, sessionsHardMax: 3 });
    const first = await RawClient.connect(target);
    const second = await RawClient.connect(target);
    const third = await RawClient.connect(target);
    await expect(RawClient.connect(target)).rejects.toThrow();
    const reply = await third.ask('GET', '/app/commit');
    expect(reply.status).toBe(503);
    expect(jsonOf(reply)).toEqual({
      error: {
        code: 'SessionCapExhausted',
        message: 'Service is currently busy and unable to serve new connections',
      },
    });
    await third.closed();
    expect((await second.ask('GET', '/app/commit')).status).toBe(200);
    first.close();
    await until(() => target.door.stats().sessions.active === 1);
    const fourth = await RawClient.connect(target);
    expect((await fourth.ask('GET', '/app/commit')).status).toBe(200);
    expect(target.door.stats().sessions).toMatchObject({ active: 2, peak: 3 });
    expect(target.door.stats().counters.dropped).toBe(1);
  });
});

describe('time', () => {
  test('an idle session is closed, one that asks now and then is not', async () => {
    const target = await house({ idleMsMax: 300 });
    const idle = await RawClient.connect(target);
    const busy = await RawClient.connect(target);
    while (!idle.isClosed) {
      expect((await busy.ask('GET', '/app/commit')).status).toBe(200);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(target.door.stats().counters).toMatchObject({ idleSessions: 1, slowSessions: 0 });
    busy.close();
  });

  test('a request that takes the service long is not idleness', async () => {
    const target = await house({ idleMsMax: 100, headersMsMax: 100, requestMsMax: 100 });
    target.service.gate = new Promise((resolve) => setTimeout(resolve, 400));
    const client = await RawClient.connect(target, target.user);
    expect((await client.ask('GET', '/app/log/private/count')).status).toBe(200);
    client.close();
  });

  test('headers that trickle in are cut off, long before a session counts as idle', async () => {
    const target = await house({ idleMsMax: 60_000, headersMsMax: 200 });
    const client = await RawClient.connect(target);
    client.send('GET /app/commit HTTP/1.1\r\n');
    const timer = setInterval(() => client.send('a: b\r\n'), 20);
    await client.closed();
    clearInterval(timer);
    expect(target.door.stats().counters.slowSessions).toBe(1);
  });

  test('a body that trickles in is cut off, and its room is given back', async () => {
    const target = await house({ requestMsMax: 200 });
    const client = await RawClient.connect(target, target.user);
    client.send(`${POST}content-length: 1000\r\n\r\n`);
    const timer = setInterval(() => client.send('x'), 20);
    await client.closed();
    clearInterval(timer);
    await until(() => target.door.stats().bodies.bytesInFlight === 0);
    expect(target.door.stats().counters.slowSessions).toBe(1);
  });

  test('a connection that never begins TLS is cut off', async () => {
    const target = await house({ handshakeMsMax: 200 });
    const socket = connectTcp(target.port, target.host);
    socket.resume().on('error', () => undefined);
    await new Promise((resolve) => socket.on('close', resolve));
    expect(target.door.stats().counters.handshakesFailed).toBe(1);
  });
});

describe('what cannot be parsed', () => {
  test.each([
    ['\u0001'],
    ['NOTAVERB /\r\n\r\n'],
    ['POST / HTTP/42.42\r\n\r\n'],
    ['GET /app/commit HTTP/1.1\r\nno colon\r\n\r\n'],
    ['GET /app/commit HTTP/1.1\r\ncontent-length: x\r\n\r\n'],
    ['POST /app/log/private HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['POST /x HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['{"hello": "this is not HTTP"}'],
  ])('%j: 400 in plain text with the piece in question, then the end', async (bytes) => {
    const target = await house();
    const client = await RawClient.connect(target, target.user);
    client.send(bytes);
    const reply = await client.reply();
    expect([reply.status, reply.headers.get('content-type')]).toEqual([400, 'text/plain']);
    expect(reply.body.toString()).toMatch(/^Unable to parse data as a HTTP request\./);
    expect(reply.body.includes(bytes)).toBe(true);
    await client.closed();
    expect(target.door.stats().counters.unparsable).toBe(1);
  });

  test('in the middle of a body: 400, and the body’s room is given back', async () => {
    const target = await house();
    const client = await RawClient.connect(target, target.user);
    client.send(`${POST}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`);
    await until(() => target.door.stats().bodies.bytesInFlight > 0);
    client.send('not a length\r\n');
    expect((await client.reply()).status).toBe(400);
    await client.closed();
    expect(target.door.stats().bodies.bytesInFlight).toBe(0);
  });
});
