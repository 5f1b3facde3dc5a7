// One way to earn each refusal of a report by itself, by its platform and by the policy.

import * as der from './der-writer.ts';
import type { ExtensionSpec } from './fake-certificates.ts';
import { chipIdOf, fakePki, TCBS } from './fake-pki.ts';
import { CAREFUL } from './judged.ts';
import { byChip, CHIP, MILAN, type RefusalCase, reported, withByte } from './refusal-case.ts';

const vlek = MILAN.chip({ kind: 'VLEK' });
const older = { ...TCBS.Milan, microcode: 218 };
const good = reported();

const turinId = chipIdOf('Turin', 1);
/** The eight bytes of a Turin, and something behind them. */
const sixtyFour = turinId.map((byte, at) => (at < 8 ? byte : 7));

const replaced =
  (oid: string, value: Uint8Array) =>
  (extensions: readonly ExtensionSpec[]): readonly ExtensionSpec[] =>
    extensions.map((extension) =>
      extension.oid.endsWith(`3704${oid}`) ? { ...extension, value } : extension,
    );

const setting =
  (at: number) =>
  (report: Uint8Array): void => {
    report[at] = 1;
  };
const clearing =
  (from: number, until: number) =>
  (report: Uint8Array): void => {
    report.fill(0, from, until);
  };

const ENVELOPE: readonly RefusalCase[] = [
  {
    code: 'EvidenceUnreadable',
    how: 'a format nobody knows',
    evidence: JSON.parse(JSON.stringify({ ...good, format: 'TDX' })),
  },
  { code: 'QuoteNotBase64', how: 'a quote in hex', evidence: { ...good, quote: 'zz' } },
  {
    code: 'EndorsementsNotBase64',
    how: 'PEM as it is',
    evidence: { ...good, endorsements: CHIP.chain },
  },
  {
    code: 'EndorsementsNotBase64',
    how: 'bytes that are no text',
    evidence: { ...good, endorsements: '/w==' },
  },
  { code: 'UvmNotBase64', how: 'no base64', evidence: { ...good, uvm_endorsements: '?' } },
  {
    code: 'PlatformNotAccepted',
    how: 'a policy for virtual nodes',
    evidence: good,
    judging: { whole: { platforms: { virtual: {} } } },
  },
];

const FORM: readonly RefusalCase[] = [
  {
    code: 'ReportLength',
    how: 'a byte behind the report',
    evidence: { ...good, quote: `${good.quote.slice(0, -2)}AA` },
  },
  {
    code: 'ReportVersionUnknown',
    how: 'version 4, which nobody has seen',
    evidence: reported({ version: 4 }),
  },
  { code: 'ReportVersionUnknown', how: 'version 6', evidence: reported({ version: 6 }) },
  {
    code: 'SignatureAlgorithmUnknown',
    how: 'algorithm 0',
    evidence: reported({ signatureAlgorithm: 0 }),
  },
  { code: 'PolicyReservedBit', how: 'bit 17 off', evidence: reported({ policy: 0x1_001fn }) },
  {
    code: 'PolicyUnknownBits',
    how: 'bit 26 on',
    evidence: reported({ policy: 0x403_001fn }),
  },
  {
    code: 'PolicyUnknownBits',
    how: 'bit 63 on',
    evidence: reported({ policy: 0x8000_0000_0003_001fn }),
  },
  {
    code: 'PlatformInfoUnknownBits',
    how: 'bit 8 on',
    evidence: reported(withByte(0x41, 1)),
  },
  ...[0x4c, 0x4f, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x1f8, 0x200, 0x208, 0x29f].map(
    (at): RefusalCase => ({
      code: 'ReservedField',
      how: `byte 0x${at.toString(16)} of version 3`,
      evidence: reported(withByte(at, 1)),
    }),
  ),
  ...[0x208, 0x29f].map(
    (at): RefusalCase => ({
      code: 'ReservedField',
      how: `byte 0x${at.toString(16)} of version 5`,
      evidence: reported({ version: 5, ...withByte(at, 1) }),
    }),
  ),
  {
    code: 'ReservedField',
    how: 'a processor in version 2',
    evidence: reported({ version: 2, ...withByte(0x188, 0x19) }),
  },
  { code: 'ReservedField', how: 'bit 5 of the flags', evidence: reported({ flags: 0x20 }) },
  {
    code: 'ReservedField',
    how: 'bit 31 of the flags',
    evidence: reported(withByte(0x4b, 128)),
  },
  {
    code: 'ReservedField',
    how: 'a byte behind the signature',
    evidence: reported({ spoil: setting(0x49f) }),
  },
  { code: 'SigningKeyUnknown', how: 'key 2', evidence: reported({ flags: 2 << 2 }) },
  ...[0x2a0 + 48, 0x2a0 + 71, 0x2e8 + 48].map(
    (at): RefusalCase => ({
      code: 'SignaturePadding',
      how: `byte 0x${at.toString(16)}`,
      evidence: reported({ spoil: setting(at) }),
    }),
  ),
  {
    code: 'SignatureZero',
    how: 'r is zero',
    evidence: reported({ spoil: clearing(0x2a0, 0x2e8) }),
  },
  {
    code: 'SignatureZero',
    how: 's is zero',
    evidence: reported({ spoil: clearing(0x2e8, 0x330) }),
  },
  {
    code: 'ProcessorUnknown',
    how: 'a Zen 6',
    evidence: reported({ cpuid: [0x1a, 0x50, 0] }),
  },
  ...[0x38, 0x180, 0x1e0, 0x1f0].map(
    (at): RefusalCase => ({
      code: 'TcbReserved',
      how: `in the TCB at 0x${at.toString(16)}`,
      evidence: reported(withByte(at + 3, 1)),
      // What has no reading reaches no minimum.
      ...(at === 0x180 ? { also: ['TcbBelowMinimum'] } : {}),
      ...(at === 0x1e0 ? { also: ['CommittedTcbBelowMinimum'] } : {}),
    }),
  ),
  {
    code: 'EndorsedTcbUnreadable',
    how: 'fifteen digits',
    evidence: { ...good, endorsed_tcb: 'db1800000000000' },
  },
  {
    code: 'EndorsedTcbUnreadable',
    how: 'sixteen digits that are a number',
    evidence: JSON.parse(JSON.stringify({ ...good, endorsed_tcb: 1234567890123456 })),
  },
];

