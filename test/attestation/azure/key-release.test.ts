// Keys released to attested code, from a guest's report to the bytes of the key: through the
// official client, over real HTTPS, against doubles that evaluate, wrap and sign as the services
// do.

import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type AttestedReleaseDependencies,
  type AttestedReleaseOptions,
  releaseKey,
} from '../../../src/attestation/azure/attested-release.ts';
import { readRelease } from '../../../src/attestation/azure/key-release-answer.ts';
import { KeyVault } from '../../../src/attestation/azure/key-vault.ts';
import { keyVaultSealer } from '../../../src/attestation/azure/key-vault-sealer.ts';
import { MaaClient } from '../../../src/attestation/azure/maa-client.ts';
import type { Evidence } from '../../../src/attestation/evidence.ts';
import {
  type ReleasePolicy,
  releasePolicyFor,
} from '../../../src/attestation/release-policy.ts';
import { httpAsker } from '../../../src/attestation/sources/http-asker.ts';
import { reportDataField } from '../../../src/attestation/sources/source.ts';
import { isCoded } from '../../../src/base/errors.ts';
import { KEY_WRAP_NAMES, UnwrappingKey } from '../../../src/crypto/key-unwrap.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { AT_MS, pemOf } from '../fake-certificates.ts';
import { fakePki, HOST_DATA, MEASUREMENT, signedReport, snpEvidence } from '../fake-pki.ts';
import { UVM_FEED, uvmAuthorities, uvmEndorsement } from '../fake-uvm.ts';
import {
  alternativeName,
  makeAuthority,
  makeLeaf,
  type TestAuthority,
} from './https-double.ts';
import { type MaaDouble, maaDouble } from './maa-double.ts';
import { base64Url, type Json, MaaSigner, signedToken } from './maa-signer.ts';
import {
  headerOf,
  keyOf,
  type Release,
  type VaultDouble,
  type VaultDoubleOptions,
  vaultDouble,
} from './vault-double.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const clock = { nowMs: () => AT_MS };
const random = { bytes: (count: number): Uint8Array => randomBytes(count) };
const credential = {
  getToken: async () => ({ token: 'fake', expiresOnTimestamp: Date.now() + 3_600_000 }),
};
const pki = fakePki('Milan');
const chip = pki.chip();
const uvm = uvmEndorsement({ measurement: MEASUREMENT });
let maa: MaaDouble;
let vault: VaultDouble;
let keyVault: KeyVault;
let policy: ReleasePolicy;

const keyVaultOf = ({ url, authorities }: VaultDouble): KeyVault =>
  new KeyVault(
    { vaultUrl: url, credential, authorities, isAzureHost: false, retriesMax: 0 },
    { clock, verifier: nodeVerifier },
  );

beforeAll(async () => {
  const endorsed = { [uvmAuthorities().did]: { [UVM_FEED]: 1 } };
  maa = await maaDouble({ verifier: nodeVerifier, roots: pki.roots, uvm: endorsed });
  vault = await vaultDouble({ issuers: [maa.signer] });
  keyVault = keyVaultOf(vault);
  policy = releasePolicyFor({
    platform: 'snp',
    issuers: [maa.url],
    hostData: [hex(HOST_DATA)],
    measurements: [hex(MEASUREMENT)],
  });
});
afterAll(async () => {
  await maa.close();
  await vault.close();
});

/** A guest that makes reports; another container policy makes it another guest. */
const guest = (hostData: Uint8Array = HOST_DATA): AttestedReleaseDependencies['source'] => ({
  platform: 'snp',
  name: 'a guest of this test',
  evidenceFor: async (reportData): Promise<Evidence> => {
    const report = signedReport(chip, { hostData, reportData: reportDataField(reportData) });
    return snpEvidence(report, chip.chain, { uvm });
  },
});

const dependencies = (
  more: Partial<AttestedReleaseDependencies> = {},
): AttestedReleaseDependencies => ({
  source: guest(),
  maa: new MaaClient(maa.url, httpAsker()),
  vault: keyVault,
  random,
  clock,
  ...more,
});

const options = (keyName: string): AttestedReleaseOptions => ({
  issuer: maa.url,
  keyName,
  report: { measurements: [hex(MEASUREMENT)] },
  releasePolicy: policy,
  wrappingBits: 2048,
});

