// One way to earn each refusal of endorsements of the utility VM.

import type { UvmPolicy } from '../../src/attestation/policy.ts';
import { toHex } from '../../src/base/portable-bytes.ts';
import * as der from './der-writer.ts';
import { type ExtensionSpec, rsaKeys } from './fake-certificates.ts';
import { MEASUREMENT, signedReport, snpEvidence } from './fake-pki.ts';
import {
  didOf,
  SIGNED_AT_S,
  UVM_EKU,
  UVM_FEED,
  type UvmAuthorities,
  type UvmOptions,
  uvmAuthorities,
  uvmEndorsement,
} from './fake-uvm.ts';
import { CAREFUL, type Judging } from './judged.ts';
import { CHIP, type RefusalCase, reported } from './refusal-case.ts';

const AUTHORITIES = uvmAuthorities();
const [, middle = new Uint8Array(0), root = new Uint8Array(0)] = AUTHORITIES.chain;

/** Accepts one issuer's endorsements. */
export const accepting = (issuer: string): Judging => {
  const uvmEndorsements: UvmPolicy = { [issuer]: { [UVM_FEED]: 100 } };
  return { policy: { ...CAREFUL, uvmEndorsements } };
};

const endorsed = (
  options: Partial<UvmOptions>,
  judging: Judging = accepting(options.issuer ?? options.authorities?.did ?? AUTHORITIES.did),
): Pick<RefusalCase, 'evidence' | 'judging'> => ({
  evidence: snpEvidence(signedReport(CHIP), CHIP.chain, {
    uvm: uvmEndorsement({ measurement: MEASUREMENT, ...options }),
  }),
  judging,
});

const payload = (how: string, text: string): RefusalCase => ({
  code: 'UvmPayload',
  how,
  ...endorsed({ payload: text }),
});
const other: UvmAuthorities = { ...AUTHORITIES, leaf: rsaKeys() };
const measured = toHex(MEASUREMENT);

const AUTHORITY: ExtensionSpec = {
  oid: '2.5.29.19',
  critical: true,
  value: der.sequence(der.truth),
};
const NO_INTERMEDIATE: ExtensionSpec = {
  ...AUTHORITY,
  value: der.sequence(der.truth, der.integer(0)),
};
const CRL_SIGN: ExtensionSpec = {
  oid: '2.5.29.15',
  critical: true,
  value: Uint8Array.of(3, 2, 1, 2),
};

const FORM: readonly RefusalCase[] = [
  {
    code: 'UvmUnreadable',
    how: 'bytes that are no COSE',
    evidence: snpEvidence(signedReport(CHIP), CHIP.chain, { uvm: Uint8Array.of(1) }),
    judging: accepting(AUTHORITIES.did),
  },
  {
    code: 'UvmUnreadable',
    how: 'a content that is not JSON',
    ...endorsed({ contentType: 'text/plain' }),
  },
  { code: 'UvmUnreadable', how: 'no certificate', ...endorsed({ chain: [new Uint8Array(1)] }) },
  { code: 'UvmUnreadable', how: 'no issuer', ...endorsed({ issuer: '' }) },
  {
    code: 'UvmUnreadable',
    how: 'more certificates than any chain has',
    ...endorsed({ chain: Array.from({ length: 9 }, () => root) }),
  },
  {
    code: 'UvmUnreadable',
    how: 'headers that must be understood',
    ...endorsed({ extra: [[2, ['iss']]] }),
  },
  {
    code: 'UvmUnreadable',
    how: 'a statement about another kind of digest',
    ...endorsed({ form: 'statement', payloadHash: -16 }),
  },
  {
    code: 'UvmUnreadable',
    how: 'more bytes than any has',
    ...endorsed({ extra: [['filling', new Uint8Array(140_000)]] }),
  },
  {
    code: 'UvmUnreadable',
    how: 'an issuer of two thousand characters',
    ...endorsed({ issuer: `${AUTHORITIES.did}::${'x'.repeat(2000)}` }),
  },
  { code: 'UvmUnreadable', how: 'a header twice', ...endorsed({ extra: [['feed', 'other']] }) },
  payload('no JSON', '{'),
  payload('a list', '[]'),
  payload('no version', JSON.stringify({ 'x-ms-sevsnpvm-launchmeasurement': measured })),
  payload('no measurement', JSON.stringify({ 'x-ms-sevsnpvm-guestsvn': 1 })),
  payload(
    'two versions',
    JSON.stringify({
      'x-ms-sevsnpvm-guestsvn': '103',
      'x-ms-sevsnpvm-guestsvn-int': 102,
      'x-ms-sevsnpvm-launchmeasurement': measured,
    }),
  ),
  { code: 'UvmPayload', how: 'a negative version', ...endorsed({ svn: -1 }) },
  { code: 'UvmPayload', how: 'a version with a point', ...endorsed({ svn: '1e3' }) },
  {
    code: 'UvmPayload',
    how: 'a statement of 47 bytes',
    ...endorsed({ form: 'statement', measurement: MEASUREMENT.subarray(1) }),
  },
];

