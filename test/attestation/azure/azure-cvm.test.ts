// Evidence of confidential VMs: real ones are accepted, ours of a test's own AMD and paravisor too,
// and each link of the chain from the hardware to the node's key can be shown to hold it.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  type AzureCvmQuote,
  azureCvmEvidence,
  judgeAzureCvm,
  readAzureCvmEvidence,
} from '../../../src/attestation/azure-cvm.ts';
import type { Evidence } from '../../../src/attestation/evidence.ts';
import type { Bound, JudgeDependencies } from '../../../src/attestation/judging.ts';
import type { AzureCvmPolicy } from '../../../src/attestation/policy.ts';
import { readPcrs } from '../../../src/attestation/tpm-quote.ts';
import type { Verdict } from '../../../src/attestation/verdict.ts';
import { toBase64, toUtf8 } from '../../../src/base/portable-bytes.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { testWithVectors, vectorsFolder } from '../../support/judges.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { AT_MS } from '../fake-certificates.ts';
import { fakePki, newPki, type ReportFields, signedReport } from '../fake-pki.ts';
import {
  type HclShape,
  Paravisor,
  type QuoteShape,
  sha256,
  somePcrs,
  tpmtSignature,
} from './paravisor.ts';

const pki = fakePki('Milan');
const chip = pki.chip();
const dependencies: JudgeDependencies = { verifier: nodeVerifier, roots: pki.roots };
const paravisor = new Paravisor();
const binding = sha256(Buffer.from('the public key of a node'));
const pcrs = somePcrs();
const MEASURED = 'aa'.repeat(48);
const registerHex = (index: number): string => pcrs.get(index)?.toString('hex') ?? '';

const policy: Bound<AzureCvmPolicy> = {
  binding,
  report: { measurements: [MEASURED] },
  pcrs: { 4: [registerHex(4)], 11: ['00'.repeat(32), registerHex(11)] },
  secureBoot: true,
};

interface Parts {
  readonly hcl?: HclShape;
  readonly report?: ReportFields;
  readonly quote?: Partial<QuoteShape>;
  /** What comes after making. */
  readonly change?: (quote: AzureCvmQuote) => Partial<AzureCvmQuote>;
  readonly chain?: string;
}

function evidenceOf(parts: Parts = {}): Evidence {
  const report = signedReport(chip, {
    hostData: new Uint8Array(32),
    reportData: paravisor.reportData(parts.hcl),
    ...parts.report,
  });
  const quote = {
    hclReport: paravisor.hclReport(report, parts.hcl),
    ...paravisor.quote({ extraData: binding, pcrs, ...parts.quote }),
    pcrs,
  };
  return azureCvmEvidence({ ...quote, ...parts.change?.(quote) }, parts.chain ?? chip.chain);
}

const judge = (evidence: Evidence, by: Bound<AzureCvmPolicy> = policy): Promise<Verdict> =>
  judgeAzureCvm(evidence, by, dependencies, AT_MS);

test('good evidence is accepted, and says what it is bound to', async () => {
  const verdict = await judge(evidenceOf());
  expect(verdict.checks.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
  expect(verdict.accepted).toBe(true);
  expect(verdict.claims).toMatchObject({ platform: 'azure-cvm', measurement: MEASURED });
  const { reportData = Buffer.alloc(0), details = {} } = verdict.claims ?? {};
  expect(Buffer.from(reportData)).toEqual(Buffer.concat([binding, Buffer.alloc(32)]));
  expect(details).toMatchObject({
    pcr4: registerHex(4),
    'vm-configuration.secure-boot': 'true',
  });
});

test('header version 2 and a signature in its structure are as good', async () => {
  const evidence = evidenceOf({
    hcl: { version: 2 },
    change: ({ signature }) => ({ signature: tpmtSignature(signature) }),
  });
  expect((await judge(evidence)).accepted).toBe(true);
});

test('a policy without registers leaves the code of the guest open, and says so', async () => {
  const verdict = await judge(evidenceOf(), { report: {} });
  expect(verdict.accepted).toBe(true);
  const skipped = verdict.checks.filter(({ outcome }) => outcome === 'skipped');
  expect(skipped.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['registers', 'secure boot', 'binding']),
  );
});

