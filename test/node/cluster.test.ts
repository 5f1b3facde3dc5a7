// Several nodes as one service: what one commits all hold, whoever leads, stops, dies, is cut off,
// joins or leaves. Each story ends with one ledger on all nodes, byte for byte, that our auditor
// accepts and that holds all that was acknowledged.

import { afterEach, describe, expect, test } from 'vitest';
import { type AppRequest, answer, type Endpoint } from '../../src/apps/interface.ts';
import { NO_BYTES, utf8 } from '../../src/base/bytes.ts';
import { type TxId, textOfTxId } from '../../src/base/ids.ts';
import { RECENT_ENTRIES_BYTES_MAX } from '../../src/base/limits.ts';
import { removeNode } from '../../src/governance/nodes-actions.ts';
import { removableNodes } from '../../src/governance/nodes-retirement.ts';
import { writeNode } from '../../src/governance/opening.ts';
import { NODE_INFO } from '../../src/governance/tables.ts';
import type { TxStatus } from '../../src/ledger/view-history.ts';
import { eventually, join, type Member, onPrimary, prepared } from '../support/cluster-rig.ts';
import { ledgerOf, QUICK, Service } from '../support/cluster-service.ts';
import { codeOf } from '../support/crashing-disk.ts';
import { holdsRow, ROWS } from '../support/node-rig.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
/** So long that nobody stands for election for being tired of waiting. */
const PATIENT = { consensus: { messageTimeoutMs: 30, electionTimeoutMs: 20_000 } };

let service: Service | undefined;

async function begin(...how: Parameters<typeof Service.of>): Promise<Service> {
  service = await Service.of(...how);
  return service;
}

afterEach(async () => {
  const ended = service;
  service = undefined;
  await ended?.end();
});

const plain: Omit<Endpoint, 'verb' | 'effect' | 'handle'> = {
  path: '/row',
  authentication: ['no_auth'],
  reads: 'current',
  answers: 'local',
  summary: 'Writes or reads a row',
};

function request(text: string): AppRequest {
  const rest = { path: '/row', params: {}, query: '', caller: { policy: 'no_auth' } } as const;
  return { verb: 'PUT', ...rest, header: () => undefined, body: utf8(text) };
}

/** Writes a row, and tells its transaction before anybody knows what becomes of it. */
async function begun({ node }: Member, key: string): Promise<TxId> {
  const endpoint: Endpoint = {
    ...plain,
    verb: 'PUT',
    effect: 'write',
    handle: ({ body }) => ({
      kind: 'write',
      apply: (tx) => {
        tx.table(ROWS).put(body, body);
        return { status: 200 };
      },
    }),
  };
  const options = { waitForCommit: false, linearizable: false };
  const { txId } = await node.run(endpoint, request(key), options);
  if (txId === undefined) throw new Error('a write has a transaction');
  return txId;
}

/** Whether a row is there, as a read says that promises to be fresh. */
async function freshlyThere({ node }: Member, key: string): Promise<boolean> {
  const endpoint: Endpoint = {
    ...plain,
    verb: 'GET',
    effect: 'read',
    handle: ({ body }, view) => answer({ status: view.table(ROWS).has(body) ? 200 : 404 }),
  };
  const options = { waitForCommit: false, linearizable: true };
  const { response } = await node.run(endpoint, request(key), options);
  return response.status === 200;
}

const isThere = ({ node }: Member, key: string): boolean =>
  node.current().table(ROWS).has(utf8(key));

/** What a client sees that asks for a transaction's status again and again. */
class StatusWatch {
  readonly #txId: TxId;
  readonly #seen = new Map<Member, TxStatus[]>();

  constructor(txId: TxId) {
    this.#txId = txId;
  }

