// Tokens of Microsoft Azure Attestation: good ones are accepted, and each way of forging one, or of
// passing one off for another, is refused under its own name.

import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type MaaIssuerKeys, readMaaKeys } from '../../../src/attestation/maa-keys.ts';
import type { MaaPolicy } from '../../../src/attestation/maa-policy.ts';
import { judgeMaaToken, readMaaToken } from '../../../src/attestation/maa-token.ts';
import { isCoded } from '../../../src/base/errors.ts';
import { testWithVectors, vectorsFolder } from '../../support/judges.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { AT_MS, rsaKeys, spkiOf, UNTIL_MS } from '../fake-certificates.ts';
import {
  AT_S,
  base64Url,
  CONTAINER_POLICY,
  containerClaims,
  encryptionJwk,
  ISSUER,
  type Json,
  MaaSigner,
  MEASURED,
  signedToken,
  vmClaims,
} from './maa-signer.ts';

const OTHER_ISSUER = 'https://other.tst.attest.azure.net';
const signer = new MaaSigner();
const other = new MaaSigner({ issuer: OTHER_ISSUER });
const attacker = rsaKeys();
const wrapping = rsaKeys();
const known = [signer, other].map((one) => readMaaKeys(one.issuer, one.jwks()));

const TCB = { bootLoader: 4, tee: 0, snp: 24, microcode: 219 };
const container = {
  platform: 'snp',
  issuers: [ISSUER],
  complianceStatus: ['azure-compliant-uvm'],
  policyHashes: ['9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco'],
  nonce: 'n-1',
  wrappingKey: spkiOf(wrapping.publicKey),
  binding: Buffer.alloc(32, 0xcc),
  report: {
    measurements: [MEASURED],
    hostData: [CONTAINER_POLICY],
    tcbMin: { '00a00f11': TCB },
  },
} as const satisfies MaaPolicy;
const vm = {
  platform: 'azure-cvm',
  issuers: [ISSUER],
  complianceStatus: ['azure-compliant-cvm'],
  policyHashes: ['9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco'],
  nonce: 'ADE0101',
  wrappingKey: spkiOf(wrapping.publicKey),
  secureBoot: true,
  attestedPcrs: [4, 11],
  report: { measurements: [MEASURED], tcbMin: { '00a00f11': TCB } },
} as const satisfies MaaPolicy;

const jwk = encryptionJwk(wrapping.publicKey);
const runtime = { 'x-ms-runtime': { keys: [jwk] } };
const vmRuntime = {
  'x-ms-runtime': { keys: [jwk], 'client-payload': { nonce: 'QURFMDEwMQ==' } },
};
const good = containerClaims({ nonce: 'n-1', ...runtime });
const goodVm = vmClaims(vmRuntime);
const without = (name: string): Json =>
  Object.fromEntries(Object.entries(good).filter(([claim]) => claim !== name));

test('a good token of a container is accepted, every demand having been looked at', async () => {
  const verdict = await judgeMaaToken(signer.token(good), container, known, AT_MS);
  expect(verdict.checks.filter(({ outcome }) => outcome !== 'passed')).toEqual([]);
  expect(verdict).toMatchObject({ accepted: true, atMs: AT_MS });
  expect(verdict.claims).toMatchObject({ measurement: MEASURED, hostData: CONTAINER_POLICY });
});

test('a good token of a confidential VM is accepted by what its hardware vouches for', async () => {
  const verdict = await judgeMaaToken(signer.token(goodVm), vm, known, AT_MS);
  expect(verdict.checks.filter(({ outcome }) => outcome !== 'passed')).toEqual([]);
  expect(verdict.claims?.platform).toBe('azure-cvm');
});

test('what a policy does not ask for is skipped, and said so', async () => {
  const plain: MaaPolicy = { platform: 'snp', issuers: [ISSUER], report: {} };
  const verdict = await judgeMaaToken(signer.token(good), plain, known, AT_MS);
  expect(verdict.accepted).toBe(true);
  const skipped = verdict.checks.filter(({ outcome }) => outcome === 'skipped');
  expect(skipped.map(({ name }) => name)).toEqual([
    ...['compliance status', 'service policy', 'measurement', 'TCB', 'host data'],
    ...['report data', 'nonce', 'wrapping key'],
  ]);
});

