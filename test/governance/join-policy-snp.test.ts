// The join policy of a service on hardware: what its founder shows is what others must show, and
// each row is a demand of its own.

import { expect, test } from 'vitest';
import { azureCvmEvidence } from '../../src/attestation/azure-cvm.ts';
import type { Evidence } from '../../src/attestation/evidence.ts';
import { hexOf, textOf, utf8 } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/crypto/hash.ts';
import { writeFirstJoinPolicy } from '../../src/governance/first-join-policy.ts';
import { type JoinVerdict, joinPolicy, joinVerdict } from '../../src/governance/join-policy.ts';
import {
  AZURE_CVM_PCRS,
  jsonRow,
  SNP_HOST_DATA,
  SNP_MEASUREMENTS,
  SNP_TCB_VERSIONS,
  SNP_UVM_ENDORSEMENTS,
} from '../../src/governance/tables.ts';
import { Store } from '../../src/kv/store.ts';
import {
  type EvidenceDependencies,
  nodeJudge,
  ownEvidence,
} from '../../src/node/own-evidence.ts';
import { Paravisor, somePcrs } from '../attestation/azure/paravisor.ts';
import { AT_MS } from '../attestation/fake-certificates.ts';
import {
  fakePki,
  HOST_DATA,
  MEASUREMENT,
  signedReport,
  TCBS,
} from '../attestation/fake-pki.ts';
import { UVM_FEED, uvmAuthorities, uvmEndorsement } from '../attestation/fake-uvm.ts';
import { type FakeMachine, fakeHardware } from '../support/fake-hardware.ts';
import { SmallService } from './small-service.ts';

const pki = fakePki('Milan');
const FOUNDER = utf8('the public key of the founder');
const JOINER = utf8('the public key of a joiner');

function dependencies(machine: FakeMachine): EvidenceDependencies {
  return {
    clock: { nowMs: () => AT_MS },
    evidenceSource: fakeHardware(machine),
    amdRoots: { ...pki.roots, ...fakePki('Genoa').roots },
  };
}

const judge = nodeJudge(dependencies({}));

/** A service that a machine founded. */
async function founded(machine: FakeMachine = {}): Promise<SmallService> {
  const service = new SmallService();
  const founder = await ownEvidence(FOUNDER, dependencies(machine));
  service.run((tx) => writeFirstJoinPolicy(tx, founder));
  return service;
}

async function judged(service: SmallService, evidence: Evidence): Promise<JoinVerdict> {
  return joinVerdict(await judge(evidence, joinPolicy(service.store.current, JOINER)));
}

async function joinerOn(machine: FakeMachine): Promise<Evidence> {
  return await fakeHardware(machine).evidenceFor(sha256(JOINER));
}

test('the founder writes what it runs, on what, and the oldest firmware', async () => {
  const service = await founded({ hostPolicy: 'package policy' });
  expect(service.row(SNP_MEASUREMENTS, hexOf(MEASUREMENT))).toBe('"AllowedToJoin"');
  expect(service.row(SNP_HOST_DATA, hexOf(HOST_DATA))).toBe('"package policy"');
  expect(JSON.parse(service.row(SNP_TCB_VERSIONS, '00a00f11') ?? '')).toEqual({
    boot_loader: 4,
    tee: 0,
    snp: 24,
    microcode: 219,
  });
  expect(joinPolicy(service.store.current, JOINER).platforms).not.toHaveProperty('virtual');
});

test('a machine like that of the founder is admitted, whatever its chip', async () => {
  const service = await founded();
  const evidence = await joinerOn({ chip: { chipId: new Uint8Array(64).fill(7) } });
  expect(await judged(service, evidence)).toEqual({
    admitted: true,
    codeDigest: hexOf(MEASUREMENT),
  });
});

const OLD = { ...TCBS.Milan, snp: 23 };

