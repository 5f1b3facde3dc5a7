// One way to earn each refusal of a chain, of its certificates and of revocation lists.

import type { Evidence } from '../../src/attestation/evidence.ts';
import * as der from './der-writer.ts';
import {
  AT_MS,
  type CertificateSpec,
  type ExtensionSpec,
  ecKeys,
  makeCertificate,
  type makeRevocationList,
  pemOf,
  rsaKeys,
  UNTIL_MS,
} from './fake-certificates.ts';
import { fakePki, newPki, sha256Hex, signedReport, snpEvidence } from './fake-pki.ts';
import { CAREFUL, type Judging } from './judged.ts';
import { byChip, CHIP, MILAN, type RefusalCase, reported } from './refusal-case.ts';

const DAY_MS = 86_400_000;
const GENOA = fakePki('Genoa');
const { ark, ask } = MILAN;
const AUTHORITY: ExtensionSpec = {
  oid: '2.5.29.19',
  critical: true,
  value: der.sequence(der.truth),
};
const UNKNOWN_CRITICAL: ExtensionSpec = {
  oid: '2.5.29.99',
  critical: true,
  value: der.nothing,
};
const ONLY_CERT_SIGN: ExtensionSpec = {
  oid: '2.5.29.15',
  critical: true,
  value: Uint8Array.of(3, 2, 2, 4),
};
const ONLY_CRL_SIGN: ExtensionSpec = {
  oid: '2.5.29.15',
  critical: true,
  value: Uint8Array.of(3, 2, 1, 2),
};

const chained = (...certificates: readonly Uint8Array[]): Evidence =>
  snpEvidence(signedReport(CHIP), pemOf(...certificates));
const usual = (): Evidence => reported();
const withLeaf = (certificate: Partial<CertificateSpec>): Evidence => byChip({ certificate });

/** Good evidence whose intermediate is another one of the same key. */
const withAsk = (spec: Partial<CertificateSpec>): Evidence =>
  chained(
    CHIP.certificate,
    makeCertificate({
      subject: ask.commonName,
      issuer: ark.commonName,
      signer: ark.keys.privateKey,
      publicKey: ask.keys.publicKey,
      serial: ask.serial,
      extensions: [AUTHORITY],
      ...spec,
    }),
    ark.certificate,
  );

/** Good evidence whose root is another one of the same key, and pinned. */
function withArk(spec: Partial<CertificateSpec>): Pick<RefusalCase, 'evidence' | 'judging'> {
  const root = makeCertificate({
    subject: ark.commonName,
    issuer: ark.commonName,
    signer: ark.keys.privateKey,
    publicKey: ark.keys.publicKey,
    extensions: [AUTHORITY],
    ...spec,
  });
  return {
    evidence: chained(CHIP.certificate, ask.certificate, root),
    judging: { roots: { Milan: [sha256Hex(root)] } },
  };
}

/** A chain that is sound but for its root's name, and pinned. */
function renamedRoot(name: string): Pick<RefusalCase, 'evidence' | 'judging'> {
  const { privateKey: signer, publicKey } = ark.keys;
  const extensions = [AUTHORITY];
  const root = makeCertificate({ subject: name, issuer: name, signer, publicKey, extensions });
  const intermediate = makeCertificate({
    subject: ask.commonName,
    issuer: name,
    signer,
    publicKey: ask.keys.publicKey,
    extensions,
  });
  return {
    evidence: chained(CHIP.certificate, intermediate, root),
    judging: { roots: { Milan: [sha256Hex(root)] } },
  };
}

const replaced =
  (oid: string, value: Uint8Array | undefined) =>
  (extensions: readonly ExtensionSpec[]): readonly ExtensionSpec[] =>
    extensions.flatMap((extension) => {
      if (!extension.oid.endsWith(`3704.${oid}`)) return [extension];
      return value === undefined ? [] : [{ ...extension, value }];
    });

const unreadableLeaf = (how: string, oid: string, value?: Uint8Array): RefusalCase => ({
  code: 'LeafExtensionUnreadable',
  how,
  evidence: byChip({ extensions: replaced(oid, value) }),
});