const attackerX5c = new MaaSigner({ keys: attacker });
const header = { alg: 'RS256', kid: signer.kid, typ: 'JWT' };
const secret = Buffer.from(signer.certificate);
const hs256 = (): string => {
  const signed = signedToken({ ...header, alg: 'HS256' }, good).slice(0, -1);
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
};
const expired = new MaaSigner({ certificate: { notAfterMs: AT_MS - 1 } });
const stranger = new MaaSigner({ certificate: { subject: 'https://evil.example' } });
const tampered = (token: string): string => {
  const [head = '', , signature = ''] = token.split('.');
  return `${head}.${base64Url(JSON.stringify({ ...good, jti: 'other' }))}.${signature}`;
};

type Forgery = readonly [
  what: string,
  token: string,
  code: string,
  known?: readonly MaaIssuerKeys[],
];
const keysOf = (one: MaaSigner): readonly MaaIssuerKeys[] => [readMaaKeys(ISSUER, one.jwks())];
const FORGERIES: readonly Forgery[] = [
  ['alg none', signedToken({ ...header, alg: 'none' }, good), 'TokenAlgorithm'],
  ['alg none with a signature', signer.token(good, { alg: 'none' }), 'TokenAlgorithm'],
  ['HMAC by the public certificate', hs256(), 'TokenAlgorithm'],
  ['RS512', signer.token(good, { alg: 'RS512' }), 'TokenAlgorithm'],
  ['PS256', signer.token(good, { alg: 'PS256' }), 'TokenAlgorithm'],
  ['no alg', signer.token(good, { alg: undefined }), 'TokenAlgorithm'],
  ['a critical extension', signer.token(good, { crit: ['b64'], b64: false }), 'TokenCritical'],
  ['an unknown kid', signer.token(good, { kid: 'unknown' }), 'TokenKeyUnknown'],
  ['no kid', signer.token(good, { kid: undefined }), 'TokenKeyUnknown'],
  [
    "an attacker's x5c, unknown kid",
    attackerX5c.token(good, { x5c: attackerX5c.x5c }),
    'TokenKeyUnknown',
  ],
  [
    "an attacker's x5c, known kid",
    attackerX5c.token(good, { kid: signer.kid, x5c: attackerX5c.x5c }),
    'TokenSignatureBad',
  ],
  [
    "an attacker's key in the header",
    attackerX5c.token(good, { kid: signer.kid, jwk: encryptionJwk(attacker.publicKey) }),
    'TokenSignatureBad',
  ],
  [
    "an attacker's jku",
    attackerX5c.token(good, { kid: signer.kid, jku: 'https://evil.example/certs' }),
    'TokenSignatureBad',
  ],
  ['changed claims', tampered(signer.token(good)), 'TokenSignatureBad'],
  ['no signature', signedToken(header, good), 'TokenSignatureBad'],
  ['another issuer', other.token({ ...good, iss: OTHER_ISSUER }), 'TokenIssuer'],
  ['no issuer', signer.token(without('iss')), 'TokenIssuer'],
  ['an issuer with a slash', signer.token({ ...good, iss: `${ISSUER}/` }), 'TokenIssuer'],
  ["another issuer's key", other.token(good), 'TokenKeyUnknown'],
  ['keys that were not fetched', signer.token(good), 'IssuerKeysMissing', []],
  ["a stranger's certificate", stranger.token(good), 'SignerNotIssuer', keysOf(stranger)],
  ['an expired certificate', expired.token(good), 'SignerCertificateTime', keysOf(expired)],
];

for (const [what, token, code, keys = known] of FORGERIES) {
  test(`${what} is refused`, async () => {
    const verdict = await judgeMaaToken(token, container, keys, AT_MS);
    expect(verdict.accepted).toBe(false);
    expect(verdict.refusal?.code).toBe(code);
  });
}

const TIMES: readonly (readonly [what: string, claims: Json, code: string | undefined])[] = [
  ['expired long ago', { exp: AT_S - 3600 }, 'TokenExpired'],
  ['expired a second beyond the skew', { exp: AT_S - 61 }, 'TokenExpired'],
  ['expired within the skew', { exp: AT_S - 59 }, undefined],
  ['not valid yet', { nbf: AT_S + 61 }, 'TokenNotYetValid'],
  ['valid within the skew', { nbf: AT_S + 59 }, undefined],
  ['issued in the future', { iat: AT_S + 61 }, 'TokenFromFuture'],
  ['without an expiry', { exp: undefined }, 'TokenTimesMissing'],
  ['with an expiry in words', { exp: '2099-01-01' }, 'TokenTimesMissing'],
  ['with an endless expiry', { exp: 1e300 }, 'TokenTimesMissing'],
];