test.each<[string, FakeMachine, string, string]>([
  [
    'another key',
    { report: { reportData: new Uint8Array(64).fill(1, 0, 32) } },
    'ReportDataMismatch',
    'ReportDataMismatch',
  ],
  [
    'other code',
    { report: { measurement: new Uint8Array(48).fill(1) } },
    'UnknownMeasurement',
    'MeasurementNotAccepted',
  ],
  [
    'another container policy',
    { report: { hostData: new Uint8Array(32) } },
    'UntrustedHostData',
    'HostDataNotAccepted',
  ],
  ['older firmware', { chip: { tcb: OLD } }, 'OldTcbVersion', 'TcbBelowMinimum'],
  [
    'another processor',
    { report: { cpuid: [0x19, 0x01, 0] } },
    'UnknownProcessor',
    'ProcessorNotAccepted',
  ],
  ['debugging', { report: { policy: 0xb_001fn } }, 'QuoteUnverifiable', 'DebugAllowed'],
  ['a chip of another TCB', { report: { tcb: OLD } }, 'QuoteUnverifiable', 'TcbMismatch'],
  [
    'a signature of nobody',
    { report: { spoil: (report) => report.fill(1, 0x2a0, 0x2b0) } },
    'QuoteUnverifiable',
    'ReportSignature',
  ],
  [
    'everything at once',
    {
      chip: { tcb: OLD },
      report: { measurement: new Uint8Array(48), hostData: new Uint8Array(32) },
    },
    'UnknownMeasurement',
    'MeasurementNotAccepted',
  ],
])('refused: %s', async (_what, machine, fault, reason) => {
  const verdict = await judged(await founded(), await joinerOn(machine));
  expect(verdict).toMatchObject({ admitted: false, fault, reason });
});

test('an expired certificate is told by its name', async () => {
  const service = await founded();
  const evidence = await joinerOn({ chip: { certificate: { notAfterMs: AT_MS - 1 } } });
  const verdict = await judged(service, evidence);
  expect(verdict).toMatchObject({ fault: 'QuoteUnverifiable', reason: 'LeafExpired' });
});

test('a virtual node is nobody to a service on hardware', async () => {
  const quote = Buffer.from('{}').toString('base64');
  const evidence: Evidence = { format: 'Insecure_Virtual', quote, endorsements: '' };
  const verdict = await judged(await founded(), evidence);
  expect(verdict).toMatchObject({ reason: 'PlatformNotAccepted' });
});

test('with endorsements of the utility VM it is they that say which code is good', async () => {
  const uvm = (measurement: Uint8Array, svn: string): Uint8Array =>
    uvmEndorsement({ measurement, svn });
  const service = await founded({ uvm: uvm(MEASUREMENT, '101') });
  const { did } = uvmAuthorities();
  expect(JSON.parse(service.row(SNP_UVM_ENDORSEMENTS, did) ?? '')).toEqual({
    [UVM_FEED]: { svn: '101' },
  });
  expect(service.row(SNP_MEASUREMENTS, hexOf(MEASUREMENT))).toBeUndefined();

  // A later version of the utility VM has another measurement.
  const measurement = new Uint8Array(48).fill(2);
  const later = await joinerOn({ uvm: uvm(measurement, '102'), report: { measurement } });
  expect(await judged(service, later)).toEqual({
    admitted: true,
    codeDigest: hexOf(measurement),
  });
  const earlier = await joinerOn({ uvm: uvm(MEASUREMENT, '100') });
  expect(await judged(service, earlier)).toMatchObject({
    fault: 'UntrustedUvmEndorsements',
    reason: 'UvmVersionLow',
  });
  const none = await joinerOn({});
  expect(await judged(service, none)).toMatchObject({ admitted: false });
});

test('the lowest firmware may be written in hexadecimal, as its proposal takes it', async () => {
  const service = await founded();
  const set = (hexstring: string): void =>
    service.run((tx) =>
      tx.table(SNP_TCB_VERSIONS).put(utf8('00a00f11'), jsonRow({ hexstring })),
    );
  set('db18000000000004');
  expect(await judged(service, await joinerOn({}))).toMatchObject({ admitted: true });
  set('dc18000000000004');
  expect(await judged(service, await joinerOn({}))).toMatchObject({ fault: 'OldTcbVersion' });
  set('db18');
  const read = (): unknown => joinPolicy(service.store.current, JOINER);
  expect(read).toThrow(/tcb_versions.*no TCB version/);
});

