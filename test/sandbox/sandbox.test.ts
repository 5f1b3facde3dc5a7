/**
 * The main job, as a newcomer and as a harness meet it: one command, everything ready, the same
 * data at the next start.
 */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { generatePartyKey } from '../../src/crypto/party-keys.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { PrivateClient } from '../support/private-client.ts';
import { runLauncher, runProgram, startSandboxProgram } from '../support/program.ts';

/** Where several nodes are not the point. */
const ONE = ['--nodes', '1'];
const folder = mkdtempSync(join(tmpdir(), 'concordat-sandbox-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('npm start -- --demo', () => {
  it('tells one private exchange in plain words and ends with one line of JSON', async () => {
    const { code, stdout } = await runLauncher(['start', '--demo']);
    expect(code).toBe(0);
    const lines = stdout.trim().split('\n');
    expect(lines.length).toBeGreaterThan(4);
    const result = JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;
    expect(result).toMatchObject({
      ok: true,
      counts: { sent: 1, read: 1, refused: 1, receipts: 1 },
      transactions: { stored: expect.stringMatching(/^\d+\.\d+$/) },
      seconds: expect.any(Number),
    });
  }, 180_000);

  it('prints nothing but the JSON on standard output with --json', async () => {
    const { code, stdout, stderr } = await runProgram(['start', '--demo', '--json', ...ONE]);
    expect(code).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true });
    expect(stderr).toContain('INSECURE');
  });

  it('leaves nothing behind in the temporary folder', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('concordat-demo-'));
    await runProgram(['start', '--demo', ...ONE]);
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith('concordat-demo-'));
    expect(after.length).toBeLessThanOrEqual(before.length);
  });

  it('needs a stranger, and says so with its reason when there is none', async () => {
    const { code, stdout } = await runProgram([
      ...['start', '--demo', '--organisations', '2'],
      ...ONE,
    ]);
    expect(code).toBe(1);
    const result = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { reason: string };
    expect(result).toMatchObject({ ok: false });
    expect(result.reason).toContain('--organisations 3');
  });
});

describe('a sandbox', () => {
  it('says where everything is, and a later start goes on with the same data', async () => {
    const data = join(folder, 'twice');
    const first = await startSandboxProgram(['--data', data, '--organisations', '2']);
    const { ready } = first;
    expect(ready).toMatchObject({
      data,
      service: { url: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/) },
      nodes: [{ ledger: join(data, 'node1', 'ledger') }],
      members: Array.from({ length: 3 }, () => ({
        ...{ certificate: expect.any(String), key: expect.any(String) },
        encryptionKey: expect.any(String),
      })),
    });
    expect(ready.organisations).toHaveLength(2);
    for (const path of [
      ready.service.certificate,
      ...ready.organisations.flatMap(({ certificate, key }) => [certificate, key]),
      ...ready.members.flatMap((member) => Object.values(member)),
    ]) {
      expect(existsSync(path), path).toBe(true);
    }
    const [one, two] = ready.organisations;
    if (one === undefined || two === undefined)
      throw new Error('two organisations were asked for');
    const socket = one.transactionManager.socket;
    expect(statSync(dirname(socket)).mode & 0o777).toBe(0o700);
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    const sender = new PrivateClient(socket);
    const key = await sender.send(Buffer.from('kept'), one.partyKeys[0] ?? '', [
      two.partyKeys[0] ?? '',
    ]);
    sender.close();
    expect(await first.stop('SIGINT')).toBe(0);
    expect(existsSync(socket)).toBe(false);
    expect(readdirSync(join(data, 'node1', 'ledger')).every(isChunk)).toBe(true);

    const second = await startSandboxProgram(['--data', data]);
    const again = second.ready.organisations;
    expect(again.map((each) => each.partyKeys)).toEqual(
      ready.organisations.map((each) => each.partyKeys),
    );
    const reader = new PrivateClient(again[1]?.transactionManager.url ?? '');
    expect((await reader.receive(key))?.toString()).toBe('kept');
    reader.close();
    expect(await second.stop()).toBe(0);
  });

  it('shows its figures on the operator listener, and that it is INSECURE', async () => {
    const sandbox = await startSandboxProgram(['--data', join(folder, 'metrics')]);
    const url = sandbox.ready.nodes[0]?.operator.url ?? '';
    const metrics = await get(`${url}/metrics`);
    expect(metrics).toMatch(/^concordat_committed_seqno \d+$/m);
    expect(metrics).toMatch(/^concordat_insecure_virtual 1$/m);
    expect(await get(`${url}/ready`)).toContain('ready');
    await sandbox.stop();
  });

  it('dies with a launcher that is killed, so that its folder is free', async () => {
    const data = join(folder, 'launcher');
    const first = await startSandboxProgram(['--data', data], 'launcher');
    await first.kill();
    const second = await startUntilFree(data);
    // Its ports may have gone to somebody else meanwhile; its organisations are the same.
    const keys = ({ ready }: typeof first): unknown =>
      ready.organisations.map(({ partyKeys }) => partyKeys);
    expect(keys(second)).toEqual(keys(first));
    await second.stop();
  });

  it('refuses to share its folder with another one that runs', async () => {
    const data = join(folder, 'shared');
    const first = await startSandboxProgram(['--data', data]);
    const { code, stderr, stdout } = await runProgram(['sandbox', '--data', data, '--json']);
    expect(code).toBe(3);
    expect(stderr).toContain('another process runs on');
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { code: 'FolderInUse' } });
    await first.stop();
  });
});