const other = new Paravisor();
const stranger = newPki('Milan').chip();
const otherQuote = other.quote({ extraData: binding, pcrs });
const changed = new Map(pcrs).set(4, Buffer.alloc(32));
const REFUSED: readonly (readonly [what: string, parts: Parts, code: string, kind: string])[] =
  [
    [
      'a paravisor report that is cut off',
      { change: ({ hclReport }) => ({ hclReport: hclReport.subarray(0, 1300) }) },
      ...(['BadHclReport', 'malformed'] as const),
    ],
    [
      'a quote that is none',
      { change: ({ message }) => ({ message: message.subarray(1) }) },
      ...(['BadTpmQuote', 'malformed'] as const),
    ],
    [
      'runtime data of another VM',
      { report: { reportData: other.reportData() } },
      ...(['RuntimeDataUnbound', 'unproven'] as const),
    ],
    [
      'report data with something behind the digest',
      {
        report: {
          reportData: Buffer.concat([paravisor.reportData().subarray(0, 32), binding]),
        },
      },
      ...(['RuntimeDataUnbound', 'unproven'] as const),
    ],
    [
      "another vTPM's quote",
      { change: () => otherQuote },
      ...(['QuoteSignatureBad', 'unproven'] as const),
    ],
    [
      'a signature of another algorithm',
      {
        change: ({ signature }) => ({
          signature: Buffer.concat([Buffer.from('0016000b0100', 'hex'), signature]),
        }),
      },
      ...(['BadTpmQuote', 'malformed'] as const),
    ],
    [
      'changed register values',
      { change: () => ({ pcrs: changed }) },
      ...(['PcrDigestMismatch', 'unproven'] as const),
    ],
    [
      'a register value that is missing',
      { change: () => ({ pcrs: new Map([...pcrs].slice(1)) }) },
      ...(['PcrDigestMismatch', 'unproven'] as const),
    ],
    [
      'a register that was not quoted',
      { quote: { selection: [0, 11] } },
      ...(['PcrNotQuoted', 'policy'] as const),
    ],
    [
      'another boot, properly quoted',
      { quote: { pcrs: changed }, change: () => ({ pcrs: changed }) },
      ...(['PcrNotAccepted', 'policy'] as const),
    ],
    [
      'no secure boot',
      { hcl: { configuration: { 'secure-boot': false } } },
      ...(['SecureBootNotAsAsked', 'policy'] as const),
    ],
    [
      "another node's quote",
      { quote: { extraData: sha256(Buffer.from('another key')) } },
      ...(['QuoteUnbound', 'binding'] as const),
    ],
    [
      'a longer nonce that begins with the key',
      { quote: { extraData: Buffer.concat([binding, Buffer.alloc(16)]) } },
      ...(['QuoteUnbound', 'binding'] as const),
    ],
  ];

test.each(REFUSED)('%s is refused', async (_, parts, code, kind) => {
  const verdict = await judge(evidenceOf(parts));
  expect(verdict.refusal).toMatchObject({ code, kind });
  expect(verdict.accepted).toBe(false);
});

test('hardware that is not good enough is refused as any report is', async () => {
  const codeOf = async (parts: Parts): Promise<string | undefined> =>
    (await judge(evidenceOf(parts))).refusal?.code;
  const codes = [
    await codeOf({ report: { policy: 0xb_001fn } }),
    await codeOf({ report: { measurement: Buffer.alloc(48, 1) } }),
    await codeOf({ chain: stranger.chain }),
    await codeOf({ chain: '' }),
    await codeOf({ report: { spoil: (report) => report.fill(1, 0x90, 0x91) } }),
  ];
  expect(codes).not.toContain(undefined);
  expect(new Set(codes).size).toBe(codes.length);
});

