// The load generator against servers whose every byte is known.

import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { AnswerReader } from '../../bench/generator/answer-reader.ts';
import { Generator } from '../../bench/generator/generator.ts';
import { goPathEscape, requestBytes } from '../../bench/requests.ts';
import { BareHttps } from '../../bench/systems/bare-https.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

describe('an answer', () => {
  const answers: readonly (readonly [string, string, number, string])[] = [
    ['with a length', OK, 200, 'hello'],
    ['with a length in lowercase', OK.replace('Content-L', 'content-l'), 200, 'hello'],
    ['behind other headers', OK.replace('OK', 'OK\r\nCache: 1\r\nTea: x'), 200, 'hello'],
    ['of no length', 'HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n', 204, ''],
    ['empty', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200, ''],
    [
      'in chunks',
      'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1a;x=y\r\n' +
        `${'\r\n'.repeat(13)}\r\n0\r\n\r\n`,
      201,
      `hello${'\r\n'.repeat(13)}`,
    ],
  ];
  test.each(answers)('%s, cut anywhere, ends where it ends', (_what, text, status, body) => {
    const bytes = Buffer.from(text);
    for (let cut = 1; cut < bytes.length; cut += 1) {
      const reader = new AnswerReader(true);
      expect(reader.push(bytes.subarray(0, cut))).toBe(false);
      expect(reader.push(bytes.subarray(cut))).toBe(true);
      expect(reader.status).toBe(status);
      expect(reader.body.toString()).toBe(body);
      // The next answer on the same connection begins afresh.
      expect(reader.push(bytes)).toBe(true);
      expect(reader.body.toString()).toBe(body);
    }
  });
  test.each([
    ['bytes behind its end', `${OK}!`, 'follow the end'],
    ['no length', 'HTTP/1.1 200 OK\r\nDate: x\r\n\r\n', 'no length'],
    ['nonsense', 'SSH-2.0-x\r\n\r\n', 'not an HTTP answer'],
  ])('with %s is refused', (_what, text, message) => {
    expect(() => new AnswerReader(false).push(Buffer.from(text))).toThrow(message);
  });
});

test('requests are what GoQuorum would send', () => {
  const bytes = requestBytes({
    method: 'POST',
    path: `/transaction/${goPathEscape('a+b/c==')}`,
    host: 'h:1',
    headers: { Accept: 'x' },
    body: 'ü',
  });
  expect(Buffer.from(bytes).toString()).toBe(
    'POST /transaction/a+b%2Fc== HTTP/1.1\r\nHost: h:1\r\nAccept: x\r\nContent-Length: 2\r\n\r\nü',
  );
});