test.each(TIMES)('a token %s', async (_, claims, code) => {
  const token = signer.token({ ...good, ...claims });
  const verdict = await judgeMaaToken(token, container, known, AT_MS);
  expect(verdict.refusal?.code).toBe(code);
});

test('a token is judged for the time that is asked about, not for now', async () => {
  const verdict = await judgeMaaToken(signer.token(good), container, known, UNTIL_MS - 1);
  expect(verdict.refusal?.code).toBe('TokenExpired');
});

const snp = (name: string, value: unknown): Json => ({ [`x-ms-sevsnpvm-${name}`]: value });
const other32 = rsaKeys();
const CLAIMS: readonly (readonly [what: string, claims: Json, code: string])[] = [
  ['another platform', { 'x-ms-attestation-type': 'sgx' }, 'AttestationType'],
  ['a debugger let in', snp('is-debuggable', true), 'TokenDebuggable'],
  ['silence about debugging', snp('is-debuggable', undefined), 'TokenDebuggable'],
  ['"false" about debugging', snp('is-debuggable', 'false'), 'TokenDebuggable'],
  ['migration', snp('migration-allowed', true), 'TokenMigration'],
  ['no compliance', { 'x-ms-compliance-status': undefined }, 'ComplianceStatus'],
  ['other compliance', { 'x-ms-compliance-status': 'azure-compliant-cvm' }, 'ComplianceStatus'],
  ["another policy of the service's", { 'x-ms-policy-hash': 'AAAA' }, 'MaaPolicyHash'],
  ['another measurement', snp('launchmeasurement', 'ab'.repeat(48)), 'TokenMeasurement'],
  ['a measurement in capitals', snp('launchmeasurement', 'AA'.repeat(48)), 'TokenMeasurement'],
  ['another container policy', snp('hostdata', '00'.repeat(32)), 'TokenHostData'],
  ['an old microcode', snp('microcode-svn', 218), 'TokenTcb'],
  ['an old firmware', snp('snpfw-svn', 23), 'TokenTcb'],
  ['an old boot loader', snp('bootloader-svn', 3), 'TokenTcb'],
  ['no TCB', snp('tee-svn', undefined), 'TokenTcb'],
  ['another privilege level', snp('vmpl', 1), 'TokenVmpl'],
  ['other runtime data', snp('reportdata', '00'.repeat(64)), 'TokenReportData'],
  ['report data that are no text', snp('reportdata', 5), 'TokenReportData'],
  ['another nonce', { nonce: 'n-2' }, 'TokenNonce'],
  ['no nonce', { nonce: undefined }, 'TokenNonce'],
  ['no key', { 'x-ms-runtime': {} }, 'TokenWrappingKey'],
  [
    'another key before ours',
    { 'x-ms-runtime': { keys: [encryptionJwk(other32.publicKey), jwk] } },
    'TokenWrappingKey',
  ],
  [
    'our key, but not for encryption',
    { 'x-ms-runtime': { keys: [{ ...jwk, key_ops: ['sign'] }] } },
    'TokenWrappingKey',
  ],
];

test.each(CLAIMS)('%s is refused', async (_, claims, code) => {
  const token = signer.token({ ...good, ...claims });
  const verdict = await judgeMaaToken(token, container, known, AT_MS);
  expect(verdict.refusal?.code).toBe(code);
});

const VM_CLAIMS: readonly (readonly [what: string, claims: Json, code: string])[] = [
  ['a container', good, 'AttestationType'],
  [
    'hardware of another kind',
    vmClaims(vmRuntime, { 'x-ms-attestation-type': 'tdxvm' }),
    'AttestationType',
  ],
  ['no hardware', { ...goodVm, 'x-ms-isolation-tee': undefined }, 'AttestationType'],
  [
    'claims of the hardware at the top only',
    { ...goodVm, ...snp('launchmeasurement', MEASURED), 'x-ms-isolation-tee': 'none' },
    'AttestationType',
  ],
  ['a debugger let in', vmClaims(vmRuntime, snp('is-debuggable', true)), 'TokenDebuggable'],
  [
    'another measurement',
    vmClaims(vmRuntime, snp('launchmeasurement', '00'.repeat(48))),
    'TokenMeasurement',
  ],
  ['no secure boot', { ...goodVm, secureboot: false }, 'TokenSecureBoot'],
  ['too few registers', { ...goodVm, 'x-ms-azurevm-attested-pcrs': [4] }, 'TokenPcrs'],
  [
    'a nonce that is not in base64',
    { ...goodVm, 'x-ms-runtime': { keys: [jwk], 'client-payload': { nonce: 'ADE0101' } } },
    'TokenNonce',
  ],
];

