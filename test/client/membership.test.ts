/** Which nodes a client goes to, from what the service's list says; and what it has seen. */
import { describe, expect, test } from 'vitest';
import { seqnoOf, type TxId, txIdOfText } from '../../src/base/ids.ts';
import type { Answer } from '../../src/client/answer-reader.ts';
import { changesOf, type KnownNode } from '../../src/client/membership.ts';
import { type ListedNode, provenPosition, sightingBy } from '../../src/client/node-probe.ts';
import { SeenTransactions } from '../../src/client/seen-transactions.ts';
import type { Standing } from '../../src/client/service-node.ts';
import type { WireRequest } from '../../src/client/session.ts';

const at = (name: string): string => `https://${name}:1`;

function known(name: string, nodeId?: string, standing: Standing = 'good'): KnownNode {
  return { url: at(name), nodeId, standing };
}

function listed(nodeId: string, name: string | undefined, status = 'Trusted'): ListedNode {
  return { nodeId, status, url: name === undefined ? undefined : at(name) };
}

/** What changes when node 1, at `a`, shows this list. */
function changes(nodes: readonly KnownNode[], list: readonly ListedNode[]) {
  const sighting = { nodeId: '1', view: 2, primaryId: '1', nodes: list };
  const { named, joined, left } = changesOf(nodes, at('a'), sighting);
  return {
    named: named.map(({ url, nodeId }) => `${url} ${nodeId}`),
    joined: joined.map(({ url, nodeId }) => `${url} ${nodeId}`),
    left,
  };
}

describe('the nodes that are known', () => {
  test('are given their names', () => {
    const list = [listed('1', 'a'), listed('2', 'b')];
    expect(changes([known('a'), known('b')], list)).toEqual({
      named: [`${at('a')} 1`, `${at('b')} 2`],
      joined: [],
      left: [],
    });
  });

  test('are joined by the trusted ones that say where they are', () => {
    const list = [
      listed('1', 'a'),
      listed('2', 'b'),
      listed('3', 'c', 'Pending'),
      listed('4', undefined),
    ];
    expect(changes([known('a', '1')], list).joined).toEqual([`${at('b')} 2`]);
  });

  test('are left by those that retired, or are not listed any more', () => {
    const nodes = [known('a', '1'), known('b', '2'), known('c', '3')];
    const list = [listed('1', 'a'), listed('2', 'b', 'Retired')];
    expect(changes(nodes, list).left).toEqual([at('b'), at('c')]);
  });

  test('stay when they are named otherwise than they publish', () => {
    const nodes = [known('a', '1'), known('alias', '2')];
    expect(changes(nodes, [listed('1', 'a'), listed('2', 'b')])).toEqual({
      named: [],
      joined: [],
      left: [],
    });
  });

  test('are sought where they publish when they cannot be reached where they were', () => {
    const nodes = [known('a', '1'), known('alias', '2', 'silent')];
    const { joined, left } = changes(nodes, [listed('1', 'a'), listed('2', 'b')]);
    expect([joined, left]).toEqual([[`${at('b')} 2`], []]);
  });

  test('lose a second address of the one that answers', () => {
    const nodes = [known('a', '1'), known('alias', '1')];
    expect(changes(nodes, [listed('1', 'a')]).left).toEqual([at('alias')]);
  });

  test('stay when nothing tells who they are', () => {
    expect(
      changes([known('a'), known('dark', undefined, 'silent')], [listed('1', 'a')]).left,
    ).toEqual([]);
  });

  test.each([
    ['nobody', []],
    ['not the one who shows it', [listed('2', 'b')]],
  ])('all stay when the list names %s', (_, list) => {
    expect(changes([known('a', '1'), known('b', '2'), known('c', '3')], list).left).toEqual([]);
  });
});

