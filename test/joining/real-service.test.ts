// Nodes join a real service over real connections: they ask, are trusted by a member's signed
// request, fetch what they lack, and take part.

import { Agent, request } from 'node:https';
import { createServer } from 'node:net';
import { afterAll, expect, test } from 'vitest';
import { nodesThatAre } from '../../src/governance/nodes.ts';
import { signOperatorAction } from '../../src/governance/operator-actions.ts';
import { type JoinedService, prepareJoin } from '../../src/node/joining/prepare-join.ts';
import type { NodeOptions } from '../../src/node/node-options.ts';
import { realTimers } from '../../src/node/real-time.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { startNode } from '../../src/node/start-node.ts';
import { newMember } from '../governance/small-service.ts';
import { codeOf } from '../support/crashing-disk.ts';
import {
  ARCHIVED,
  LEDGER,
  newWorld,
  RIG_OPTIONS,
  ROWS,
  rowKey,
  startDependencies,
  type World,
} from '../support/node-rig.ts';
import { QUICK_KEYS } from './joiner-rig.ts';

interface Member {
  readonly world: World;
  readonly options: NodeOptions;
  readonly node: RunningNode;
  readonly address: string;
}

const running: RunningNode[] = [];
afterAll(async () => {
  await Promise.all(running.map((node) => node.stop()));
});

/** A port that was free a moment ago: the ledger names it, so it must be known before. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function newOptions(): Promise<NodeOptions> {
  return {
    ...RIG_OPTIONS,
    port: await freePort(),
    nodeToNode: { host: '127.0.0.1', port: await freePort() },
    // Small, so that there is something to fetch.
    chunkBytes: 6_000,
    // What is shown here is no election: a slow machine shall not hold one.
    consensus: { messageTimeoutMs: 100, electionTimeoutMs: 20_000 },
    snapshotEntries: 40,
  };
}

const member = await newMember();
const { publicKeyPem: encryptionPublicKeyPem } = QUICK_KEYS.generateUnwrappingKey();

async function found(): Promise<Member> {
  const world = newWorld();
  const options = await newOptions();
  const holder = { memberId: member.id, encryptionPublicKeyPem };
  const { node } = await startNode(options, startDependencies(world, { timers: realTimers }), {
    members: [{ ...holder, certificatePem: member.certificatePem }],
    recoveryThreshold: 1,
  });
  running.push(node);
  await node.ready();
  await node.openService({ holders: [holder], threshold: 1, users: [] }, () => undefined);
  await node.listen();
  return { world, options, node, address: `127.0.0.1:${options.port}` };
}

/** What a joiner has been through until it has all that it needs to start. */
async function joinBy(target: string, certificatePem: string): Promise<Asked> {
  const world = newWorld();
  const options = await newOptions();
  const joining = prepareJoin(
    {
      folder: options.folder,
      addresses: options,
      serviceCertificatePem: certificatePem,
      targets: [target],
      fetchSnapshot: true,
      retryMs: 20,
      archivedTables: [ARCHIVED],
    },
    { ...startDependencies(world, { timers: realTimers }), keys: QUICK_KEYS },
  );
  return { world, options, joining };
}

interface Asked {
  readonly world: World;
  readonly options: NodeOptions;
  readonly joining: Promise<JoinedService>;
}

async function started({ world, options, joining }: Asked): Promise<Member> {
  const { peers } = await inTime('joining', joining);
  const { node } = await startNode(
    options,
    startDependencies(world, { timers: realTimers }),
    undefined,
    peers,
  );
  running.push(node);
  await inTime('getting ready', node.ready());
  await node.listen();
  return { world, options, node, address: `127.0.0.1:${options.port}` };
}

const STEP_MS_MAX = 50_000;

/** Waits for one step, and says which one it was that did not come to its end. */
async function inTime<Result>(what: string, step: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took too long`)), STEP_MS_MAX);
  });
  return await Promise.race([step, late]).finally(() => clearTimeout(timer));
}

/** Waits until something holds. */
async function until(what: string, holds: () => boolean): Promise<void> {
  for (let waitedMs = 0; waitedMs < 20_000; waitedMs += 10) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${what} did not come about`);
}

