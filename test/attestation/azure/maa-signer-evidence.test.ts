// What an attestation service shows of its own signing key: judged like any report, and bound to
// that key in the service's own peculiar way.

import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { judgeMaaSigner } from '../../../src/attestation/maa-signer-evidence.ts';
import { isCoded } from '../../../src/base/errors.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { parseCertificate } from '../../../src/crypto/x509.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import * as der from '../der-writer.ts';
import { AT_MS, type ExtensionSpec, type KeyPair, rsaKeys } from '../fake-certificates.ts';
import { fakePki, MEASUREMENT, newPki, type ReportFields, signedReport } from '../fake-pki.ts';
import { UVM_FEED, uvmAuthorities, uvmEndorsement } from '../fake-uvm.ts';
import { base64Url, type Json, MaaSigner } from './maa-signer.ts';

const pki = fakePki('Milan');
const chip = pki.chip();
const dependencies = { verifier: nodeVerifier, roots: pki.roots };
const keys = rsaKeys();
const policy = {
  uvmEndorsements: { [uvmAuthorities().did]: { [UVM_FEED]: 1 } },
  hostData: ['bb'.repeat(32)],
};

/** SHA-256 over the PEM with its last line's end, and the zero byte behind it. */
function reportDataFor({ publicKey }: KeyPair, end = '\0'): Buffer {
  const pem = publicKey.export({ format: 'pem', type: 'spki' });
  const digest = createHash('sha256').update(`${pem}${end}`).digest();
  return Buffer.concat([digest, Buffer.alloc(32)]);
}

function evidenceOf(fields: ReportFields = {}, more: Json = {}): Json {
  const report = signedReport(chip, { reportData: reportDataFor(keys), ...fields });
  const uvm = uvmEndorsement({ measurement: MEASUREMENT });
  return {
    SnpReport: base64Url(report),
    VcekCertChain: base64Url(chip.chain),
    Endorsements: base64Url(JSON.stringify({ Uvm: [base64Url(uvm)] })),
    ...more,
  };
}

const extension = (part: number, text: string): ExtensionSpec => ({
  oid: `1.3.6.1.4.1.311.105.1000.${part}`,
  value: der.utf8String(text),
});

function certificateWith(extensions: readonly ExtensionSpec[]) {
  return parseCertificate(new MaaSigner({ keys, certificate: { extensions } }).certificate);
}

const kind = extension(2, 'acisevsnp');
const withEvidence = (evidence: Json, of = kind) =>
  certificateWith([extension(1, JSON.stringify(evidence)), of]);

test('a signing key that a good container made is accepted', async () => {
  const certificate = withEvidence(evidenceOf());
  const verdict = await judgeMaaSigner(certificate, policy, dependencies, AT_MS);
  expect(verdict.refusal).toBeUndefined();
  expect(verdict).toMatchObject({ accepted: true, claims: { platform: 'snp' } });
});

const refusalOf = async (certificate: ReturnType<typeof certificateWith>) => {
  const verdict = await judgeMaaSigner(certificate, policy, dependencies, AT_MS);
  expect(verdict.accepted).toBe(false);
  return verdict.refusal;
};

test('a report about another key, or about the key in another form, is refused', async () => {
  const other = [reportDataFor(rsaKeys()), reportDataFor(keys, ''), reportDataFor(keys, '\n')];
  for (const reportData of other) {
    const refusal = await refusalOf(withEvidence(evidenceOf({ reportData })));
    expect(refusal?.kind).toBe('binding');
  }
});

test('what makes any report bad makes this one bad', async () => {
  const stranger = { VcekCertChain: base64Url(newPki('Milan').chip().chain) };
  const kinds = [
    await refusalOf(withEvidence(evidenceOf({}, stranger))),
    await refusalOf(withEvidence(evidenceOf({ policy: 0xb_001fn }))),
    await refusalOf(withEvidence(evidenceOf({ hostData: Buffer.alloc(32) }))),
  ];
  expect(kinds.map((refusal) => refusal?.kind)).toEqual(['unproven', 'platform', 'policy']);
});

const evidence = evidenceOf();
const UNREADABLE: readonly (readonly [what: string, extensions: readonly ExtensionSpec[]])[] = [
  ['no evidence', []],
  ['no kind', [extension(1, JSON.stringify(evidence))]],
  ['another kind', [extension(1, JSON.stringify(evidence)), extension(2, 'sgx')]],
  ['a kind alone', [kind]],
  ['no text', [{ ...extension(1, ''), value: der.integer(1) }, kind]],
  ['no JSON', [extension(1, '{'), kind]],
  ['a list', [extension(1, '[]'), kind]],
  ['no report', [extension(1, JSON.stringify({ ...evidence, SnpReport: 1 })), kind]],
  [
    'two endorsements',
    [
      extension(
        1,
        JSON.stringify({ ...evidence, Endorsements: base64Url('{"Uvm":["AA","AA"]}') }),
      ),
      kind,
    ],
  ],
];

test.each(UNREADABLE)('a certificate with %s proves nothing', async (_, extensions) => {
  expect(await refusalOf(certificateWith(extensions))).toMatchObject({
    code: 'BadSignerEvidence',
    kind: 'malformed',
  });
});

test('no mutation of the evidence is accepted, and none throws', async () => {
  const random = new SeededRandom(13);
  const text = JSON.stringify(evidence);
  for (let round = 0; round < 100; round += 1) {
    // Within the report: in the chain's white space a change could mean nothing.
    const at = random.below(1_500);
    const mutated = text.slice(0, at) + random.pick(['', 'A', '"', '_']) + text.slice(at + 1);
    if (mutated === text) continue;
    const certificate = certificateWith([extension(1, mutated), kind]);
    const outcome: unknown = await refusalOf(certificate).catch((thrown: unknown) => thrown);
    expect(isCoded(outcome), `seed ${random.seed} at ${at}`).toBe(false);
    expect(outcome, `seed ${random.seed} at ${at}`).toMatchObject({ code: expect.any(String) });
  }
});
