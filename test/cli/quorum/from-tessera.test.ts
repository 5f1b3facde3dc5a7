/**
 * The commands of docs/from-tessera.md, in order, in a folder where an organisation's Tessera
 * configuration and a dump of its database lie. What follows `sh` is as in the README.
 */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ReadyLine } from '../../../src/cli/sandbox/ready-line.ts';
import { systemRandom } from '../../../src/crypto/random.ts';
import { lockKey } from '../../../src/crypto/tessera-key.ts';
import { encodeLegacy } from '../../../src/federation/legacy-codec.ts';
import { bytesOf, realKeys, sealedByTessera } from '../../quorum/migration/tessera-payloads.ts';
import { runProgram, spawnProgram } from '../../support/program.ts';
import type { PartyKeyPair } from '../../support/quorum-network.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../../docs/from-tessera.md'), 'utf8');
const commands = [...PAGE.matchAll(/^```sh *(\S*)\n([\s\S]*?)^```$/gm)].flatMap(
  ([, needs = '', body = '']) =>
    body
      .trim()
      .split('\n')
      .map((line) => ({ needs, line })),
);
const [one, two] = realKeys(2) as [PartyKeyPair, PartyKeyPair];
const folder = mkdtempSync(join(tmpdir(), 'from-tessera-'));
let sandbox: ReturnType<typeof spawnProgram> | undefined;
let ready: ReadyLine | undefined;

beforeAll(async () => {
  const cheap = { variant: 'id', memory: 64, iterations: 1, parallelism: 1 };
  const locked = await lockKey(systemRandom, bytesOf(one.privateKey), 'a password', cheap);
  writeFileSync(join(folder, 'tm.key'), JSON.stringify(locked));
  writeFileSync(join(folder, 'tm.pub'), one.publicKey);
  writeFileSync(join(folder, 'passwords.txt'), 'a password\n');
  const keyData = [{ privateKeyPath: 'tm.key', publicKeyPath: 'tm.pub' }];
  const server = (app: string, serverAddress: string) => ({ app, serverAddress });
  writeFileSync(
    join(folder, 'tessera.json'),
    JSON.stringify({
      keys: { passwordFile: 'passwords.txt', keyData },
      serverConfigs: [server('Q2T', 'unix:/data/tm.ipc'), server('P2P', 'http://t1:9001/')],
      peer: [{ url: 'http://t2:9001' }],
      jdbc: { url: 'jdbc:postgresql://db/tessera' },
    }),
  );
  const rows = [1, 2, 3].map((n) => {
    const sealed = sealedByTessera({ from: one, to: [two], payload: `payload ${n}` });
    const encoded = Buffer.from(encodeLegacy(sealed.whole)).toString('hex');
    const hash = sealed.hash.toString('hex');
    return JSON.stringify({ table: 'ENCRYPTED_TRANSACTION', hash, encoded_payload: encoded });
  });
  writeFileSync(join(folder, 'dump.jsonl'), `${rows.join('\n')}\n`);
});

afterAll(async () => {
  if (sandbox !== undefined) {
    const ended = once(sandbox, 'exit');
    sandbox.kill('SIGTERM');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** The words after `npx concordat`; the sandbox may have found its usual port taken. */
function argsOf(line: string): readonly string[] {
  expect(line).toMatch(/^npx concordat /);
  const url = ready?.service.url ?? 'https://127.0.0.1:8000';
  return line
    .replace('npx concordat ', '')
    .replaceAll('https://127.0.0.1:8000', url)
    .split(' ');
}

async function startSandbox(args: readonly string[]): Promise<void> {
  sandbox = spawnProgram([...args, '--nodes', '1', '--json'], folder);
  if (sandbox.stdout === null) throw new Error('the sandbox has no output');
  for await (const line of createInterface({ input: sandbox.stdout })) {
    ready = JSON.parse(line) as ReadyLine;
    return;
  }
}

test('the page has commands to run', () => {
  expect(commands.map(({ needs }) => needs)).toEqual(['', 'until=ready', '', 'with=sandbox']);
});

test.each(commands)(
  '$line',
  async ({ needs, line }) => {
    if (needs === 'until=ready') {
      await startSandbox(argsOf(line));
      expect(ready?.organisations[0]?.partyKeys).toEqual([one.publicKey]);
      return;
    }
    const ran = await runProgram(argsOf(line), { cwd: folder });
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stderr).not.toContain('REFUSED');
    if (needs !== 'with=sandbox') return;
    expect(ran.stdout).toBe('3 read, 3 stored, 0 known before, 0 refused\n');
    const again = await runProgram(argsOf(line), { cwd: folder });
    expect(again.stdout).toBe('3 read, 0 stored, 3 known before, 0 refused\n');
  },
  120_000,
);

test('every option that the page names is one of the command’s', async () => {
  let known = '';
  for (const action of ['import', 'import-config', 'import-keys']) {
    known += (await runProgram(['quorum', action, '--help'])).stdout;
  }
  for (const [, line = ''] of PAGE.matchAll(/(?:npx )?concordat quorum import(.*)$/gm)) {
    for (const [option] of line.matchAll(/--[a-z-]+/g)) expect(known).toContain(option);
  }
});