const KINDS = [
  { kind: 'RSA-HSM', bits: 2048 },
  { kind: 'EC-HSM', curve: 'P-256' },
  { kind: 'oct-HSM', bits: 256 },
] as const;

test.each(KINDS)('a key of the kind $kind is made, and released to the guest', async (kind) => {
  const name = `made-${kind.kind}`;
  const { id, version } = await keyVault.create(name, kind, policy);
  expect(id).toBe(`${vault.url}/keys/${name}/${version}`);
  const released = await releaseKey(options(name), dependencies());
  expect(released).toMatchObject({ id, version, kind: kind.kind.replace('-HSM', '') });
  expect(hex(released.bytes)).toBe(hex(vault.secretOf(name, version)));
});

test.each(KEY_WRAP_NAMES)('a key is released wrapped by %s', async (algorithm) => {
  const name = `wrapped-${algorithm.toLowerCase().replaceAll('_', '-')}`;
  const { version } = await keyVault.create(name, { kind: 'oct-HSM', bits: 256 }, policy);
  const released = await releaseKey({ ...options(name), algorithm }, dependencies());
  expect(hex(released.bytes)).toBe(hex(vault.secretOf(name, version)));
});

test('a key that was imported comes back as it was', async () => {
  const secret = randomBytes(32);
  await keyVault.importKey('imported', { kty: 'oct', k: secret }, policy);
  const released = await releaseKey(options('imported'), dependencies());
  expect(Buffer.from(released.bytes)).toEqual(secret);
});

test('an older version is released when it is asked for', async () => {
  const first = await keyVault.create('rotated', { kind: 'oct-HSM', bits: 256 }, policy);
  const second = await keyVault.create('rotated', { kind: 'oct-HSM', bits: 256 }, policy);
  const newest = await releaseKey(options('rotated'), dependencies());
  const older = await releaseKey(options('rotated'), dependencies(), first.version);
  expect([newest.version, older.version]).toEqual([second.version, first.version]);
  expect(hex(older.bytes)).toBe(hex(vault.secretOf('rotated', first.version)));
});

test('another container is refused, by us with the reason and by the vault without', async () => {
  await keyVault.create('refused', { kind: 'oct-HSM', bits: 256 }, policy);
  const other = dependencies({ source: guest(Buffer.alloc(32, 1)) });
  const { releasePolicy: _, ...blind } = options('refused');
  await expect(releaseKey(options('refused'), other)).rejects.toMatchObject({
    code: 'ReleasePolicyNotMet',
    message: expect.stringMatching(/x-ms-sevsnpvm-hostdata is "0101.*, not "bbbb/),
  });
  await expect(releaseKey(blind, other)).rejects.toMatchObject({
    statusCode: 403,
    message: expect.stringMatching(/cannot be verified/),
  });
});

test('a policy is changed, unless it was made immutable', async () => {
  const oct = { kind: 'oct-HSM', bits: 256 } as const;
  const claims = { 'x-ms-sevsnpvm-vmpl': 0 };
  const changed = releasePolicyFor({
    platform: 'snp',
    issuers: [maa.url],
    hostData: [hex(HOST_DATA)],
    claims,
  });
  await keyVault.create('changing', oct, policy);
  await keyVault.setReleasePolicy('changing', changed);
  // Whoever expects the policy of before does not take the key any more.
  await expect(releaseKey(options('changing'), dependencies())).rejects.toMatchObject({
    code: 'ReleasePolicyChanged',
  });
  const now = { ...options('changing'), releasePolicy: changed };
  expect((await releaseKey(now, dependencies())).bytes).toHaveLength(32);
  await keyVault.create('frozen', oct, policy, true);
  await expect(keyVault.setReleasePolicy('frozen', changed)).rejects.toThrow(/immutable/);
});

