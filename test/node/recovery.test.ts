// Disaster recovery: every node is lost. From the ledgers that survive a new service goes on, with
// all that was committed when those of a majority are at hand, and knowing what may be missing when
// they are not.

import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verifyLedger } from '../../src/audit/ledger.ts';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import { seqnoOf, textOfTxId } from '../../src/base/ids.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { formerServiceRows } from '../../src/governance/recovery.ts';
import { refreshShares, rekeyLedger } from '../../src/governance/recovery-shares.ts';
import {
  jsonRow,
  SERVICE_CONFIG,
  SERVICE_INFO,
  SINGLETON,
} from '../../src/governance/tables.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import { verifyReceipt } from '../../src/ledger/receipt.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { eventually } from '../support/cluster-rig.ts';
import { Service } from '../support/cluster-service.ts';
import {
  allowOpening,
  Disaster,
  handIn,
  opened,
  submitOwn,
  withMembers,
} from '../support/disaster.ts';
import { judgeLedgers } from '../support/judge-ledgers.ts';
import { ccfPython, runCcf, testWithCcf } from '../support/judges.ts';
import { afterCrash, holdsRow, newWorld } from '../support/node-rig.ts';
import {
  openedShare,
  type RecoveryMember,
  recoveryMembers,
} from '../support/recovery-members.ts';

let disaster: Disaster;

beforeEach(async () => {
  disaster = await Disaster.begin();
});

afterEach(async () => {
  await disaster.end();
});

interface Lost {
  readonly service: Service;
  readonly members: readonly RecoveryMember[];
  readonly certificate: string;
  /** The folders that survive, those of the longest ledgers first. */
  readonly folders: readonly string[];
  readonly before: RunningNode;
}

/** A loaded service whose nodes all die at once. */
async function lost(
  nodes: number,
  members: readonly RecoveryMember[],
  threshold: number,
): Promise<Lost> {
  const service = await Service.of(nodes);
  await withMembers(service, members, threshold);
  await service.write(20, 4);
  const before = (await service.primary()).node;
  await before.commitService((tx) => rekeyLedger(tx, before.secretKeeper()));
  await service.write(20, 4);
  const certificate = before.serviceCertificatePem;
  const all = [...service.members];
  await service.end();
  const folders = await Promise.all(
    all.map((member, index) => disaster.leftOf(member, `node-${index}`)),
  );
  return { service, members, certificate, folders, before };
}

/** A COSE receipt of before leads to the service as it is now, over what vouches for the former. */
async function coseLeads(node: RunningNode, { acknowledged }: Service): Promise<void> {
  const serviceCertificate = node.serviceCertificatePem;
  const endorsements = formerServiceRows(node.current()).map(({ endorsement }) =>
    Buffer.from(endorsement, 'base64'),
  );
  const seqno = Math.min(...[...acknowledged.values()].map((txId) => txId.seqno));
  const receipt = await node.receipt(seqnoOf(seqno), 'cose');
  if (typeof receipt === 'string' || receipt.form !== 'cose') throw new Error(`${receipt}`);
  const judge = async (given: readonly Uint8Array[]): Promise<boolean> => {
    const trust = { serviceCertificate, endorsements: given };
    return (await verifyReceipt(receipt.bytes, trust, nodeVerifier)).ok;
  };
  expect(await judge(endorsements)).toBe(true);
  expect(await judge([])).toBe(false);
  const [latest = new Uint8Array()] = endorsements;
  const changed = Buffer.from(latest);
  changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1;
  expect(await judge([changed, ...endorsements.slice(1)])).toBe(false);
}

function missing({ service }: Lost, node: RunningNode): readonly number[] {
  return [...service.acknowledged.keys()].filter((number) => !holdsRow(node, number));
}

/** Makes the rows of a rekey, which nobody commits. */
function rekeyIn(node: RunningNode): void {
  const store = new Store([]);
  const transaction = new StoreTransaction(store, 'service');
  const row = node.current().table(SERVICE_INFO).get(SINGLETON) ?? utf8('{}');
  transaction.table(SERVICE_INFO).put(SINGLETON, row);
  rekeyLedger(transaction, node.secretKeeper());
}