describe('what is not understood is named, with what to do', () => {
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const key = Buffer.alloc(32, 7).toString('base64');
  const cases: readonly (readonly [string, readonly string[], number, RegExp])[] = [
    ['an unknown option', ['--organizations', '3'], 2, /--organizations/],
    ['a number that is none', ['--organisations', 'three'], 2, /"three"/],
    ['too many organisations', ['--organisations', '65'], 2, /65.*1 to 64/],
    ['no organisation at all', ['--organisations', '0'], 2, /0.*1 to 64/],
    ['a durability that is none', ['--durability', 'maybe'], 2, /"maybe"/],
    ['ports that there are not', ['--port-offset', '60000'], 2, /60000.*at most 50000/],
    ['keys that are not there', ['--party-keys', join(folder, 'no.json')], 3, /no\.json/],
    ['keys that are no list', ['--party-keys', file('object.json', '{}')], 3, /a list/],
    [
      'a pair that is none',
      [
        '--party-keys',
        file('pair.json', JSON.stringify([{ node: 1, publicKey: key, privateKey: key }])),
      ],
      3,
      /entry 1: publicKey .* is not that of its privateKey/,
    ],
    [
      'a short key',
      [
        '--party-keys',
        file('short.json', JSON.stringify([{ node: 1, publicKey: 'AAAA', privateKey: key }])),
      ],
      3,
      /publicKey is "AAAA", not 32 bytes/,
    ],
    ['residents of nobody', ['--residents', file('residents.json', '{"x":[]}')], 3, /"x"/],
  ];
  it.each(cases)('%s', async (_what, args, expected, said) => {
    const data = join(folder, 'never-made');
    const { code, stderr } = await runProgram(['sandbox', '--data', data, ...args]);
    expect(code).toBe(expected);
    expect(stderr).toMatch(said);
    expect(existsSync(join(data, 'node1'))).toBe(false);
  });

  it('another number of organisations than the folder holds', async () => {
    const data = join(folder, 'twice');
    const { code, stderr } = await runProgram([
      'sandbox',
      '--data',
      data,
      '--organisations',
      '5',
    ]);
    expect(code).toBe(3);
    expect(stderr).toMatch(/of 2 organisations, not 5/);
  });
});

function isChunk(name: string): boolean {
  return /^ledger_\d+(-\d+\.committed)?$/.test(name);
}

/** The killed launcher's program ends a moment after it. */
async function startUntilFree(data: string): ReturnType<typeof startSandboxProgram> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await startSandboxProgram(['--data', data]);
    } catch (error) {
      if (attempt === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function get(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(url, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve(text));
    })
      .on('error', reject)
      .end();
  });
}