const FORM: readonly RefusalCase[] = [
  {
    code: 'EndorsementsUnreadable',
    how: 'a word between the certificates',
    evidence: snpEvidence(
      signedReport(CHIP),
      CHIP.chain.replace('-----\n-----', '-----\nx\n-----'),
    ),
  },
  {
    code: 'EndorsementsUnreadable',
    how: 'a certificate cut off',
    evidence: snpEvidence(signedReport(CHIP), CHIP.chain.slice(0, -40)),
  },
  {
    code: 'EndorsementsUnreadable',
    how: 'more text than any chain has',
    evidence: snpEvidence(signedReport(CHIP), `${CHIP.chain}${' '.repeat(70_000)}x`),
  },
  { code: 'EndorsementCount', how: 'none', evidence: chained() },
  {
    code: 'EndorsementCount',
    how: 'the leaf alone',
    evidence: chained(CHIP.certificate),
  },
  {
    code: 'EndorsementCount',
    how: 'no root',
    evidence: chained(CHIP.certificate, ask.certificate),
  },
  {
    code: 'EndorsementCount',
    how: 'a fourth',
    evidence: chained(CHIP.certificate, ask.certificate, ark.certificate, ark.certificate),
  },
  {
    code: 'CertificateUnreadable',
    how: 'a byte behind a certificate',
    evidence: chained(Uint8Array.of(...CHIP.certificate, 0), ask.certificate, ark.certificate),
  },
  {
    code: 'CertificateUnreadable',
    how: 'the same extension twice',
    evidence: byChip({ extensions: (all) => [...all, ...all.slice(0, 1)] }),
  },
  unreadableLeaf('no product name', '1.2'),
  unreadableLeaf('a product name in another kind of text', '1.2', der.utf8String('Milan-B0')),
  unreadableLeaf('no form', '1.1'),
  unreadableLeaf('no boot loader', '1.3.1'),
  unreadableLeaf('a negative microcode', '1.3.8', Uint8Array.of(2, 1, 0xdb)),
  unreadableLeaf('something behind a number', '1.3.2', Uint8Array.of(2, 1, 0, 0)),
  unreadableLeaf('a reserved number', '1.3.6', der.integer(1)),
  unreadableLeaf('no chip id', '1.4'),
  unreadableLeaf('a chip id of 63 bytes', '1.4', new Uint8Array(63).fill(1)),
  {
    code: 'LeafExtensionUnreadable',
    how: "a cloud's key with a chip id",
    evidence: byChip({
      kind: 'VLEK',
      extensions: (all) => [
        ...all,
        { oid: '1.3.6.1.4.1.3704.1.4', value: new Uint8Array(64).fill(1) },
      ],
    }),
    judging: { policy: { ...CAREFUL, signingKeys: ['VLEK'] } },
  },
];

const NAMES: readonly RefusalCase[] = [
  {
    code: 'ChainOrder',
    how: 'root and intermediate exchanged',
    evidence: chained(CHIP.certificate, ark.certificate, ask.certificate),
    also: ['ChainNames', 'RootNotPinned', 'RootSignature', 'CertificateRole'],
  },
  {
    code: 'ChainOrder',
    how: 'a leaf that names another issuer',
    evidence: withLeaf({ issuer: 'SEV-Genoa' }),
  },
  {
    code: 'ChainOrder',
    how: 'an intermediate that names another issuer',
    evidence: withAsk({ issuer: 'ARK-Genoa' }),
  },
  {
    code: 'ChainOrder',
    how: 'a root that names another issuer',
    ...withArk({ issuer: 'ARK-Genoa' }),
  },
  {
    code: 'ChainNames',
    how: 'a root of another name, though it is pinned',
    ...renamedRoot('ARK-Other'),
  },
  {
    code: 'ChainNames',
    how: "a chip's key under the intermediate for clouds",
    evidence: byChip({ kind: 'VLEK', certificate: { subject: 'SEV-VCEK' } }),
    judging: { policy: { ...CAREFUL, signingKeys: ['VLEK'] } },
  },
  {
    code: 'ChainNames',
    how: 'neither VCEK nor VLEK under the intermediate for clouds',
    evidence: byChip({ kind: 'VLEK', certificate: { subject: 'SEV-OTHER' } }),
    judging: { policy: { ...CAREFUL, signingKeys: ['VLEK'] } },
  },
  {
    code: 'ChainNames',
    how: 'of a report that names no processor either, by a root that nobody knows',
    evidence: reported(
      { version: 2 },
      newPki('Milan').chip({ certificate: { subject: 'SEV-OTHER' } }),
    ),
    judging: { whole: { platforms: { snp: { reportVersionMin: 2 } } } },
    also: ['RootNotPinned'],
  },
  {
    code: 'ChainNames',
    how: 'an intermediate of a product that nobody knows',
    evidence: chained(
      MILAN.chip({ certificate: { issuer: 'SEV-Naples' }, keys: CHIP.keys }).certificate,
      makeCertificate({
        subject: 'SEV-Naples',
        issuer: ark.commonName,
        signer: ark.keys.privateKey,
        publicKey: ask.keys.publicKey,
        extensions: [AUTHORITY],
      }),
      ark.certificate,
    ),
  },
  {
    code: 'ChainNames',
    how: 'a leaf that is neither VCEK nor VLEK',
    evidence: withLeaf({ subject: 'SEV-OTHER' }),
  },
  {
    code: 'ChainNames',
    how: "a cloud's key under the intermediate for chips",
    evidence: withLeaf({ subject: 'SEV-VLEK' }),
  },
  {
    code: 'RootNotPinned',
    how: 'a root of the same name by somebody else',
    evidence: reported({}, newPki('Milan').chip()),
  },
  {
    code: 'RootNotPinned',
    how: "the fake AMD's, where AMD's own are asked",
    evidence: usual(),
    judging: {
      roots: { Milan: ['69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd'] },
    },
  },
  {
    code: 'RootNotPinned',
    how: 'a product for which no root is trusted',
    evidence: usual(),
    judging: { roots: GENOA.roots },
  },
  {
    code: 'RootOfOtherProduct',
    how: 'a Milan whose root is pinned for Genoa',
    evidence: usual(),
    judging: { roots: { Genoa: [sha256Hex(ark.certificate)] } },
  },
  {
    code: 'RootOfOtherProduct',
    how: "a Milan's report by the chain of a Genoa",
    evidence: reported({ cpuid: [0x19, 1, 1] }, GENOA.chip()),
    also: ['ProductNameMismatch', 'TcbBelowMinimum', 'CommittedTcbBelowMinimum'],
  },
];

