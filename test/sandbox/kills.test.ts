/**
 * SIGKILL under load, again and again, on one folder: every payload whose 201 arrived is
 * readable by its recipient afterwards, and unknown to a stranger; PyPI `ccf` accepts the
 * ledger at FULL.
 *
 * 10 rounds in `npm test`, 100 in `npm run test:long`.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { ReadyLine } from '../../src/cli/sandbox/ready-line.ts';
import { ccfPython, runCcf, runJudge } from '../support/judges.ts';
import { PrivateClient } from '../support/private-client.ts';
import { startSandboxProgram } from '../support/program.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const ROUNDS = process.env.CONCORDAT_LONG === '1' ? 100 : 10;
const CONNECTIONS = 16;
const SEED = Number(process.env.CONCORDAT_SEED ?? Date.now() % 1e9);

const folder = mkdtempSync(join(tmpdir(), 'concordat-kills-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Acknowledged {
  readonly key: string;
  readonly payload: Buffer;
}

it(
  `loses nothing acknowledged in ${ROUNDS} kills (seed ${SEED})`,
  async () => {
    const random = new SeededRandom(SEED);
    const data = join(folder, 'data');
    const acknowledged: Acknowledged[] = [];
    let lost = 0;
    let strangers = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const sandbox = await startSandboxProgram(['--data', data]);
      // The round before: what it acknowledged must be there, and 3 must not see it.
      const checked = await readBack(sandbox.ready, acknowledged.slice(-400));
      lost += checked.lost;
      strangers += checked.seenByStranger;
      const load = sendUntilBroken(sandbox.ready, acknowledged, random);
      await firstAnswer(acknowledged);
      await new Promise((resolve) => setTimeout(resolve, random.below(500)));
      await sandbox.kill();
      await load;
    }
    const sandbox = await startSandboxProgram(['--data', data]);
    const checked = await readBack(sandbox.ready, acknowledged);
    expect({
      lost: lost + checked.lost,
      seenByStranger: strangers + checked.seenByStranger,
    }).toEqual({ lost: 0, seenByStranger: 0 });
    expect(acknowledged.length).toBeGreaterThan(ROUNDS);
    const ledger = sandbox.ready.nodes[0]?.ledger ?? '';
    expect(await sandbox.stop()).toBe(0);
    expect(
      readdirSync(ledger).every((name) => /^ledger_\d+(-\d+\.committed)?$/.test(name)),
    ).toBe(true);
    await judge(ledger);
    console.log(`${ROUNDS} kills, ${acknowledged.length} payloads acknowledged, 0 lost`);
  },
  ROUNDS * 20_000 + 60_000,
);

/** Resolves when one more payload was acknowledged: a kill before that would show nothing. */
async function firstAnswer(acknowledged: readonly Acknowledged[]): Promise<void> {
  const before = acknowledged.length;
  while (acknowledged.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Sends on many connections until the service is gone; notes each 201 as it arrives. */
async function sendUntilBroken(
  ready: ReadyLine,
  acknowledged: Acknowledged[],
  random: SeededRandom,
): Promise<void> {
  const [one, two] = ready.organisations;
  const client = new PrivateClient(one?.transactionManager.url ?? '', CONNECTIONS);
  const sender = async (): Promise<void> => {
    for (;;) {
      const payload = Buffer.alloc(1 + random.below(2000), random.below(256));
      try {
        const key = await client.send(payload, one?.partyKeys[0] ?? '', [
          two?.partyKeys[0] ?? '',
        ]);
        acknowledged.push({ key, payload });
      } catch {
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, sender));
  client.close();
}

async function readBack(
  ready: ReadyLine,
  payloads: readonly Acknowledged[],
): Promise<{ lost: number; seenByStranger: number }> {
  const recipient = new PrivateClient(ready.organisations[1]?.transactionManager.url ?? '');
  const stranger = new PrivateClient(ready.organisations[2]?.transactionManager.url ?? '');
  let lost = 0;
  let seenByStranger = 0;
  await Promise.all(
    payloads.map(async ({ key, payload }, index) => {
      const seen = await recipient.receive(key);
      if (seen === undefined || !seen.equals(payload)) lost += 1;
      if (index % 10 === 0 && (await stranger.receive(key)) !== undefined) seenByStranger += 1;
    }),
  );
  recipient.close();
  stranger.close();
  return { lost, seenByStranger };
}

async function judge(ledger: string): Promise<void> {
  if (ccfPython() === undefined) {
    console.warn('SKIPPED: PyPI ccf is not at hand, so nobody else judged this ledger');
    return;
  }
  const script =
    'import sys; from ccf.ledger import Ledger, VerificationLevel as L\n' +
    'n = sum(1 for c in Ledger([sys.argv[1]], committed_only=False, verification_level=L.FULL) ' +
    'for t in c)\nprint(n)';
  const { code, stdout, stderr } = await runCcf(['-c', script, ledger]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(Number(stdout)).toBeGreaterThan(10);
  // The command of the README: it also formats every row of the public tables.
  const reader = join(dirname(ccfPython() ?? ''), 'read_ledger.py');
  const read = await runJudge(reader, ['--uncommitted', ledger]);
  expect(read.stdout + read.stderr).not.toContain('Error parsing');
  expect(read.stdout + read.stderr).toContain(`Verified FULL - ${Number(stdout)} transactions`);
}
