// Tokens and policies of an attestation service over real HTTPS: asked for as the service takes
// them, and not believed for having come from there.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import {
  MaaAdministration,
  type MaaAdministrationDependencies,
} from '../../../src/attestation/azure/maa-administration.ts';
import { MaaClient } from '../../../src/attestation/azure/maa-client.ts';
import { maaPolicyHash } from '../../../src/attestation/maa-policy.ts';
import { judgeMaaToken } from '../../../src/attestation/maa-token.ts';
import { httpAsker } from '../../../src/attestation/sources/http-asker.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { testWithVectors, vectorsFolder } from '../../support/judges.ts';
import { AT_MS, rsaKeys } from '../fake-certificates.ts';
import { fakePki, MEASUREMENT, newPki, signedReport } from '../fake-pki.ts';
import { UVM_FEED, uvmAuthorities, uvmEndorsement } from '../fake-uvm.ts';
import { type Answer, httpsDouble } from './https-double.ts';
import { maaDouble } from './maa-double.ts';
import { encryptionJwk, MaaSigner, MEASURED, signedToken } from './maa-signer.ts';

const pki = fakePki('Milan');
const chip = pki.chip();
const maa = await maaDouble({ verifier: nodeVerifier, roots: pki.roots });
const client = new MaaClient(maa.url, httpAsker());
const runtimeData = Buffer.from(
  JSON.stringify({ keys: [encryptionJwk(rsaKeys().publicKey)], more: 'ü' }),
);
const reportData = Buffer.concat([
  createHash('sha256').update(runtimeData).digest(),
  Buffer.alloc(32),
]);
const report = signedReport(chip, { reportData });
const question = { report, endorsements: chip.chain, runtimeData, nonce: 'n-1' };
afterAll(() => maa.close());

test('a token about a report is asked for, and says of it what the report says', async () => {
  const token = await client.attestSnp(question);
  const policy = {
    platform: 'snp',
    issuers: [maa.url],
    nonce: 'n-1',
    binding: reportData.subarray(0, 32),
    report: { measurements: [MEASURED], hostData: ['bb'.repeat(32)] },
  } as const;
  const verdict = await judgeMaaToken(token, policy, [await client.keys()], AT_MS);
  expect(verdict.refusal).toBeUndefined();
  expect(verdict.accepted).toBe(true);
  const compliant = { ...policy, complianceStatus: ['azure-compliant-uvm'] };
  const refused = await judgeMaaToken(token, compliant, [await client.keys()], AT_MS);
  // Without the utility VM's endorsements the service concludes nothing.
  expect(refused.refusal?.code).toBe('ComplianceStatus');
});

test("with the utility VM's endorsements the service calls the platform compliant", async () => {
  const authorities = uvmAuthorities();
  const uvm = { [authorities.did]: { [UVM_FEED]: 1 } };
  const service = await maaDouble({ verifier: nodeVerifier, roots: pki.roots, uvm });
  const uvmEndorsements = uvmEndorsement({ authorities, measurement: MEASUREMENT });
  const asking = new MaaClient(service.url, httpAsker());
  const token = await asking.attestSnp({ ...question, uvmEndorsements });
  const verdict = await judgeMaaToken(
    token,
    {
      platform: 'snp',
      issuers: [service.url],
      complianceStatus: ['azure-compliant-uvm'],
      report: {},
    },
    [await asking.keys()],
    AT_MS,
  );
  expect(verdict.refusal).toBeUndefined();
  await service.close();
});

test.each([
  [
    'a report of no chip of AMD',
    { endorsements: newPki('Milan').chip().chain },
    /AttestationFailed/,
  ],
  ['other runtime data', { runtimeData: Buffer.from('{}') }, /not those of the report/],
  ['a report cut off', { report: report.subarray(1) }, /AttestationFailed/],
])('%s is refused in the words of the service', async (_, change, says) => {
  await expect(client.attestSnp({ ...question, ...change })).rejects.toMatchObject({
    code: 'MaaRefused',
    message: expect.stringMatching(says),
  });
});

const STRANGE: readonly (readonly [what: string, answer: Answer, says: RegExp])[] = [
  ['no JSON', { body: '<html>' }, /something else than JSON/],
  ['no token', { body: { tokens: 1 } }, /holds no token/],
  ['a failure', { status: 503, body: {} }, /answers 503/],
];

test.each(STRANGE)('an answer with %s is refused', async (_, answer, says) => {
  const service = await httpsDouble(() => answer);
  const asking = new MaaClient(service.url, httpAsker());
  await expect(asking.attestSnp(question)).rejects.toThrow(says);
  await service.close();
});