test.each(VM_CLAIMS)('of a VM, %s is refused', async (_, claims, code) => {
  const verdict = await judgeMaaToken(signer.token(claims), vm, known, AT_MS);
  expect(verdict.refusal?.code).toBe(code);
});

test('a token of a VM does not pass for one of a container', async () => {
  const policy: MaaPolicy = { platform: 'snp', issuers: [ISSUER], report: {} };
  const verdict = await judgeMaaToken(signer.token(goodVm), policy, known, AT_MS);
  const failed = verdict.checks.flatMap(({ code }) => code ?? []);
  expect(failed).toEqual(['AttestationType', 'TokenDebuggable', 'TokenMigration', 'TokenVmpl']);
});

test('what a token cannot show is refused, not passed over', async () => {
  const ask = async (report: MaaPolicy['report']): Promise<string | undefined> => {
    const policy: MaaPolicy = { platform: 'snp', issuers: [ISSUER], report };
    return (await judgeMaaToken(signer.token(good), policy, known, AT_MS)).refusal?.code;
  };
  expect(await ask({ uvmEndorsements: { 'did:x509:0': { feed: 1 } } })).toBe(
    'EndorsementsNotInToken',
  );
  expect(await ask({ committedTcb: true })).toBe('CommittedTcbNotInToken');
  expect(await ask({ tcbMin: {} })).toBe('TokenTcb');
  expect(await ask({ measurements: [] })).toBe('TokenMeasurement');
  expect(await ask({ tcbMin: { '00b00f21': { ...TCB, fmc: 1 } } })).toBe('TokenTcb');
});

test('a nonce beyond what JavaScript counts exactly is compared as it was written', async () => {
  const text = JSON.stringify({ ...good, nonce: 0 });
  const token = (nonce: string): string =>
    signedToken(header, text.replace('"nonce":0', `"nonce":${nonce}`), signer.keys.privateKey);
  const ask = async (nonce: string): Promise<string | undefined> => {
    const policy = { ...container, nonce: '16045690984833335023' };
    return (await judgeMaaToken(token(nonce), policy, known, AT_MS)).refusal?.code;
  };
  expect(await ask('16045690984833335023')).toBeUndefined();
  // The next number that JavaScript knows is the same one.
  expect(Number('16045690984833335024')).toBe(Number('16045690984833335023'));
  expect(await ask('16045690984833335024')).toBe('TokenNonce');
});

const UNREADABLE: readonly (readonly [what: string, token: string])[] = [
  ['nothing', ''],
  ['two parts', 'a.b'],
  ['five parts', 'a.b.c.d.e'],
  ['standard base64', signer.token(good).replace(/$/, '+')],
  ['a header that is a list', `${base64Url('[]')}.${base64Url('{}')}.`],
  ['claims that are a text', `${base64Url('{}')}.${base64Url('"x"')}.`],
  ['claims that are no JSON', `${base64Url('{}')}.${base64Url('{')}.`],
  ['claims that are no UTF-8', `${base64Url('{}')}.${base64Url(Uint8Array.of(0xff))}.`],
  ['far too much', `${base64Url('{}')}.${'A'.repeat(140_000)}.`],
];

test.each(UNREADABLE)('%s is no token, and no error either', async (_, token) => {
  const verdict = await judgeMaaToken(token, container, known, AT_MS);
  expect(verdict).toMatchObject({ accepted: false, refusal: { code: 'BadToken' } });
});

const deep = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);
const PLACES = ['alg', 'kid', 'iss', 'exp', 'nonce', 'x-ms-attestation-type', 'secureboot'];
const awkward = PLACES.flatMap((place) => [
  [place, '{"toString":1,"valueOf":1}'] as const,
  [place, deep(60)] as const,
  [place, deep(40_000)] as const,
  [place, `[${deep(30)},{"toJSON":1,"toString":null}]`] as const,
]);

test.each(awkward)('what cannot be printed throws nothing, as %s', async (place, value) => {
  const put = (json: Json): string =>
    JSON.stringify({ ...json, [place]: 0 }).replace(`"${place}":0`, `"${place}":${value}`);
  const tokens = [
    `${base64Url(put(header))}.${base64Url(JSON.stringify(good))}.AAAA`,
    `${base64Url(JSON.stringify(header))}.${base64Url(put(good))}.AAAA`,
    `${base64Url(JSON.stringify(header))}.${base64Url(put(goodVm))}.AAAA`,
  ];
  for (const token of tokens) {
    for (const policy of [container, vm]) {
      expect((await judgeMaaToken(token, policy, known, AT_MS)).accepted).toBe(false);
    }
  }
});

