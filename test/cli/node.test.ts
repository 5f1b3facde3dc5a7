/**
 * `concordat node`: one node as a process, as an operator and a supervisor meet it.
 */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import type { NodeStatus } from '../../src/node/node-status.ts';
import { runProgram, spawnProgram, startProgram } from '../support/program.ts';
import { firstNodeFiles, freePort } from './node-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-node-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function startNode(
  path: string,
): Promise<ReturnType<typeof startProgram<NodeReadyLine>>> {
  return await startProgram<NodeReadyLine>(['node', 'start', '--config', path, '--json']);
}

describe('concordat node start', () => {
  it('says where it is, stops when it is asked to, and goes on with the same ledger', async () => {
    const home = join(folder, 'twice');
    const { path } = await firstNodeFiles(home);
    const first = await startNode(path);
    const { ready } = first;
    expect(ready).toMatchObject({
      ready: true,
      isNew: true,
      pid: first.child.pid,
      nodeId: expect.stringMatching(/^[0-9a-f]{64}$/),
      url: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/),
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      ledger: join(home, 'node', 'ledger'),
      service: { certificate: join(home, 'service_cert.pem') },
    });
    expect(readFileSync(ready.service.certificate, 'utf8')).toContain('BEGIN CERTIFICATE');
    expect(readFileSync(join(home, 'node.pid'), 'utf8').trim()).toBe(String(ready.pid));
    expect(JSON.parse(readFileSync(join(home, 'rpc.json'), 'utf8'))).toEqual({
      primary_rpc_interface: ready.url.replace('https://', ''),
    });
    const status = (await (await fetch(`${ready.operator.url}/status`)).json()) as unknown;
    expect(status).toMatchObject({
      nodeId: ready.nodeId,
      pid: ready.pid,
      role: 'leader',
      platform: 'virtual',
      serviceStatus: 'Open',
      committed: expect.stringMatching(/^2\.\d+$/),
    });
    expect(await first.stop()).toBe(0);
    expect(existsSync(join(home, 'node.pid'))).toBe(false);

    const second = await startNode(path);
    expect(second.ready).toMatchObject({ isNew: false, nodeId: ready.nodeId });
    expect(await second.stop('SIGINT')).toBe(0);
  });

  it('refuses a folder that another one runs on, and says so in JSON', async () => {
    const { path } = await firstNodeFiles(join(folder, 'shared'));
    const first = await startNode(path);
    const { code, stdout } = await runProgram(['node', 'start', '--config', path, '--json']);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { code: 'FolderInUse' } });
    await first.stop();
  });

  it('is told its configuration on standard input too', async () => {
    const { config } = await firstNodeFiles(join(folder, 'piped'));
    const whole = JSON.stringify({ ...config, folder: join(folder, 'piped', 'node') });
    const { code, stdout, stderr } = await runProgram(
      ['node', 'start', '--config', '-', '--check', '--json'],
      { cwd: join(folder, 'piped'), input: whole },
    );
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ ok: true });
    expect(code).toBe(0);
  });

  it('dies with whoever started it, so that its folder is free', async () => {
    const { path } = await firstNodeFiles(join(folder, 'orphan'));
    const through = await startProgram<NodeReadyLine>(
      ['node', 'start', '--config', path, '--json'],
      'launcher',
    );
    await through.kill();
    const again = await startNode(path);
    expect(again.ready.nodeId).toBe(through.ready.nodeId);
    await again.stop();
  });
});

describe('a restart that nobody can prove', () => {
  it('waits for its operator, says so, and goes on when he accepts it', async () => {
    const operator = `127.0.0.1:${await freePort()}`;
    const { path } = await firstNodeFiles(join(folder, 'unproven'), {
      restart: { unproven: 'refuse' },
      network: {
        node_to_node_interface: { bind_address: `127.0.0.1:${await freePort()}` },
        rpc_interfaces: {
          primary_rpc_interface: { bind_address: `127.0.0.1:${await freePort()}` },
        },
        operator_interface: { bind_address: operator },
      },
    });
    const first = await startNode(path);
    expect(await first.stop()).toBe(0);

    const second = startNode(path);
    const url = `http://${operator}`;
    const waiting = await untilStatus(url, ({ committedSeqno }) => committedSeqno > 0);
    expect(waiting).toMatchObject({ state: 'Initialized' });
    expect((await fetch(`${url}/ready`)).status).toBe(503);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    const shown = await runProgram(['status', '--url', url]);
    expect(shown.stdout).toContain(`restart --accept-unproven --operator ${url}`);
    expect(shown.code).toBe(1);

    const told = await runProgram(['node', 'restart', '--accept-unproven', '--operator', url]);
    expect(told.stdout).toContain(`${url} goes on`);
    expect(told.code).toBe(0);
    const { ready, stop } = await second;
    expect(ready).toMatchObject({ isNew: false, nodeId: first.ready.nodeId });
    const { stdout } = await runProgram(['status', '--url', url]);
    expect(stdout).toContain('restarted, unproven');
    await stop();
  });

  it('stops when it is asked to while it waits', async () => {
    const { path, config } = await firstNodeFiles(join(folder, 'waits'));
    await (await startNode(path)).stop();
    writeFileSync(path, JSON.stringify({ ...config, restart: { unproven: 'refuse' } }));
    const child = spawnProgram(['node', 'start', '--config', path, '--json']);
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    while (!said.includes('--accept-unproven')) await new Promise((r) => setTimeout(r, 20));
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(0);
  });
});

