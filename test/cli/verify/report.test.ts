// `concordat verify report`: files and folders of evidence, judged; an exit code for each kind of
// failure, a table, JSON.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AMD_ROOTS } from '../../../src/attestation/amd-roots.ts';
import type { Check, EvidenceClaims } from '../../../src/attestation/verdict.ts';
import { leavesCodeOpen } from '../../../src/audit/attestation/open-code.ts';
import { toHex } from '../../../src/base/portable-bytes.ts';
import { AT_MS, pemOf, UNTIL_MS } from '../../attestation/fake-certificates.ts';
import {
  fakePki,
  HOST_DATA,
  MEASUREMENT,
  REPORT_DATA,
  type ReportFields,
  sha256Hex,
  signedReport,
  snpEvidence,
} from '../../attestation/fake-pki.ts';
import { testWithVectors, vectorsFolder } from '../../support/judges.ts';
import { runProgram } from '../../support/program.ts';
import { scratchFolder, type Verified, verify } from './verifying.ts';

const { file, path } = scratchFolder();
const pki = fakePki('Milan');
const chip = pki.chip();
const chain = file('chain.pem', chip.chain);
const REAL = { roots: AMD_ROOTS, nowMs: Date.UTC(2026, 10, 21) };

function reported(fields: ReportFields = {}): string {
  return file('report.bin', signedReport(chip, fields));
}

async function judged(fields: ReportFields, ...more: readonly string[]): Promise<Verified> {
  return await verify(['report', reported(fields), '--endorsements', chain, ...more]);
}

const policyOf = (snp: object): string =>
  file('policy.json', JSON.stringify({ version: 1, platforms: { snp } }));

describe('each kind of failure has its exit code', () => {
  test.each<readonly [string, number, string, ReportFields, () => readonly string[]]>([
    ['nothing', 0, 'ACCEPTED', {}, () => []],
    ['its version is unknown', 10, 'ReportVersionUnknown', { version: 99 }, () => []],
    [
      'it was changed after it was signed',
      11,
      'ReportSignature',
      {
        spoil: (report) => {
          report[0x90] = 1;
        },
      },
      () => [],
    ],
    ['it is judged too late', 12, 'LeafExpired', {}, () => ['--at', iso(UNTIL_MS + 1)]],
    ['debugging is on', 13, 'DebugAllowed', { policy: 0xb_0000n }, () => []],
    [
      'it runs something else',
      14,
      'MeasurementNotAccepted',
      {},
      () => ['--policy', policyOf({ measurements: ['00'.repeat(48)] })],
    ],
    [
      'it is about something else',
      15,
      'ReportDataMismatch',
      {},
      () => ['--report-data', '00'.repeat(32)],
    ],
    [
      'the container policy is another',
      15,
      'ContainerPolicyMismatch',
      {},
      () => ['--container-policy', file('other.rego', 'package policy')],
    ],
  ])('%s: %i', async (_how, code, word, fields, more) => {
    const table = await judged(fields, ...more());
    expect(table).toMatchObject({ code, out: expect.stringContaining(word) });
    const json = await judged(fields, ...more(), '--json');
    expect(json.code).toBe(code);
    const { ok, verdicts } = JSON.parse(json.out) as {
      ok: boolean;
      verdicts: readonly { accepted: boolean; refusal?: { code: string } }[];
    };
    expect(ok).toBe(code === 0);
    expect(verdicts).toMatchObject([
      code === 0 ? { accepted: true } : { accepted: false, refusal: { code: word } },
    ]);
  });

  test('and for what cannot be judged at all', async () => {
    expect((await verify(['report'])).code).toBe(2);
    expect((await verify(['reprot'])).code).toBe(2);
    expect((await judged({}, '--at', 'soon')).code).toBe(2);
    expect((await judged({}, '--report-data', 'abc')).code).toBe(2);
    expect((await judged({}, '--no-such-option')).code).toBe(2);
    expect((await verify(['report', path('none')])).code).toBe(3);
    expect(await verify(['report', reported()])).toMatchObject({
      code: 3,
      out: expect.stringContaining('--endorsements'),
    });
    expect((await judged({}, '--key', chain.replace('chain', 'none'))).code).toBe(3);
  });

  test('as --help says, in the program itself', async () => {
    const { code, stdout } = await runProgram(['verify', 'report', '--help']);
    expect(code).toBe(0);
    for (const number of [0, 10, 11, 12, 13, 14, 15, 16, 2, 3]) {
      expect(stdout).toMatch(new RegExp(`^ {2}${number} `, 'm'));
    }
    const bad = file('text.bin', 'no report');
    const ran = await runProgram(['verify', 'report', bad, '--endorsements', chain]);
    expect(ran.code).toBe(10);
    expect(ran.stdout).toContain('ReportLength');
  });
});