test.each<[string, string, string, RegExp]>([
  [SNP_UVM_ENDORSEMENTS, 'did:x509:0', '{"feed":{"svn":1}}', /svn is no number/],
  [SNP_UVM_ENDORSEMENTS, 'did:x509:0', '{', /JSON/],
  [SNP_TCB_VERSIONS, '00a00f11', '{"boot_loader":256}', /no TCB version/],
  [AZURE_CVM_PCRS, '4', '{"a":1}', /no list of values/],
])('a row of %s that cannot be read is an error, not an open door', (table, key, row, why) => {
  const service = new SmallService();
  service.run((tx) => tx.table(table).put(utf8(key), utf8(row)));
  expect(() => joinPolicy(service.store.current, JOINER)).toThrow(why);
});

test('a founder that would convince nobody founds nothing', async () => {
  const machine = { report: { policy: 0xb_001fn } };
  await expect(ownEvidence(FOUNDER, dependencies(machine))).rejects.toMatchObject({
    code: 'OwnEvidenceRefused',
    fields: { reason: 'DebugAllowed' },
  });
  // Its service would let nobody in who is like it.
  const vlek = ownEvidence(FOUNDER, dependencies({ chip: { kind: 'VLEK' } }));
  await expect(vlek).rejects.toThrow(/SigningKeyNotAccepted/);
  const old = ownEvidence(FOUNDER, dependencies({ report: { version: 2 } }));
  await expect(old).rejects.toThrow(/ReportVersionLow/);
  const strangers = { ...dependencies({}), amdRoots: fakePki('Genoa').roots };
  await expect(ownEvidence(FOUNDER, strangers)).rejects.toThrow(/RootNotPinned|RootOfOther/);
});

test('a confidential VM is admitted by its registers, not by its paravisor alone', async () => {
  const paravisor = new Paravisor();
  const chip = pki.chip();
  const evidenceOf = (key: Uint8Array, pcrs: ReadonlyMap<number, Uint8Array>): Evidence => {
    const report = signedReport(chip, { reportData: paravisor.reportData() });
    const quote = paravisor.quote({ extraData: sha256(key), pcrs });
    return azureCvmEvidence(
      { hclReport: paravisor.hclReport(report), ...quote, pcrs },
      chip.chain,
    );
  };
  const service = new SmallService();
  const founder = await ownEvidence(FOUNDER, {
    ...dependencies({}),
    evidenceSource: {
      platform: 'azure-cvm',
      name: 'fake vTPM',
      evidenceFor: async () => evidenceOf(FOUNDER, somePcrs()),
    },
  });
  service.run((tx) => writeFirstJoinPolicy(tx, founder));
  const rows = service.store.current.table(AZURE_CVM_PCRS).page();
  expect(rows.map(({ key }) => textOf(key))).toEqual(['11', '4', '7', '9']);
  expect(await judged(service, evidenceOf(JOINER, somePcrs()))).toMatchObject({
    admitted: true,
  });
  const otherKernel = somePcrs().set(11, Buffer.alloc(32, 1));
  expect(await judged(service, evidenceOf(JOINER, otherKernel))).toMatchObject({
    fault: 'UnknownMeasurement',
    reason: 'PcrNotAccepted',
  });
  expect(await judged(service, evidenceOf(FOUNDER, somePcrs()))).toMatchObject({
    fault: 'ReportDataMismatch',
  });
  // A report of the same paravisor is no evidence of a container.
  const bare = await joinerOn({});
  expect(await judged(service, bare)).toMatchObject({ reason: 'PlatformNotAccepted' });
});

test('an empty store admits nobody', async () => {
  const policy = joinPolicy(new Store([]).current, JOINER);
  expect(policy.platforms).toEqual({});
  expect(joinVerdict(await judge(await joinerOn({}), policy))).toMatchObject({
    admitted: false,
    fault: 'QuoteUnverifiable',
  });
});