test('a token that the service should not have given is not shown to the vault', async () => {
  const attacker = new MaaSigner();
  const forgeries: readonly (readonly [(claims: Json, signer: MaaSigner) => string, string])[] =
    [
      [(claims, { kid }) => signedToken({ alg: 'none', kid }, claims), 'TokenAlgorithm'],
      [(claims) => attacker.token(claims), 'TokenKeyUnknown'],
      [(claims, signer) => signer.token({ ...claims, nonce: 'another' }), 'TokenNonce'],
      [(claims, signer) => signer.token({ ...claims, 'x-ms-runtime': {} }), 'TokenWrappingKey'],
    ];
  const before = vault.asked.length;
  for (const [forge, refusal] of forgeries) {
    const service = await maaDouble({ verifier: nodeVerifier, roots: pki.roots, forge });
    const { releasePolicy: _, ...asked } = { ...options('any'), issuer: service.url };
    const plain: AttestedReleaseDependencies['source'] = {
      ...guest(),
      evidenceFor: async (reportData) =>
        snpEvidence(
          signedReport(chip, { reportData: reportDataField(reportData) }),
          chip.chain,
        ),
    };
    const asking = dependencies({
      maa: new MaaClient(service.url, httpAsker()),
      source: plain,
    });
    await expect(releaseKey(asked, asking)).rejects.toMatchObject({
      code: 'TokenRefused',
      fields: { refusal },
    });
    await service.close();
  }
  expect(vault.asked).toHaveLength(before);
});

test('evidence of another platform releases nothing', async () => {
  const source: AttestedReleaseDependencies['source'] = {
    ...guest(),
    evidenceFor: async () => ({ format: 'Insecure_Virtual', quote: '', endorsements: '' }),
  };
  await expect(releaseKey(options('any'), dependencies({ source }))).rejects.toMatchObject({
    code: 'NoKeyForPlatform',
  });
});

const request = (release: Release): Json => ({ ...(release.payload.request as Json) });
const bundle = (release: Release): Json => ({
  ...((release.payload.response as Json).key as Json),
});
const withRequest = (release: Release, more: Json): Release => ({
  ...release,
  payload: { ...release.payload, request: { ...request(release), ...more } },
});
const withBundle = (release: Release, more: Json): Release => ({
  ...release,
  payload: { ...release.payload, response: { key: { ...bundle(release), ...more } } },
});
const withKey = (release: Release, more: Json): Release =>
  withBundle(release, { key: { ...(bundle(release).key as Json), ...more } });
const withHeader = (release: Release, more: Json): Release => ({
  ...release,
  header: { ...release.header, ...more },
});

const strangeRoot = makeAuthority('Test Root of Vaults');
const strangeLeaf = makeLeaf('localhost', strangeRoot);
type Forge = NonNullable<VaultDoubleOptions['forge']>;
const signedBy =
  (chainOf: (keys: Parameters<Forge>[1]) => readonly TestAuthority[]): Forge =>
  (release, keys) => {
    const [leaf, ...rest] = chainOf(keys);
    if (leaf === undefined) return release;
    return { ...release, header: headerOf(leaf, ...rest), key: keyOf(leaf) };
  };

