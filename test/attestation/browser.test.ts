// The verifier in a browser: its bundle holds nothing of Node, and judges every real report and
// every refusal of ours as Node does, over Node's own Web Crypto and in Chromium.

import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AMD_ROOTS } from '../../src/attestation/amd-roots.ts';
import type { BrowserTerms } from '../../src/attestation/browser.ts';
import type { Evidence } from '../../src/attestation/evidence.ts';
import { judgeEvidence } from '../../src/attestation/judge.ts';
import type { Verdict } from '../../src/attestation/verdict.ts';
import { readEvidence } from '../../src/audit/attestation/evidence-files.ts';
import { SHARED_POLICY } from '../../src/audit/attestation/subject.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { testWithVectors, vectorsFolder } from '../support/judges.ts';
import { containerClaims, ISSUER, MaaSigner, signedToken } from './azure/maa-signer.ts';
import { type Bundled, bundleFor, faultsOf } from './browser-bundle.ts';
import { CHAIN_REFUSALS } from './chain-refusals.ts';
import { answerOfPage, testWithChromium } from './chromium.ts';
import { AT_MS } from './fake-certificates.ts';
import { signedReport } from './fake-pki.ts';
import { BINDING, CAREFUL, fakeRoots, type Judging } from './judged.ts';
import { CHIP, reported } from './refusal-case.ts';
import { REPORT_REFUSALS } from './report-refusals.ts';
import { UVM_REFUSALS } from './uvm-refusals.ts';

const ENTRY = 'src/attestation/browser.ts';

interface BrowserCase {
  readonly name: string;
  readonly evidence: Evidence;
  readonly terms: Required<BrowserTerms>;
}

type BrowserVerifier = typeof import('../../src/attestation/browser.ts');

async function bundledVerifier(): Promise<BrowserVerifier> {
  const path = join(folder, 'verifier.mjs');
  writeFileSync(path, bundled.code);
  return await import(pathToFileURL(path).href);
}