describe('concordat node start --check', () => {
  it('judges the configuration and the files it names, and changes nothing', async () => {
    const { path } = await firstNodeFiles(join(folder, 'good'));
    const { code, stdout } = await runProgram(['node', 'start', '--config', path, '--check']);
    expect(stdout).toBe(`${path} is good\n`);
    expect(code).toBe(0);
    expect(existsSync(join(folder, 'good', 'node'))).toBe(false);
  });

  it('names every fault, with the name that was meant', async () => {
    const { path } = await firstNodeFiles(join(folder, 'faults'), {
      consensus: { election_timout: '1s' },
      ledger: { chunk_size: 5_000_000 },
    });
    const { code, stdout } = await runProgram([
      ...['node', 'start', '--config', path, '--check', '--json'],
    ]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      faults: [
        'consensus.election_timout is no setting; did you mean consensus.election_timeout?',
        expect.stringContaining('ledger.chunk_size is 5000000; it takes a size'),
      ],
    });
  });

  it.each([
    ['is not there', undefined, /ENOENT.*certificate\.pem/],
    ['holds no PEM', 'nonsense', /certificate\.pem holds no PEM/],
    [
      'holds no certificate',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      /certificate\.pem holds no certificate/,
    ],
  ])('names a file that %s', async (_what, text, told) => {
    const home = join(folder, 'files');
    const { path } = await firstNodeFiles(home);
    const certificate = join(home, 'members/1/certificate.pem');
    const kept = readFileSync(certificate);
    if (text === undefined) rmSync(certificate);
    else writeFileSync(certificate, text);
    const { code, stderr } = await runProgram(['node', 'start', '--config', path, '--check']);
    expect(stderr).toMatch(told);
    expect(code).toBe(1);
    writeFileSync(certificate, kept);
  });
});

describe('what is not understood', () => {
  it.each<readonly [readonly string[], number, RegExp]>([
    [['node'], 2, /say what to do: start, join, .*not nothing/],
    [['node', 'sart'], 2, /not "sart"/],
    [['node', 'start'], 2, /--config FILE/],
    [['node', 'start', '--confg', 'x'], 2, /--confg/],
    [['node', 'start', '--config', '/nowhere.json'], 3, /nowhere\.json: ENOENT/],
    [['node', 'settings', 'x'], 2, /settings takes no x/],
    [['node', 'trust'], 2, /say which node to trust/],
    [['node', 'remove', 'a', 'b'], 2, /one node at a time, not also b/],
    [['node', 'trust', 'abcdef'], 2, /--url or --data/],
    [['node', 'trust', 'abcdef', '--url', 'http://a:1'], 2, /--member-certificate is missing/],
    [['node', 'trust', 'abcdef', '--data', folder], 3, /holds no sandbox/],
    [['node', 'restart'], 2, /--accept-unproven is missing/],
    [['node', 'restart', '--accept-unproven'], 2, /--operator URL or --data DIR/],
    [['node', 'restart', '--accept-unproven', '--operator', 'x'], 2, /operator is "x"; it is/],
    [
      ['node', 'restart', '--accept-unproven', '--operator', 'http://127.0.0.1:9'],
      1,
      /REFUSED/,
    ],
  ])('%j', async (args, expected, told) => {
    const { code, stderr } = await runProgram(args);
    expect(stderr).toMatch(told);
    expect(code).toBe(expected);
  });

  it('a configuration for the other command', async () => {
    const { path } = await firstNodeFiles(join(folder, 'other'));
    const { code, stderr } = await runProgram(['node', 'join', '--config', path]);
    expect(stderr).toMatch(/its command\.type is for concordat node start, not join/);
    expect(code).toBe(3);
  });
});

describe('help', () => {
  it.each(['start', 'join'])('of node %s names its options', async (action) => {
    const { code, stdout } = await runProgram(['node', action, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`concordat node ${action} --config FILE`);
    for (const option of ['--check', '--json']) expect(stdout).toContain(option);
  });

  it('of node names every action', async () => {
    const { stdout } = await runProgram(['node', '--help']);
    for (const action of ['start', 'join', 'trust ID', 'remove ID', 'restart', 'settings']) {
      expect(stdout).toContain(`node ${action}`);
    }
  });

  it('node settings prints the page of docs/', async () => {
    const { stdout } = await runProgram(['node', 'settings']);
    const page = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
    expect(stdout).toBe(page);
  });
});

/** A node's status, once it is as expected. */
async function untilStatus(
  url: string,
  expected: (status: NodeStatus) => boolean,
): Promise<NodeStatus> {
  const until = performance.now() + 30_000;
  for (;;) {
    let seen: unknown;
    try {
      const status = (await (await fetch(`${url}/status`)).json()) as NodeStatus;
      if (expected(status)) return status;
      seen = JSON.stringify(status);
    } catch (error) {
      seen = error;
    }
    if (performance.now() > until) throw new Error(`${url} is never as expected: ${seen}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