const FORGERIES: readonly (readonly [what: string, forge: Forge, code: string])[] = [
  ['alg none', (release) => withHeader(release, { alg: 'none' }), 'ReleaseAlgorithm'],
  ['PS256', (release) => withHeader(release, { alg: 'PS256' }), 'ReleaseAlgorithm'],
  [
    'a critical extension',
    (release) => withHeader(release, { crit: ['x'] }),
    'ReleaseAlgorithm',
  ],
  ['no certificates', (release) => withHeader(release, { x5c: [] }), 'BadRelease'],
  ['no x5c', (release) => withHeader(release, { x5c: undefined }), 'BadRelease'],
  ["a stranger's chain", signedBy(() => [strangeLeaf, strangeRoot]), 'ReleaseChain'],
  ['a chain with a gap', signedBy(({ leaf, root }) => [leaf, root]), 'ReleaseChain'],
  ['the leaf alone', signedBy(({ leaf }) => [leaf]), 'ReleaseChain'],
  ['an authority itself', signedBy(({ root }) => [root]), 'ReleaseChain'],
  [
    'a leaf that endorses another',
    signedBy(({ root, middle, leaf }) => [makeLeaf('localhost', leaf), leaf, middle, root]),
    'ReleaseChain',
  ],
  [
    'an unknown demand',
    signedBy(({ root, middle }) => {
      const extensions = [
        alternativeName('localhost'),
        { oid: '1.2.3.4', critical: true, value: Buffer.from([5, 0]) },
      ];
      return [makeLeaf('localhost', middle, { extensions }), middle, root];
    }),
    'ReleaseChain',
  ],
  [
    "another vault's certificate",
    signedBy(({ root, middle }) => [makeLeaf('other.example', middle), middle, root]),
    'ReleaseHost',
  ],
  [
    'a certificate for a suffix',
    signedBy(({ root, middle }) => [makeLeaf('*.localhost', middle), middle, root]),
    'ReleaseHost',
  ],
  [
    'an expired certificate',
    signedBy(({ root, middle }) => {
      return [makeLeaf('localhost', middle, { notAfterMs: AT_MS - 1 }), middle, root];
    }),
    'ReleaseCertificateTime',
  ],
  ['another thumbprint', (r) => withHeader(r, { 'x5t#S256': 'AAAA' }), 'ReleaseThumbprint'],
  ['another key', (r) => ({ ...r, key: strangeLeaf.keys.privateKey }), 'ReleaseSignature'],
  ['an old nonce', (r) => withRequest(r, { nonce: 'of-yesterday' }), 'ReleaseNonce'],
  ['no nonce', (r) => withRequest(r, { nonce: undefined }), 'ReleaseNonce'],
  ['another wrapping', (r) => withRequest(r, { enc: 'CKM_RSA_AES_KEY_WRAP' }), 'ReleaseEcho'],
  ['another question', (r) => withRequest(r, { kid: 'https://a/keys/b/c' }), 'ReleaseEcho'],
  ['another key name', (r) => withKey(r, { kid: 'https://a/keys/b/c' }), 'ReleaseKey'],
  ['an unknown kind', (r) => withKey(r, { kty: 'OKP' }), 'ReleaseKey'],
  ['a kind of every object', (r) => withKey(r, { kty: 'constructor' }), 'ReleaseKey'],
  ['no key', (r) => withKey(r, { key_hsm: undefined }), 'BadRelease'],
  ['an empty envelope', (r) => withKey(r, { key_hsm: base64Url('{}') }), 'BadRelease'],
  [
    'an envelope of another wrapping',
    (r) =>
      withKey(r, {
        key_hsm: base64Url(
          '{"schema_version":"1.0","header":{"alg":"dir","enc":"none"},"ciphertext":""}',
        ),
      }),
    'ReleaseEcho',
  ],
  ['a key anybody may have', (r) => withBundle(r, { attributes: {} }), 'ReleaseKey'],
  [
    'a key under another policy',
    (r) => withBundle(r, { release_policy: { data: base64Url('{"version":"1.0.0"}') } }),
    'ReleasePolicyChanged',
  ],
];

test.each(FORGERIES)('a release with %s is refused', async (_, forge, code) => {
  const forging = await vaultDouble({ issuers: [maa.signer], forge });
  const asking = keyVaultOf(forging);
  await asking.create('forged', { kind: 'oct-HSM', bits: 256 }, policy);
  const release = releaseKey(options('forged'), dependencies({ vault: asking }));
  await expect(release).rejects.toMatchObject({ code });
  await forging.close();
});

test('a certificate with a star is for one label', async () => {
  const root = makeAuthority('Root');
  const leaf = makeLeaf('*.vault.azure.net', root);
  const ask = async (vaultUrl: string): Promise<string> => {
    const answer = signedToken(headerOf(leaf, root), {}, keyOf(leaf));
    const question = {
      vaultUrl,
      keyName: 'k',
      algorithm: 'RSA_AES_KEY_WRAP_256',
      nonce: 'n',
    } as const;
    const trust = { verifier: nodeVerifier, authorities: pemOf(root.certificate) };
    return await readRelease(answer, question, trust, AT_MS).then(
      () => 'taken',
      (thrown) => (isCoded(thrown) ? thrown.code : String(thrown)),
    );
  };
  // With the right host it goes on, to find that nothing was answered.
  expect(await ask('https://mine.vault.azure.net')).toBe('BadRelease');
  expect(await ask('https://vault.azure.net')).toBe('ReleaseHost');
  expect(await ask('https://a.b.vault.azure.net')).toBe('ReleaseHost');
  expect(await ask('https://minevault.azure.net')).toBe('ReleaseHost');
});

test('a vault refuses a policy that would release to nobody', async () => {
  await expect(
    keyVault.importKey(
      'soft',
      { kty: 'oct', k: randomBytes(32) },
      {
        version: '1.0.0',
        anyOf: [],
      },
    ),
  ).rejects.toThrow(/release policy/);
});

test('a nonce that could be guessed is not sent', async () => {
  const wrapping = await UnwrappingKey.generate(2048);
  await expect(
    keyVault.release({
      keyName: 'any',
      token: 't',
      wrapping,
      algorithm: 'RSA_AES_KEY_WRAP_256',
      nonce: 'short',
    }),
  ).rejects.toMatchObject({ code: 'NonceTooShort' });
});

