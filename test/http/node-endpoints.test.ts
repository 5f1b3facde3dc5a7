// What a node tells of itself under /node (http-api.md §10), where the recorded exchanges say
// nothing: as a backup, while it stops, for wrong input, and that virtual evidence says INSECURE.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import { jsonRow, NODE_INFO } from '../../src/governance/tables.ts';
import { askOnce, codeOf, jsonOf, type Reply } from './client.ts';
import { type House, openHouse, openPair, type Pair } from './house.ts';

let house: House;

beforeEach(async () => {
  house = await openHouse();
});

afterEach(() => house.close());

const ask = (path: string, method = 'GET'): Promise<Reply> =>
  askOnce(house, undefined, method, path);

const details = async (): Promise<unknown> =>
  (jsonOf(await ask('/node/consensus')) as { readonly details: unknown }).details;

describe('roles', () => {
  test('a primary says so, and is no backup', async () => {
    expect((await ask('/node/primary')).status).toBe(200);
    expect((await ask('/node/primary', 'HEAD')).status).toBe(200);
    expect((await ask('/node/backup')).status).toBe(404);
  });

  test('a backup redirects HEAD only, and cannot where it does not know the primary', async () => {
    house.service.role = 'backup';
    expect((await ask('/node/backup')).status).toBe(200);
    expect((await ask('/node/primary')).status).toBe(404);
    expect((await ask('/node/primary', 'HEAD')).status).toBe(500);
  });

  test.each(['candidate', 'retired'] as const)('one that is %s is neither', async (role) => {
    house.service.role = role;
    house.service.primaryId = undefined;
    expect((await ask('/node/primary')).status).toBe(404);
    expect((await ask('/node/backup')).status).toBe(404);
    expect((await ask('/node/network/nodes/primary')).status).toBe(404);
  });

  test.each([
    ['primary', 'Leader', 'Active'],
    ['backup', 'Follower', 'Active'],
    ['candidate', 'Candidate', 'Active'],
    ['retired', 'None', 'Retired'],
  ] as const)('a %s is called %s, %s in consensus', async (role, leadership, membership) => {
    house.service.role = role;
    expect(await details()).toMatchObject({
      leadership_state: leadership,
      membership_state: membership,
    });
  });
});

