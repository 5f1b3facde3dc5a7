/**
 * A Quorum node's requests while nodes of the service die, hang, come back and change roles: each
 * is answered in time, and what is written is done once.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { UNJUDGED } from '../../src/client/node-judge.ts';
import { type Connector, startConnector } from '../../src/connector/connector.ts';
import { PrivateClient } from '../support/private-client.ts';
import { type Answering, startTlsNetwork, type TlsNetwork } from '../support/tls-service.ts';

let folder: string;
let network: TlsNetwork;
let connector: Connector;
let client: PrivateClient;
let said: string[];
/** What was done under which id, in the order in which it was done. */
let done: Map<string, number>;
let committed: number;

/** Does a write, once for each id, as the service does; gives back its position. */
function execute(id: string): number {
  const before = done.get(id);
  if (before !== undefined) return before;
  committed += 1;
  done.set(id, committed);
  network.facts.committed = `2.${committed}`;
  return committed;
}

/** A node that does what it is asked. */
function serving(index: number): Answering {
  return (seen, reply) => {
    const isRead = seen.method === 'GET';
    const id = String(seen.headers['x-concordat-request-id']);
    const position = isRead ? committed : execute(id);
    reply.head(isRead ? 200 : 201, { 'x-ms-ccf-transaction-id': `2.${position}` });
    reply.end(isRead ? `node ${index}` : id);
  };
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'failover-'));
  done = new Map();
  committed = 1_000;
  said = [];
  network = await startTlsNetwork(3, serving);
  const { certificate, client: identity } = network.node(0);
  connector = await startConnector(
    {
      service: {
        nodeUrls: [network.node(0).url],
        serviceCertificate: certificate,
        ...identity,
      },
      socket: { path: join(folder, 'tm.ipc') },
    },
    { log: (line) => said.push(line), judge: UNJUDGED },
  );
  client = new PrivateClient(join(folder, 'tm.ipc'), 64);
  await until(async () => (await figure('nodes_healthy')) === 3);
});

afterEach(async () => {
  client.close();
  await connector.close();
  await network.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not come about');
}

async function figure(name: string): Promise<number> {
  const text = (await client.ask('GET', '/metrics')).body.toString();
  return Number(new RegExp(`^concordat_connector_${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

interface Timed {
  readonly status: number;
  readonly body: string;
  readonly tookMs: number;
}

async function timed(method: string, path: string, body?: string): Promise<Timed> {
  const startedMs = performance.now();
  const reply = await client.ask(method, path, {}, body);
  const tookMs = performance.now() - startedMs;
  return { status: reply.status, body: reply.body.toString(), tookMs };
}

const read = () => timed('GET', '/transaction/x');
const write = () => timed('POST', '/send', '{}');
const several = (count: number, ask: () => Promise<Timed>) =>
  Promise.all(Array.from({ length: count }, ask));

describe('reads', () => {
  test('that are asked of a node as it hangs are answered by another within a second', async () => {
    expect((await read()).body).toBe('node 0');
    network.node(0).freeze();
    for (const { status, body, tookMs } of await several(20, read)) {
      expect([status, body]).toEqual([200, 'node 1']);
      // A second, and what a busy machine adds.
      expect(tookMs).toBeLessThan(1_800);
    }
    expect(await figure('hedges_total')).toBeGreaterThan(0);
    expect(await figure('failovers_total')).toBeGreaterThan(0);
    // From now on nobody waits for it.
    expect((await read()).tookMs).toBeLessThan(500);
    network.node(0).thaw();
    await until(async () => (await read()).body === 'node 0');
  });

  test('are answered although two of three nodes were killed', async () => {
    await network.node(0).stop();
    await network.node(1).stop();
    for (const { status, body } of await several(20, read)) {
      expect([status, body]).toEqual([200, 'node 2']);
    }
    await until(async () => (await figure('nodes_healthy')) === 1);
  });
});

describe('writes', () => {
  test('are held until there is a primary again', async () => {
    let electing = true;
    for (const [index, node] of network.nodes.entries()) {
      node.answerWith((seen, reply) => {
        if (electing) reply.head(503, { 'x-concordat-error': 'NotPrimary' }).end();
        else serving(index)(seen, reply);
      });
    }
    const writing = several(10, write);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    electing = false;
    for (const { status } of await writing) expect(status).toBe(201);
    expect(done.size).toBe(10);
    expect(await figure('retries_under_id_total')).toBeGreaterThan(10);
  });

  test('whose answers are lost with their node are done once', async () => {
    const first = network.node(0);
    // Done, and then the node is gone before it could say so.
    first.answerWith(({ headers }) => execute(String(headers['x-concordat-request-id'])));
    const writing = several(20, write);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await first.stop();
    const answers = await writing;
    for (const { status } of answers) expect(status).toBe(201);
    expect(new Set(answers.map(({ body }) => body)).size).toBe(20);
    expect(done.size).toBe(20);
  });

  test('go on while each node is killed in turn, done once and answered', async () => {
    let running = true;
    const answers: Timed[] = [];
    const writers = Array.from({ length: 8 }, async () => {
      while (running) answers.push(await write());
    });
    for (const node of network.nodes) {
      await node.stop();
      await new Promise((resolve) => setTimeout(resolve, 300));
      await node.start();
      await until(async () => (await figure('nodes_healthy')) === 3);
    }
    running = false;
    await Promise.all(writers);
    expect(answers.length).toBeGreaterThan(50);
    for (const { status } of answers) expect(status).toBe(201);
    expect(done.size).toBe(answers.length);
    expect(await figure('unknown_outcomes_total')).toBe(0);
  });

  test('that nobody answers end before GoQuorum gives up, and say what is not known', async () => {
    for (const node of network.nodes) node.freeze();
    const { status, body, tookMs } = await write();
    expect(status).toBe(503);
    expect(body).toMatch(/^whether this was carried out is not known/);
    expect(tookMs).toBeLessThan(4_950);
    expect(await figure('unknown_outcomes_total')).toBe(1);
  });
});

describe('a service that lost what this connector had seen', () => {
  test('is refused, while a node that is behind is passed over', async () => {
    await write();
    network.node(0).answerWith((_, reply) => {
      const headers = {
        'x-concordat-error': 'TransactionPendingOrUnknown',
        'retry-after': '1',
      };
      reply.head(503, headers).end('not yet');
    });
    expect((await read()).status).toBe(200);
    expect(await figure('service_refused')).toBe(0);
    for (const node of network.nodes) {
      node.answerWith((_, reply) => {
        reply.head(500, { 'x-concordat-error': 'SessionConsistencyLost' }).end('lost');
      });
    }
    network.facts.committed = '3.8';
    for (const ask of [read, write]) {
      const { status, body } = await ask();
      expect(status).toBe(503);
      expect(body).toMatch(/^the service has lost transaction 2\.1001,.*restart the connector/);
    }
    expect(await figure('service_refused')).toBe(1);
    expect(said.filter((line) => line.startsWith('the service has lost'))).toHaveLength(1);
  });
});
