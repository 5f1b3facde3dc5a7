// Saved verdicts: replayed offline they come out the same, years later and from another policy's
// point of view; a file that was changed anywhere is refused; a page for people goes with them.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { replayBundle } from '../../../src/audit/attestation/bundle.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { ISSUER, MaaSigner } from '../../attestation/azure/maa-signer.ts';
import { UNTIL_MS } from '../../attestation/fake-certificates.ts';
import { fakePki, newPki, signedReport } from '../../attestation/fake-pki.ts';
import { fakeRoots } from '../../attestation/judged.ts';
import { scratchFolder, verify } from './verifying.ts';

const { file, path } = scratchFolder();
const chip = fakePki('Milan').chip();
const chain = file('chain.pem', chip.chain);
const report = file('report.bin', signedReport(chip));
const rego = file('policy.rego', 'package policy\n');
const YEARS_LATER = { nowMs: UNTIL_MS + 10 * 365 * 86_400_000 };

interface Saved {
  readonly path: string;
  readonly text: string;
  readonly digest: string;
  readonly code: number;
}

async function saved(...more: readonly string[]): Promise<Saved> {
  const at = path(`bundle-${Math.random()}.json`);
  const args = ['report', report, '--endorsements', chain, '--save', at, '--json', ...more];
  const { code, out } = await verify(args);
  const { bundle } = JSON.parse(out) as { bundle: { digest: string } };
  return { path: at, text: readFileSync(at, 'utf8'), digest: bundle.digest, code };
}

describe('a bundle replays to the verdict that was saved', () => {
  test.each<readonly [string, number, readonly string[]]>([
    ['an acceptance', 0, []],
    ['a refusal by the container policy', 15, ['--container-policy', rego]],
    ['a refusal by the binding', 15, ['--report-data', 'ab'.repeat(64)]],
    ['a refusal by time', 12, ['--at', '2050-01-01']],
  ])('%s', async (_what, code, more) => {
    const bundle = await saved(...more);
    expect(bundle.code).toBe(code);
    const again = await verify(['bundle', bundle.path], YEARS_LATER);
    expect(again.code).toBe(code);
    expect(again.out).toContain('came out the same');
    expect((await verify(['bundle', bundle.path, '--digest', bundle.digest])).code).toBe(code);
  });

  test('and so does one of a token with its issuer’s keys', async () => {
    const signer = new MaaSigner();
    const token = file('t.jwt', signer.token({ iss: ISSUER }));
    const keys = file('jwks.json', JSON.stringify(signer.jwks()));
    const args = ['token', token, '--issuer', ISSUER, '--jwks', keys, '--save', path('t.json')];
    const { code } = await verify(args);
    expect(code).toBeGreaterThanOrEqual(10);
    const again = await verify(['bundle', path('t.json')], YEARS_LATER);
    expect(again.code).toBe(code);
    expect(again.out).toContain('only whoever fetched them knows');
  });
});

describe('a bundle that was changed is refused', () => {
  const REFUSED = 16;

  test('whatever character of it is another', async () => {
    const { text } = await saved();
    let tried = 0;
    for (let at = 1; at < text.length - 2; at += 97) {
      const char = text[at] ?? '';
      if (/\s/.test(char)) continue;
      const other = char === 'A' ? 'B' : 'A';
      const changed = `${text.slice(0, at)}${other}${text.slice(at + 1)}`;
      await expect(replayBundle(changed, nodeVerifier, fakeRoots())).rejects.toMatchObject({
        code: expect.stringMatching(/^(BundleChanged|BadBundle|BadPolicy)$/),
      });
      tried += 1;
    }
    expect(tried).toBeGreaterThan(50);
  });

  test('also by one who makes the digest fit: the verdict is drawn from the evidence', async () => {
    const { path: refused } = await saved('--report-data', 'ab'.repeat(64));
    const lie = { accepted: true, refusal: undefined };
    const told = await forged(refused, (subject) => ({
      ...subject,
      verdict: { ...subject.verdict, ...lie },
    }));
    expect(told).toMatchObject({
      code: REFUSED,
      out: expect.stringContaining('VerdictDiffers'),
    });
    const { path: good } = await saved();
    const swapped = await forged(good, (subject) => ({
      ...subject,
      evidence: {
        ...subject.evidence,
        quote: Buffer.from(signedReport(chip, { policy: 0xb_0000n })).toString('base64'),
      },
    }));
    expect(swapped).toMatchObject({
      code: REFUSED,
      out: expect.stringContaining('it was accepted and is refused (DebugAllowed)'),
    });
  });

  test('as is one that trusts roots of somebody else', async () => {
    const { path: good } = await saved();
    const elsewhere = await verify(['bundle', good], { roots: newPki('Milan').roots });
    expect(elsewhere).toMatchObject({
      code: REFUSED,
      out: expect.stringContaining('RootsUnknown'),
    });
  });

  test('and another one than was asked for', async () => {
    const { path: good } = await saved();
    const other = await verify(['bundle', good, '--digest', '00'.repeat(32), '--json']);
    expect(other.code).toBe(REFUSED);
    expect(JSON.parse(other.out)).toMatchObject({ ok: false, error: { code: 'OtherBundle' } });
    expect((await verify(['bundle', file('no.json', 'no')])).code).toBe(REFUSED);
    expect((await verify(['bundle', good, '--digest', 'abc'])).code).toBe(2);
    expect((await verify(['bundle', path('none')])).code).toBe(3);
  });
});

