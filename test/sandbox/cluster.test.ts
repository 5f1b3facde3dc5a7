/**
 * A sandbox of several nodes, each a process: one command brings them up and takes them down, a
 * node that dies comes back, and a later start goes on with all of them where they were.
 */
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ReadyLine } from '../../src/cli/sandbox/ready-line.ts';
import type { Cluster } from '../../src/cli/status/cluster.ts';
import type { NodeStatus } from '../../src/node/node-status.ts';
import { PrivateClient } from '../support/private-client.ts';
import {
  PORT_OFFSET,
  runProgram,
  spawnProgram,
  startSandboxProgram,
} from '../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-cluster-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** How long three nodes may take, on a machine that does other things too. */
const PATIENCE_MS = 60_000;

type Seen = Omit<Cluster, 'primary'> & { readonly primary?: string };

async function seen(data: string): Promise<Seen> {
  const { stdout } = await runProgram(['status', '--json', '--data', data]);
  return JSON.parse(stdout) as Seen;
}

async function untilWell(data: string): Promise<Seen> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const now = await seen(data);
    if (now.isWell) return now;
    if (performance.now() > until) throw new Error(`never well: ${JSON.stringify(now)}`);
  }
}

function statusOf(cluster: Seen, name: string | undefined): NodeStatus {
  const status = cluster.nodes.find((node) => node.name === name)?.status;
  if (status === undefined) throw new Error(`nothing is known of ${name}`);
  return status;
}

async function send(ready: ReadyLine, text: string): Promise<string> {
  const [one, two] = ready.organisations;
  const client = new PrivateClient(one?.transactionManager.socket ?? '');
  try {
    return await client.send(Buffer.from(text), one?.partyKeys[0] ?? '', [
      two?.partyKeys[0] ?? '',
    ]);
  } finally {
    client.close();
  }
}

async function receive(ready: ReadyLine, key: string): Promise<string | undefined> {
  const client = new PrivateClient(ready.organisations[1]?.transactionManager.socket ?? '');
  try {
    return (await client.receive(key))?.toString();
  } finally {
    client.close();
  }
}

const data = join(folder, 'three');
const three = ['--data', data, '--nodes', '3', '--organisations', '2'];
let before: ReadyLine;
let kept: string;

describe('a sandbox of three nodes', () => {
  it(
    'comes up in one command, and goes on when its primary is killed, which comes back',
    async () => {
      const sandbox = await startSandboxProgram(three);
      const { ready } = sandbox;
      before = ready;
      expect(ready.nodes).toHaveLength(3);
      expect(ready.nodes.map(({ peer }) => peer)).toEqual(
        [8500, 8501, 8502].map((usual) => `127.0.0.1:${usual + PORT_OFFSET}`),
      );
      for (const field of ['url', 'peer', 'nodeId', 'pid', 'ledger'] as const) {
        expect(new Set(ready.nodes.map((node) => node[field])).size, field).toBe(3);
      }
      for (const { ledger } of ready.nodes) expect(existsSync(ledger)).toBe(true);
      kept = await send(ready, 'before the kill');

      const first = await untilWell(data);
      expect(first.nodes.map(({ status }) => status?.nodeId)).toEqual(
        ready.nodes.map(({ nodeId }) => nodeId),
      );
      const killed = statusOf(first, first.primary);
      process.kill(killed.pid, 'SIGKILL');
      const during = await send(ready, 'during the change');
      expect(await receive(ready, kept)).toBe('before the kill');
      expect(await receive(ready, during)).toBe('during the change');

      const later = await untilWell(data);
      expect(later.view).toBeGreaterThan(first.view ?? 0);
      const back = statusOf(later, first.primary);
      expect(back.nodeId).toBe(killed.nodeId);
      expect(back.pid).not.toBe(killed.pid);
      expect(sandbox.said()).toMatch(/node \d ended \(SIGKILL\); starting it again/);
      expect(sandbox.said()).toMatch(/node \d is back \(pid \d+\)/);
      expect(await sandbox.stop()).toBe(0);
    },
    3 * PATIENCE_MS,
  );

  it(
    'goes on at a later start: the same nodes at the same places, and what was stored',
    async () => {
      const sandbox = await startSandboxProgram(three);
      const { ready } = sandbox;
      const places = (line: ReadyLine): unknown =>
        line.nodes.map(({ nodeId, peer, url }) => ({ nodeId, peer, url }));
      expect(places(ready)).toEqual(places(before));
      expect(await receive(ready, kept)).toBe('before the kill');
      const key = await send(ready, 'after it');
      expect(await receive(ready, key)).toBe('after it');
      expect(await sandbox.stop()).toBe(0);
    },
    3 * PATIENCE_MS,
  );

  it('names a port that somebody took and that the ledger has', async () => {
    const [, second] = before.nodes;
    const port = Number(second?.peer.split(':')[1]);
    const taken = await listening(port);
    const { code, stderr } = await runProgram(['sandbox', ...three]);
    expect(stderr).toContain(`port ${port} of 127.0.0.1 is taken`);
    expect(stderr).toContain('peer2');
    expect(code).toBe(3);
    taken.close();
    await once(taken, 'close');
  });

  it('is not taken for one of another size', async () => {
    const { code, stderr } = await runProgram(['sandbox', '--data', data, '--nodes', '5']);
    expect(stderr).toMatch(/of 3 nodes, not 5/);
    expect(code).toBe(3);
  });
});