const leaf = signer.jwks().keys[0] ?? {};
const BAD_KEYS: readonly (readonly [what: string, jwks: unknown])[] = [
  ['nothing', null],
  ['no keys', { keys: [] }],
  ['a list', [leaf]],
  ['a key without a kid', { keys: [{ ...leaf, kid: undefined }] }],
  ['a key of another kind', { keys: [{ ...leaf, kty: 'EC' }] }],
  ['a key for encryption', { keys: [{ ...leaf, use: 'enc' }] }],
  ['a key of another algorithm', { keys: [{ ...leaf, alg: 'HS256' }] }],
  ['a key without a certificate', { keys: [{ ...leaf, x5c: [] }] }],
  ['a certificate that is none', { keys: [{ ...leaf, x5c: ['AAAA'] }] }],
  [
    "a key that is not its certificate's",
    {
      keys: [{ ...leaf, ...encryptionJwk(attacker.publicKey), kid: 'k' }],
    },
  ],
];

test.each(BAD_KEYS)('%s is no set of keys', (_, jwks) => {
  expect(() => readMaaKeys(ISSUER, jwks)).toThrow(
    expect.objectContaining({ code: 'BadMaaKeys' }),
  );
});

test.each(['http://plain.example', `${ISSUER}/`, 'https://a b', ''])(
  'no keys are kept for the issuer %j',
  (issuer) => {
    expect(() => readMaaKeys(issuer, signer.jwks())).toThrow(/not https/);
  },
);

for (const [file, policy] of [
  ['aci-milan-v2-maa-sample/maa-token.jwt', 'snp'],
  ['maa-jwt-cvm/token1.jwt', 'azure-cvm'],
] as const) {
  testWithVectors(`the recorded token ${file} passes but for its signature`, async () => {
    const token = readFileSync(`${vectorsFolder()}/snp/${file}`, 'utf8').trim();
    const { header: head, claims } = readMaaToken(token);
    expect(head).toMatchObject({ alg: 'RS256', typ: 'JWT' });
    const { iss, iat } = claims;
    // Its issuer's keys are no longer published, so a key of ours stands in their place.
    const ours = new MaaSigner({
      issuer: String(iss),
      certificate: { notBeforeMs: Date.UTC(2020, 0, 1) },
    });
    const [key] = ours.jwks().keys;
    const keys = [readMaaKeys(String(iss), { keys: [{ ...key, kid: head.kid }] })];
    const demands: MaaPolicy = { platform: policy, issuers: [String(iss)], report: {} };
    const verdict = await judgeMaaToken(token, demands, keys, Number(iat) * 1000 + 1);
    const failed = verdict.checks.flatMap(({ code }) => code ?? []);
    expect(failed).toEqual(['TokenSignatureBad']);
    expect(verdict.claims?.measurement).toMatch(/^[0-9a-f]{96}$/);
  });
}

test('no mutation of a token is accepted, and none throws', async () => {
  const random = new SeededRandom(7);
  const token = signer.token(good);
  const characters = 'ABCabc019-_.=+{}"';
  for (let round = 0; round < 2_000; round += 1) {
    const at = random.below(token.length);
    const replaced = random.oneIn(4) ? '' : random.pick([...characters]);
    const mutated = token.slice(0, at) + replaced + token.slice(at + 1);
    if (mutated === token) continue;
    const verdict = await judgeMaaToken(mutated, container, known, AT_MS);
    expect(verdict.accepted, `seed ${random.seed}: ${mutated}`).toBe(false);
  }
});

test('no random header and claims do anything else than read or be refused by code', () => {
  const random = new SeededRandom(8);
  for (let round = 0; round < 5_000; round += 1) {
    const parts = [base64Url('{"alg":"RS256"}'), base64Url(JSON.stringify(good)), 'AAAA'];
    const which = random.below(3);
    parts[which] = random.bytes(random.below(40)).toString('base64url');
    try {
      readMaaToken(parts.join('.'));
    } catch (thrown) {
      expect(isCoded(thrown, 'BadToken'), `seed ${random.seed}: ${thrown}`).toBe(true);
    }
  }
});
