/** How a pool of sessions finds its way among real TLS servers that die, hang, join and leave. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { txIdOfText } from '../../src/base/ids.ts';
import type { Answer } from '../../src/client/answer-reader.ts';
import type { Attempt, Purpose } from '../../src/client/attempt.ts';
import { type NodeJudge, UNJUDGED } from '../../src/client/node-judge.ts';
import { SeenTransactions } from '../../src/client/seen-transactions.ts';
import { mayHaveActed } from '../../src/client/session.ts';
import { type PoolOptions, SessionPool } from '../../src/client/session-pool.ts';
import { systemTimers } from '../../src/client/system-timers.ts';
import { startTlsNetwork, type TlsNetwork } from '../support/tls-service.ts';

const REQUEST = { method: 'GET', target: '/app/x', headerLines: '', body: Buffer.alloc(0) };

let network: TlsNetwork;
let pools: SessionPool[];
let seen: SeenTransactions;
let losses: number;

beforeEach(async () => {
  pools = [];
  seen = new SeenTransactions();
  losses = 0;
  network = await startTlsNetwork(3, (index) => (_, reply) => reply.end(`node ${index}`));
});

afterEach(async () => {
  for (const pool of pools) pool.close();
  await network.stop();
});

function poolOf(
  indices: readonly number[],
  options: Partial<PoolOptions> = {},
  judge: NodeJudge = UNJUDGED,
): SessionPool {
  const { certificate, client } = network.node(0);
  const pool = new SessionPool(
    {
      nodeUrls: indices.map((index) => network.node(index).url),
      serviceCertificate: certificate,
      ...client,
      ...options,
    },
    {
      timers: systemTimers,
      judge,
      seen,
      onLoss: () => {
        losses += 1;
      },
    },
  );
  pools.push(pool);
  return pool;
}

function begin(pool: SessionPool, purpose: Purpose = 'read', avoid: string[] = []): Attempt {
  const wish = { purpose, avoid: new Set(avoid) };
  const attempt = pool.begin(REQUEST, wish, systemTimers.elapsedMs() + 10_000);
  if (attempt === undefined) throw new Error('no node is left');
  // Not every test waits for what it asks.
  attempt.answer.catch(() => undefined);
  return attempt;
}

async function answerer(pool: SessionPool, purpose: Purpose = 'read'): Promise<string> {
  return bodyOf(await begin(pool, purpose).answer);
}

const bodyOf = ({ body }: Answer): string => body.toString();

/** Waits for what is to come about within some seconds. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it did not come about');
}

const good = (pool: SessionPool, count: number) => until(() => pool.count().good === count);

describe('a pool', () => {
  test('keeps sessions open to every node, and reads from the first', async () => {
    const pool = poolOf([0, 1, 2]);
    await pool.warmUp();
    await until(() => network.nodes.every((node) => node.sessions() >= 2));
    expect(await answerer(pool)).toBe('node 0');
  });

  test('writes to the primary as soon as it knows it, and to its successor', async () => {
    network.facts.primary = 2;
    const pool = poolOf([0, 1, 2]);
    await until(async () => (await answerer(pool, 'write')) === 'node 2');
    expect(await answerer(pool)).toBe('node 0');
    network.facts.primary = 1;
    network.facts.view = 3;
    await until(async () => (await answerer(pool, 'write')) === 'node 1');
    // What a node says that has not heard of the later view is passed over.
    network.facts.primary = 2;
    network.facts.view = 2;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await answerer(pool, 'write')).toBe('node 1');
  });

  test('shares many reads among the nodes', async () => {
    for (const node of network.nodes) {
      node.answerWith((_, reply) => {
        setTimeout(() => reply.end('slow'), 300);
      });
    }
    const pool = poolOf([0, 1, 2]);
    // On a busy machine a node may seem to hang for a moment, and is then left out.
    await until(async () => {
      await good(pool, 3);
      const before = network.nodes.map(({ seen }) => seen.length);
      await Promise.allSettled(Array.from({ length: 60 }, () => begin(pool).answer));
      return network.nodes.every(({ seen }, at) => seen.length - (before[at] ?? 0) >= 12);
    });
  });

  test('never has more sessions with a node than it may', async () => {
    for (const node of network.nodes) {
      node.answerWith((_, reply) => {
        setTimeout(() => reply.end('slow'), 20);
      });
    }
    const pool = poolOf([0], { sessionsMax: 3 });
    const asked = Array.from({ length: 40 }, () => begin(pool).answer);
    for (const answer of await Promise.all(asked)) expect(bodyOf(answer)).toBe('slow');
    const sessions = network.nodes.reduce((sum, node) => sum + node.sessions(), 0);
    // Three for requests at each node that was found, one for the pool's own questions.
    expect(sessions).toBeLessThanOrEqual(12);
  });
});

describe('a node that dies', () => {
  test('is left at once, and used again when it is back', async () => {
    const pool = poolOf([0, 1, 2]);
    await good(pool, 3);
    await network.node(0).stop();
    await until(async () => (await begin(pool).answer.catch(() => undefined)) !== undefined);
    expect(await answerer(pool)).toBe('node 1');
    await good(pool, 2);
    await network.node(0).start();
    await good(pool, 3);
    expect(await answerer(pool)).toBe('node 0');
  });

  test('while it is being asked, fails what it was asked', async () => {
    network.node(0).answerWith(() => undefined);
    const pool = poolOf([0]);
    const attempt = begin(pool);
    const failing = attempt.answer.catch((thrown: unknown) => mayHaveActed(thrown));
    await until(() => attempt.progress() === 'sent');
    await network.node(0).stop();
    expect(await failing).toBe(true);
  });

  test('before it is asked, has done nothing', async () => {
    const pool = poolOf([0]);
    await network.node(0).stop();
    await new Promise((resolve) => setTimeout(resolve, 150));
    const failing = begin(pool).answer.catch((thrown: unknown) => mayHaveActed(thrown));
    expect(await failing).toBe(false);
  });
});

describe('a node that hangs', () => {
  test('is noticed without being asked anything, and again when it goes on', async () => {
    const pool = poolOf([0, 1, 2]);
    await good(pool, 3);
    network.node(0).freeze();
    await good(pool, 2);
    expect(await answerer(pool)).toBe('node 1');
    network.node(0).thaw();
    await good(pool, 3);
    expect(await answerer(pool)).toBe('node 0');
  });

  test('is told from one that only takes long over one thing', async () => {
    network.node(0).answerWith((seen, reply) => {
      if (seen.url === REQUEST.target) setTimeout(() => reply.end('late'), 1_000);
      else reply.end('quick');
    });
    const pool = poolOf([0, 1]);
    await good(pool, 3);
    const long = begin(pool);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const wish = { purpose: 'read', avoid: new Set<string>() } as const;
    const deadlineMs = systemTimers.elapsedMs() + 3_000;
    await pool.begin({ ...REQUEST, target: '/app/y' }, wish, deadlineMs)?.answer;
    expect(pool.noteSlow(long, 'write')).toBe(false);
    expect(pool.count().good).toBe(3);
    expect(bodyOf(await long.answer)).toBe('late');
    network.node(0).freeze();
    expect(pool.noteSlow(begin(pool), 'read')).toBe(true);
    expect(pool.count().good).toBe(2);
  });
});

describe('a node that is behind', () => {
  test('is asked last until it proves that it is up to date', async () => {
    const pool = poolOf([0, 1, 2]);
    await good(pool, 3);
    network.facts.behind.add(0);
    const attempt = begin(pool);
    await attempt.answer;
    pool.noteUnable(attempt, 'read');
    expect(await answerer(pool)).toBe('node 1');
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await answerer(pool)).toBe('node 1');
    network.facts.behind.clear();
    await good(pool, 3);
    expect(await answerer(pool)).toBe('node 0');
  });

  test('is asked before one that says nothing, and alone when there is no other', async () => {
    const pool = poolOf([0, 1, 2]);
    await good(pool, 3);
    for (const index of [0, 1, 2]) network.facts.behind.add(index);
    for (const avoid of [[], [network.node(0).url]]) {
      const attempt = begin(pool, 'read', avoid);
      await attempt.answer;
      pool.noteUnable(attempt, 'read');
    }
    await network.node(2).stop();
    await until(() => pool.count().good === 0);
    const { url } = begin(pool, 'read', [network.node(0).url]);
    expect(url).toBe(network.node(1).url);
  });
});

describe('a service that proves to have committed', () => {
  test.each([
    ['less than was seen is reported', '2.1001', 2],
    ['as much is used again', '2.1000', 3],
  ])('%s', async (_, shown, count) => {
    const pool = poolOf([0, 1, 2]);
    await good(pool, 3);
    const txId = txIdOfText(shown);
    if (txId !== undefined) seen.note(txId);
    await network.node(0).stop();
    await good(pool, 2);
    await network.node(0).start();
    await until(() => (count === 3 ? pool.count().good === 3 : losses > 0));
    expect([pool.count().good, losses > 0]).toEqual([count, count === 2]);
  });
});

describe('the nodes that a pool knows', () => {
  test('are found from the first one that is named', async () => {
    const pool = poolOf([1]);
    await good(pool, 3);
    await network.node(1).stop();
    await until(async () => (await begin(pool).answer.catch(() => undefined)) !== undefined);
    expect(await answerer(pool)).toBe('node 0');
  });

  test('are those that the service lists: some join, some leave', async () => {
    network.facts.unlisted.add(2);
    const pool = poolOf([0, 1]);
    await good(pool, 2);
    network.facts.unlisted.delete(2);
    await good(pool, 3);
    network.facts.retired.add(0);
    await until(() => pool.count().known === 2);
    expect(await answerer(pool)).toBe('node 1');
  });

  test('stay with what they were asked until it is answered', async () => {
    network.node(0).answerWith((_, reply) => {
      setTimeout(() => reply.end('at last'), 2_800);
    });
    const pool = poolOf([0, 1]);
    await good(pool, 3);
    const attempt = begin(pool);
    network.facts.retired.add(0);
    await until(() => pool.count().known === 2);
    expect(bodyOf(await attempt.answer)).toBe('at last');
  });

  test('are more when one names another, which must be certified by the service', async () => {
    const stranger = await startTlsNetwork(1, () => (_, reply) => reply.end('stranger'));
    const pool = poolOf([0]);
    const prefer = stranger.node(0).url;
    const wish = { purpose: 'write', avoid: new Set<string>(), prefer } as const;
    const attempt = pool.begin(REQUEST, wish, systemTimers.elapsedMs() + 1_000);
    expect(attempt?.url).toBe(prefer);
    await expect(attempt?.answer).rejects.toThrow('cannot be reached');
    expect(stranger.node(0).seen).toEqual([]);
    await stranger.stop();
  });

  test.each([
    [[], '0 nodes are named'],
    [Array.from({ length: 33 }, (_, index) => `https://h:${index + 1}`), '33 nodes are named'],
    [['http://h:1'], '"http://h:1" is no address of a node'],
  ])('cannot be %j', (nodeUrls, sentence) => {
    expect(() => poolOf([0], { nodeUrls })).toThrow(sentence);
  });

  test('are left alone by a pool that is closed', async () => {
    const pool = poolOf([0]);
    const { answer } = begin(pool);
    pool.close();
    await expect(answer).rejects.toThrow();
    const wish = { purpose: 'read', avoid: new Set<string>() } as const;
    expect(pool.begin(REQUEST, wish, systemTimers.elapsedMs() + 1_000)).toBeUndefined();
  });
});
