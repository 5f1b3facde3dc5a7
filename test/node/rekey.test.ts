// A new ledger secret by order of the members: every node goes on under it, whoever leads, restarts
// or joins; the members' shares lead back to all secrets, from the newest to the first.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as joined } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verifyLedger } from '../../src/audit/ledger.ts';
import { recoverSecrets } from '../../src/audit/recover-secrets.ts';
import type { DatedSecret } from '../../src/audit/sealed.ts';
import { refreshShares, rekeyLedger } from '../../src/governance/recovery-shares.ts';
import {
  ENCRYPTED_SECRETS,
  HISTORICAL_SECRET,
  SINGLETON,
} from '../../src/governance/tables.ts';
import { join, type Member, onPrimary } from '../support/cluster-rig.ts';
import { ledgerOf, Service } from '../support/cluster-service.ts';
import { judgeLedgers } from '../support/judge-ledgers.ts';
import { ccfPython, runCcf, testWithCcf } from '../support/judges.ts';
import { recoveryMembers, writeRecoveryMembers } from '../support/recovery-members.ts';

let service: Service | undefined;
let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(joined(tmpdir(), 'concordat-rekey-'));
});

afterEach(async () => {
  const ended = service;
  service = undefined;
  await ended?.end();
  await rm(folder, { recursive: true });
});

async function rekey(members: Iterable<Member>): Promise<void> {
  await onPrimary([...members], ({ node }) =>
    node.commitService((tx) => rekeyLedger(tx, node.secretKeeper())),
  );
}

async function written(member: Member): Promise<string> {
  for (const [name, bytes] of ledgerOf(member)) await writeFile(joined(folder, name), bytes);
  return folder;
}

function secretsOf({ node }: Member): readonly DatedSecret[] {
  return node.secretsForJoiners().ledgerSecrets;
}

describe('a rekeyed service', () => {
  test('goes on under the new secret on all nodes, and after a change of primary', async () => {
    service = await Service.of(3);
    await service.write(10);
    await rekey(service.up);
    await service.write(10, 3);
    await service.settle();
    const before = await service.primary();
    expect(secretsOf(before)).toHaveLength(2);
    await service.crash(before);
    await service.write(10);
    await rekey(service.up);
    await service.write(10);
    await service.start(before);
    await service.settle();
    for (const member of service.up) expect(secretsOf(member)).toEqual(secretsOf(before));
    expect(secretsOf(before)).toHaveLength(3);
  }, 60_000);

  test('lets nodes join, and all of them restart, without a secret sealed for it', async () => {
    service = await Service.of(2);
    await service.write(5);
    await rekey(service.up);
    await rekey(service.up);
    await service.write(5);
    await service.add(await join([...service.up]));
    await rekey(service.up);
    await service.write(5);
    await service.settle();
    const members = [...service.up];
    for (const member of members) await service.stop(member);
    for (const member of members) await service.start(member);
    await service.ready();
    await service.write(5);
    await service.settle();
    expect(secretsOf(await service.primary()).length).toBeGreaterThanOrEqual(4);
  }, 60_000);

  test('is alone and restarts at every point of its life', async () => {
    service = await Service.of(1);
    const [only] = service.members;
    if (only === undefined) throw new Error('there is one');
    for (let round = 0; round < 4; round += 1) {
      await service.write(3);
      await rekey(service.up);
      if (round % 2 === 1) await service.write(2);
      await service.crash(only, round < 2 ? 'kept' : 'lost');
      await service.start(only);
      await service.ready();
    }
    await service.settle();
  }, 60_000);
});

test('shares of before a rekey and after it', async () => {
  service = await Service.of(1);
  const [owner, other] = recoveryMembers(['Owner', 'Participant']);
  if (owner === undefined || other === undefined) throw new Error('there are two');
  const { node } = await service.primary();
  await node.commitService((tx) => {
    writeRecoveryMembers(tx, [owner, other], 1);
    refreshShares(tx, node.secretKeeper());
  });
  await service.write(4);
  // Both in one round: the refresh comes before anything was sealed under the new secret.
  await Promise.all([
    node.commitService((tx) => rekeyLedger(tx, node.secretKeeper())),
    node.commitService((tx) => refreshShares(tx, node.secretKeeper())),
  ]);
  await service.write(4);
  await rekey(service.up);
  await service.write(4);
  await service.settle();
  const member = await service.primary();
  const path = await written(member);
  for (const { privateKeyPem } of [owner, other]) {
    const secrets = await recoverSecrets(path, privateKeyPem);
    expect(secrets).toEqual(secretsOf(member).map(({ from, bytes }) => ({ from, bytes })));
    const verdict = await verifyLedger(path, { secrets });
    expect(verdict).toMatchObject({ ok: true, uncovered: 0 });
    expect(verdict.totals.opened).toBe(verdict.totals.transactions);
  }
  const row = member.node.current().table(ENCRYPTED_SECRETS).get(SINGLETON);
  expect(JSON.parse(Buffer.from(row ?? []).toString())).toEqual({
    [node.nodeId]: [expect.objectContaining({ version: null })],
  });
  expect(member.node.current().table(HISTORICAL_SECRET).size).toBe(1);
}, 60_000);

describe('judged by PyPI ccf', () => {
  const script = ccfPython()?.replace(/python[^/]*$/, 'verify_ledger_secrets_chain.py') ?? '';

  testWithCcf('a ledger with rekeys and an unproven restart', async () => {
    service = await Service.of(1);
    const [only] = service.members;
    if (only === undefined) throw new Error('there is one');
    await service.write(4);
    await rekey(service.up);
    await service.write(4);
    await rekey(service.up);
    await service.crash(only, 'kept');
    await service.start(only);
    await service.ready();
    await rekey(service.up);
    await service.write(4);
    await service.settle();
    const path = await written(only);
    expect(await judgeLedgers([path])).toMatchObject([{ ok: true }]);
    const chain = await runCcf([script, path]);
    expect(chain.code, chain.stdout + chain.stderr).toBe(0);
    expect(chain.stdout + chain.stderr).not.toContain('Error');
  });
});