/** Of another product in all but the number that the processor says. */
const DISGUISED: readonly RefusalCase[] = [
  {
    code: 'RootOfOtherProduct',
    how: 'a Genoa whose certificate and report say Milan',
    evidence: reported({ cpuid: [0x19, 1, 1] }, GENOA.chip({ productName: 'Milan-B0' })),
    also: ['ProductNameMismatch', 'TcbBelowMinimum', 'CommittedTcbBelowMinimum'],
  },
];

const SIGNATURES: readonly RefusalCase[] = [
  {
    code: 'CertificateAlgorithm',
    how: 'RSA of the older kind',
    evidence: withLeaf({ scheme: { scheme: 'pkcs1', hash: 384 } }),
  },
  {
    code: 'CertificateAlgorithm',
    how: 'SHA-256',
    evidence: withLeaf({ scheme: { scheme: 'pss', hash: 256, salt: 48 } }),
  },
  {
    code: 'CertificateAlgorithm',
    how: 'a salt of 32 bytes',
    evidence: withAsk({ scheme: { scheme: 'pss', hash: 384, salt: 32 } }),
  },
  {
    code: 'RootSignature',
    how: 'a pinned root with a spoilt signature',
    ...withArk({ spoil: (signature) => signature.map((byte) => byte ^ 1) }),
  },
  {
    code: 'IntermediateSignature',
    how: 'signed by another key',
    evidence: withAsk({ signer: rsaKeys().privateKey }),
  },
  {
    code: 'LeafSignature',
    how: 'signed by the root instead',
    evidence: withLeaf({ signer: ark.keys.privateKey }),
  },
  {
    code: 'LeafSignature',
    how: 'a bit of the signature flipped',
    evidence: withLeaf({
      spoil: (signature) => signature.map((byte, at) => (at === 99 ? byte ^ 8 : byte)),
    }),
  },
  {
    code: 'CertificateRole',
    how: 'an intermediate that is no authority',
    evidence: withAsk({ extensions: [] }),
  },
  {
    code: 'CertificateRole',
    how: 'an intermediate that may sign revocation lists only',
    evidence: withAsk({ extensions: [AUTHORITY, ONLY_CRL_SIGN] }),
  },
  {
    code: 'CertificateRole',
    how: 'a root that is no authority',
    ...withArk({ extensions: [] }),
  },
  {
    code: 'CertificateRole',
    how: 'a root that may sign revocation lists only',
    ...withArk({ extensions: [AUTHORITY, ONLY_CRL_SIGN] }),
  },
  {
    code: 'CertificateRole',
    how: 'a leaf that is an authority',
    evidence: byChip({ extensions: (all) => [...all, AUTHORITY] }),
  },
  {
    code: 'CertificateRole',
    how: 'a root that allows no intermediate',
    ...withArk({
      extensions: [{ ...AUTHORITY, value: der.sequence(der.truth, der.integer(0)) }],
    }),
  },
  {
    code: 'CriticalExtension',
    how: 'in the leaf',
    evidence: byChip({ extensions: (all) => [...all, UNKNOWN_CRITICAL] }),
  },
  {
    code: 'CriticalExtension',
    how: 'in the intermediate',
    evidence: withAsk({ extensions: [AUTHORITY, UNKNOWN_CRITICAL] }),
  },
  {
    code: 'LeafKey',
    how: 'a key on P-256',
    evidence: snpEvidence(signedReport(CHIP), MILAN.chip({ keys: ecKeys('P-256') }).chain),
    also: ['ReportSignature'],
  },
  {
    code: 'LeafKey',
    how: 'an RSA key',
    evidence: snpEvidence(signedReport(CHIP), MILAN.chip({ keys: rsaKeys() }).chain),
    also: ['ReportSignature'],
  },
];

