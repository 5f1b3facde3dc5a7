// The proxy that makes partitions, shown with plain TCP: an echo that listens, and who dials
// it; and the redirection that sends nodes' dials to it, shown with a process of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer as createSecureServer } from 'node:tls';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { selfSignedCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { LinkProxy, PASS } from './link-proxy.ts';
import { newSwitchboard } from './switchboard.ts';

let echo: Server;
let echoed: Socket[];
let proxy: LinkProxy;
let from: string;
let target: { readonly host: string; readonly port: number };

beforeEach(async () => {
  echoed = [];
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    echoed.push(socket);
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  from = 'a';
  target = { host: '127.0.0.1', port: portOf(echo) };
  proxy = new LinkProxy({
    introduce: async () => ({ from, to: 'echo', target }),
  });
  await proxy.listen();
});

afterEach(async () => {
  await proxy.close();
  for (const socket of echoed) socket.destroy();
  echo.close();
});

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** A dialler: what it heard, and how its connection ended. */
class Dialler {
  readonly socket: Socket;
  heard = '';
  ended: string | undefined;

  constructor(as: string) {
    from = as;
    this.socket = dial(proxy.port, '127.0.0.1');
    this.socket.on('data', (chunk) => {
      this.heard += chunk.toString();
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.ended = error.code ?? error.message;
    });
    this.socket.on('close', () => {
      this.ended ??= 'closed';
    });
  }

  async hears(text: string): Promise<void> {
    await expect.poll(() => this.heard).toBe(text);
  }
}

async function connected(as: string): Promise<Dialler> {
  const dialler = new Dialler(as);
  dialler.socket.write('hello;');
  await dialler.hears('hello;');
  return dialler;
}

test('a link that passes carries bytes both ways, in order, and an end as an end', async () => {
  const a = await connected('a');
  const text = Array.from({ length: 20_000 }, (_, number) => `${number},`).join('');
  a.socket.end(text);
  await a.hears(`hello;${text}`);
  await expect.poll(() => a.ended).toBe('closed');
});

test('a cut link resets what there is and what comes, and no other', async () => {
  const [a, b] = [await connected('a'), await connected('b')];
  proxy.set('a', 'echo', { kind: 'cut' });
  await expect.poll(() => a.ended).toBe('ECONNRESET');
  await expect.poll(() => echoed[0]?.destroyed).toBe(true);
  const again = new Dialler('a');
  await expect.poll(() => again.ended).toBe('ECONNRESET');
  b.socket.write('still here');
  await b.hears('hello;still here');
  proxy.set('a', 'echo', PASS);
  await connected('a');
  expect(proxy.connected()).toEqual(['a>echo', 'b>echo']);
});

test('a link on hold gives all that waited once it passes again', async () => {
  const a = await connected('a');
  proxy.set('a', 'echo', { kind: 'hold' });
  a.socket.write('waits');
  const meanwhile = new Dialler('a');
  meanwhile.socket.write('waits too');
  await sleep(200);
  expect([a.heard, a.ended, meanwhile.heard]).toEqual(['hello;', undefined, '']);
  proxy.set('a', 'echo', PASS);
  await a.hears('hello;waits');
  await meanwhile.hears('waits too');
});

test('a link that swallows leaves its connections half open, and later ones whole', async () => {
  const a = await connected('a');
  proxy.set('a', 'echo', { kind: 'swallow' });
  a.socket.write('lost');
  echoed[0]?.write('lost as well');
  const meanwhile = new Dialler('a');
  meanwhile.socket.write('never arrives');
  await sleep(200);
  proxy.set('a', 'echo', PASS);
  a.socket.write('and what comes after');
  await sleep(200);
  expect([a.heard, a.ended]).toEqual(['hello;', undefined]);
  expect([meanwhile.heard, meanwhile.ended, echoed.length]).toEqual(['', undefined, 1]);
  await connected('a');
  expect(echoed).toHaveLength(2);
  // Who notices gives up, and the other end hears of it at last.
  a.socket.destroy();
  await expect.poll(() => echoed[0]?.destroyed).toBe(true);
});