function status(node: RunningNode): string {
  const row = node.current().table(SERVICE_INFO).get(SINGLETON);
  return String(JSON.parse(textOf(row ?? utf8('{}'))).status);
}

function pairs(roles: Parameters<typeof recoveryMembers>[0] = ['Participant', 'Participant']) {
  return recoveryMembers(roles);
}

describe('all nodes are lost', () => {
  test('with two of three ledgers nothing is missing, and the service goes on', async () => {
    const was = await lost(3, pairs(['Participant', 'Participant', 'Participant']), 2);
    const world = newWorld();
    const { node, choice } = await disaster.recover(
      { ledgers: was.folders.slice(1), previousCertificatePem: was.certificate },
      world,
    );
    expect(choice).toMatchObject({ isComplete: true, given: 2, needed: 2, nodes: 3 });
    expect(status(node)).toBe('Recovering');
    expect(node.node().state).toBe('PartOfPublicNetwork');
    expect(missing(was, node)).toHaveLength(40);
    await allowOpening(node, was.certificate);
    expect(status(node)).toBe('WaitingForRecoveryShares');
    const [first, second] = was.members;
    if (first === undefined || second === undefined) throw new Error('there are three');
    expect(await submitOwn(node, first)).toMatchObject({ submittedCount: 1, recovers: false });
    expect(await submitOwn(node, second)).toMatchObject({ submittedCount: 2, recovers: true });
    await opened(node);
    expect(missing(was, node)).toEqual([]);
    expect(node.node().state).toBe('PartOfNetwork');
    await node.stop();
    const last = textOfTxId(node.committed());
    const folder = await disaster.leftOfWorld(world, 'recovered');
    const verdict = await verifyLedger(folder, {
      secrets: node.secretsForJoiners().ledgerSecrets,
      serviceCertificate: node.serviceCertificatePem,
    });
    expect(verdict).toMatchObject({ ok: true, lastVerified: last });
    expect(verdict.totals.opened).toBe(verdict.totals.transactions);
    expect(verdict.service?.recoveries).toBe(1);
  }, 60_000);

  test('with one of three the tool says beyond where it knows nothing', async () => {
    const was = await lost(3, pairs(), 2);
    const request = {
      ledgers: was.folders.slice(0, 1),
      previousCertificatePem: was.certificate,
    };
    const refusal = await disaster.recover(request).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'CompletenessUnproven' });
    const { fields, message } = refusal as { fields: { provenTo: string }; message: string };
    expect(message).toContain('--accept-loss');
    expect(message).toContain(`beyond ${fields.provenTo} completeness cannot be proven`);
    const { node, choice } = await disaster.recover({ ...request, acceptLoss: true });
    expect(choice).toMatchObject({ isComplete: false, given: 1, needed: 2 });
    await allowOpening(node, was.certificate);
    for (const member of was.members) await submitOwn(node, member);
    await opened(node);
    // What was said is true: of what was committed up to there, nothing is missing.
    const provenTo = Number(fields.provenTo.split('.')[1]);
    const early = [...was.service.acknowledged].filter(([, { seqno }]) => seqno <= provenTo);
    expect(early.length).toBeGreaterThan(0);
    expect(early.filter(([number]) => !holdsRow(node, number))).toEqual([]);
  }, 60_000);

  test('copies of one node’s ledger count once, whatever they are called', async () => {
    const was = await lost(3, pairs(), 2);
    const [first = '', second = ''] = was.folders;
    const copy = join(disaster.root, 'copy');
    await cp(join(first, '..'), copy, { recursive: true });
    const chunksAlone = join(disaster.root, 'chunks');
    await cp(second, chunksAlone, { recursive: true });
    const refusal = async (...ledgers: readonly string[]): Promise<string> => {
      const request = { ledgers, previousCertificatePem: was.certificate };
      const error = await disaster.recover(request).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'CompletenessUnproven' });
      return (error as Error).message;
    };
    expect(await refusal(first, copy)).toMatch(
      /1 of the ledgers of 3 nodes are given; .*copy is of node [0-9a-f]{64}, as .*node-0/,
    );
    // Nothing says that these chunks are not a copy of the first node's, as they were earlier.
    expect(await refusal(first, chunksAlone)).toMatch(/chunks does not say whose it is/);
    expect(await refusal(chunksAlone)).toMatch(/1 of the ledgers of 3 nodes/);
    const { choice } = await disaster.recover({
      ledgers: [first, copy, second],
      previousCertificatePem: was.certificate,
    });
    expect(choice).toMatchObject({ isComplete: true, given: 2, needed: 2 });
  }, 60_000);

  test('an owner alone brings it back', async () => {
    const was = await lost(1, pairs(['Participant', 'Owner', 'Participant']), 2);
    const { node } = await disaster.recover({
      ledgers: was.folders,
      previousCertificatePem: was.certificate,
    });
    await allowOpening(node, was.certificate);
    const owner = was.members[1];
    if (owner === undefined) throw new Error('there are three');
    const outcome = await submitOwn(node, owner);
    expect(outcome).toMatchObject({ fullKeySubmitted: true, recovers: true });
    await opened(node);
    expect(missing(was, node)).toEqual([]);
  }, 60_000);

  test('twice, with receipts from before that lead to the newest service', async () => {
    const was = await lost(1, pairs(), 2);
    const [number, txId] = [...was.service.acknowledged][5] ?? [0, undefined];
    if (txId === undefined) throw new Error('there is one');
    let { certificate, folders } = was;
    let node: RunningNode | undefined;
    for (let round = 0; round < 2; round += 1) {
      const world = newWorld();
      const recovering = await disaster.recover(
        { ledgers: folders, previousCertificatePem: certificate },
        world,
      );
      node = recovering.node;
      await expect(node.receipt(txId.seqno, 'json')).rejects.toMatchObject({
        code: 'ServiceRecovering',
      });
      await allowOpening(node, certificate);
      for (const member of was.members) await submitOwn(node, member);
      await opened(node);
      expect(holdsRow(node, number)).toBe(true);
      const receipt = await node.receipt(txId.seqno, 'json');
      if (typeof receipt === 'string' || receipt.form !== 'json') throw new Error(`${receipt}`);
      expect(receipt.json.service_endorsements).toHaveLength(round + 1);
      const bytes = utf8(JSON.stringify(receipt.json));
      const trust = { serviceCertificate: node.serviceCertificatePem };
      const verdict = await verifyReceipt(bytes, trust, nodeVerifier, Date.now());
      expect(verdict, JSON.stringify(verdict.checks)).toMatchObject({ ok: true });
      await coseLeads(node, was.service);
      const old = await verifyReceipt(
        bytes,
        { serviceCertificate: was.certificate },
        nodeVerifier,
      );
      expect(old.ok).toBe(false);
      certificate = node.serviceCertificatePem;
      await node.stop();
      folders = [await disaster.leftOfWorld(world, `after-${round}`)];
    }
    expect(missing(was, node as RunningNode)).toEqual([]);
  }, 60_000);
});