describe('the generator', () => {
  const ends: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  /** Answers each request (they end in a blank line here) as told. */
  async function serve(onRequest: (socket: Socket, text: string) => void): Promise<number> {
    const sockets = new Set<Socket>();
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('data', (bytes: Buffer) => {
        for (const text of bytes.toString().split('\r\n\r\n').slice(0, -1)) {
          onRequest(socket, text);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ends.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  }

  function startGenerator(): Generator {
    const generator = new Generator();
    ends.push(() => generator.stop());
    return generator;
  }

  const targetOf = (
    port: number,
    paths: readonly string[],
    connections: number,
    inFlight = 1,
  ) => ({
    host: '127.0.0.1',
    port,
    connections,
    inFlight,
    expectedStatus: 200,
    requests: paths.map((path) => requestBytes({ method: 'GET', path, host: 'h' })),
  });

  test('sends every request once in turn, and times the waiting', async () => {
    const seen: string[] = [];
    const delayMs = 20;
    const port = await serve((socket, text) => {
      const path = text.split(' ')[1] ?? '';
      seen.push(path);
      const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`;
      setTimeout(() => socket.write(answer), delayMs);
    });
    const generator = startGenerator();
    const paths = ['/a', '/b', '/c', '/d', '/e'];
    await generator.open('it', targetOf(port, paths, 1));
    const result = await generator.run('it', { requests: 5, keepBodies: true });
    expect(seen).toEqual(paths);
    expect(result.bodies).toEqual(paths);
    expect(result.requests).toBe(5);
    expect(result.elapsedMs).toBeGreaterThan(5 * (delayMs - 2));
  });

  test('keeps one request at a time on each connection, and ends when told', async () => {
    let inFlight = 0;
    let most = 0;
    const port = await serve((socket) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      setTimeout(() => {
        inFlight -= 1;
        socket.write(OK);
      }, 5);
    });
    const generator = startGenerator();
    await generator.open('it', targetOf(port, ['/'], 4));
    const result = await generator.run('it', { milliseconds: 200 });
    expect(most).toBe(4);
    expect(inFlight).toBe(0);
    expect(result.requests).toBeGreaterThan(20);
    expect(result.elapsedMs).toBeLessThan(2_000);
  });

  /** Answers in order, whatever it was asked meanwhile, and in pieces that end anywhere. */
  function inPieces(pieceBytes: number) {
    const waiting: string[] = [];
    let most = 0;
    const onRequest = (socket: Socket, text: string): void => {
      waiting.push(text.split(' ')[1] ?? '');
      most = Math.max(most, waiting.length);
      if (waiting.length > 1) return;
      setImmediate(() => {
        const answers = waiting
          .splice(0)
          .map((path) => `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`)
          .join('');
        for (let at = 0; at < answers.length; at += pieceBytes) {
          socket.write(answers.slice(at, at + pieceBytes));
        }
      });
    };
    return { onRequest, most: () => most };
  }

  test.each([7, 61, 100_000])(
    'keeps several requests on their way, answered in pieces of %d bytes',
    async (pieceBytes) => {
      const server = inPieces(pieceBytes);
      const port = await serve(server.onRequest);
      const generator = startGenerator();
      const paths = Array.from({ length: 40 }, (_, number) => `/${'x'.repeat(number)}`);
      await generator.open('it', targetOf(port, paths, 1, 8));
      const result = await generator.run('it', { requests: 100, keepBodies: true });
      expect(result.requests).toBe(100);
      expect(result.bodies).toEqual([...paths, ...paths, ...paths.slice(0, 20)]);
      expect(server.most()).toBe(8);
      // The next run on the same connection begins where this one ended.
      const again = await generator.run('it', { requests: 3, keepBodies: true });
      expect(again.bodies).toEqual(paths.slice(20, 23));
    },
  );

  test('counts an answer too many as an error with several on their way, too', async () => {
    let asked = 0;
    const port = await serve((socket) => {
      asked += 1;
      if (asked === 4) socket.write(`${OK}${OK}${OK}${OK}${OK}`);
    });
    const generator = startGenerator();
    await generator.open('it', targetOf(port, ['/'], 1, 4));
    await expect(generator.run('it', { requests: 4 })).rejects.toThrow('follow the end');
  });

  test.each([
    [
      'another status',
      'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n',
      'status 503 came for 200',
    ],
    ['an answer nobody asked for', `${OK}${OK}`, 'follow the end'],
  ])('fails on %s instead of counting it', async (_what, answer, message) => {
    const port = await serve((socket) => socket.write(answer));
    const generator = startGenerator();
    await generator.open('it', targetOf(port, ['/'], 2));
    await expect(generator.run('it', { milliseconds: 200 })).rejects.toThrow(message);
  });

  test('fails when the server hangs up', async () => {
    const port = await serve((socket) => socket.destroy());
    const generator = startGenerator();
    await generator.open('it', targetOf(port, ['/'], 2));
    await expect(generator.run('it', { milliseconds: 200 })).rejects.toThrow(/closed|RESET/);
  });

  test('opens anew what the server closed between two runs', async () => {
    const sockets: Socket[] = [];
    const port = await serve((socket) => {
      sockets.push(socket);
      socket.write(OK);
    });
    const generator = startGenerator();
    await generator.open('it', targetOf(port, ['/'], 2));
    await generator.run('it', { requests: 4 });
    const closed = [...new Set(sockets)].map(
      (socket) => new Promise((resolve) => socket.once('close', resolve).end()),
    );
    await Promise.all(closed);
    sockets.length = 0;
    expect((await generator.run('it', { requests: 4 })).requests).toBe(4);
    expect(new Set(sockets).size).toBe(2);
  });

  test('says where nobody listens', async () => {
    const generator = startGenerator();
    await expect(generator.open('it', targetOf(1, ['/'], 1))).rejects.toThrow('127.0.0.1:1');
  });
});

test('a process that was told to end while it was still loading ends', async () => {
  const bare = new BareHttps();
  const startMs = performance.now();
  await bare.stop();
  // By itself: what must be made to end is given five seconds.
  expect(performance.now() - startMs).toBeLessThan(4_500);
  expect(() => process.kill(bare.pid, 0)).toThrow('ESRCH');
});
