/**
 * `concordat status`: the picture of a cluster, made from what its nodes say, and of a live one.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, it, test } from 'vitest';
import { clusterOf, lagOf, type SeenNode } from '../../src/cli/status/cluster.ts';
import { renderStatus } from '../../src/cli/status/render.ts';
import { LOOKS_MAX, sparkline, Throughput } from '../../src/cli/status/throughput.ts';
import type { NodeStatus } from '../../src/node/node-status.ts';
import { RECENT_TIMES_MAX, RecentTimes } from '../../src/node/recent-times.ts';
import { runProgram, spawnProgram, startSandboxProgram } from '../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-status-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const IDS = ['a1', 'b2', 'c3'].map((start) => start.padEnd(64, '0'));
const idOf = (number: number): string => IDS[number - 1] ?? '';

function node(number: number, more: Partial<NodeStatus> = {}): SeenNode {
  return {
    name: `node ${number}`,
    url: `http://127.0.0.1:${8079 + number}`,
    status: {
      nodeId: idOf(number),
      pid: 100 + number,
      version: '0.1.0',
      platform: 'virtual',
      state: 'PartOfNetwork',
      role: 'follower',
      view: 3,
      primaryId: idOf(1),
      serviceStatus: 'Open',
      committed: '3.1200',
      committedSeqno: 1200,
      newestSeqno: 1200,
      uncommitted: 0,
      transactions: 0,
      rounds: 0,
      sessions: { active: 4, peak: 9 },
      waitsFor: [],
      peers: [],
      ...more,
    },
  };
}

const gone = (number: number): SeenNode => ({
  name: `node ${number}`,
  url: `http://127.0.0.1:${8079 + number}`,
  fault: 'connect ECONNREFUSED',
});

const leader = (more: Partial<NodeStatus> = {}): SeenNode =>
  node(1, {
    role: 'leader',
    newestSeqno: 1234,
    uncommitted: 34,
    commitMs: { count: 50, p50: 1.24, p99: 13.4 },
    snapshotSeqno: 1000,
    peers: [
      { nodeId: idOf(2), acknowledgedSeqno: 1230, silentMs: 3 },
      { nodeId: idOf(3), acknowledgedSeqno: 1100, silentMs: 900 },
    ],
    ...more,
  });

const pictureOf = (nodes: readonly SeenNode[], rates?: readonly number[]): string =>
  renderStatus({
    cluster: clusterOf(nodes),
    isColoured: false,
    ...(rates === undefined ? {} : { rates }),
  });

describe('the picture', () => {
  it('of a cluster at work', () => {
    const nodes = [leader(), node(2, { newestSeqno: 1228 }), node(3, { newestSeqno: 1090 })];
    expect(pictureOf(nodes, [0, 400, 812])).toBe(
      [
        'service Open · 3 of 3 nodes · primary node 1 · view 3 · committed 3.1200 · 812 tx/s ▁▄█',
        'INSECURE: virtual mode, nothing is attested',
        '',
        'NODE              ROLE     VIEW  COMMITTED  LAG  UNCOMMITTED  SESSIONS  COMMIT p50/p99' +
          '  SNAPSHOT',
        'node 1  a1000000  primary     3     3.1200    0           34         4     1.2 / 13 ms' +
          '      1000',
        'node 2  b2000000  backup      3     3.1200    4            0         4',
        'node 3  c3000000  backup      3     3.1200  134            0         4',
      ].join('\n'),
    );
  });

  it('of one whose primary was killed: who is gone is named, with where and why', () => {
    const picture = pictureOf([
      gone(1),
      node(2, { role: 'candidate', view: 4 }),
      node(3, { view: 4 }),
    ]);
    expect(picture).toContain('2 of 3 nodes · no primary · view 4');
    expect(picture).toContain(
      'node 1            unreachable at http://127.0.0.1:8080: connect ECONNREFUSED',
    );
    expect(picture).toMatch(/node 2 {2}b2000000 {2}candidate/);
  });

  it('of a primary that was cut off and does not know of the newer one', () => {
    const newer = { role: 'leader', view: 5, primaryId: idOf(2) } as const;
    const nodes = [leader(), node(2, newer), node(3, { view: 5, primaryId: idOf(2) })];
    const picture = pictureOf(nodes);
    expect(picture).toContain('primary node 2 · view 5');
    expect(picture).toMatch(/node 1 .*was primary/);
    expect(clusterOf(nodes).isWell).toBe(false);
  });

  it('of nodes that wait for others after a restart, with what can be done', () => {
    const waits = { state: 'Initialized', waitsFor: [idOf(3)] } as const;
    const { status } = node(1, waits);
    const { sessions: _closed, primaryId: _unknown, ...restarting } = status ?? ({} as never);
    const picture = pictureOf([{ ...node(1), status: restarting }, gone(2), gone(3)]);
    expect(picture).toMatch(/node 1 .*catching up .*closed .*waits for c3000000/);
    expect(picture).toContain('restart --accept-unproven --operator http://127.0.0.1:8080');
  });

  it('of nothing at all', () => {
    expect(pictureOf([gone(1)])).toContain('service unreachable · 0 of 1 nodes · no primary');
  });

  it('is not INSECURE where nodes are attested, and names those that are not', () => {
    const attested = [leader({ platform: 'snp' }), node(2, { platform: 'snp' })];
    expect(pictureOf(attested)).not.toContain('INSECURE');
    expect(pictureOf([...attested, node(3)])).toContain('nothing is attested: node 3');
  });

  it('says the same in colours', () => {
    const cluster = clusterOf([leader(), node(2), gone(3)]);
    const painted = renderStatus({ cluster, isColoured: true });
    const esc = String.fromCharCode(27);
    expect(painted).toContain(`${esc}[32m`);
    const stripped = painted.replaceAll(new RegExp(`${esc}\\[\\d+m`, 'g'), '');
    expect(stripped).toBe(renderStatus({ cluster, isColoured: false }));
  });
});

test('the lag is what the primary has and a node has not, by whichever of them knows more', () => {
  const cluster = clusterOf([leader(), node(2, { newestSeqno: 1234 }), node(3), gone(2)]);
  expect(cluster.nodes.map((each) => lagOf(cluster, each))).toEqual([0, 0, 34, undefined]);
  const headless = clusterOf([node(2)]);
  expect(lagOf(headless, node(2))).toBeUndefined();
});

test.each<readonly [string, readonly SeenNode[], boolean]>([
  ['all follow one primary', [leader(), node(2), node(3)], true],
  ['one is gone', [leader(), node(2), gone(3)], false],
  ['none leads', [node(2), node(3)], false],
  ['one follows another', [leader(), node(2, { primaryId: idOf(3) })], false],
])('%s', (_what, nodes, isWell) => {
  expect(clusterOf(nodes).isWell).toBe(isWell);
});

describe('throughput', () => {
  const at = (transactions: number, pid = 1): SeenNode => node(1, { transactions, pid });

  it('is what the busiest node committed since the look before', () => {
    const throughput = new Throughput();
    throughput.note([at(1000), at(10, 2)], 0);
    throughput.note([at(1500), at(20, 2)], 500);
    throughput.note([gone(1), at(120, 2)], 1500);
    expect(throughput.rates).toEqual([1000, 100]);
  });

  it('counts nothing of a process that it has not seen before', () => {
    const throughput = new Throughput();
    throughput.note([at(1000)], 0);
    throughput.note([at(5000, 7)], 1000);
    expect(throughput.rates).toEqual([0]);
  });

  it('keeps as many looks as fit a line', () => {
    const throughput = new Throughput();
    for (let look = 0; look < 2 * LOOKS_MAX; look += 1) throughput.note([at(look)], look);
    expect(throughput.rates).toHaveLength(LOOKS_MAX);
  });

  it.each([
    [[], ''],
    [[0, 0], '▁▁'],
    [[1, 2, 4, 8], '▂▃▅█'],
  ])('%j is drawn %s', (values, drawn) => {
    expect(sparkline(values)).toBe(drawn);
  });
});

describe('recent times', () => {
  it('are none before the first', () => {
    expect(new RecentTimes().quantiles()).toBeUndefined();
  });

  it('have the middle and the slowest of a hundred', () => {
    const times = new RecentTimes();
    for (let value = 100; value >= 1; value -= 1) times.note(value);
    expect(times.quantiles()).toEqual({ count: 100, p50: 50, p99: 99 });
  });

  it('forget what is old', () => {
    const times = new RecentTimes();
    times.note(1_000_000);
    for (let round = 0; round < RECENT_TIMES_MAX; round += 1) times.note(1);
    expect(times.quantiles()).toEqual({ count: RECENT_TIMES_MAX, p50: 1, p99: 1 });
  });
});

describe('concordat status', () => {
  it('shows a sandbox that runs, and says by its exit code that all is well', async () => {
    const data = join(folder, 'live');
    const sandbox = await startSandboxProgram(['--data', data, '--organisations', '1']);
    const shown = await runProgram(['status', '--data', data]);
    expect(shown.stdout).toMatch(/service Open · 1 of 1 nodes · primary node 1 · view 2/);
    expect(shown.stdout).toContain('INSECURE');
    expect(shown.code).toBe(0);

    const [{ operator, nodeId } = { operator: { url: '' }, nodeId: '' }] = sandbox.ready.nodes;
    const gone = 'http://127.0.0.1:9';
    const asked = ['status', '--json', '--url', operator.url, '--url', gone];
    const { code, stdout } = await runProgram(asked);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      isWell: false,
      primary: 'node 1',
      nodes: [
        { url: operator.url, status: { nodeId, role: 'leader', serviceStatus: 'Open' } },
        { url: gone, fault: expect.stringContaining('ECONNREFUSED') },
      ],
    });
    const watching = spawnProgram(['status', '--data', data, '--watch', '--json']);
    const looks: string[] = [];
    for await (const line of createInterface({ input: watching.stdout ?? process.stdin })) {
      if (looks.push(line) === 3) break;
    }
    watching.kill('SIGINT');
    expect((await once(watching, 'exit'))[0]).toBe(0);
    expect(JSON.parse(looks.at(-1) ?? '')).toMatchObject({
      isWell: true,
      transactionsPerSecond: expect.any(Number),
    });
    await sandbox.stop();

    const after = await runProgram(['status', '--data', data]);
    expect(after.stdout).toMatch(/node 1 {2}unreachable at/);
    expect(after.code).toBe(1);
  });

  it.each<readonly [readonly string[], number, RegExp]>([
    [['--data', join(folder, 'none')], 3, /none holds no sandbox/],
    [['--url', 'localhost:8080'], 2, /"localhost:8080"; it is the operator's listener/],
    [['--url', 'http://a:1/status'], 2, /http:\/\/HOST:PORT/],
    [['--url', 'http://a:1', '--data', 'x'], 2, /give one of them/],
    [['--wacth'], 2, /--wacth/],
  ])('%j', async (args, expected, told) => {
    const { code, stderr } = await runProgram(['status', ...args]);
    expect(stderr).toMatch(told);
    expect(code).toBe(expected);
  });
});
