// The recorded negatives: one real-looking report by a fake AMD, broken in one way each. Beside our
// verdict stand those of go-sev-guest 0.15.0 and snpguest 0.11.0 on the same bytes: wherever one of
// them is lax, ours is not (attestation-snp.md §7).

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { AMD_ROOTS } from '../../src/attestation/amd-roots.ts';
import type { AmdRoots } from '../../src/attestation/judging.ts';
import type { SnpPolicy } from '../../src/attestation/policy.ts';
import type { Verdict } from '../../src/attestation/verdict.ts';
import { certificatesOfPem } from '../../src/crypto/pem-certificates.ts';
import { sha256Hex, snpEvidence } from './fake-pki.ts';
import { judged, refusals } from './judged.ts';

const FOLDER = resolve(import.meta.dirname, '../vectors/snp/negative-milan');
const text = (name: string): string => readFileSync(resolve(FOLDER, name), 'utf8');
const report = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(resolve(FOLDER, `${name}.bin`)));

const authorities = text('ask.pem') + text('ark.pem');
const chain = text('vcek.pem') + authorities;
const [arkDer = new Uint8Array(0)] = certificatesOfPem(text('ark.pem'));
const FAKE: AmdRoots = { Milan: [sha256Hex(arkDer)] };
/** Within the validity of the good chain, beyond that of the expired one. */
const AT_MS = Date.UTC(2026, 10, 21);

/** What the good report holds. */
const TCB = { bootLoader: 4, tee: 0, snp: 24, microcode: 219 };
const POLICY: SnpPolicy = {
  measurements: [
    'd0c9e2be22046e60779be88868cff64c2aa22047c15d3127' +
      'ba495cee3fbc2854c5633f9da2096e6c64ae2b69bbff8082',
  ],
  hostData: ['73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20'],
  tcbMin: { '00a00f11': TCB },
  committedTcb: true,
};

async function verdictOn(name: string, pem = chain, roots = FAKE): Promise<Verdict> {
  const whole = { platforms: { snp: POLICY } };
  return await judged(snpEvidence(report(name), pem), { whole, roots, atMs: AT_MS });
}

/** Our refusal of each; none of the good one. */
const CASES: Readonly<Record<string, string | undefined>> = {
  'fake-ok': undefined,
  'flip-report-data': 'ReportSignature',
  'sig-r-padding-nonzero': 'SignaturePadding',
  truncated: 'ReportLength',
  trailing: 'ReportLength',
  'zero-signature': 'SignatureZero',
  'debug-policy': 'DebugAllowed',
  'migrate-ma': 'MigrationAllowed',
  'policy-reserved17-zero': 'PolicyReservedBit',
  'vmpl-host': 'HostReport',
  'vmpl-1': 'VmplNotAccepted',
  'other-chip-id': 'ChipIdMismatch',
  'zero-chip-id': 'ChipIdMissing',
  'older-reported-tcb': 'TcbMismatch',
  'mask-chip-key': 'ChipKeyMasked',
  'signing-key-vlek': 'SigningKeyMismatch',
  'signing-key-none': 'SigningKeyNone',
  'sigalgo-2': 'SignatureAlgorithmUnknown',
  'version-1': 'ReportVersionUnknown',
  'version-99': 'ReportVersionUnknown',
  'measurement-changed': 'MeasurementNotAccepted',
  'host-data-changed': 'HostDataNotAccepted',
  'committed-lower': 'CommittedTcbBelowMinimum',
};

describe('each recorded case is judged as its note expects', () => {
  const recorded = JSON.parse(text('cases.json')) as Readonly<
    Record<string, { readonly signature_valid: boolean; readonly expect: string }>
  >;

  test('none is left out', () => {
    expect(Object.keys(CASES).sort()).toEqual(Object.keys(recorded).sort());
  });

  test.each(Object.entries(recorded))('%s: $expect', async (name, { signature_valid }) => {
    const verdict = await verdictOn(name);
    expect(verdict.refusal?.code).toBe(CASES[name]);
    expect(verdict.accepted).toBe(CASES[name] === undefined);
    const signature = verdict.checks.find((check) => check.name === 'report signature');
    // What cannot be read is not checked further.
    if (signature?.outcome !== 'skipped') {
      expect(signature?.outcome).toBe(signature_valid ? 'passed' : 'failed');
    }
  });

  test("by AMD's own roots even the good one proves nothing", async () => {
    const verdict = await verdictOn('fake-ok', chain, AMD_ROOTS);
    expect(refusals(verdict)).toEqual(['RootNotPinned']);
  });

  test('an expired certificate', async () => {
    const verdict = await verdictOn('fake-ok', text('vcek-expired.pem') + authorities);
    expect(refusals(verdict)).toEqual(['LeafExpired']);
  });

  test('the certificate of an older TCB', async () => {
    const verdict = await verdictOn('fake-ok', text('vcek-older-tcb.pem') + authorities);
    expect(refusals(verdict)).toEqual(['TcbMismatch']);
  });
});

describe('no judge refuses what this one accepts', () => {
  // name VERDICT … | expect: …
  const goSevGuest = text('go-sev-guest-verdicts.txt')
    .split('\n')
    .map((line) => /^(\S+)\s+(ACCEPT|PARSE-REJECT|VERIFY-REJECT|VALIDATE-REJECT)/.exec(line))
    .flatMap((match) => (match === null ? [] : [[match[1] ?? '', match[2] ?? ''] as const]))
    .filter(([name]) => name in CASES);
  // name rc=N
  const snpguest = text('snpguest-verdicts.txt')
    .split('\n')
    .map((line) => /^(\S+) rc=(\d+)/.exec(line))
    .flatMap((match) => (match === null ? [] : [[match[1] ?? '', match[2] ?? ''] as const]));

  test('both judged every case', () => {
    expect(goSevGuest.map(([name]) => name).sort()).toEqual(Object.keys(CASES).sort());
    expect(snpguest.map(([name]) => name).sort()).toEqual(Object.keys(CASES).sort());
  });

  test.each(goSevGuest)('go-sev-guest on %s: %s', async (name, theirs) => {
    const { accepted } = await verdictOn(name);
    expect(accepted && theirs !== 'ACCEPT').toBe(false);
    expect(accepted).toBe(name === 'fake-ok');
  });

  test.each(snpguest)('snpguest on %s: rc %s', async (name, code) => {
    const { accepted } = await verdictOn(name);
    expect(accepted && code !== '0').toBe(false);
    expect(accepted).toBe(name === 'fake-ok');
  });

  test('what they let pass, and ours does not', () => {
    const lax = (verdicts: readonly (readonly [string, string])[], pass: string): string[] =>
      verdicts
        .filter(([name, said]) => said === pass && CASES[name] !== undefined)
        .map(([name]) => name);
    expect(lax(goSevGuest, 'ACCEPT')).toEqual([
      'committed-lower',
      'mask-chip-key',
      'trailing',
      'zero-chip-id',
    ]);
    expect(lax(snpguest, '0')).toEqual([
      'committed-lower',
      'debug-policy',
      'host-data-changed',
      'mask-chip-key',
      'measurement-changed',
      'migrate-ma',
      'other-chip-id',
      'policy-reserved17-zero',
      'sigalgo-2',
      'signing-key-none',
      'signing-key-vlek',
      'version-99',
      'vmpl-1',
      'vmpl-host',
      'zero-chip-id',
    ]);
  });
});