const ORIGIN: readonly RefusalCase[] = [
  {
    code: 'ReportSignature',
    how: 'a bit of the report data flipped',
    evidence: reported({ spoil: setting(0x80) }),
    also: ['ReportDataTail'],
  },
  {
    code: 'ReportSignature',
    how: 'signed by another chip',
    evidence: reported({ signer: MILAN.chip().keys.privateKey }),
  },
  {
    code: 'ReportSignature',
    how: "the chip's certificate of another key",
    evidence: { ...good, endorsements: reported({}, MILAN.chip()).endorsements },
  },
  {
    code: 'SigningKeyNone',
    how: 'key 7',
    evidence: reported({ flags: 7 << 2 }),
    also: ['SigningKeyNotAccepted'],
  },
  {
    code: 'ChainNames',
    how: 'no key signed it, and the chain names none either',
    evidence: byChip({ certificate: { subject: 'SEV-OTHER' } }, { flags: 7 << 2 }),
    also: ['SigningKeyNone', 'SigningKeyNotAccepted'],
  },
  {
    code: 'SigningKeyMismatch',
    how: "a cloud's key in the report, a chip's in the certificate",
    evidence: reported({ flags: 1 << 2 }),
    also: ['SigningKeyNotAccepted'],
  },
  {
    code: 'SigningKeyMismatch',
    how: "a chip's key in the report, a cloud's in the certificate",
    evidence: reported({ flags: 0 }, vlek),
  },
  {
    code: 'ProductNameMismatch',
    how: 'a Milan with the certificate of a Genoa',
    evidence: byChip({ productName: 'Genoa' }),
  },
  {
    code: 'ProductNameMismatch',
    how: 'a name that only begins like one',
    evidence: byChip({ productName: 'Milano' }),
  },
  {
    code: 'ProductNameMismatch',
    how: 'a certificate in the form of a Turin',
    evidence: byChip({ extensions: replaced('.1.1', der.integer(1)) }),
  },
  {
    code: 'TcbMismatch',
    how: 'another microcode',
    evidence: reported({ tcb: older }, CHIP),
    also: ['TcbBelowMinimum', 'CommittedTcbBelowMinimum'],
  },
  ...(['bootLoader', 'tee', 'snp', 'microcode'] as const).map(
    (part): RefusalCase => ({
      code: 'TcbMismatch',
      how: `newer by its ${part} than its certificate`,
      evidence: reported({ tcb: { ...TCBS.Milan, [part]: TCBS.Milan[part] + 1 } }),
    }),
  ),
  {
    code: 'TcbMismatch',
    how: 'another FMC, on a Turin',
    evidence: reported({ tcb: { ...TCBS.Turin, fmc: 2 } }, fakePki('Turin').chip()),
  },
  {
    code: 'ChipIdMismatch',
    how: 'the id of another chip',
    evidence: reported({ chipId: chipIdOf('Milan', 2) }),
  },
  {
    code: 'ChipIdMismatch',
    how: 'something behind the eight bytes of a Turin',
    evidence: reported(withByte(0x1a8, 1), fakePki('Turin').chip()),
  },
  {
    code: 'ChipIdMismatch',
    how: 'a Turin whose certificate says 64 bytes',
    evidence: reported({}, fakePki('Turin').chip({ extensions: replaced('.1.4', sixtyFour) })),
  },
  {
    code: 'ChipIdMismatch',
    how: 'a Milan whose certificate says eight bytes',
    evidence: byChip(
      { extensions: replaced('.1.4', turinId.subarray(0, 8)) },
      { chipId: turinId },
    ),
  },
  {
    code: 'ChipIdMissing',
    how: 'an id of zeros',
    evidence: reported({ chipId: new Uint8Array(64) }),
  },
];