let bundled: Bundled;
let folder = '';
beforeAll(async () => {
  bundled = await bundleFor(ENTRY);
  folder = mkdtempSync(join(tmpdir(), 'browser-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the bundle holds nothing of Node', () => {
  expect(faultsOf(bundled)).toEqual([]);
  expect(bundled.ours.has('src/crypto/verifier-web.ts')).toBe(true);
  expect(bundled.ours.has('src/attestation/snp-verdict.ts')).toBe(true);
  expect(bundled.ours.has('src/crypto/verifier-node.ts')).toBe(false);
});

describe('planted: an entry that is not for browsers', () => {
  test.each([
    ['a file of Node', `import { readFileSync } from 'node:fs'; readFileSync('a');`, /node:fs/],
    ['hidden deeper', `export * from '${file('crypto/verifier-node.ts')}';`, /node:crypto/],
    ['Buffer', `export const b = (a) => Buffer.from(a);`, /uses Buffer/],
    ['process', `export const b = () => process.env.HOME;`, /uses process/],
  ])('%s', async (_what, code, fault) => {
    // In the project, so that what it uses counts as ours.
    const planted = { code, imports: [], ours: new Map([['src/planted.ts', code]]) };
    const path = join(folder, 'planted.ts');
    writeFileSync(path, code);
    const { imports } = await bundleFor(path);
    expect(faultsOf({ ...planted, imports }).join('; ')).toMatch(fault);
  });
});

function file(name: string): string {
  return join(import.meta.dirname, '../../src', name);
}

function termsOf(judging: Judging = {}): Required<BrowserTerms> {
  const { policy = CAREFUL, roots = fakeRoots(), crls = [], atMs = AT_MS } = judging;
  const { whole = { platforms: { snp: policy }, binding: BINDING } } = judging;
  return { policy: whole, roots, crls, atMs };
}

/** Every refusal of ours, and evidence that is good. */
function ownCases(): readonly BrowserCase[] {
  const refused = [...REPORT_REFUSALS, ...CHAIN_REFUSALS, ...UVM_REFUSALS].map(
    ({ code, how, evidence, judging }) => ({
      name: `${code}: ${how}`,
      evidence,
      terms: termsOf(judging),
    }),
  );
  return [{ name: 'good', evidence: reported(), terms: termsOf() }, ...refused];
}

/** Every real report that comes with certificates. */
async function realCases(): Promise<readonly BrowserCase[]> {
  const snp = join(vectorsFolder() ?? '', 'snp');
  const cases: BrowserCase[] = [];
  for (const name of readdirSync(snp)) {
    const path = join(snp, name);
    if (!existsSync(join(path, 'report.bin')) || !existsSync(join(path, 'chain.pem'))) continue;
    const { evidence } = await readEvidence(path);
    const atMs = Date.UTC(2026, 10, 21);
    const terms = { policy: SHARED_POLICY, roots: AMD_ROOTS, crls: [], atMs };
    cases.push({ name, evidence, terms });
  }
  return cases;
}

async function inNode({ evidence, terms }: BrowserCase): Promise<Verdict> {
  const { policy, atMs, roots, crls } = terms;
  return await judgeEvidence(evidence, policy, { verifier: nodeVerifier, roots, crls }, atMs);
}

/** Verdicts as text: bytes in JSON. */
async function expected(cases: readonly BrowserCase[]): Promise<readonly unknown[]> {
  const verdicts: Verdict[] = [];
  for (const each of cases) verdicts.push(await inNode(each));
  return JSON.parse(packed(verdicts));
}

test('the bundle itself judges as the sources do', async () => {
  const verifier = await bundledVerifier();
  const cases = ownCases();
  expect(cases.length).toBeGreaterThan(60);
  for (const each of cases) {
    expect(await verifier.judge(each.evidence, each.terms), each.name).toEqual(
      await inNode(each),
    );
  }
});

test('it reads policies, makes evidence of files and judges tokens', async () => {
  const verifier = await bundledVerifier();
  const { platforms } = verifier.readPolicy('{"version": 1, "platforms": {"snp": {}}}');
  const report = signedReport(CHIP);
  const evidence = verifier.evidenceOf({ report, endorsements: CHIP.chain });
  const terms = { policy: { platforms }, roots: fakeRoots(), atMs: AT_MS };
  expect(await verifier.judge(evidence, terms)).toMatchObject({ accepted: true });
  expect(await verifier.judge(evidence)).toMatchObject({
    refusal: { code: 'RootNotPinned' },
  });
  const signer = new MaaSigner();
  const policy = { platform: 'snp', issuers: [ISSUER], report: {} } as const;
  const keys = { [ISSUER]: signer.jwks() };
  const token = signer.token(containerClaims());
  expect(await verifier.judgeToken(token, policy, keys, AT_MS)).toMatchObject({
    accepted: true,
  });
  const none = signedToken({ alg: 'none' }, containerClaims());
  expect(await verifier.judgeToken(none, policy, keys, AT_MS)).toMatchObject({
    refusal: { code: 'TokenAlgorithm' },
  });
});

testWithChromium('Chromium judges every refusal of ours as Node does', async () => {
  await sameInChromium(ownCases());
});

if (vectorsFolder() === undefined) {
  testWithVectors('Chromium judges every real report as Node does', () => undefined);
} else {
  testWithChromium('Chromium judges every real report as Node does', async () => {
    const cases = await realCases();
    expect(cases.length).toBeGreaterThan(13);
    const verdicts = await sameInChromium(cases);
    expect(verdicts.filter(({ accepted }) => accepted).length).toBeGreaterThan(10);
  });
}

async function sameInChromium(cases: readonly BrowserCase[]): Promise<readonly Verdict[]> {
  const answer = await answerOfPage({
    '/': PAGE,
    '/verifier.js': bundled.code,
    '/cases.json': packed(cases),
  });
  const { agent, error, verdicts } = JSON.parse(answer) as {
    agent: string;
    error?: string;
    verdicts: readonly Verdict[];
  };
  expect(error).toBeUndefined();
  expect(agent).toContain('Chrome');
  const wanted = await expected(cases);
  expect(verdicts).toHaveLength(cases.length);
  for (const [index, { name }] of cases.entries()) {
    expect(verdicts[index], name).toEqual(wanted[index]);
  }
  return verdicts;
}

/** JSON with bytes as lists of numbers under a name that nothing else has. */
function packed(value: unknown): string {
  return JSON.stringify(value, (_name, each: unknown) =>
    each instanceof Uint8Array ? { bytes: [...each] } : each,
  );
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>verifier</title>
<script type="module">
const bytes = (name, value) =>
  Array.isArray(value?.bytes) ? Uint8Array.from(value.bytes) : value;
const packed = (name, value) =>
  value instanceof Uint8Array ? { bytes: [...value] } : value;
const result = { agent: navigator.userAgent, verdicts: [] };
try {
  const { judge } = await import('/verifier.js');
  const cases = JSON.parse(await (await fetch('/cases.json')).text(), bytes);
  for (const { evidence, terms } of cases) result.verdicts.push(await judge(evidence, terms));
} catch (error) {
  result.error = String(error?.stack ?? error);
}
await fetch('/done', { method: 'POST', body: JSON.stringify(result, packed) });
</script>`;