const ORIGIN: readonly RefusalCase[] = [
  { code: 'UvmAlgorithm', how: 'an algorithm for curves', ...endorsed({ algorithm: -35 }) },
  { code: 'UvmAlgorithm', how: 'no algorithm at all', ...endorsed({ algorithm: 0 }) },
  {
    code: 'UvmThumbprint',
    how: 'that of the root',
    ...endorsed({ thumbprint: new Uint8Array(32) }),
  },
  {
    code: 'UvmChain',
    how: 'the intermediate left out',
    ...endorsed({ chain: [AUTHORITIES.chain[0] ?? root, root] }),
  },
  {
    code: 'UvmChain',
    how: 'an intermediate that is no authority',
    ...endorsed({ authorities: uvmAuthorities({ intermediate: { extensions: [] } }) }),
  },
  {
    code: 'UvmChain',
    how: 'a leaf that somebody else signed',
    ...endorsed({ authorities: uvmAuthorities({ leaf: { signer: rsaKeys().privateKey } }) }),
  },
  {
    code: 'UvmChain',
    how: 'an intermediate that may sign revocation lists only',
    ...endorsed({
      authorities: uvmAuthorities({ intermediate: { extensions: [AUTHORITY, CRL_SIGN] } }),
    }),
  },
  {
    code: 'UvmChain',
    how: 'a leaf that names another issuer',
    ...endorsed({ authorities: uvmAuthorities({ leaf: { issuer: 'Someone' } }) }),
  },
  {
    code: 'UvmChain',
    how: 'one authority more than the root allows',
    ...endorsed({ authorities: uvmAuthorities({ root: { extensions: [NO_INTERMEDIATE] } }) }),
  },
  {
    code: 'UvmChain',
    how: 'a leaf without any authority',
    ...endorsed({ chain: AUTHORITIES.chain.slice(0, 1) }),
    also: ['UvmIssuer'],
  },
  {
    code: 'UvmChain',
    how: 'a critical extension',
    ...endorsed({
      authorities: uvmAuthorities({
        leaf: { extensions: [{ oid: '2.5.29.99', critical: true, value: der.nothing }] },
      }),
      issuer: didOf(root, 'subject:CN:ContainerPlat'),
    }),
  },
  {
    code: 'UvmIssuer',
    how: 'another usage than the leaf has',
    ...endorsed({ issuer: didOf(root, `eku:${UVM_EKU}.9`) }),
  },
  {
    code: 'UvmIssuer',
    how: 'another subject',
    ...endorsed({ issuer: didOf(root, 'subject:CN:ConfAKS') }),
  },
  {
    code: 'UvmIssuer',
    how: "the leaf's own fingerprint, which is no authority's",
    ...endorsed({ issuer: didOf(AUTHORITIES.chain[0] ?? root, `eku:${UVM_EKU}`) }),
  },
  {
    code: 'UvmIssuer',
    how: 'a demand that is not known here',
    ...endorsed({ issuer: didOf(root, 'san:dns:example.org') }),
  },
  ...[
    ['another scheme', AUTHORITIES.did.replace('did:', 'dad:')],
    ['another method', AUTHORITIES.did.replace('x509', 'x510')],
    ['a subject of nothing', didOf(root, 'subject')],
    ['the right text under another name', didOf(root, 'subject:O:ContainerPlat')],
  ].map(
    ([how = '', issuer = '']): RefusalCase => ({
      code: 'UvmIssuer',
      how,
      ...endorsed({ issuer }),
    }),
  ),
  {
    code: 'UvmIssuer',
    how: 'a subject that is not in pairs',
    ...endorsed({ issuer: didOf(root, 'subject:CN:ContainerPlat:O') }),
  },
  {
    code: 'UvmIssuer',
    how: 'a subject with a broken escape',
    ...endorsed({ issuer: didOf(root, 'subject:CN:%zz') }),
  },
  {
    code: 'UvmIssuer',
    how: 'a usage with something behind it',
    ...endorsed({ issuer: didOf(root, `eku:${UVM_EKU}:1.2`) }),
  },
  {
    code: 'UvmIssuer',
    how: 'a later version of the method',
    ...endorsed({ issuer: AUTHORITIES.did.replace('x509:0', 'x509:1') }),
  },
  {
    code: 'UvmIssuer',
    how: 'SHA-1',
    ...endorsed({ issuer: didOf(root, `eku:${UVM_EKU}`, 'sha1') }),
  },
  {
    code: 'UvmIssuer',
    how: 'a fingerprint with something behind it',
    ...endorsed({ issuer: AUTHORITIES.did.replace('::', ':x::') }),
  },
  {
    code: 'UvmIssuer',
    how: 'a good demand and a bad one',
    ...endorsed({ issuer: `${didOf(root, `eku:${UVM_EKU}`)}::eku:1.2.3` }),
  },
  {
    code: 'UvmIssuer',
    how: 'no demand',
    ...endorsed({ issuer: didOf(root, '').slice(0, -2) }),
  },
  { code: 'UvmIssuer', how: 'did:web', ...endorsed({ issuer: 'did:web:example.org' }) },
  { code: 'UvmSignature', how: 'another key', ...endorsed({ authorities: other }) },
  {
    code: 'UvmSignature',
    how: 'another salt',
    ...endorsed({ scheme: { scheme: 'pss', hash: 384, salt: 32 } }),
  },
  {
    code: 'UvmSigningTime',
    how: 'after the leaf had expired',
    ...endorsed({ signedAt: SIGNED_AT_S + 10 * 365 * 86_400 }),
  },
  { code: 'UvmSigningTime', how: 'in 1970', ...endorsed({ signedAt: 0 }) },
];

