/**
 * To show: the socket is a credential. Its folder and its mode keep others out, and nothing but a
 * socket on which nobody listens is ever removed.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SOCKET_PATH_BYTES_MAX } from '../../src/base/limits.ts';
import { listenOnSocket } from '../../src/connector/socket-file.ts';

let folder: string;
const servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'socket-'));
});

afterEach(async () => {
  for (const server of servers.splice(0)) {
    await new Promise((resolve) => server.close(resolve));
  }
  rmSync(folder, { recursive: true, force: true });
});

function server(): Server {
  const made = createServer();
  servers.push(made);
  return made;
}

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe('the socket', () => {
  test('is made in a folder of its owner alone, and is its owner’s alone', async () => {
    const path = join(folder, 'q', 'tm.ipc');
    expect(await listenOnSocket(server(), { path })).toBe(path);
    expect([modeOf(join(folder, 'q')), modeOf(path)]).toEqual(['700', '600']);
  });

  test('is opened by a mode and a group', async () => {
    const path = join(folder, 'q', 'tm.ipc');
    const group = String(process.getgid?.() ?? 0);
    await listenOnSocket(server(), { path, mode: 0o660, group });
    expect([modeOf(join(folder, 'q')), modeOf(path)]).toEqual(['710', '660']);
  });

  test('leaves the process its umask', async () => {
    const before = process.umask();
    await listenOnSocket(server(), { path: join(folder, 'tm.ipc') });
    expect(process.umask()).toBe(before);
  });

  test('of a crashed program is replaced', async () => {
    const path = join(folder, 'tm.ipc');
    await leaveStaleSocket(path);
    expect(statSync(path).isSocket()).toBe(true);
    await listenOnSocket(server(), { path });
  });

  test('of a running program is left alone', async () => {
    const path = join(folder, 'tm.ipc');
    await listenOnSocket(server(), { path });
    await expect(listenOnSocket(server(), { path })).rejects.toThrow(
      `somebody listens on ${path}`,
    );
    expect(servers[0]?.listening).toBe(true);
  });

  test('never replaces another file', async () => {
    const path = join(folder, 'tm.ipc');
    writeFileSync(path, 'precious');
    await expect(listenOnSocket(server(), { path })).rejects.toThrow('is no socket');
    expect(statSync(path).size).toBe(8);
  });

  test('is not made where anybody could put another in its place', async () => {
    const open = join(folder, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    const path = join(open, 'tm.ipc');
    await expect(listenOnSocket(server(), { path })).rejects.toThrow('anybody may write into');
  });

  test.each([
    ['at the limit', 0],
    ['beyond the limit', 1],
  ])('has a path of bounded length: %s', async (_, more) => {
    const length = SOCKET_PATH_BYTES_MAX + more - folder.length - 1;
    const path = join(folder, 'x'.repeat(length));
    const listening = listenOnSocket(server(), { path });
    if (more === 0) expect(await listening).toBe(path);
    else await expect(listening).rejects.toThrow(`may have ${SOCKET_PATH_BYTES_MAX}`);
  });

  test('is refused for a group that is not there', async () => {
    const path = join(folder, 'tm.ipc');
    const listening = listenOnSocket(server(), { path, group: 'no-such-group' });
    await expect(listening).rejects.toThrow('there is no group "no-such-group"');
  });
});

/** What SIGKILL leaves: a socket file without a listener. A worker that ends does the same. */
async function leaveStaleSocket(path: string): Promise<void> {
  const worker = new Worker(
    `const { createServer } = require('node:net');
     const { parentPort, workerData } = require('node:worker_threads');
     const { linkSync } = require('node:fs');
     createServer().listen(workerData + '.made', () => {
       linkSync(workerData + '.made', workerData);
       parentPort.postMessage('made');
     });`,
    { eval: true, workerData: path },
  );
  await new Promise((resolve) => worker.once('message', resolve));
  await worker.terminate();
}