const PLATFORM: readonly RefusalCase[] = [
  { code: 'ChipKeyMasked', how: 'bit 1 of the flags', evidence: reported({ flags: 2 }) },
  {
    code: 'HostReport',
    how: 'level 2^32 - 1',
    evidence: reported({ vmpl: 0xffff_ffff }),
    also: ['VmplNotAccepted'],
  },
  {
    code: 'HostReport',
    how: 'level 4, which a policy cannot allow',
    evidence: reported({ vmpl: 4 }),
    judging: { policy: { ...CAREFUL, vmpl: [0, 4] } },
  },
  { code: 'DebugAllowed', how: 'bit 19', evidence: reported({ policy: 0xb_001fn }) },
  { code: 'MigrationAllowed', how: 'bit 18', evidence: reported({ policy: 0x7_001fn }) },
  {
    code: 'TcbBelowMinimum',
    how: 'a chip that runs an older microcode, and certified so',
    evidence: byChip({ tcb: older }, { committedTcb: TCBS.Milan }),
  },
  {
    code: 'CommittedTcbBelowMinimum',
    how: 'rolled forward, not committed',
    evidence: reported({ committedTcb: older }),
  },
];

const POLICY: readonly RefusalCase[] = [
  {
    code: 'ReportVersionLow',
    how: 'version 2, which names no processor',
    evidence: reported({ version: 2 }),
    judging: { policy: { measurements: CAREFUL.measurements ?? [] } },
  },
  {
    code: 'ReportVersionLow',
    how: 'version 3 where 5 is asked',
    evidence: good,
    judging: { policy: { ...CAREFUL, reportVersionMin: 5 } },
  },
  { code: 'SigningKeyNotAccepted', how: "a cloud's key", evidence: reported({}, vlek) },
  { code: 'VmplNotAccepted', how: 'level 1', evidence: reported({ vmpl: 1 }) },
  {
    code: 'ProcessorNotAccepted',
    how: 'a stepping the policy does not name',
    evidence: reported({ cpuid: [0x19, 1, 2] }),
  },
  {
    code: 'ProcessorNotAccepted',
    how: 'a report of version 2',
    evidence: reported({ version: 2 }),
    judging: { policy: { ...CAREFUL, reportVersionMin: 2 } },
  },
  {
    code: 'MeasurementNotAccepted',
    how: 'another launch',
    evidence: reported({ measurement: new Uint8Array(48).fill(1) }),
  },
  {
    code: 'MeasurementNotAccepted',
    how: 'a list that is empty',
    evidence: good,
    judging: { policy: { ...CAREFUL, measurements: [] } },
  },
  {
    code: 'HostDataNotAccepted',
    how: 'another container policy',
    evidence: reported({ hostData: new Uint8Array(32).fill(1) }),
  },
  {
    code: 'HostDataNotAccepted',
    how: 'a list that is empty',
    evidence: good,
    judging: { policy: { ...CAREFUL, hostData: [] } },
  },
];

const ABOUT: readonly RefusalCase[] = [
  {
    code: 'ReportDataMismatch',
    how: 'bound to another key',
    evidence: reported({ reportData: new Uint8Array(64).fill(1) }),
  },
  {
    code: 'ReportDataMismatch',
    how: 'bound to another key and nothing else',
    evidence: reported({ reportData: new Uint8Array(64).fill(1, 0, 32) }),
  },
  {
    code: 'ReportDataTail',
    how: 'something behind the digest',
    evidence: reported({ reportData: new Uint8Array(64).fill(0xcc, 0, 33) }),
  },
  {
    code: 'EndorsedTcbMismatch',
    how: 'endorsements for an older TCB',
    evidence: { ...good, endorsed_tcb: 'da18000000000004' },
  },
];

export const REPORT_REFUSALS: readonly RefusalCase[] = [
  ...ENVELOPE,
  ...FORM,
  ...ORIGIN,
  ...PLATFORM,
  ...POLICY,
  ...ABOUT,
];