test('the table shows every check with its outcome, its values and its sentence', async () => {
  const { out } = await judged({});
  expect(out).toMatch(
    /^ {2}ok {2}report signature +the key of the certificate signed the report$/m,
  );
  expect(out).toMatch(/^ {2}- {3}measurement +the policy does not ask what was launched$/m);
  expect(out).toContain(`measurement  ${toHex(MEASUREMENT)}`);
  expect(out).toContain('which does not ask what runs there');
  const refused = await judged({ policy: 0xb_0000n });
  expect(refused.out).toMatch(/^ {2}BAD debug +DebugAllowed: the guest allows debugging/m);
  expect(refused.out).toContain('believe none of it');
});

test('a policy accepts by what it names, and nothing else', async () => {
  const policy = policyOf({
    measurements: [toHex(MEASUREMENT)],
    hostData: [toHex(HOST_DATA)],
    tcbMin: { '00a00f11': 'db18000000000004' },
    committedTcb: true,
  });
  const binding = ['--report-data', toHex(REPORT_DATA)];
  expect((await judged({}, '--policy', policy, ...binding)).code).toBe(0);
  const higher = policyOf({ tcbMin: { '00a00f11': 'dc18000000000004' } });
  expect(await judged({}, '--policy', higher)).toMatchObject({
    code: 13,
    out: expect.stringContaining('TcbBelowMinimum'),
  });
  expect(await judged({ version: 2 }, '--policy', policyOf({}))).toMatchObject({
    code: 14,
    out: expect.stringContaining('ReportVersionLow'),
  });
  const misspelt = await judged({}, '--policy', policyOf({ hostdata: [] }));
  expect(misspelt).toMatchObject({
    code: 3,
    out: expect.stringContaining('did you mean hostData?'),
  });
});

test('an acceptance says whether it was asked what runs there', async () => {
  const open = 'It was not asked what runs there';
  expect((await judged({})).out).toContain(open);
  expect((await judged({}, '--json')).out).toContain('"codeNotJudged":true');
  const named = policyOf({ hostData: [toHex(HOST_DATA)] });
  const asked = await judged({}, '--policy', named);
  expect(asked).toMatchObject({ code: 0, out: expect.not.stringContaining(open) });
  // Of a confidential VM, the measurement is that of Microsoft's firmware.
  const vm = { accepted: true, atMs: 0, checks: [passed('measurement')], claims: claimsOf() };
  expect(leavesCodeOpen(vm)).toBe(true);
  expect(leavesCodeOpen({ ...vm, checks: [passed('register 4')] })).toBe(false);
});

const passed = (name: string): Check => ({ name, outcome: 'passed', message: '', values: {} });

function claimsOf(): EvidenceClaims {
  const digests = { measurement: '', hostData: '', reportData: new Uint8Array(64) };
  return { platform: 'azure-cvm', ...digests, details: {} };
}

test('the key that evidence is about may be named by its file', async () => {
  const { publicKey } = chip.keys;
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  const digest = sha256Hex(publicKey.export({ type: 'spki', format: 'der' }));
  const reportData = new Uint8Array(64);
  reportData.set(Buffer.from(digest, 'hex'));
  const key = ['--key', file('key.pem', pem)];
  expect((await judged({ reportData }, ...key)).code).toBe(0);
  expect(await judged({}, ...key)).toMatchObject({
    code: 15,
    out: expect.stringContaining('ReportDataMismatch'),
  });
});

test('evidence in JSON is taken as the ledger and as a node shows it', async () => {
  const evidence = snpEvidence(signedReport(chip), chip.chain);
  const stored = file('quote.json', JSON.stringify(evidence));
  expect((await verify(['report', stored])).code).toBe(0);
  const { quote, ...rest } = evidence;
  const shown = file('shown.json', JSON.stringify({ ...rest, raw: quote, node_id: 'ab' }));
  expect((await verify(['report', shown])).code).toBe(0);
  const none = file('none.json', JSON.stringify({ format: 'SGX', quote }));
  expect((await verify(['report', none])).code).toBe(3);
});

test('virtual evidence is refused unless it is asked for, and says what it is', async () => {
  const statement = JSON.stringify({
    host_data: 'ab'.repeat(32),
    measurement: 'anything',
    report_data: Buffer.alloc(32).toString('base64'),
  });
  const quote = Buffer.from(statement).toString('base64');
  const evidence = file('v.json', JSON.stringify({ format: 'Insecure_Virtual', quote }));
  expect(await verify(['report', evidence])).toMatchObject({
    code: 14,
    out: expect.stringContaining('PlatformNotAccepted'),
  });
  const policy = file('v.policy', '{"version": 1, "platforms": {"virtual": {}}}');
  expect((await verify(['report', evidence, '--policy', policy])).code).toBe(14);
  expect(await verify(['report', evidence, '--allow-insecure-virtual'])).toMatchObject({
    code: 0,
    out: expect.stringContaining('INSECURE'),
  });
});