describe('found by fresh eyes', () => {
  const pair = (node: number): Record<string, unknown> => {
    const { publicKey, privateKey } = generatePartyKey(systemRandom);
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
    return { node, publicKey: text(publicKey), privateKey: text(privateKey) };
  };
  const keysFile = (name: string, list: readonly unknown[]): string => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify(list));
    return path;
  };

  it('a party key belongs to one organisation: a second owner would read along', async () => {
    const shared = pair(1);
    const path = keysFile('shared-key.json', [shared, { ...shared, node: 2 }]);
    const data = join(folder, 'shared-key');
    const { code, stderr } = await runProgram([
      'sandbox',
      '--data',
      data,
      '--party-keys',
      path,
    ]);
    expect(code).toBe(3);
    expect(stderr).toMatch(/entry 2: publicKey .* was given to organisation 1 before/);
  });

  it('entries beyond the organisations are ignored, whatever they hold', async () => {
    const mine = pair(1);
    const path = keysFile('beyond.json', [mine, { node: 9, publicKey: 'zzz' }]);
    const data = join(folder, 'beyond');
    const sandbox = await startSandboxProgram([
      ...['--data', data, '--organisations', '1', '--party-keys', path],
    ]);
    expect(sandbox.ready.organisations[0]?.partyKeys).toEqual([mine.publicKey]);
    expect(await sandbox.stop()).toBe(0);
    expect(sandbox.said()).not.toContain('not there yet');
  });

  it('a refused second start does not touch the settings of the first', async () => {
    const data = join(folder, 'untouched');
    const first = await startSandboxProgram(['--data', data]);
    const before = readFileSync(join(data, 'sandbox.json'), 'utf8');
    const { code } = await runProgram(['sandbox', '--data', data]);
    expect(code).toBe(3);
    expect(readFileSync(join(data, 'sandbox.json'), 'utf8')).toBe(before);
    await first.stop();
  });

  it('a folder that cannot be made is said in one line, and in JSON', async () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    for (const data of [file, join(file, 'x'), '/proc/nope']) {
      const { code, stdout, stderr } = await runProgram(['sandbox', '--json', '--data', data]);
      expect(code, stderr).toBe(3);
      expect(JSON.parse(stdout)).toMatchObject({ ok: false });
      expect(stderr).not.toContain('    at ');
    }
  });

  it('a missing key file is named before anything is written', async () => {
    const data = join(folder, 'twice');
    const key = join(data, 'organisations', '1', 'key.pem');
    const kept = readFileSync(key);
    rmSync(key);
    const { code, stderr } = await runProgram(['sandbox', '--data', data]);
    expect(code).toBe(3);
    expect(stderr).toContain(`${key} is missing`);
    writeFileSync(key, kept);
  });

  it('a socket whose folder is too deep gets a short path that stays the same', async () => {
    const data = join(folder, 'd'.repeat(60), 'd'.repeat(60));
    const first = await startSandboxProgram(['--data', data, '--organisations', '1']);
    const socket = first.ready.organisations[0]?.transactionManager.socket ?? '';
    expect(Buffer.byteLength(socket)).toBeLessThanOrEqual(107);
    await first.stop();
    const second = await startSandboxProgram(['--data', data]);
    expect(second.ready.organisations[0]?.transactionManager.socket).toBe(socket);
    await second.stop();
    rmSync(dirname(socket), { recursive: true });
  });

  it('npm ends without passing its signal on; the sandbox ends all the same', async () => {
    const data = join(folder, 'npm');
    const npm = spawn(
      'bash',
      ['-c', `npm start --silent -- --json --nodes 1 --data ${data} & echo $!; wait`],
      {
        cwd: join(import.meta.dirname, '../..'),
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    let said = '';
    await new Promise<void>((resolve) => {
      npm.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('"ready":true')) resolve();
      });
    });
    process.kill(Number(said.split('\n')[0]), 'SIGTERM');
    const again = await startUntilFree(data);
    await again.stop();
  });
});