describe('shares', () => {
  test('that cannot be of that member are refused; a wrong one only delays', async () => {
    const was = await lost(1, pairs(['Participant', 'Participant', 'Participant']), 2);
    const [first, second, third] = was.members;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('3');
    const { node } = await disaster.recover({
      ledgers: was.folders,
      previousCertificatePem: was.certificate,
    });
    await expect(submitOwn(node, first)).rejects.toMatchObject({
      code: 'ServiceNotWaitingForRecoveryShares',
    });
    await allowOpening(node, was.certificate);
    const own = openedShare(node.current(), first) ?? utf8('');
    const code = (promise: Promise<unknown>) =>
      promise.catch((error: { code: string }) => error.code);
    expect(await code(handIn(node, first.memberId, own.subarray(1)))).toBe('InvalidShare');
    expect(await code(handIn(node, second.memberId, own))).toBe('InvalidShare');
    expect(await code(handIn(node, 'f'.repeat(64), own))).toBe('AuthorizationFailed');
    const wrong = Buffer.from(own);
    wrong.writeUInt32LE((wrong.readUInt32LE(8) ^ 1) % 0x7fffffff, 8);
    expect(await handIn(node, first.memberId, wrong)).toMatchObject({ submittedCount: 1 });
    // The same member once more counts once.
    expect(await handIn(node, first.memberId, wrong)).toMatchObject({ submittedCount: 1 });
    expect(await submitOwn(node, second)).toMatchObject({ submittedCount: 2, recovers: false });
    expect(status(node)).toBe('WaitingForRecoveryShares');
    expect(await submitOwn(node, third)).toMatchObject({ submittedCount: 3, recovers: true });
    await opened(node);
    expect(missing(was, node)).toEqual([]);
  }, 60_000);

  test('one fewer than the threshold opens nothing', async () => {
    const roles = Array.from({ length: 5 }, () => 'Participant' as const);
    const was = await lost(1, recoveryMembers(roles), 4);
    const { node } = await disaster.recover({
      ledgers: was.folders,
      previousCertificatePem: was.certificate,
    });
    await allowOpening(node, was.certificate);
    for (const member of was.members.slice(0, 3)) {
      expect(await submitOwn(node, member)).toMatchObject({ recovers: false });
    }
    expect(status(node)).toBe('WaitingForRecoveryShares');
    // Nothing that is decided meanwhile takes the old shares away, or asks for others.
    expect(() => rekeyIn(node)).toThrow(expect.objectContaining({ code: 'ServiceRecovering' }));
    await node.commitService((tx) => {
      tx.table(SERVICE_CONFIG).put(SINGLETON, jsonRow({ recovery_threshold: 3 }));
      refreshShares(tx, node.secretKeeper());
    });
    expect(status(node)).toBe('WaitingForRecoveryShares');
    const last = was.members[4];
    if (last === undefined) throw new Error('there are five');
    expect(await submitOwn(node, last)).toMatchObject({ recovers: true });
    await opened(node);
  }, 60_000);
});

