/**
 * The main job, as a newcomer and as a harness meet it: one command, everything ready, the same
 * data at the next start.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PrivateClient } from '../support/private-client.ts';
import { runLauncher, runProgram, startSandboxProgram } from '../support/program.ts';

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
      transactions: { stored: expect.stringMatching(/^2\.\d+$/) },
      seconds: expect.any(Number),
    });
  });

  it('prints nothing but the JSON on standard output with --json', async () => {
    const { code, stdout, stderr } = await runProgram(['start', '--demo', '--json']);
    expect(code).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true });
    expect(stderr).toContain('INSECURE');
  });

  it('leaves nothing behind in the temporary folder', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('concordat-demo-'));
    await runProgram(['start', '--demo']);
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith('concordat-demo-'));
    expect(after.length).toBeLessThanOrEqual(before.length);
  });

  it('needs a stranger, and says so with its reason when there is none', async () => {
    const { code, stdout } = await runProgram(['start', '--demo', '--organisations', '2']);
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
      members: [{ certificate: expect.any(String), encryptionKey: expect.any(String) }],
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
