// Every reason to refuse SEV-SNP evidence: each is earned alone by evidence that is good in all
// else, under its own code, and is what catches it: with that check switched off it would pass.

import { expect, test } from 'vitest';
import { verdictOf } from '../../src/attestation/check-list.ts';
import { REFUSALS } from '../../src/attestation/refusals.ts';
import { webVerifier } from '../../src/crypto/verifier-web.ts';
import { CHAIN_REFUSALS } from './chain-refusals.ts';
import { judged, refusals } from './judged.ts';
import type { RefusalCase } from './refusal-case.ts';
import { REPORT_REFUSALS } from './report-refusals.ts';
import { UVM_REFUSALS } from './uvm-refusals.ts';

const CASES: readonly RefusalCase[] = [...REPORT_REFUSALS, ...CHAIN_REFUSALS, ...UVM_REFUSALS];

test.each(CASES)('$code: $how', async ({ code, evidence, judging, also = [] }) => {
  const verdict = await judged(evidence, judging);
  expect([...refusals(verdict)].sort()).toEqual([code, ...also].sort());
  expect(verdict).toMatchObject({
    accepted: false,
    refusal: { code, kind: REFUSALS[code].kind },
  });
  expect(verdict.refusal?.message).toContain(REFUSALS[code].message);
  // The planted bug: the same judge without this check would have let it pass.
  const caught: readonly string[] = [code, ...also];
  const off = verdict.checks.filter((check) => !caught.includes(check.code ?? ''));
  expect(verdictOf([...off, ALL_ELSE], verdict.atMs).accepted).toBe(true);
});

const ALL_ELSE = {
  name: 'all else',
  outcome: 'passed',
  message: 'is good',
  values: {},
} as const;

test('every reason of the table is earned by some evidence', () => {
  const earned = new Set<string>(CASES.map(({ code }) => code));
  const open = Object.keys(REFUSALS).filter((code) => !earned.has(code));
  expect(open).toEqual([]);
  expect(earned.size).toBeGreaterThanOrEqual(30);
});

test('a browser refuses the same for the same reasons', async () => {
  for (const { how, evidence, judging } of CASES) {
    const here = await judged(evidence, judging);
    const there = await judged(evidence, { ...judging, verifier: webVerifier });
    expect(there, how).toEqual(here);
  }
});