describe('a recovery that is interrupted', () => {
  test('begins again, wherever it was, and is over once it is over', async () => {
    const was = await lost(1, pairs(), 2);
    const request = { ledgers: was.folders, previousCertificatePem: was.certificate };
    const stages: readonly ((node: RunningNode) => Promise<unknown>)[] = [
      async () => undefined,
      (node) => allowOpening(node, was.certificate),
      async (node) => {
        await allowOpening(node, was.certificate);
        for (const member of was.members.slice(0, 1)) await submitOwn(node, member);
      },
      async (node) => {
        await allowOpening(node, was.certificate);
        for (const member of was.members) await submitOwn(node, member);
        await opened(node);
      },
    ];
    let world = newWorld();
    const certificates = new Set<string>();
    for (const stage of stages) {
      const { node } = await disaster.recover(request, world);
      certificates.add(node.serviceCertificatePem);
      await stage(node);
      world = afterCrash(world, 'lost');
    }
    expect(certificates.size).toBe(stages.length);
    const { node, choice } = await disaster.recover(request, world);
    expect(choice).toBeUndefined();
    expect(certificates.has(node.serviceCertificatePem)).toBe(true);
    expect(status(node)).toBe('Open');
    expect(missing(was, node)).toEqual([]);
  }, 60_000);

  test('after it had opened, before it could note that', async () => {
    const was = await lost(1, pairs(), 2);
    const request = { ledgers: was.folders, previousCertificatePem: was.certificate };
    const world = newWorld();
    const { node } = await disaster.recover(request, world);
    await allowOpening(node, was.certificate);
    for (const member of was.members) await submitOwn(node, member);
    await opened(node);
    await eventually('noted', () =>
      world.disk.files().has('/node/sealed/service-opened.sealed'),
    );
    const left = afterCrash(world, 'kept');
    await left.disk.remove('/node/sealed/service-opened.sealed');
    const again = await disaster.recover(request, left);
    expect(again.choice).toBeUndefined();
    expect(again.node.serviceCertificatePem).toBe(node.serviceCertificatePem);
    expect(missing(was, again.node)).toEqual([]);
  }, 60_000);
});