/** Posts a signed request, as an operator's tool does. */
async function post(
  { address, node }: Member,
  body: Uint8Array,
): Promise<{ readonly status: number; readonly body: string }> {
  const agent = new Agent({ ca: node.serviceCertificatePem });
  return await new Promise((resolve, reject) => {
    const call = request(
      `https://${address}/node/concordat/operator-actions`,
      { agent, method: 'POST', headers: { 'content-type': 'application/cose' } },
      (response) => {
        let text = '';
        response.on('data', (piece) => {
          text += String(piece);
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}

async function write(node: RunningNode, from: number, to: number): Promise<void> {
  for (let number = from; number < to; number += 1) {
    const written = node.commitService((tx) => {
      tx.table(ROWS).put(rowKey(number), rowKey(number));
    });
    await inTime(`row ${number}`, written);
  }
}

function closedOf({ disk }: World): ReadonlyMap<string, string> {
  const closed = [...disk.files()].filter(
    ([path]) => path.startsWith(`${LEDGER}/`) && path.endsWith('.committed'),
  );
  return new Map(closed.map(([path, bytes]) => [path, bytes.toString('base64')]));
}

test('two nodes join, the second one by way of a backup, and all have the same', async () => {
  const first = await found();
  const { serviceCertificatePem } = first.node;
  await write(first.node, 0, 60);
  await first.node.snapshotsIdle();

  const asked = await joinBy(first.address, serviceCertificatePem);
  const waiting = (): readonly string[] =>
    nodesThatAre(first.node.current(), 'Pending').map(({ nodeId }) => nodeId);
  await until('a node waits', () => waiting().length === 1);
  // While it waits it has fetched the ledger already.
  expect(closedOf(asked.world).size).toBeGreaterThan(2);
  const [nodeId = ''] = waiting();
  const valid_from = new Date(Date.now() - 60_000).toISOString();
  const order = await signOperatorAction(
    'transition_node_to_trusted',
    { node_id: nodeId, valid_from },
    member,
    Date.now(),
  );
  const done = await post(first, order);
  expect(done.status, done.body).toBe(200);
  expect(JSON.parse(done.body)).toMatchObject({ node_id: nodeId, node_status: 'Trusted' });
  const joined = await inTime('joining', asked.joining);
  expect(joined.identity.nodeKey.fingerprint).toBe(nodeId);
  expect(joined.snapshot?.loaded.seqno).toBeGreaterThan(0);
  expect(joined.peers.map((peer) => peer.nodeId)).toEqual([first.node.nodeId]);
  const second = await started(asked);
  expect(second.node.nodeId).toBe(nodeId);
  await write(first.node, 60, 90);

  // The third one knows the backup only: it is sent on to the primary.
  const next = await joinBy(second.address, serviceCertificatePem);
  await until('another node waits', () => waiting().length === 1);
  const [thirdId = ''] = waiting();
  const args = { node_id: thirdId, valid_from };
  const order3 = await signOperatorAction(
    'transition_node_to_trusted',
    args,
    member,
    Date.now(),
  );
  // A backup takes the order as well, and has the primary carry it out.
  const forwarded = await post(second, order3);
  expect(forwarded.status, forwarded.body).toBe(200);
  const third = await started(next);
  await write(first.node, 90, 120);

  const members = [first, second, third];
  const { seqno } = first.node.committed();
  await until('all have it', () =>
    members.every(({ node }) => node.committed().seqno >= seqno),
  );
  for (const { node, world } of members) {
    expect(node.current().table(ROWS).size).toBe(120);
    expect(nodesThatAre(node.current(), 'Trusted')).toHaveLength(3);
    expect(world.fatal).toEqual([]);
  }
  const chunks = closedOf(first.world);
  for (const { world } of [second, third]) {
    for (const [path, bytes] of closedOf(world)) expect(chunks.get(path), path).toBe(bytes);
  }
  expect(chunks.size).toBeGreaterThan(4);
}, 120_000);

test('who shows another certificate than the service has endorsed is not believed', async () => {
  const first = await found();
  const other = await found();
  const stop = new AbortController();
  const progress: string[] = [];
  const world = newWorld();
  const options = await newOptions();
  const joining = prepareJoin(
    {
      folder: options.folder,
      addresses: options,
      serviceCertificatePem: other.node.serviceCertificatePem,
      targets: [first.address],
      fetchSnapshot: false,
      retryMs: 10,
      archivedTables: [],
    },
    {
      ...startDependencies(world, { timers: realTimers }),
      keys: QUICK_KEYS,
      signal: stop.signal,
      log: {
        info: () => undefined,
        warn: () => undefined,
        progress: (what) => progress.push(what),
      },
    },
  );
  await until('it has tried', () => progress.length > 1);
  stop.abort();
  expect(await joining.catch(codeOf)).toBe('JoinStopped');
  expect(progress[0]).toMatch(/certificate|self-signed|signature/);
  expect(nodesThatAre(first.node.current(), 'Pending')).toEqual([]);
}, 120_000);
