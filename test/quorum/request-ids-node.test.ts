/**
 * Request ids on a whole node: attempts that meet on their way to the disk, answers read back from
 * the ledger, ids that are still known after a restart.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import type { AppRequest } from '../../src/apps/interface.ts';
import { createQuorumApplication } from '../../src/apps/quorum/application.ts';
import { PAYLOADS } from '../../src/apps/quorum/tables.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import type { RunResult } from '../../src/http/backend.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { afterCrash, newWorld, start, type World } from '../support/node-rig.ts';
import { jsonIn, plainKeys, textIn } from '../support/quorum-client.ts';
import { callerOfOrganisation, layOrganisations } from '../support/quorum-network.ts';

const keys = plainKeys(2);
const application = createQuorumApplication({ random: systemRandom, requestIdsKept: 3 });
const options = { applications: [application] };
const [storeRaw, deleting] = ['/storeraw', '/transaction/{hash}'].map((path) =>
  application.endpoints.find(
    (one) => one.path === `/quorum/q2t${path}` && one.effect === 'write',
  ),
);
const send = application.endpoints.find(({ path }) => path === '/quorum/q2t/send');

let node: RunningNode | undefined;
afterEach(async () => {
  await node?.stop();
  node = undefined;
});

async function started(world: World): Promise<RunningNode> {
  const rig = await start(world, options);
  node = rig.node;
  if (rig.isNew) await rig.node.commitService((tx) => layOrganisations(tx, keys, 2));
  return rig.node;
}

function newId(on: RunningNode): string {
  return `${on.committed().seqno}.${randomBytes(16).toString('hex')}`;
}

async function ask(
  on: RunningNode,
  endpoint: typeof send,
  id: string,
  more: Partial<AppRequest> = {},
): Promise<RunResult> {
  if (endpoint === undefined) throw new Error('there is no such endpoint');
  const headers: Readonly<Record<string, string>> = {
    'content-type': 'application/json',
    'x-concordat-request-id': id,
  };
  const body = JSON.stringify({ payload: Buffer.from('a payload').toString('base64') });
  const request: AppRequest = {
    verb: endpoint.verb,
    path: endpoint.path,
    params: {},
    query: '',
    header: (name) => headers[name],
    body: Buffer.from(body),
    caller: callerOfOrganisation(1),
    ...more,
  };
  return await on.run(endpoint, request, { waitForCommit: false, linearizable: false });
}

function payloadsOn(on: RunningNode): number {
  return on.current().archive(PAYLOADS).size;
}

test('attempts that meet all get the answer of one, when it is committed', async () => {
  const on = await started(newWorld());
  const id = newId(on);
  const results = await Promise.all(Array.from({ length: 8 }, () => ask(on, send, id)));
  expect(results.map(({ response }) => response.status)).toEqual(Array(8).fill(201));
  expect(new Set(results.map(({ response }) => textIn(response))).size).toBe(1);
  expect(payloadsOn(on)).toBe(1);
  const [first] = results;
  for (const { txId } of results) {
    expect(txId && on.statusOf(txId)).toBe('Committed');
    expect(txId?.seqno).toBeGreaterThanOrEqual(first?.txId?.seqno ?? Number.POSITIVE_INFINITY);
  }
});

test('an attempt to delete hears that it did, not that nothing is there', async () => {
  const on = await started(newWorld());
  const { response } = await ask(on, send, newId(on));
  const params = { hash: encodeURIComponent(String(jsonIn(response).key)) };
  const id = newId(on);
  const answers = await Promise.all([1, 2, 3].map(() => ask(on, deleting, id, { params })));
  expect(answers.map((one) => one.response.status)).toEqual([204, 204, 204]);
  expect((await ask(on, deleting, newId(on), { params })).response.status).toBe(404);
});

test.each(['stopped', 'crashed'] as const)('ids outlive a node that %s', async (how) => {
  const world = newWorld();
  const on = await started(world);
  const asked: { id: string; text: string }[] = [];
  for (let times = 0; times < 5; times += 1) {
    const id = newId(on);
    const { response } = await ask(on, storeRaw, id);
    asked.push({ id, text: textIn(response) });
  }
  if (how === 'stopped') await on.stop();
  const later = await started(how === 'stopped' ? world : afterCrash(world, 'lost'));
  const newest = later.committed().seqno;
  const again = [];
  for (const { id } of asked) again.push((await ask(later, storeRaw, id)).response);
  expect(again.map(({ status }) => status)).toEqual([409, 409, 200, 200, 200]);
  expect(again.slice(2).map(textIn)).toEqual(asked.slice(2).map(({ text }) => text));
  expect(later.committed().seqno).toBe(newest);
  if (how === 'crashed') await on.stop();
});