interface SubjectJson {
  readonly evidence: object;
  readonly verdict: object;
}

/** A bundle with its first subject changed, and the digest that then fits. */
async function forged(
  at: string,
  change: (subject: SubjectJson) => object,
): Promise<{ code: number; out: string }> {
  const bundle = JSON.parse(readFileSync(at, 'utf8')) as { subjects: readonly SubjectJson[] };
  const [first = { evidence: {}, verdict: {} }] = bundle.subjects;
  const changed = { ...bundle, subjects: [change(first)] };
  const unfit = file('forged.json', JSON.stringify(changed));
  const { out } = await verify(['bundle', unfit]);
  const digest = /its digest is ([0-9a-f]{64})/.exec(out)?.[1];
  expect(digest).toBeDefined();
  return await verify(['bundle', file('fit.json', JSON.stringify({ ...changed, digest }))]);
}

describe('the page for people', () => {
  async function page(...more: readonly string[]): Promise<string> {
    const at = path('page.html');
    await verify(['report', report, '--endorsements', chain, '--html', at, ...more]);
    return readFileSync(at, 'utf8');
  }

  test('says the verdict, its meaning, and every check', async () => {
    const good = await page();
    expect(good).toContain('<h1>Attestation accepted</h1>');
    expect(good).toContain('✓ passed');
    expect(good).toContain('the policy does not ask what was launched');
    const bad = await page('--at', '2050-01-01');
    expect(bad).toContain('<h1>Attestation refused</h1>');
    expect(bad).toContain('was not valid at the time for which it was judged');
    expect(bad).toContain('(LeafExpired)');
  });

  test('warns when nobody asked what runs there, and only then', async () => {
    const warning = 'It was not asked what runs on this machine';
    expect(await page()).toContain(warning);
    const snp = { hostData: ['bb'.repeat(32)] };
    const policy = JSON.stringify({ version: 1, platforms: { snp } });
    expect(await page('--policy', file('p.json', policy))).not.toContain(warning);
    expect(await page('--at', '2050-01-01')).not.toContain(warning);
  });

  test('tells what failed first', async () => {
    const bad = await page('--at', '2050-01-01');
    expect(bad.indexOf('✗ failed')).toBeGreaterThan(0);
    expect(bad.indexOf('✗ failed')).toBeLessThan(bad.indexOf('✓ passed'));
  });

  test('loads nothing and runs nothing', async () => {
    const html = await page('--save', path('for-page.json'));
    expect(html).toContain("default-src 'none'");
    expect(html).not.toMatch(/<script|<img|<link|<iframe|src=|href=|url\(|@import|\son\w+=/i);
  });

  test('shows what came with evidence as text', async () => {
    const evil = `<script>alert(1)</script>"'&`;
    const evidence = {
      format: 'AMD_SEV_SNP_v1',
      quote: Buffer.from(signedReport(chip)).toString('base64'),
      endorsements: Buffer.from(chip.chain).toString('base64'),
      endorsed_tcb: evil,
    };
    const at = path('evil.html');
    const json = file('<b>evil.json', JSON.stringify(evidence));
    const policy = file('<i>.json', '{"version": 1, "platforms": {"snp": {}}}');
    const { out } = await verify(['report', json, '--html', at, '--policy', policy]);
    expect(out).toContain('<script>alert(1)</script>');
    const html = readFileSync(at, 'utf8');
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    expect(html).toContain('&lt;b&gt;evil.json');
    expect(html).not.toMatch(/<script|<b>|<i>/);
  });
});