describe('a ledger is refused', () => {
  test('when it is changed, cut short inside, foreign, or not there', async () => {
    const was = await lost(1, pairs(), 2);
    const [folder] = was.folders;
    if (folder === undefined) throw new Error('there is one');
    const other = await Service.of(1);
    const foreign = await disaster.leftOf(await other.primary(), 'foreign');
    await other.end();
    const why = async (ledger: string): Promise<string> => {
      const request = { ledgers: [ledger], previousCertificatePem: was.certificate };
      const error = await disaster.recover(request).catch((thrown: Error) => thrown);
      expect(error).toMatchObject({ code: 'NoLedger' });
      return (error as Error).message;
    };
    expect(await why(foreign)).toContain('another service');
    expect(await why(join(disaster.root, 'nothing'))).toContain('cannot be');
    const first = join(folder, 'ledger_1-');
    const names = (await readdir(folder)).sort();
    const name = names.find((each) => join(folder, each).startsWith(first)) ?? '';
    const bytes = await readFile(join(folder, name));
    const changed = Buffer.from(bytes);
    changed[Math.floor(bytes.length / 2)] = (changed[Math.floor(bytes.length / 2)] ?? 0) ^ 1;
    await writeFile(join(folder, name), changed);
    expect(await why(folder)).toContain('cannot be recovered from');
    await writeFile(join(folder, name), bytes.subarray(0, bytes.length - 40));
    expect(await why(folder)).toContain('cannot be recovered from');
  }, 60_000);

  test('when it is named twice', async () => {
    const was = await lost(1, pairs(), 2);
    const ledgers = [...was.folders, ...was.folders];
    const request = { ledgers, previousCertificatePem: was.certificate };
    await expect(disaster.recover(request)).rejects.toMatchObject({ code: 'LedgerTwice' });
  }, 60_000);
});

describe('judged by PyPI ccf', () => {
  const script = ccfPython()?.replace(/python[^/]*$/, 'verify_ledger_secrets_chain.py') ?? '';

  testWithCcf('the recovered ledger, its secrets and an old receipt', async () => {
    const was = await lost(3, pairs(), 2);
    const world = newWorld();
    const { node } = await disaster.recover(
      { ledgers: was.folders.slice(0, 2), previousCertificatePem: was.certificate },
      world,
    );
    await allowOpening(node, was.certificate);
    for (const member of was.members) await submitOwn(node, member);
    await opened(node);
    await node.commitService((tx) => rekeyLedger(tx, node.secretKeeper()));
    await opened(node);
    const [txId] = [...was.service.acknowledged.values()];
    const receipt = await node.receipt(seqnoOf(txId?.seqno ?? 0), 'json');
    await node.stop();
    const folder = await disaster.leftOfWorld(world, 'recovered');
    expect(await judgeLedgers([folder])).toMatchObject([{ ok: true }]);
    const chain = await runCcf([script, folder]);
    expect(chain.code, chain.stdout + chain.stderr).toBe(0);
    if (typeof receipt === 'string' || receipt.form !== 'json') throw new Error(`${receipt}`);
    const files = {
      receipt: join(disaster.root, 'r.json'),
      service: join(disaster.root, 's.pem'),
    };
    await writeFile(files.receipt, JSON.stringify(receipt.json));
    await writeFile(files.service, node.serviceCertificatePem);
    const judged = await runCcf(['-c', CHAIN, files.receipt, files.service]);
    expect(judged.code, judged.stderr).toBe(0);
  });
});

const CHAIN = `
import sys, json
from cryptography.x509 import load_pem_x509_certificate as load
import ccf.receipt as R
receipt = json.load(open(sys.argv[1]))
service = load(open(sys.argv[2], 'rb').read())
node = load(receipt['cert'].encode())
former = [load(pem.encode()) for pem in receipt['service_endorsements']]
assert len(former) == 1
R.check_endorsements(node, service, former)
R.check_cert_chain(node, service, former)
`;