describe('a look at a node', () => {
  const rows = [
    {
      node_id: '1',
      status: 'Trusted',
      rpc_interfaces: {
        inner: { published_address: '10.0.0.1:1' },
        front: { published_address: 'a:1' },
      },
    },
    {
      node_id: '2',
      status: 'Trusted',
      rpc_interfaces: { front: { bind_address: '[::1]:1' }, inner: {} },
    },
    { node_id: '3', status: 'Trusted' },
    {
      node_id: '4',
      status: 'Trusted',
      rpc_interfaces: { front: { published_address: 'h:1/x' } },
    },
    'nonsense',
  ];
  const PAGES: Readonly<Record<string, unknown>> = {
    '/node/network/nodes/self': rows[0],
    '/node/network': { current_view: 7, primary_id: '2' },
    '/node/network/nodes': { nodes: rows },
  };

  function answering(pages: Readonly<Record<string, unknown>>) {
    return ({ target }: WireRequest): Promise<Answer> => {
      const page = pages[target];
      const text = typeof page === 'string' ? page : JSON.stringify(page);
      const status = page === undefined ? 404 : 200;
      const body = Buffer.from(page === undefined ? '' : text);
      return Promise.resolve({ status, headers: [], body, closes: false });
    };
  }

  test('shows the others by the interface through which it was reached', async () => {
    expect(await sightingBy(answering(PAGES), at('a'))).toEqual({
      nodeId: '1',
      view: 7,
      primaryId: '2',
      nodes: [
        listed('1', 'a'),
        listed('2', '[::1]'),
        listed('3', undefined),
        listed('4', undefined),
      ],
    });
  });

  test.each(Object.keys(PAGES))(
    'shows nothing without a page that makes sense: %s',
    async (page) => {
      for (const other of [undefined, 'no JSON', 'null', '[]', '{}']) {
        const pages = { ...PAGES, [page]: other };
        expect(await sightingBy(answering(pages), at('a'))).toBeUndefined();
      }
    },
  );

  test('asks how far the service has committed, as a confirmed leader knows it', async () => {
    const asked: string[] = [];
    const ask = (request: WireRequest): Promise<Answer> => {
      asked.push(request.headerLines);
      return answering({ '/app/commit': { transaction_id: '3.4' } })(request);
    };
    expect(await provenPosition(ask)).toBe(4);
    expect(asked).toEqual(['x-concordat-read: linearizable\r\n']);
    for (const page of [undefined, {}, { transaction_id: 4 }, { transaction_id: 'x' }]) {
      expect(await provenPosition(answering({ '/app/commit': page }))).toBeUndefined();
    }
  });
});

describe('what was seen', () => {
  test.each([
    ['2.7', '2.7', true, '2.7'],
    ['2.7', '2.8', true, '2.8'],
    ['2.7', '2.6', true, '2.7'],
    ['2.7', '3.8', true, '3.8'],
    ['3.8', '2.7', true, '3.8'],
    // No history holds both of these.
    ['2.7', '3.7', false, '2.7'],
    ['2.7', '3.6', false, '2.7'],
    ['3.7', '2.7', false, '3.7'],
    ['3.7', '2.8', false, '3.7'],
  ])('%s and then %s is possible: %s', (first, second, possible, newest) => {
    const seen = new SeenTransactions();
    expect(seen.note(txId(first))).toBe(true);
    expect(seen.note(txId(second))).toBe(possible);
    expect(seen.newest).toEqual(txId(newest));
    expect(seen.seqno).toBe(txId(newest).seqno);
  });

  test('and the position that is known beside it', () => {
    const seen = new SeenTransactions();
    expect([seen.newest, seen.seqno]).toEqual([undefined, undefined]);
    seen.notePosition(seqnoOf(9));
    seen.note(txId('2.7'));
    expect([seen.newest, seen.seqno]).toEqual([txId('2.7'), 9]);
  });
});

function txId(text: string): TxId {
  const read = txIdOfText(text);
  if (read === undefined) throw new Error(`${text} is no transaction id`);
  return read;
}