const raw = (quote: unknown): Evidence => ({
  ...evidenceOf(),
  quote: toBase64(toUtf8(JSON.stringify(quote))),
});
const inner = { message: '', signature: '', pcrs: {} };
const UNREADABLE: readonly (readonly [what: string, evidence: Evidence, code: string])[] = [
  ['another format', { ...evidenceOf(), format: 'AMD_SEV_SNP_v1' }, 'BadEvidence'],
  ['no base64', { ...evidenceOf(), quote: '*' }, 'BadEvidence'],
  ['no JSON', { ...evidenceOf(), quote: toBase64(toUtf8('{')) }, 'BadEvidence'],
  ['a list', raw([]), 'BadEvidence'],
  ['no quote', raw({ hclReport: '' }), 'BadEvidence'],
  ['a report that is no base64', raw({ hclReport: '*', tpmQuote: inner }), 'BadEvidence'],
  ['far too much', { ...evidenceOf(), quote: 'A'.repeat(140_000) }, 'BadEvidence'],
  [
    'a register too many',
    raw({ hclReport: '', tpmQuote: { ...inner, pcrs: { 24: '' } } }),
    'BadTpmQuote',
  ],
];

test.each(UNREADABLE)('%s is no evidence, and no error either', async (_, evidence, code) => {
  const verdict = await judge(evidence);
  expect(verdict.refusal).toMatchObject({ code, kind: 'malformed' });
});

const REAL = [
  ['azcvm-genoa-v3-trustee', true],
  ['azcvm-milan-v3-cleanroom-sign', true],
  ['azcvm-milan-v3-trustee-e0', true],
] as const;

for (const [name] of REAL) {
  testWithVectors(`the real evidence ${name} is accepted to AMD's own root`, async () => {
    const file = (part: string): Buffer =>
      readFileSync(`${vectorsFolder()}/snp/${name}/${part}`);
    const registers: unknown = JSON.parse(file('tpm-pcrs.json').toString());
    const parts = {
      hclReport: file('hcl-report.bin'),
      message: file('tpm-quote.msg'),
      signature: file('tpm-quote.sig'),
      pcrs: readPcrs(Object.assign({}, registers)),
    };
    const evidence = azureCvmEvidence(parts, file('chain.pem').toString());
    const by: AzureCvmPolicy = { report: {}, secureBoot: true };
    const verdict = await judgeAzureCvm(evidence, by, { verifier: nodeVerifier }, AT_MS);
    expect(verdict.checks.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
    expect(verdict.accepted).toBe(true);
    expect(verdict.claims?.hostData).toBe('00'.repeat(32));
    const flipped = azureCvmEvidence(
      { ...parts, hclReport: parts.hclReport.fill(0x20, 0x4d5, 0x4d6) },
      file('chain.pem').toString(),
    );
    const refused = await judgeAzureCvm(flipped, by, { verifier: nodeVerifier }, AT_MS);
    expect(refused.accepted).toBe(false);
  });
}

test('evidence reads back as it was put together', () => {
  const read = readAzureCvmEvidence(evidenceOf());
  expect([...read.pcrs.keys()]).toEqual([...pcrs.keys()]);
  expect(read.hclReport).toHaveLength(2600);
});

test('no mutation of the parts is accepted, and none throws', async () => {
  const random = new SeededRandom(10);
  const good = readAzureCvmEvidence(evidenceOf());
  const names = ['hclReport', 'message', 'signature'] as const;
  for (let round = 0; round < 400; round += 1) {
    const name = random.pick(names);
    const mutated = Buffer.from(good[name]);
    const at = random.below(mutated.length);
    mutated[at] = (mutated[at] ?? 0) ^ (1 << random.below(8));
    const verdict = await judge(azureCvmEvidence({ ...good, [name]: mutated }, chip.chain));
    expect(verdict.accepted, `seed ${random.seed}: ${name} at ${at}`).toBe(false);
  }
});