test('revocation lists are looked at, in DER and in PEM', async () => {
  const crl = pki.crl({ revoked: [pki.ask.serial] });
  const pem = pemOf(crl).replaceAll('CERTIFICATE', 'X509 CRL');
  for (const list of [file('list.crl', crl), file('list.pem', pem)]) {
    expect(await judged({}, '--crl', list)).toMatchObject({
      code: 11,
      out: expect.stringContaining('IntermediateRevoked'),
    });
  }
});

test('evidence cannot move the cursor of whoever reads the table', async () => {
  const evidence = {
    ...snpEvidence(signedReport(chip), chip.chain),
    endorsed_tcb: '\u001b[2J',
  };
  const { out } = await verify(['report', file('x.json', JSON.stringify(evidence))]);
  expect(out).toContain('EndorsedTcbUnreadable');
  expect(out).not.toContain('\u001b');
});

testWithVectors(
  'every real report is judged as its origin says, out of its folder',
  async () => {
    const snp = join(vectorsFolder() ?? '', 'snp');
    let seen = 0;
    for (const name of readdirSync(snp)) {
      const meta = metaOf(join(snp, name));
      if (meta === undefined) continue;
      const { code, out } = await verify(['report', join(snp, name)], REAL);
      expect([name, code], out).toEqual([name, expectedCode(meta)]);
      seen += 1;
    }
    expect(seen).toBeGreaterThan(14);
    const cloud = join(snp, 'aws-milan-v3-vlek-trustee');
    expect((await verify(['report', cloud, '--at', '2025-06-01'], REAL)).code).toBe(0);
  },
);

testWithVectors('a leaf that comes alone is completed by what AMD publishes', async () => {
  const folder = join(vectorsFolder() ?? '', 'snp', 'turin-v5-oak');
  const leaf = ['--endorsements', join(folder, 'vcek.pem')];
  const args = ['report', join(folder, 'report.bin'), ...leaf];
  expect((await verify(args, REAL)).code).toBe(0);
});

testWithVectors('our own negatives are refused, each for its reason', async () => {
  const folder = join(vectorsFolder() ?? '', 'snp', 'negative-milan');
  const ark = readFileSync(join(folder, 'ark.pem'), 'latin1').split('\n');
  const der = Buffer.from(ark.filter((line) => !line.startsWith('-')).join(''), 'base64');
  const world = { ...REAL, roots: { Milan: [sha256Hex(der)] } };
  const leaf = readFileSync(join(folder, 'vcek.pem'), 'utf8');
  const ask = readFileSync(join(folder, 'ask.pem'), 'utf8');
  const whole = file('fake.pem', `${leaf}${ask}${ark.join('\n')}`);
  const codes: Record<string, number> = {};
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.bin'))) {
    const args = ['report', join(folder, name), '--endorsements', whole];
    codes[name.replace('.bin', '')] = (await verify(args, world)).code;
    // By AMD's roots nothing of it is proven, whatever else is wrong.
    expect([10, 11]).toContain((await verify(args, REAL)).code);
  }
  expect(codes).toEqual(NEGATIVES);
});

/** What nobody asked about without a policy is accepted: that is what a policy is for. */
const NEGATIVES = {
  'fake-ok': 0,
  'measurement-changed': 0,
  'host-data-changed': 0,
  'committed-lower': 0,
  'vmpl-1': 0,
  ...{ truncated: 10, trailing: 10, 'sig-r-padding-nonzero': 10, 'zero-signature': 10 },
  ...{ 'policy-reserved17-zero': 10, 'sigalgo-2': 10, 'version-1': 10, 'version-99': 10 },
  ...{ 'flip-report-data': 11, 'other-chip-id': 11, 'zero-chip-id': 11 },
  ...{ 'older-reported-tcb': 11, 'signing-key-vlek': 11, 'signing-key-none': 11 },
  ...{ 'debug-policy': 13, 'migrate-ma': 13, 'vmpl-host': 13, 'mask-chip-key': 13 },
};

function metaOf(folder: string): { readonly expected_verdict?: string } | undefined {
  const files = readdirSync(folder);
  if (!files.includes('meta.json') || !files.includes('report.bin')) return undefined;
  return JSON.parse(readFileSync(join(folder, 'meta.json'), 'utf8'));
}

function expectedCode({
  expected_verdict: verdict = '',
}: {
  expected_verdict?: string;
}): number {
  if (verdict === 'ACCEPT') return 0;
  if (verdict.startsWith('UNVERIFIABLE')) return 3;
  if (verdict.includes('REJECT now')) return 12;
  if (verdict.includes('DEBUG')) return 13;
  throw new Error(`this test does not know the verdict ${verdict}`);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

test('the clock of the world is the default time', async () => {
  const { out } = await judged({});
  expect(out).toContain(`as of ${iso(AT_MS)}`);
});
