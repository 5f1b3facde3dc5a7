// A whole node on a real disk and its front door: CCF's recorded snapshot downloads, and what a
// joining node or an operator gets, byte for byte as it lies on the disk.

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256Hex } from '../../src/crypto/hash.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { recordings } from '../ccf/recordings.ts';
import { askOnce, codeOf, jsonOf, type Reply } from '../http/client.ts';
import { startDriver, writeMixed } from '../support/ledger-driver.ts';

const RECORDED_NAME = 'snapshot_92_103.committed';

let folder: string;
let node: RunningNode;
let service: { host: string; port: number };
let snapshot: { name: string; bytes: Buffer };

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'concordat-downloads-'));
  const port = await freePort();
  node = await startDriver(folder, { port, snapshotEntries: 100, chunkBytes: 20_000 });
  service = await node.listen();
  for (let number = 0; number < 300; number += 10) {
    const ten = Array.from({ length: 10 }, (_, at) => number + at);
    await Promise.all(ten.map((each) => writeMixed(node, each)));
  }
  await node.snapshotsIdle();
  // Whatever the sizes before it: a chunk is open behind the snapshot.
  for (let number = 300; number === 300 || (await openChunk()) === undefined; number += 1) {
    await writeMixed(node, number);
  }
  const names = await readdir(join(folder, 'node/snapshots'));
  const name = names.sort((left, right) => placeOf(left) - placeOf(right)).at(-1) ?? '';
  snapshot = { name, bytes: await readFile(join(folder, 'node/snapshots', name)) };
});

afterAll(async () => {
  await node.stop();
  await rm(folder, { recursive: true });
});

async function openChunk(): Promise<string | undefined> {
  const ledger = await readdir(join(folder, 'node/ledger'));
  return ledger.find((name) => !name.endsWith('.committed'));
}

const placeOf = (name: string): number => Number(/_(\d+)/.exec(name)?.[1]);

function ask(
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<Reply> {
  return askOnce(service, undefined, method, path, { headers });
}

/** Where the recorded service, in the form of 7.0.0-dev5, is not followed (http-api.md §10). */
const DIFFERENT: Readonly<Record<string, string>> = {
  '304-snapshot-get': '200 and no content-range, since no range was asked for',
  '305-snapshot-range': 'the end of a range is inclusive',
};

/** Values that are of one service. */
const OWN = ['content-length', 'content-range'];

test.each(recordings().filter(({ name }) => /^(104|106|172|175|3\d\d)-/.test(name)))(
  'CCF answered $name like this',
  async ({ name, method, target, headers, ...recorded }) => {
    const ours = (text: string): string =>
      text
        .replace(/snapshot_\d+_\d+\.committed/, snapshot.name)
        .replace('127.0.0.1:8000', `${service.host}:${service.port}`);
    const reply = await ask(method, ours(target), Object.fromEntries(headers));
    if (DIFFERENT[name] !== undefined) {
      expect([200, 206]).toContain(reply.status);
      return;
    }
    expect(reply.status).toBe(recorded.status);
    const told = new Map([...recorded.answerHeaders].map(([key, value]) => [key, ours(value)]));
    for (const own of OWN) {
      told.delete(own);
      (reply.headers as Map<string, string>).delete(own);
    }
    expect(Object.fromEntries(reply.headers)).toEqual(Object.fromEntries(told));
    if (recorded.status < 400 || method === 'HEAD') return;
    const error = JSON.parse(recorded.answerBody.toString());
    const message = error.error.message.replace('82222', String(snapshot.bytes.length));
    expect(jsonOf(reply)).toEqual({ error: { ...error.error, message } });
  },
);

test('where it differs, it is as 7.0 final', async () => {
  const path = `/node/snapshot/${snapshot.name}`;
  const whole = await ask('GET', path);
  expect(whole.status, DIFFERENT['304-snapshot-get']).toBe(200);
  expect(whole.headers.has('content-range')).toBe(false);
  const part = await ask('GET', path, { range: 'bytes=0-99' });
  expect(part.body.length, DIFFERENT['305-snapshot-range']).toBe(100);
  const total = snapshot.bytes.length;
  expect(part.headers.get('content-range')).toBe(`bytes 0-99/${total}`);
});

test('the newest snapshot is followed to its bytes, in parts too', async () => {
  const to = (await ask('GET', '/node/snapshot')).headers.get('location') ?? '';
  expect(to).toBe(`https://${service.host}:${service.port}/node/snapshot/${snapshot.name}`);
  const path = new URL(to).pathname;
  expect((await ask('GET', path)).body.equals(snapshot.bytes)).toBe(true);
  const parts: Buffer[] = [];
  for (let at = 0; at < snapshot.bytes.length; at += 10_000) {
    parts.push((await ask('GET', path, { range: `bytes=${at}-${at + 9_999}` })).body);
  }
  expect(Buffer.concat(parts).equals(snapshot.bytes)).toBe(true);
  expect(to).not.toContain(RECORDED_NAME);
});

test('every chunk is found by each of its entries and is as it lies on the disk', async () => {
  const ledger = join(folder, 'node/ledger');
  const names = (await readdir(ledger)).filter((name) => name.endsWith('.committed'));
  expect(names.length).toBeGreaterThan(3);
  for (const name of names) {
    const [, start, end] = (/(\d+)-(\d+)/.exec(name) ?? []).map(Number);
    for (const since of [start, end]) {
      const reply = await ask('GET', `/node/ledger-chunk?since=${since}`);
      expect(reply.headers.get('location')).toMatch(new RegExp(`/node/ledger-chunk/${name}$`));
    }
    const bytes = await readFile(join(ledger, name));
    const reply = await ask('GET', `/node/ledger-chunk/${name}`);
    expect(reply.body.equals(bytes)).toBe(true);
    const etag = `"sha-256:${sha256Hex(bytes)}"`;
    expect(reply.headers.get('etag')).toBe(etag);
    const again = await ask('GET', `/node/ledger-chunk/${name}`, { 'if-none-match': etag });
    expect(again.status).toBe(304);
  }
});

test('what is open, unfinished or elsewhere is not offered', async () => {
  const open = await openChunk();
  expect(open).toMatch(/^ledger_\d+$/);
  const newest = node.committed().seqno;
  for (const path of [
    `/node/ledger-chunk/${open}`,
    `/node/ledger-chunk?since=${newest}`,
    `/node/ledger-chunk?since=${newest + 1000}`,
    '/node/snapshot/..%2fledger%2fledger_1',
    '/node/snapshot/notes.txt',
    '/node/ledger-chunk/..',
  ]) {
    const reply = await ask('GET', path);
    expect(reply.status, path).toBe(404);
    expect(codeOf(reply)).toBe('ResourceNotFound');
  }
});