it(
  'a node that is removed from the service leaves its sandbox for good',
  async () => {
    const home = join(folder, 'leaving');
    const args = ['--data', home, '--nodes', '3', '--organisations', '2'];
    const first = await startSandboxProgram(args);
    const [leaver] = first.ready.nodes;
    const key = await send(first.ready, 'kept');
    const removed = await runProgram(['node', 'remove', leaver?.nodeId ?? '', '--data', home]);
    expect(removed.code, removed.stderr).toBe(0);
    while (!first.said().includes('node 1 has left the service')) await pause(20);
    const well = await untilWell(home);
    expect(well.nodes.map(({ name }) => name)).toEqual(['node 2', 'node 3']);
    expect(await first.stop()).toBe(0);

    const second = await startSandboxProgram(args);
    expect(second.ready.nodes).toHaveLength(2);
    expect(await receive(second.ready, key)).toBe('kept');
    expect(await second.stop()).toBe(0);
  },
  3 * PATIENCE_MS,
);

it.each([
  ['none', '0', /--nodes is 0; a sandbox has 1 to 7/],
  ['too many', '8', /--nodes is 8/],
  ['half a one', '1.5', /--nodes is "1.5", not a whole number/],
])('%s: as many nodes there cannot be', async (_what, nodes, told) => {
  const args = ['sandbox', '--data', join(folder, 'never'), '--nodes', nodes];
  const { code, stderr } = await runProgram(args);
  expect(stderr).toMatch(told);
  expect(code).toBe(2);
});

it('a node that ends stays away with --no-restart-nodes, and the sandbox says so', async () => {
  const home = join(folder, 'away');
  const sandbox = await startSandboxProgram([
    ...['--data', home, '--organisations', '1', '--no-restart-nodes'],
  ]);
  process.kill(sandbox.ready.nodes[0]?.pid ?? 0, 'SIGKILL');
  while (!sandbox.said().includes('node 1 ended')) await pause(20);
  await pause(1_000);
  expect((await seen(home)).nodes[0]?.fault).toContain('ECONNREFUSED');
  expect(sandbox.said()).not.toContain('starting it again');
  expect(await sandbox.stop()).toBe(0);
});

it('a node that is alone comes back as well, and its clients are served again', async () => {
  const home = join(folder, 'alone');
  const sandbox = await startSandboxProgram(['--data', home, '--organisations', '2']);
  const { ready } = sandbox;
  const key = await send(ready, 'kept');
  process.kill(ready.nodes[0]?.pid ?? 0, 'SIGKILL');
  while (!sandbox.said().includes('node 1 is back')) await pause(20);
  expect(await receive(ready, key)).toBe('kept');
  expect(await sandbox.stop()).toBe(0);
});

it('a sandbox that is asked to stop before it is ready stops at once, its nodes too', async () => {
  const home = join(folder, 'early');
  const child = spawnProgram(['sandbox', '--json', '--data', home, '--nodes', '2']);
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  while (!said.includes('INSECURE')) await pause(10);
  child.kill('SIGTERM');
  const [code] = (await once(child, 'exit')) as [number | null];
  expect(said).toContain('stopped before it was ready');
  expect(code).toBe(0);
});

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function listening(port: number): Promise<Server> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
