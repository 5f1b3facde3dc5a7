// Judging in tests: a policy that fits what the fake AMD makes, and what a verdict refused.

import type { Evidence } from '../../src/attestation/evidence.ts';
import { judgeEvidence } from '../../src/attestation/judge.ts';
import type { AmdRoots } from '../../src/attestation/judging.ts';
import type { EvidencePolicy, SnpPolicy } from '../../src/attestation/policy.ts';
import type { Verdict } from '../../src/attestation/verdict.ts';
import { toHex } from '../../src/base/portable-bytes.ts';
import type { Verifier } from '../../src/crypto/verifier.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { AT_MS } from './fake-certificates.ts';
import { fakePki, HOST_DATA, MEASUREMENT, REPORT_DATA, TCBS } from './fake-pki.ts';

/** What a careful consortium asks. */
export const CAREFUL: SnpPolicy = {
  measurements: [toHex(MEASUREMENT)],
  hostData: [toHex(HOST_DATA)],
  tcbMin: { '00a00f11': TCBS.Milan, '00a10f11': TCBS.Genoa, '00b00f21': TCBS.Turin },
  committedTcb: true,
};
export const BINDING: Uint8Array = REPORT_DATA.subarray(0, 32);

/** Roots of all three products of the fake AMD. */
export function fakeRoots(): AmdRoots {
  return { ...fakePki('Milan').roots, ...fakePki('Genoa').roots, ...fakePki('Turin').roots };
}

export interface Judging {
  readonly policy?: SnpPolicy;
  readonly whole?: EvidencePolicy;
  readonly roots?: AmdRoots;
  readonly crls?: readonly Uint8Array[];
  readonly atMs?: number;
  readonly verifier?: Verifier;
}

export async function judged(evidence: Evidence, judging: Judging = {}): Promise<Verdict> {
  const { policy = CAREFUL, roots = fakeRoots(), crls = [], atMs = AT_MS } = judging;
  const { whole = { platforms: { snp: policy }, binding: BINDING } } = judging;
  const { verifier = nodeVerifier } = judging;
  return await judgeEvidence(evidence, whole, { verifier, roots, crls }, atMs);
}

/** Codes of the failed checks, in their order. */
export function refusals({ checks }: Verdict): readonly string[] {
  return checks.filter(({ outcome }) => outcome === 'failed').map(({ code = '' }) => code);
}