describe('a service of two', () => {
  let pair: Pair;

  beforeEach(async () => {
    pair = await openPair();
  });

  afterEach(() => pair.close());

  test('tells on each node of the same primary, and where it is', async () => {
    const primaryId = pair.primary.service.nodeId;
    for (const one of [pair.primary, pair.backup]) {
      const askIt = (path: string): Promise<Reply> => askOnce(one, undefined, 'GET', path);
      expect(jsonOf(await askIt('/node/network'))).toMatchObject({ primary_id: primaryId });
      const primary = jsonOf(await askIt('/node/network/nodes/primary'));
      expect(primary).toMatchObject({ node_id: primaryId, primary: true });
      const { nodes } = jsonOf(await askIt('/node/network/nodes')) as { nodes: unknown[] };
      expect(nodes).toHaveLength(2);
    }
    const self = await askOnce(pair.backup, undefined, 'GET', '/node/network/nodes/self');
    expect(jsonOf(self)).toMatchObject({
      node_id: pair.backup.service.nodeId,
      primary: false,
    });
    const head = await askOnce(pair.backup, undefined, 'HEAD', '/node/primary');
    expect([head.status, head.headers.get('location')]).toEqual([
      308,
      'https://127.0.0.1:8000/node/primary',
    ]);
  });

  describe('of which one is retired', () => {
    const mark = (more: object): void => {
      pair.primary.service.write((tx) => {
        const table = tx.table(NODE_INFO);
        const key = utf8(pair.backup.service.nodeId);
        const row: object = JSON.parse(textOf(table.get(key) ?? new Uint8Array()));
        table.put(key, jsonRow({ ...row, ...more }));
      });
    };
    const remove = (house: House, nodeId = pair.backup.service.nodeId): Promise<Reply> =>
      askOnce(house, undefined, 'DELETE', `/node/network/nodes/${nodeId}`);

    test('keeps its row until that is committed for good', async () => {
      const early = await remove(pair.primary);
      expect([early.status, codeOf(early)]).toEqual([400, 'NodeNotRetiredCommitted']);
      mark({ status: 'Retired' });
      expect((await remove(pair.primary)).status).toBe(400);
      const unknown = await remove(pair.primary, 'ab'.repeat(32));
      expect([unknown.status, codeOf(unknown)]).toEqual([404, 'ResourceNotFound']);
    });

    test('is removable, and is deleted, whichever node is asked', async () => {
      mark({ status: 'Retired', retired_committed: true });
      const path = '/node/network/removable_nodes';
      const list = await askOnce(pair.primary, undefined, 'GET', path);
      expect(jsonOf(list)).toMatchObject({ nodes: [{ node_id: pair.backup.service.nodeId }] });
      const reply = await remove(pair.backup);
      expect([reply.status, jsonOf(reply)]).toEqual([200, true]);
      expect((await remove(pair.primary)).status).toBe(404);
    });
  });

  test('shows its configuration, and on the primary what others acknowledged', async () => {
    const { primary, backup } = pair;
    primary.service.acks = new Map([
      [backup.service.nodeId, { seqno: seqnoOf(1), lastReceivedMs: 12 }],
    ]);
    const nodes = {
      [primary.service.nodeId]: { address: '127.0.0.1:7000' },
      [backup.service.nodeId]: { address: '127.0.0.1:7001' },
    };
    const consensus = await askOnce(primary, undefined, 'GET', '/node/consensus');
    expect(jsonOf(consensus)).toMatchObject({
      details: {
        acks: { [backup.service.nodeId]: { seqno: 1, last_received_ms: 12 } },
        configs: [{ idx: 1, rid: 1, nodes }],
        primary_id: primary.service.nodeId,
      },
    });
    const config = await askOnce(backup, undefined, 'GET', '/node/config');
    expect(jsonOf(config)).toEqual(nodes);
  });
});

describe('readiness', () => {
  test.each(['/node/ready/app', '/node/ready/gov'])(
    '%s is 204, and 503 while stopping',
    async (path) => {
      expect((await ask(path)).status).toBe(204);
      house.service.stopNotice = true;
      expect((await ask(path)).status).toBe(503);
    },
  );

  test('without an open application, only governance is ready', async () => {
    house.service.open = false;
    expect((await ask('/node/ready/app')).status).toBe(503);
    expect((await ask('/node/ready/gov')).status).toBe(204);
  });
});

describe('the nodes', () => {
  test.each([
    ['', 1],
    ['?status=Trusted', 1],
    ['?status=Retired', 0],
    ['?host=127.0.0.1&port=8000', 1],
    ['?host=127.0.0.2', 0],
    ['?port=8001', 0],
  ])('listed with %j are %i', async (query, count) => {
    const { nodes } = jsonOf(await ask(`/node/network/nodes${query}`)) as { nodes: unknown[] };
    expect(nodes).toHaveLength(count);
  });

  test('a status that does not exist is a 400', async () => {
    const reply = await ask('/node/network/nodes?status=Happy');
    expect([reply.status, codeOf(reply)]).toEqual([400, 'InvalidQueryParameterValue']);
  });

  test('one is found by its id, by being this one, and by being the primary', async () => {
    const byId = jsonOf(await ask(`/node/network/nodes/${house.service.nodeId}`));
    expect(jsonOf(await ask('/node/network/nodes/self'))).toEqual(byId);
    expect(jsonOf(await ask('/node/network/nodes/primary'))).toEqual(byId);
    expect(byId).toMatchObject({ primary: true, status: 'Trusted', last_written: 1 });
  });
});

