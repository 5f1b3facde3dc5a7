// The front doors of three real nodes: whichever a client asks, it is one service.

import { afterEach, expect, test } from 'vitest';
import { type Application, answer, type Endpoint } from '../../src/apps/interface.ts';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import type { ReadView } from '../../src/kv/tables.ts';
import { cluster, type Member, primaryOf } from '../support/cluster-rig.ts';
import { RawClient, type Reply, type Target } from './client.ts';

const KEY = utf8('count');
const countIn = (view: ReadView): number =>
  Number(textOf(view.table('counter').get(KEY) ?? utf8('0')));

const shared: Omit<Endpoint, 'verb' | 'effect' | 'handle'> = {
  path: '/counter',
  authentication: ['no_auth'],
  reads: 'current',
  answers: 'committed',
  summary: 'Counts how often it was written to',
};

/** What was executed twice would show. */
const counter: Application = {
  name: 'counter',
  archivedTables: [],
  endpoints: [
    {
      ...shared,
      verb: 'POST',
      effect: 'write',
      handle: () => ({
        kind: 'write',
        apply: (tx) => {
          const next = countIn(tx) + 1;
          tx.table('counter').put(KEY, utf8(String(next)));
          return { status: 200, body: String(next) };
        },
      }),
    },
    {
      ...shared,
      verb: 'GET',
      effect: 'read',
      handle: (_request, view) => answer({ status: 200, body: String(countIn(view)) }),
    },
  ],
};

interface Opened {
  readonly member: Member;
  readonly target: Target;
}

let running: readonly Member[] = [];

afterEach(async () => {
  await Promise.all(running.map(({ node }) => node.stop()));
  running = [];
});

async function openService(): Promise<readonly Opened[]> {
  running = await cluster(3, { port: 0, applications: [counter] });
  return Promise.all(
    running.map(async (member) => ({ member, target: await member.node.listen() })),
  );
}

async function backupsAmong(opened: readonly Opened[]): Promise<readonly [Opened, Opened]> {
  const primary = await primaryOf(running);
  const [first, second] = opened.filter(({ member }) => member !== primary);
  if (first === undefined || second === undefined) throw new Error('there are two backups');
  return [first, second];
}

const said = (reply: Reply): unknown => [reply.status, reply.body.toString()];

test('what is written by way of one backup is read by way of the other', async () => {
  const [first, second] = await backupsAmong(await openService());
  const writer = await RawClient.connect(first.target);
  const reader = await RawClient.connect(second.target);
  for (let written = 1; written <= 20; written += 1) {
    const write = await writer.ask('POST', '/counter');
    expect(said(write)).toEqual([200, String(written)]);
    const txId = write.headers.get('x-ms-ccf-transaction-id') ?? '';
    for (const headers of [
      { 'x-concordat-min-txid': txId },
      { 'x-concordat-read': 'linearizable' },
    ]) {
      expect(said(await reader.ask('GET', '/counter', { headers }))).toEqual([
        200,
        String(written),
      ]);
    }
    // And the session that wrote it reads it without any such wish.
    expect(said(await writer.ask('GET', '/counter'))).toEqual([200, String(written)]);
  }
  writer.close();
  reader.close();
});

test('while the primary stops and another is elected, each write is executed once', async () => {
  const opened = await openService();
  const backups = await backupsAmong(opened);
  const deposed = await primaryOf(running);
  const { view } = deposed.node.committed();
  let enough = false;
  const replies: Reply[] = [];
  const writing = backups.map(async ({ target }) => {
    const client = await RawClient.connect(target);
    while (!enough) replies.push(await client.ask('POST', '/counter'));
    client.close();
  });
  running = running.filter((each) => each !== deposed);
  await deposed.node.stop();
  const next = await primaryOf(running);
  const already = replies.length;
  while (replies.length < already + 20) await new Promise((resolve) => setTimeout(resolve, 5));
  enough = true;
  await Promise.all(writing);
  expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
  const counts = replies.map(({ body }) => Number(body)).sort((left, right) => left - right);
  expect(counts).toEqual(counts.map((_count, index) => index + 1));
  expect(countIn(next.node.current())).toBe(counts.length);
  expect(next.node.committed().view).toBeGreaterThan(view);
});
