/**
 * A consortium that moves one organisation at a time, on real processes: a sandbox with its
 * transaction managers on one side, Tessera nodes on the other, in the way that GoQuorum sees them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import type { ReadyLine } from '../../src/cli/sandbox/ready-line.ts';
import { sandboxArguments } from '../../src/cli/sandbox/sandbox-arguments.ts';
import { eventually } from '../support/cluster-rig.ts';
import { PrivateClient } from '../support/private-client.ts';
import { TesseraDouble } from './tessera-double.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];
const endings: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function sandbox(args: readonly string[]): Promise<ReadyLine> {
  const data = mkdtempSync(join(tmpdir(), 'concordat-federated-'));
  endings.push(() => rmSync(data, { recursive: true, force: true }));
  const words = ['sandbox', '--data', join(data, 's'), '--nodes', '1', '--json', ...args];
  const child: ChildProcess = spawn(process.execPath, [...HARDENING, MAIN, ...words], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  endings.push(async () => {
    if (child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  });
  if (child.stdout === null) throw new Error('the sandbox has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{"ready":true')) return JSON.parse(line) as ReadyLine;
  }
  throw new Error('the sandbox ended before it was ready');
}

test('those inside and those outside send to each other', async () => {
  const [cbor, legacy] = [
    await new TesseraDouble({ validates: true }).start(),
    await new TesseraDouble({ versions: '2.1,3.0,4.0,v1,v2' }).start(),
  ];
  endings.push(async () => {
    await cbor.stop();
    await legacy.stop();
  });
  const peers = [cbor, legacy].flatMap(({ url }) => ['--peer', url]);
  const ready = await sandbox(['--organisations', '2', '--federation', 'strict', ...peers]);
  const url = ready.nodes[0]?.federation?.url ?? '';
  const [one, two] = ready.organisations;
  if (one === undefined || two === undefined) throw new Error('there are two organisations');
  const [first, second] = [one, two].map(
    ({ transactionManager }) => new PrivateClient(transactionManager.socket),
  );
  const own = one.partyKeys[0] ?? '';
  for (const peer of [cbor, legacy]) {
    expect((await peer.tell(url)).status).toBe(200);
    await eventually('told of the keys inside', () => peer.known.has(own));
    const key = await first?.send(Buffer.from('out'), own, [
      peer.key.publicKey.toString('base64'),
      two.partyKeys[0] ?? '',
    ]);
    // A strict send: it is there when the sender is answered.
    expect(peer.textOf(key ?? '')).toBe('out');
    expect((await second?.receive(key ?? ''))?.toString()).toBe('out');
    const { made } = await peer.send([Buffer.from(own, 'base64')], { text: 'in' });
    expect((await first?.receive(made.key))?.toString()).toBe('in');
    expect(await second?.receive(made.key)).toBeUndefined();
  }
  await cbor.stop();
  const down = [cbor.key.publicKey.toString('base64')];
  await expect(first?.send(Buffer.from('lost'), own, down)).rejects.toThrow('send: 410');
}, 90_000);

describe('the options of a sandbox', () => {
  test.each([
    [
      ['--federation', 'queued', '--peer', 'http://a/'],
      { send: 'queued', peers: ['http://a/'] },
    ],
    [['--federation', 'strict'], { send: 'strict', peers: [] }],
    [[], undefined],
  ])('%j', (args, federation) => {
    expect(sandboxArguments(args).options.federation).toEqual(federation);
  });

  test.each([
    [['--federation', 'lax'], '--federation is "lax"; it is strict or queued'],
    [['--peer', 'http://a/'], '--federation; that is missing'],
  ])('%j is not understood', (args, sentence) => {
    expect(() => sandboxArguments(args)).toThrow(sentence);
  });
});