testWithVectors('a question has the form of the recorded ones', async () => {
  const folder = `${vectorsFolder()}/snp/aci-milan-v3-cleanroom-maareq`;
  const recorded = JSON.parse(readFileSync(`${folder}/maa-request.json`, 'utf8'));
  const endorsements: unknown = JSON.parse(
    readFileSync(`${folder}/maa-Endorsements.json`, 'utf8'),
  );
  const service = await httpsDouble(() => ({ body: { token: 't' } }));
  const inside = (text: string): Record<string, string> =>
    JSON.parse(Buffer.from(text, 'base64url').toString());
  const parts = inside(recorded.report);
  const { Uvm: [uvm] = [] } = inside(parts.Endorsements ?? '') as { readonly Uvm?: string[] };
  expect(inside(parts.Endorsements ?? '')).toEqual(endorsements);
  await new MaaClient(service.url, httpAsker()).attestSnp({
    report: readFileSync(`${folder}/maa-SnpReport.bin`),
    endorsements: readFileSync(`${folder}/maa-VcekCertChain.pem`, 'utf8'),
    uvmEndorsements: Buffer.from(uvm ?? '', 'base64url'),
    runtimeData: Buffer.from(recorded.runtimeData.data, 'base64url'),
  });
  const asked = JSON.parse(service.asked[0]?.body ?? '');
  // Padding is the only freedom that the service leaves.
  const bare = (text = ''): string => text.replace(/=+$/, '');
  const ours = inside(asked.report);
  expect(Object.keys(ours).sort()).toEqual(Object.keys(parts).sort());
  expect(bare(ours.SnpReport)).toBe(bare(parts.SnpReport));
  expect(bare(ours.VcekCertChain)).toBe(bare(parts.VcekCertChain));
  expect(bare(asked.runtimeData.data)).toBe(bare(recorded.runtimeData.data));
  expect(asked.runtimeData.dataType).toBe(recorded.runtimeData.dataType);
  await service.close();
});

const credential = {
  getToken: async () => ({ token: 'fake', expiresOnTimestamp: Date.now() + 3_600_000 }),
};
const dependencies: MaaAdministrationDependencies = {
  clock: { nowMs: () => AT_MS },
  verifier: nodeVerifier,
};
const administrationOf = (issuer: string): MaaAdministration =>
  new MaaAdministration({ issuer, credential, retriesMax: 0 }, dependencies);
const POLICY = 'version= 1.0;authorizationrules{ => deny(); };issuancerules{};';

test('a policy is put in force, read back, named in tokens, and taken back', async () => {
  const administration = administrationOf(maa.url);
  const before = await administration.policy();
  await administration.setPolicy(POLICY);
  expect(await administration.policy()).toBe(POLICY);
  const token = await client.attestSnp(question);
  const policyHashes = [await maaPolicyHash(POLICY, nodeVerifier)];
  const demands = { platform: 'snp', issuers: [maa.url], policyHashes, report: {} } as const;
  const verdict = await judgeMaaToken(token, demands, [await client.keys()], AT_MS);
  expect(verdict.refusal).toBeUndefined();
  await administration.resetPolicy();
  expect(await administration.policy()).toBe(before);
});

test('a policy that the service cannot read is refused in its words', async () => {
  await expect(administrationOf(maa.url).setPolicy('permit all')).rejects.toThrow(
    /the policy has no version/,
  );
});

test('signers and metadata are the ones of the instance', async () => {
  const administration = administrationOf(maa.url);
  expect(await administration.signers()).toEqual(await client.keys());
  expect(await administration.metadata()).toMatchObject({ issuer: maa.url });
  const other = await httpsDouble(() => ({
    body: { issuer: maa.url, jwks_uri: 'https://evil.example/certs' },
  }));
  await expect(administrationOf(other.url).metadata()).rejects.toMatchObject({
    code: 'MaaMetadata',
  });
  await other.close();
});

const attacker = new MaaSigner();
const FORGED = [
  ['alg none', 'TokenAlgorithm'],
  ["an attacker's key", 'TokenKeyUnknown'],
  ['another issuer', 'TokenIssuer'],
] as const;

test.each(FORGED)('an answer about the policy by %s is refused', async (what, code) => {
  const service = await maaDouble({
    verifier: nodeVerifier,
    roots: pki.roots,
    forge: (claims, signer) => {
      if (what === 'alg none') return signedToken({ alg: 'none', kid: signer.kid }, claims);
      if (what === 'another issuer')
        return signer.token({ ...claims, iss: 'https://a.example' });
      return attacker.token(claims, { x5c: attacker.x5c });
    },
  });
  await expect(administrationOf(service.url).policy()).rejects.toMatchObject({
    code: 'MaaAnswerRefused',
    fields: { refusal: code },
  });
  await service.close();
});

test('a service that stores another policy than it was given is found out', async () => {
  const service = await maaDouble({
    verifier: nodeVerifier,
    roots: pki.roots,
    forge: (claims, signer) => signer.token({ ...claims, 'x-ms-policy-token-hash': 'AAAA' }),
  });
  await expect(administrationOf(service.url).setPolicy(POLICY)).rejects.toMatchObject({
    code: 'MaaPolicyNotStored',
  });
  await service.close();
});