const POLICY: readonly RefusalCase[] = [
  {
    code: 'UvmMissing',
    how: 'a policy that knows endorsers only',
    evidence: reported(),
    judging: {
      policy: { hostData: CAREFUL.hostData ?? [], uvmEndorsements: { [AUTHORITIES.did]: {} } },
    },
  },
  {
    code: 'UvmIssuerNotAccepted',
    how: 'good endorsements by somebody else',
    ...endorsed({}, accepting(didOf(middle, `eku:${UVM_EKU}`))),
  },
  {
    code: 'UvmIssuerNotAccepted',
    how: 'an empty list, though the measurement is listed',
    ...endorsed({}, { policy: { ...CAREFUL, uvmEndorsements: {} } }),
  },
  {
    code: 'UvmFeedNotAccepted',
    how: 'the feed of another product',
    ...endorsed({ feed: 'ConfAKS-AMD-UVM' }),
  },
  {
    code: 'UvmFeedNotAccepted',
    how: 'a feed named like a property of every object',
    ...endorsed({ feed: 'constructor' }),
  },
  { code: 'UvmVersionLow', how: '99 as text', ...endorsed({ svn: '99' }) },
  { code: 'UvmVersionLow', how: '99 as a number', ...endorsed({ svn: 99 }) },
  {
    code: 'UvmVersionLow',
    how: 'in a statement',
    ...endorsed({ form: 'statement', svn: 99 }),
  },
  {
    code: 'UvmMeasurementMismatch',
    how: 'endorsements of another launch',
    ...endorsed({ measurement: new Uint8Array(48).fill(1) }),
  },
  {
    code: 'UvmMeasurementMismatch',
    how: 'a statement of another launch',
    ...endorsed({ form: 'statement', measurement: new Uint8Array(48).fill(1) }),
  },
  {
    code: 'MeasurementNotAccepted',
    how: 'endorsements do not help where the policy names no endorsers',
    ...endorsed({}, { policy: { ...CAREFUL, measurements: ['00'.repeat(48)] } }),
  },
];

export const UVM_REFUSALS: readonly RefusalCase[] = [...FORM, ...ORIGIN, ...POLICY];