const LATER = UNTIL_MS + DAY_MS;

const TIMES: readonly RefusalCase[] = [
  {
    code: 'LeafExpired',
    how: 'a day late',
    evidence: withLeaf({ notAfterMs: AT_MS - DAY_MS }),
  },
  {
    code: 'LeafExpired',
    how: 'a second late',
    evidence: withLeaf({ notAfterMs: AT_MS - 1000 }),
  },
  {
    code: 'LeafNotYetValid',
    how: 'a day early',
    evidence: withLeaf({ notBeforeMs: AT_MS + DAY_MS }),
  },
  {
    code: 'IntermediateExpired',
    how: 'a day late',
    evidence: withAsk({ notAfterMs: AT_MS - DAY_MS }),
  },
  {
    code: 'IntermediateNotYetValid',
    how: 'a day early',
    evidence: withAsk({ notBeforeMs: AT_MS + DAY_MS }),
  },
  { code: 'RootExpired', how: 'a day late', ...withArk({ notAfterMs: AT_MS - DAY_MS }) },
  { code: 'RootNotYetValid', how: 'a day early', ...withArk({ notBeforeMs: AT_MS + DAY_MS }) },
  {
    code: 'LeafExpired',
    how: 'judged when all have expired: the leaf is named first',
    evidence: byChip({ certificate: { notAfterMs: AT_MS } }),
    judging: { atMs: LATER },
    also: ['IntermediateExpired', 'RootExpired'],
  },
];

const list = (spec: Partial<Parameters<typeof makeRevocationList>[0]>): Judging => ({
  crls: [MILAN.crl(spec)],
});

function withoutCrlSign(): Pick<RefusalCase, 'evidence' | 'judging'> {
  const { evidence, judging } = withArk({ extensions: [AUTHORITY, ONLY_CERT_SIGN] });
  return { evidence, judging: { ...judging, crls: [MILAN.crl()] } };
}

const REVOCATION: readonly RefusalCase[] = [
  {
    code: 'RevocationListMissing',
    how: 'none was given',
    evidence: usual(),
    judging: { policy: { ...CAREFUL, revocation: 'required' } },
  },
  {
    code: 'RevocationListMissing',
    how: "only another root's",
    evidence: usual(),
    judging: { policy: { ...CAREFUL, revocation: 'required' }, crls: [GENOA.crl()] },
  },
  {
    code: 'RevocationListUnreadable',
    how: 'bytes that are none',
    evidence: usual(),
    judging: { crls: [Uint8Array.of(1, 2, 3)] },
  },
  {
    code: 'RevocationListUnreadable',
    how: 'one without an end',
    evidence: usual(),
    judging: list({ nextUpdateMs: null }),
  },
  {
    code: 'RevocationListUnreadable',
    how: 'one that is a part only (critical extension)',
    evidence: usual(),
    judging: list({ extensions: [{ oid: '2.5.29.28', critical: true, value: der.nothing }] }),
  },
  {
    code: 'RevocationListUnsigned',
    how: 'signed by the intermediate',
    evidence: usual(),
    judging: list({ signer: ask.keys.privateKey }),
  },
  {
    code: 'RevocationListUnsigned',
    how: 'signed by a root that may sign certificates only',
    ...withoutCrlSign(),
  },
  {
    code: 'RevocationListUnsigned',
    how: 'a good one beside one that is not',
    evidence: usual(),
    judging: { crls: [MILAN.crl(), MILAN.crl({ signer: ask.keys.privateKey })] },
  },
  {
    code: 'IntermediateRevoked',
    how: 'by its serial number',
    evidence: usual(),
    judging: list({ revoked: [1, ask.serial] }),
  },
  {
    code: 'IntermediateRevoked',
    how: 'by an older list than the current one',
    evidence: usual(),
    judging: {
      crls: [MILAN.crl(), MILAN.crl({ revoked: [ask.serial], nextUpdateMs: AT_MS - DAY_MS })],
    },
  },
  {
    code: 'RevocationListExpired',
    how: 'a day late',
    evidence: usual(),
    judging: list({ nextUpdateMs: AT_MS - DAY_MS }),
  },
  {
    code: 'RevocationListNotYetValid',
    how: 'a day early',
    evidence: usual(),
    judging: list({ thisUpdateMs: AT_MS + DAY_MS }),
  },
];

export const CHAIN_REFUSALS: readonly RefusalCase[] = [
  ...FORM,
  ...NAMES,
  ...DISGUISED,
  ...SIGNATURES,
  ...TIMES,
  ...REVOCATION,
];