test('a slow link delays each way, and keeps the order when it becomes fast again', async () => {
  const a = await connected('a');
  proxy.set('a', 'echo', { kind: 'pass', delayMs: 150 });
  const begun = performance.now();
  a.socket.write('slow;');
  await sleep(20);
  proxy.set('a', 'echo', PASS);
  a.socket.write('fast;');
  await a.hears('hello;slow;fast;');
  expect(performance.now() - begun).toBeGreaterThan(140);
});

test('what two speeds make due within one millisecond keeps its order', async () => {
  const a = await connected('a');
  let sent = 'hello;';
  for (let i = 0; i < 60; i += 1) {
    // Due at the same moment, with delays of different fractions.
    proxy.set('a', 'echo', { kind: 'pass', delayMs: 30 + (i % 2 === 0 ? 0.99 : 0) });
    a.socket.write(`${i};`);
    sent += `${i};`;
    await sleep(1);
  }
  await a.hears(sent);
});

test('a fast sender cannot fill the proxy while the reader is slow', async () => {
  const a = await connected('a');
  echoed[0]?.unpipe();
  echoed[0]?.pause();
  const bytes = Buffer.alloc(64 * 1024 * 1024);
  a.socket.write(bytes);
  await sleep(500);
  // What is not in the kernel's buffers still waits at its sender.
  expect(a.socket.writableLength).toBeGreaterThan(bytes.length / 2);
});

// As a node does it: `connect` is imported by name, and bound before the redirection is loaded or
// after, it must not matter.
const SECURE = `
import { connect } from 'node:tls';
const options = { rejectUnauthorized: false, host: '127.0.0.1', port: Number(process.argv[1]) };
const socket = connect({ ...options, ALPNProtocols: [process.argv[2]] });
socket.on('secureConnect', () => socket.write('over TLS'));
socket.on('data', (chunk) => console.log(socket.alpnProtocol + ' ' + chunk));
socket.on('error', (error) => console.log(error.code));
socket.on('close', () => setTimeout(() => {}, 60000));
`;

test('what a node dials to a node is redirected, and nothing else', async () => {
  const key = SigningKey.generate('P-256');
  const validity = { fromMs: Date.now() - 3_600_000, days: 1 };
  const cert = await selfSignedCertificate(key, 'CN=test', validity);
  const secureEcho = createSecureServer(
    { cert, key: key.privateKeyPem(), ALPNProtocols: ['concordat-test', 'http/1.1'] },
    (socket) => socket.on('error', () => socket.destroy()).pipe(socket),
  );
  secureEcho.listen(0, '127.0.0.1');
  await once(secureEcho, 'listening');
  const children: ChildProcess[] = [];
  const switchboard = newSwitchboard(
    async (pid) => `${children.findIndex((child) => child.pid === pid)}`,
  );
  const to = `${portOf(secureEcho)}`;
  const port = await switchboard.listen();
  const said = (protocol: string): Promise<string> => {
    const hook = pathToFileURL(join(import.meta.dirname, 'redirected-dials.ts'));
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', SECURE, `${portOf(secureEcho)}`, protocol],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          ...process.env,
          NODE_OPTIONS: `--import ${hook}`,
          CONCORDAT_TEST_SWITCHBOARD: `${port}`,
        },
      },
    );
    children.push(child);
    return new Promise((resolve) => {
      createInterface({ input: child.stdout }).once('line', resolve);
    });
  };
  try {
    expect(await said('concordat-test')).toBe('concordat-test over TLS');
    expect(switchboard.connected()).toEqual([`0>${to}`]);
    expect(await said('http/1.1')).toBe('http/1.1 over TLS');
    expect(switchboard.connected()).toEqual([`0>${to}`]);
    switchboard.set('2', to, { kind: 'cut' });
    expect(await said('concordat-test')).toBe('ECONNRESET');
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await switchboard.close();
    secureEcho.close();
  }
});