describe('virtual evidence', () => {
  test.each([
    ['/node/quotes/self', (body: unknown) => body],
    ['/node/attestations/self', (body: unknown) => body],
    ['/node/quotes', (body: unknown) => (body as { quotes: unknown[] }).quotes[0]],
    [
      '/node/attestations',
      (body: unknown) => (body as { attestations: unknown[] }).attestations[0],
    ],
  ])('%s says what it is, and that it is INSECURE', async (path, pick) => {
    const evidence = pick(jsonOf(await ask(path))) as Readonly<Record<string, string>>;
    expect(evidence).toMatchObject({
      format: 'Insecure_Virtual',
      node_id: house.service.nodeId,
      insecure: expect.stringMatching(/^INSECURE/),
    });
    const raw: unknown = JSON.parse(Buffer.from(evidence.raw ?? '', 'base64').toString());
    expect(Object.keys(raw as object).sort()).toEqual([
      'host_data',
      'measurement',
      'report_data',
    ]);
  });
});

describe('commits and transactions', () => {
  test.each([
    ['?view_history=maybe', 400],
    ['?view_history_since=0', 400],
    ['?view_history_since=x', 400],
    ['?view_history_since=3', 404],
    ['?view_history_since=2', 200],
    ['?view_history=false', 200],
  ])('/commit%s is %i', async (query, status) => {
    const reply = await ask(`/node/commit${query}`);
    expect(reply.status).toBe(status);
    if (status !== 200) expect(codeOf(reply)).toBe('InvalidQueryParameterValue');
  });

  test('the history has the first transaction of each view', async () => {
    house.service.elect();
    expect(jsonOf(await ask('/app/commit?view_history=true'))).toEqual({
      transaction_id: '3.2',
      view_history: ['1.1', '2.1', '3.2'],
    });
  });

  test.each([
    ['2.1', 'Committed'],
    ['3.1', 'Invalid'],
    ['2.2', 'Unknown'],
    ['2.0', 'Invalid'],
  ])('%s is %s', async (txId, status) => {
    expect(jsonOf(await ask(`/app/tx?transaction_id=${txId}`))).toMatchObject({ status });
  });
});

describe('receipts', () => {
  test('as COSE have their own type', async () => {
    const reply = await ask('/app/receipt/cose?transaction_id=2.1');
    expect([reply.status, reply.headers.get('content-type')]).toEqual([
      200,
      'application/cose',
    ]);
    expect(reply.body.toString()).toBe('a COSE receipt');
  });

  test.each([
    ['/receipt', '3'],
    ['/receipt/cose', '1'],
  ])('%s that is not there yet: 202, ask again after %s s', async (path, seconds) => {
    house.service.receiptsAre = 'pending';
    const reply = await ask(`/gov${path}?transaction_id=2.1`);
    expect([reply.status, reply.headers.get('retry-after')]).toEqual([202, seconds]);
    expect(reply.headers.get('cache-control')).toBe('no-cache');
    expect(reply.body.toString()).toBe(
      'Historical transaction 2.1 is not currently available.',
    );
  });

  test('that will never be there: 404', async () => {
    house.service.receiptsAre = 'unavailable';
    const reply = await ask('/app/receipt/cose?transaction_id=2.1');
    expect([reply.status, codeOf(reply)]).toEqual([404, 'ResourceNotFound']);
  });

  test.each([
    ['', 400, 'InvalidQueryParameterValue'],
    ['?transaction_id=x', 400, 'InvalidQueryParameterValue'],
    ['?transaction_id=2.7', 404, 'TransactionPendingOrUnknown'],
    ['?transaction_id=7.1', 404, 'TransactionInvalid'],
  ])('for %j: %i %s', async (query, status, code) => {
    const reply = await ask(`/app/receipt${query}`);
    expect([reply.status, codeOf(reply)]).toEqual([status, code]);
    expect(reply.headers.get('cache-control')).toBe(
      code === 'TransactionPendingOrUnknown' ? 'no-cache' : undefined,
    );
  });
});
