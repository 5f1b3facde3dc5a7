// Disaster recovery without members' shares: a key that was voted for is released to the node that
// recovers, and opens what a member's share would. What is not released, or opens nothing, delays
// nobody who holds a share.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { UnwrappingKey } from '../../src/crypto/keys.ts';
import { RELEASE_KEYS, RELEASE_SHARES } from '../../src/governance/recovery-release.ts';
import { refreshShares, rekeyLedger } from '../../src/governance/recovery-shares.ts';
import { jsonRow, SERVICE_INFO, SINGLETON } from '../../src/governance/tables.ts';
import type { NodeLog } from '../../src/node/node-options.ts';
import type { RecoveryRelease } from '../../src/node/recovering/private-recovery.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { Service } from '../support/cluster-service.ts';
import { allowOpening, Disaster, opened, submitOwn, withMembers } from '../support/disaster.ts';
import { holdsRow, newWorld } from '../support/node-rig.ts';
import { type RecoveryMember, recoveryMembers } from '../support/recovery-members.ts';

const RECOVERY_TYPE = 'public:ccf.internal.last_recovery_type';
const VAULT = { vault_url: 'https://vault.test', key_name: 'k', key_version: '0'.repeat(32) };

let disaster: Disaster;
const said: string[] = [];
const log: NodeLog = {
  info: (line) => said.push(line),
  warn: (line) => said.push(line),
  progress: () => undefined,
};

beforeEach(async () => {
  disaster = await Disaster.begin();
  said.length = 0;
});
afterEach(() => disaster.end());

interface Lost {
  readonly service: Service;
  readonly members: readonly RecoveryMember[];
  readonly certificate: string;
  readonly ledgers: readonly string[];
}

/** A service that has voted for a release key, is rekeyed and loaded, and dies. */
async function lost(
  key: UnwrappingKey,
  after: (node: RunningNode) => Promise<unknown> = async () => undefined,
): Promise<Lost> {
  const service = await Service.of(1);
  const members = recoveryMembers(['Participant', 'Participant']);
  await withMembers(service, members, 2);
  const { node } = await service.primary();
  await node.commitService((tx) => {
    const row = { ...VAULT, encryption_pub_key: key.publicKeyPem };
    tx.table(RELEASE_KEYS).put(utf8('main'), jsonRow(row));
    refreshShares(tx, node.secretKeeper());
  });
  await service.write(10, 4);
  await node.commitService((tx) => rekeyLedger(tx, node.secretKeeper()));
  await service.write(10, 4);
  await after(node);
  const certificate = node.serviceCertificatePem;
  const all = [...service.members];
  await service.end();
  const ledgers = await Promise.all(
    all.map((member, index) => disaster.leftOf(member, `node-${index}`)),
  );
  return { service, members, certificate, ledgers };
}

async function recovering(was: Lost, recoveryRelease: RecoveryRelease): Promise<RunningNode> {
  const request = { ledgers: was.ledgers, previousCertificatePem: was.certificate };
  const { node } = await disaster.recover(request, newWorld(), {}, { recoveryRelease, log });
  return node;
}

const textIn = (node: RunningNode, table: string, key = SINGLETON): unknown =>
  JSON.parse(textOf(node.current().table(table).get(key) ?? utf8('null')));

test('a released key opens what shares would, once members let the service go on', async () => {
  const key = UnwrappingKey.generate();
  const was = await lost(key);
  const asked: unknown[] = [];
  const node = await recovering(was, async (row) => {
    asked.push(row);
    return key.pkcs8();
  });
  // Nothing is asked of a vault before members have voted for this very service.
  expect(textIn(node, SERVICE_INFO)).toMatchObject({ status: 'Recovering' });
  expect(asked).toEqual([]);
  await allowOpening(node, was.certificate);
  await opened(node);
  expect(asked).toEqual([{ ...VAULT, encryption_pub_key: key.publicKeyPem }]);
  for (const number of was.service.acknowledged.keys())
    expect(holdsRow(node, number)).toBe(true);
  expect(textIn(node, RECOVERY_TYPE)).toBe('KEY_RELEASE');
  // The service that goes on is recoverable in the same way.
  expect(node.current().table(RELEASE_SHARES).get(utf8('main'))).toBeDefined();
}, 60_000);

test('what is not released leaves it to the shares', async () => {
  const was = await lost(UnwrappingKey.generate());
  const node = await recovering(was, () => {
    throw new CodedError('KeyNotReleased', 'this code is not named by the policy');
  });
  await allowOpening(node, was.certificate);
  for (const member of was.members) await submitOwn(node, member);
  await opened(node);
  expect(textIn(node, RECOVERY_TYPE)).toBe('RECOVERY_SHARES');
  expect(said.join('\n')).toContain('"main" is of no use: this code is not named');
}, 60_000);

test('another key than was voted for opens nothing, and says so', async () => {
  const was = await lost(UnwrappingKey.generate());
  const node = await recovering(was, async () => UnwrappingKey.generate().pkcs8());
  await allowOpening(node, was.certificate);
  for (const member of was.members) await submitOwn(node, member);
  await opened(node);
  expect(textIn(node, RECOVERY_TYPE)).toBe('RECOVERY_SHARES');
  expect(said.join('\n')).toMatch(/"main" recovers nothing: what was released does not open/);
}, 60_000);

test('a key that was taken back is asked for no more', async () => {
  const key = UnwrappingKey.generate();
  let asked = 0;
  const was = await lost(key, (node) =>
    node.commitService((tx) => {
      tx.table(RELEASE_KEYS).remove(utf8('main'));
      rekeyLedger(tx, node.secretKeeper());
    }),
  );
  const node = await recovering(was, async () => {
    asked += 1;
    return key.pkcs8();
  });
  expect(node.current().table(RELEASE_SHARES).page()).toEqual([]);
  await allowOpening(node, was.certificate);
  for (const member of was.members) await submitOwn(node, member);
  await opened(node);
  expect(asked).toBe(0);
}, 60_000);
