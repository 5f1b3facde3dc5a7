// How long a connector's connections may be silent or slow, and how they end when it stops.

import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  REQUEST_HEADERS_MS_MAX,
  REQUEST_MS_MAX,
  SESSION_IDLE_MS_MAX,
} from '../../src/base/limits.ts';
import { Inlet } from '../../src/connector/inlet.ts';
import type { Call } from '../../src/wire/call.ts';
import { ManualTime } from '../support/manual-time.ts';

const SWEEPS_MS = 2_000;

let time: ManualTime;
let inlet: Inlet;
let calls: Call[];
let client: Socket;
let heard: string;

beforeEach(async () => {
  time = new ManualTime();
  calls = [];
  heard = '';
  inlet = new Inlet(undefined, { timers: time, handle: (call) => calls.push(call) });
  inlet.server.listen(0, '127.0.0.1');
  await once(inlet.server, 'listening');
  client = connect((inlet.server.address() as AddressInfo).port, '127.0.0.1');
  client.on('data', (bytes: Buffer) => {
    heard += bytes.toString('latin1');
  });
  client.on('error', () => undefined);
  await once(client, 'connect');
});

afterEach(async () => {
  client.destroy();
  await inlet.close();
});

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Lets the connector read what was sent, then time pass. */
async function pass(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 30));
  await time.advance(ms);
  await new Promise((resolve) => setTimeout(resolve, 30));
}

const GET = 'GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n';

function answer(call: Call | undefined): void {
  call?.head(200, ['content-length', '2'], { last: false, dated: false });
  call?.end('ok');
}

describe('a connection', () => {
  test('ends when it has been idle for too long, and not before', async () => {
    client.write(GET);
    await until(() => calls.length === 1);
    answer(calls[0]);
    await until(() => heard.endsWith('ok'));
    await pass(SWEEPS_MS);
    await pass(SESSION_IDLE_MS_MAX - SWEEPS_MS - 1_000);
    expect(client.closed).toBe(false);
    await pass(SWEEPS_MS + 1_000);
    await until(() => client.closed);
  });

  test('is kept while it waits for an answer', async () => {
    client.write(GET);
    await until(() => calls.length === 1);
    for (let times = 0; times < 5; times += 1) await pass(SESSION_IDLE_MS_MAX);
    expect(client.closed).toBe(false);
    answer(calls[0]);
    await until(() => heard.endsWith('ok'));
  });

  test.each([
    ['a head', 'GET /a HTTP/1.1\r\nHost: ', 'x', REQUEST_HEADERS_MS_MAX],
    [
      'a body',
      'POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n',
      'x',
      REQUEST_MS_MAX,
    ],
  ])('ends when %s comes in too slowly', async (_what, first, more, limitMs) => {
    client.write(first);
    await pass(SWEEPS_MS);
    for (let fifths = 0; fifths < 4; fifths += 1) {
      client.write(more);
      await pass(limitMs / 5);
    }
    expect(client.closed).toBe(false);
    await pass(limitMs / 5 + SWEEPS_MS);
    await until(() => client.closed);
  });
});

describe('when it stops', () => {
  test('a request that is on its way, or half here, is still answered', async () => {
    client.write(GET.slice(0, 10));
    await new Promise((resolve) => setTimeout(resolve, 30));
    const stopped = inlet.close();
    await new Promise((resolve) => setTimeout(resolve, 60));
    client.write(GET.slice(10));
    await until(() => calls.length === 1);
    answer(calls[0]);
    await stopped;
    expect(heard.endsWith('ok')).toBe(true);
  });

  test('connections end after the answers they wait for, of either way of reading', async () => {
    const other = connect((inlet.server.address() as AddressInfo).port, '127.0.0.1');
    other.write('OPTIONS /b HTTP/1.1\r\nHost: localhost\r\n\r\n');
    client.write(GET);
    await until(() => calls.length === 2);
    const stopped = inlet.close();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(client.closed).toBe(false);
    for (const call of calls) answer(call);
    await stopped;
    await until(() => client.closed);
    expect(heard.endsWith('ok')).toBe(true);
    other.destroy();
  });
});