  ask(members: Iterable<Member>): void {
    for (const member of members) {
      const seen = this.#seen.get(member) ?? [];
      const status = member.node.statusOf(this.#txId);
      if (seen.at(-1) !== status) seen.push(status);
      this.#seen.set(member, seen);
    }
  }

  /** The final status, if all whom it asked came to it: the same, and for good. */
  get verdict(): TxStatus | undefined {
    const last = new Set([...this.#seen.values()].map((seen) => seen.at(-1)));
    const [verdict] = last;
    expect([...last].filter(isFinal).length, textOfTxId(this.#txId)).toBeLessThan(2);
    for (const seen of this.#seen.values()) {
      expect(seen.slice(0, -1).filter(isFinal), `${seen} is final`).toEqual([]);
    }
    return last.size === 1 && isFinal(verdict) ? verdict : undefined;
  }
}

function isFinal(status: TxStatus | undefined): boolean {
  return status === 'Committed' || status === 'Invalid';
}

describe('what one node commits', () => {
  test('all hold, and no more than one writes', async () => {
    const running = await begin(3);
    await running.write(60, 8);
    await running.settle();
    expect(running.members.filter(({ node }) => node.isPrimary())).toHaveLength(1);
    for (const { node } of running.members) {
      expect(holdsRow(node, 0)).toBe(true);
      expect(node.node().configurations.at(-1)?.nodeIds).toHaveLength(3);
    }
  });

  test('survives the death of its primary amid writes, and the rest is settled', async () => {
    const running = await begin(3);
    const rounds = isLong ? 60 : 4;
    const watches: StatusWatch[] = [];
    let lost = 0;
    for (let round = 0; round < rounds; round += 1) {
      await running.ready();
      const primary = await running.primary();
      const txIds: TxId[] = [];
      // What is begun in the last turns before its death is nowhere but in its memory.
      for (let turn = 0; turn < 20; turn += 1) {
        if (!primary.node.isPrimary()) break;
        txIds.push(await begun(primary, `${round} ${turn}`));
        if (turn % 5 === 0) await new Promise((resolve) => setTimeout(resolve, round % 4));
      }
      const acknowledged = txIds.map((txId) => primary.node.statusOf(txId) === 'Committed');
      await running.crash(primary);
      const statuses = txIds.map((txId) => new StatusWatch(txId));
      const askAll = (): void => {
        for (const watch of [...watches, ...statuses]) watch.ask(running.up);
      };
      const areFinal = (): boolean => {
        askAll();
        return statuses.every(({ verdict }) => verdict !== undefined);
      };
      await running.write(2);
      await eventually('each transaction final', areFinal);
      await running.start(primary);
      await running.write(2);
      await running.ready();
      await eventually('the same on the one that came back', areFinal);
      for (const [turn, { verdict }] of statuses.entries()) {
        if (acknowledged[turn]) expect(verdict).toBe('Committed');
        if (verdict === 'Invalid') lost += 1;
        for (const member of running.up) {
          expect(isThere(member, `${round} ${turn}`)).toBe(verdict === 'Committed');
        }
      }
      watches.push(...statuses);
    }
    await running.settle();
    for (const watch of watches) expect(watch.verdict).toBeDefined();
    expect(lost, 'some were lost, or nothing was shown').toBeGreaterThan(0);
  }, 600_000);

  test('comes to a node that was away from the disks of those who forgot it', async () => {
    const running = await begin(3);
    const [away] = await running.backups();
    if (away === undefined) throw new Error('there is a backup');
    await running.write(5);
    await running.crash(away);
    await running.write(100, 4);
    // What is written lately is kept in memory; a restart forgets it.
    const others = [...running.up];
    for (const member of others) await running.stop(member);
    for (const member of others) await running.start(member);
    await running.write(5);
    await comesBack(running, away);
  });

  test.runIf(isLong)(
    'comes to one that was away while more was written than memory keeps',
    async () => {
      const running = await begin(3, { chunkBytes: 1_000_000 });
      const [away] = await running.backups();
      if (away === undefined) throw new Error('there is a backup');
      await running.write(5);
      await running.crash(away);
      const pieces = Math.ceil(RECENT_ENTRIES_BYTES_MAX / 500_000) + 4;
      for (let piece = 0; piece < pieces; piece += 1) {
        await onPrimary([...running.up], ({ node }) =>
          node.commitService((tx) => {
            tx.table('test.large').put(utf8(`piece ${piece}`), Buffer.alloc(500_000, piece));
          }),
        );
      }
      await comesBack(running, away);
    },
  );
});

/** A node catches up on many chunks, which the primary reads from its disk. */
async function comesBack(running: Service, away: Member): Promise<void> {
  const primary = await running.primary();
  const has = (end: number): boolean => end <= away.node.committed().seqno;
  const chunks = [...ledgerOf(primary).keys()].map((name) => Number(/-(\d+)/.exec(name)?.[1]));
  expect(chunks.filter((end) => !has(end)).length).toBeGreaterThan(5);
  let read = 0;
  primary.world.disk.onRead = (path) => {
    if (path.includes('/ledger/')) read += 1;
  };
  await running.start(away);
  await away.node.ready();
  expect(read, 'what memory does not have comes from the disk').toBeGreaterThan(5);
  await running.settle();
}

describe('a primary that leaves', () => {
  test('in good order hands over: nobody waits for an election', async () => {
    const running = await begin(3, PATIENT);
    await running.write(10);
    const first = await running.primary();
    await expectSoon(async () => {
      await running.stop(first);
      await running.write(1);
    });
    await running.start(first);
    await running.write(3);
    await running.settle();
    expect(first.node.node().restart).toMatchObject({ proven: true });
  });

  test('retired hands over as well, once that is recorded for good', async () => {
    const running = await begin(3, PATIENT);
    await running.write(10);
    const first = await running.primary();
    await expectSoon(async () => {
      await remove(running, first);
      await eventually('told that it is retired', () => first.isRetired);
      expect(first.node.node().role).toBe('retired');
      await running.stop(first);
      await running.write(3);
    });
    const { node } = await running.primary();
    const removable = removableNodes(node.current()).map(({ nodeId }) => nodeId);
    expect(removable).toEqual([first.nodeId]);
    expect(node.node().configurations.map(({ nodeIds }) => nodeIds.length)).toEqual([2]);
    await running.settle();
  });

  test('cut off answers nothing stale, and what it took in alone is invalid', async () => {
    const running = await begin(3);
    await running.write(5);
    const old = await running.primary();
    old.isCut = true;
    const alone = await begun(old, 'written alone');
    const watch = new StatusWatch(alone);
    watch.ask([old]);
    const waiting = old.node
      .commitService((tx) => tx.table(ROWS).put(utf8('waited for'), NO_BYTES))
      .then(String, codeOf);
    const rest = running.members.filter((member) => member !== old);
    const others = new Service(rest);
    others.goOn(running.acknowledged);
    await others.write(5);
    const [other] = rest as [Member];
    await onPrimary(rest, (primary) =>
      primary.node.commitService((tx) => {
        tx.table(ROWS).put(utf8('newer'), NO_BYTES);
      }),
    );
    expect(await freshlyThere(other, 'newer')).toBe(true);
    const stale = freshlyThere(old, 'newer').then(String, codeOf);
    expect(['NotConfirmed', 'NotPrimary']).toContain(await stale);
    expect(await waiting).toBe('TransactionPendingOrUnknown');
    old.isCut = false;
    running.goOn(others.acknowledged);
    await running.write(3);
    await eventually('the same everywhere', () => {
      watch.ask(running.up);
      return watch.verdict !== undefined;
    });
    expect(watch.verdict).toBe('Invalid');
    for (const member of running.up) {
      expect(isThere(member, 'written alone')).toBe(false);
      expect(isThere(member, 'waited for')).toBe(false);
    }
    expect(await freshlyThere(old, 'newer')).toBe(true);
    await running.settle();
  });
});

describe('nodes that come and go', () => {
  test('five live through the death of two, which are then removed', async () => {
    const running = await begin(3);
    await running.write(10);
    for (let joined = 0; joined < 2; joined += 1) {
      await running.add(await join([...running.up], QUICK));
      await running.write(2);
    }
    await running.settle();
    const [first, second] = await running.backups();
    if (first === undefined || second === undefined) throw new Error('there are backups');
    await running.crash(first);
    await running.crash(second);
    await running.write(5);
    for (const member of [first, second]) await remove(running, member);
    await running.write(5);
    const { node } = await running.primary();
    await eventually('both removable', () => removableNodes(node.current()).length === 2);
    expect(node.node().configurations.map(({ nodeIds }) => nodeIds.length)).toEqual([3]);
    const [third] = await running.backups();
    if (third === undefined) throw new Error('there is another');
    await running.crash(third);
    await running.write(5);
    await running.start(third);
    await running.settle();
  });

  test('one that joins learns of the primary as of a pending node first', async () => {
    const running = await begin(1, {
      consensus: { messageTimeoutMs: 30, electionTimeoutMs: 900 },
    });
    const [founder] = running.members as [Member];
    // A node waits to be trusted while more is written than one message carries.
    const { member, description } = await prepared(founder, QUICK);
    const row = (tx: Parameters<Parameters<typeof founder.node.commitService>[0]>[0]): void => {
      writeNode(tx, description);
      const key = utf8(description.nodeId);
      const info = JSON.parse(Buffer.from(tx.table(NODE_INFO).get(key) ?? []).toString());
      tx.table(NODE_INFO).put(key, utf8(JSON.stringify({ ...info, status: 'Pending' })));
    };
    await founder.node.commitService(row);
    for (let piece = 0; piece < 4; piece += 1) {
      await founder.node.commitService((tx) => {
        tx.table('test.large').put(utf8(`piece ${piece}`), Buffer.alloc(600_000, piece));
      });
    }
    const trusted = founder.node.commitService((tx) => writeNode(tx, description));
    await running.add(member);
    await running.start(member);
    await Promise.all([trusted, member.node.ready()]);
    await running.add(await join([...running.up], QUICK));
    // The one that was pending leads, and the founder is away.
    await remove(running, founder);
    await eventually('the founder retired', () => founder.isRetired);
    await running.stop(founder);
    while ((await running.primary()) !== member) {
      const other = await running.primary();
      await running.stop(other);
      await running.start(other);
      await running.ready();
    }
    await running.add(await join([...running.up], QUICK));
    await running.write(5);
    await running.settle();
  });
});

/** Has a node removed, as the constitution's action does. */
async function remove(running: Service, { nodeId }: Member): Promise<void> {
  await onPrimary([...running.up], async ({ node }) => {
    const info = node.current().table(NODE_INFO).get(utf8(nodeId));
    if (JSON.parse(Buffer.from(info ?? []).toString()).status === 'Retired') return;
    await node.commitService((tx) => {
      removeNode(tx, nodeId);
    });
  });
}

/** That something takes far less time than it would take a node to stand for election. */
async function expectSoon(act: () => Promise<void>): Promise<void> {
  const beganMs = performance.now();
  await act();
  expect(performance.now() - beganMs).toBeLessThan(8_000);
}
