// A plain connection: requests read from whatever pieces they come in, answers in order or, where
// asked for, as they are ready, long answers whole, and the handing over to Node's server.

import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PlainCall } from '../../src/wire/plain-call.ts';
import { PlainConnection } from '../../src/wire/plain-connection.ts';

const KEPT = { last: false, dated: false };

let calls: PlainCall[];
let connection: PlainConnection;
let writes: number;
let server: Server;
let whole: HttpServer;
let client: Socket;
let heard: string;

beforeEach(async () => {
  calls = [];
  writes = 0;
  heard = '';
  whole = createHttpServer((request, response) => {
    response.sendDate = false;
    response.end(`node: ${request.method} ${request.url}`);
  });
  server = createServer({ allowHalfOpen: true }, (socket) => {
    connection = new PlainConnection(
      socket,
      { requiresHost: false, callsMax: 8 },
      {
        onCall: (call) => calls.push(call),
        onUnusual: (given) => whole.emit('connection', given),
        flushSoon: (ready) => setImmediate(() => ready.write()),
      },
    );
    const write = socket.write.bind(socket);
    socket.write = ((...args: Parameters<typeof write>) => {
      writes += 1;
      return write(...args);
    }) as typeof socket.write;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.setNoDelay(true);
  client.on('data', (bytes: Buffer) => {
    heard += bytes.toString('latin1');
  });
  client.on('error', () => undefined);
  await once(client, 'connect');
});

afterEach(() => {
  client.destroy();
  server.close();
});

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}

async function callsCome(count: number): Promise<readonly PlainCall[]> {
  await until(() => calls.length >= count);
  return calls;
}

function answer(call: PlainCall | undefined, body: string): void {
  call?.head(200, ['content-length', String(body.length)], KEPT);
  call?.end(body);
}

function bodyOf(call: PlainCall): Promise<string | undefined> {
  return new Promise((resolve) => {
    call.readBody(1000, (body) => {
      resolve(body === undefined ? undefined : Buffer.from(body).toString());
    });
  });
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\n\r\n`;
const post = (path: string, body: string): string =>
  `POST ${path} HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

describe('requests', () => {
  test('are read whole from single bytes', async () => {
    for (const byte of post('/a', 'one') + get('/b')) {
      client.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const [first, second] = await callsCome(2);
    expect(first?.target).toBe('/a');
    expect(first === undefined ? '' : await bodyOf(first)).toBe('one');
    expect(second?.target).toBe('/b');
  });

  test('are given before their body has come, and told of it', async () => {
    client.write('POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\none');
    const [call] = await callsCome(1);
    expect(call?.complete).toBe(false);
    expect(connection.partial).toBe('body');
    const body = call === undefined ? undefined : bodyOf(call);
    client.write('two');
    expect(await body).toBe('onetwo');
    expect(connection.partial).toBeUndefined();
  });

  test('with a body beyond the bound of who asks are not read', async () => {
    client.write(post('/a', 'x'.repeat(1001)));
    const [call] = await callsCome(1);
    expect(call === undefined ? '' : await bodyOf(call)).toBeUndefined();
  });

  test('of a client that has hung up are not wanted any more', async () => {
    client.write(get('/a'));
    const [call] = await callsCome(1);
    client.end();
    await until(() => call?.gone === true);
  });

  test('with a body that nobody wants are read to their end', async () => {
    client.write('POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\none');
    const [call] = await callsCome(1);
    const received = new Promise<void>((resolve) => call?.whenReceived(resolve));
    client.write(`two${get('/b')}`);
    await received;
    const [, second] = await callsCome(2);
    expect(second?.target).toBe('/b');
  });

  test('whose connection breaks within a body say so', async () => {
    client.write('POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\none');
    const [call] = await callsCome(1);
    const broken = new Promise<string>((resolve) =>
      call?.readBody(
        10,
        () => resolve('read'),
        () => resolve('broken'),
      ),
    );
    client.destroy();
    expect(await broken).toBe('broken');
    expect(call?.gone).toBe(true);
  });
});

describe('answers', () => {
  test('leave in order, and in one piece if they are ready together', async () => {
    client.write(get('/a') + get('/b') + get('/c'));
    const [a, b, c] = await callsCome(3);
    answer(c, 'third');
    answer(b, 'second');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(heard).toBe('');
    answer(a, 'first');
    await until(() => heard.includes('third'));
    expect(heard.replaceAll(/HTTP.*\r\n.*\r\n\r\n/g, '|')).toBe('|first|second|third');
    expect(writes).toBe(1);
  });

  test('of calls that may pass leave as they are ready', async () => {
    client.write(get('/a') + get('/b'));
    const [a, b] = await callsCome(2);
    a?.letPass();
    b?.letPass();
    answer(b, 'second');
    await until(() => heard.includes('second'));
    answer(a, 'first');
    await until(() => heard.includes('first'));
  });

  test('that are long are never cut by another', async () => {
    client.write(get('/a') + get('/b') + get('/c'));
    const [a, b, c] = await callsCome(3);
    for (const call of [a, b, c]) call?.letPass();
    const piece = Buffer.alloc(100_000, 'x');
    a?.head(200, ['content-length', '200000'], KEPT);
    expect(a?.write(piece)).toBe(false);
    answer(b, 'second');
    const room = a?.drained();
    await room;
    expect(heard).not.toContain('second');
    a?.write(piece);
    a?.end();
    answer(c, 'third');
    await until(() => heard.includes('third'));
    const [, body = ''] = heard.split('\r\n\r\n');
    expect(body.startsWith('x'.repeat(200_000))).toBe(true);
    expect(heard.indexOf('second')).toBeLessThan(heard.indexOf('third'));
  });

  test('say that they were written, also one whose end adds nothing', async () => {
    client.write(get('/a'));
    const [a] = await callsCome(1);
    const written = new Promise<void>((resolve) => a?.whenWritten(resolve));
    a?.head(200, ['content-length', '1'], KEPT);
    a?.write(Buffer.from('x'));
    await until(() => heard.endsWith('x'));
    a?.end();
    await written;
    await until(() => connection.idle);
  });

  test('may be the last: then the connection ends, and nothing follows', async () => {
    client.write(get('/a') + get('/b'));
    const [a, b] = await callsCome(2);
    answer(b, 'second');
    a?.head(200, ['content-length', '0'], { last: true, dated: false });
    a?.end();
    await once(client, 'end');
    expect(heard).toBe('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  });

  test('cannot smuggle a header in another', async () => {
    client.write(get('/a'));
    const [a] = await callsCome(1);
    expect(() => a?.head(200, ['location', 'x\r\nset-cookie: y'], KEPT)).toThrow();
    expect(() => a?.head(200, ['a: b\r\nc', 'x'], KEPT)).toThrow();
  });

  test('to HEAD have no body', async () => {
    client.write('HEAD /a HTTP/1.1\r\n\r\n');
    const [a] = await callsCome(1);
    answer(a, 'unseen');
    await until(() => heard.endsWith('\r\n\r\n'));
    await until(() => connection.idle);
    expect(heard).toBe('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n');
  });
});

describe('a client that asks for more than it is given', () => {
  test('finds what is beyond the bound unread, until others are answered', async () => {
    client.write(Array.from({ length: 20 }, (_, at) => get(`/${at}`)).join(''));
    await callsCome(8);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([calls.length, connection.partial]).toEqual([8, undefined]);
    for (let at = 0; at < 20; at += 1) {
      const target = `/${at}`;
      await until(() => calls.length > at);
      expect(calls[at]?.target).toBe(target);
      answer(calls[at], target);
    }
    await until(() => heard.endsWith('/19'));
  });

  test('and reads no answers is not read either, whichever may pass', async () => {
    client.pause();
    client.write(get('/a').repeat(10_000));
    const body = 'x'.repeat(1_000_000);
    let answered = 0;
    for (let quiet = 0; quiet < 20; quiet += 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      for (; answered < calls.length; answered += 1) {
        quiet = 0;
        calls[answered]?.letPass();
        answer(calls[answered], body);
      }
    }
    expect(answered).toBeLessThan(100);
    client.resume();
    const before = answered;
    await until(() => calls.length > before);
  });
});

describe('what is not ordinary', () => {
  test('goes to the parser of Node, after the answers to what came before', async () => {
    const chunked = 'POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n';
    client.write(get('/a') + get('/b') + chunked);
    const [a, b] = await callsCome(2);
    client.write('abc\r\n0\r\n\r\nGET /d HTTP/1.1\r\nHost: a\r\n\r\n');
    answer(b, 'second');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(heard).toBe('');
    answer(a, 'first');
    await until(() => heard.includes('node: GET /d'));
    const order = ['first', 'second', 'node: POST /c', 'node: GET /d'];
    expect(order.map((one) => heard.indexOf(one))).toEqual(
      order.map((one) => heard.indexOf(one)).sort((left, right) => left - right),
    );
    expect(calls).toHaveLength(2);
  });
});