test('what a released key sealed unseals after a restart, and after a rotation', async () => {
  const oct = { kind: 'oct-HSM', bits: 256 } as const;
  await keyVault.create('sealing', oct, policy);
  const release = (version?: string) => releaseKey(options('sealing'), dependencies(), version);
  const before = await keyVaultSealer(release, random);
  const secret = randomBytes(100);
  const sealed = await before.seal('state', secret);
  expect(before.kind).toBe('azure-key-vault');
  expect(Buffer.from(sealed).includes(secret.subarray(0, 8))).toBe(false);
  await keyVault.create('sealing', oct, policy);
  const after = await keyVaultSealer(release, random);
  expect(Buffer.from(await after.unseal('state', sealed))).toEqual(secret);
  const again = await after.seal('state', secret);
  expect(Buffer.from(await after.unseal('state', again))).toEqual(secret);
  expect(again.subarray(0, 40)).not.toEqual(sealed.subarray(0, 40));
});

test('what was changed, cut or renamed does not unseal', async () => {
  await keyVault.create('breaking', { kind: 'EC-HSM', curve: 'P-384' }, policy);
  const sealer = await keyVaultSealer(
    (version) => releaseKey(options('breaking'), dependencies(), version),
    random,
  );
  const sealed = Buffer.from(await sealer.seal('state', Buffer.from('secret')));
  const flipped = Buffer.from(sealed);
  flipped[sealed.length - 1] = (flipped[sealed.length - 1] ?? 0) ^ 1;
  for (const [name, bytes] of [
    ['other', sealed],
    ['state', flipped],
    ['state', sealed.subarray(0, -1)],
    ['state', sealed.subarray(0, 40)],
    ['state', sealed.subarray(0, 3)],
    ['state', Buffer.alloc(60)],
  ] as const) {
    await expect(sealer.unseal(name, bytes)).rejects.toMatchObject({ code: 'SealBroken' });
  }
});

test('a node that is refused the key is told so, and seals nothing', async () => {
  await keyVault.create('withheld', { kind: 'oct-HSM', bits: 256 }, policy);
  const other = dependencies({ source: guest(Buffer.alloc(32, 1)) });
  await expect(
    keyVaultSealer((version) => releaseKey(options('withheld'), other, version), random),
  ).rejects.toMatchObject({ code: 'ReleasePolicyNotMet' });
});

test('no mutation of an answer is taken, and none does more than be refused by code', async () => {
  const seeded = new SeededRandom(11);
  const root = makeAuthority('Root');
  const leaf = makeLeaf('vault.example', root);
  const trust = { verifier: nodeVerifier, authorities: pemOf(root.certificate) };
  const kid = 'https://vault.example/keys/k/1';
  const keyHsm = {
    schema_version: '1.0',
    header: { alg: 'dir', enc: 'RSA_AES_KEY_WRAP_256' },
    ciphertext: base64Url(createHash('sha256').update('x').digest()),
  };
  const payload = {
    request: { enc: 'RSA_AES_KEY_WRAP_256', kid, nonce: 'n' },
    response: {
      key: {
        key: { kid, kty: 'oct-HSM', key_hsm: base64Url(JSON.stringify(keyHsm)) },
        attributes: { exportable: true },
      },
    },
  };
  const good = signedToken(headerOf(leaf, root), payload, keyOf(leaf));
  const question = {
    vaultUrl: 'https://vault.example',
    keyName: 'k',
    algorithm: 'RSA_AES_KEY_WRAP_256',
    nonce: 'n',
  } as const;
  expect(await readRelease(good, question, trust, AT_MS)).toMatchObject({ keyId: kid });
  for (let round = 0; round < 1_500; round += 1) {
    const at = seeded.below(good.length);
    const put = seeded.pick(['', 'A', 'z', '-', '.', '=', '{', '9']);
    const mutated = good.slice(0, at) + put + good.slice(at + 1);
    if (mutated === good) continue;
    const outcome: unknown = await readRelease(mutated, question, trust, AT_MS).catch(
      (thrown: unknown) => thrown,
    );
    expect(isCoded(outcome), `seed ${seeded.seed}, ${at}: ${String(outcome)}`).toBe(true);
  }
});
