/**
 * The verifier in a browser: bundle this file with any bundler, and a page judges evidence by the
 * very code that nodes, connectors and auditors use, over the browser's own cryptography. Nothing
 * that it loads is Node's; a test bundles it and lets Chromium judge the same evidence as Node.
 */
import { toBase64, toUtf8 } from '../base/portable-bytes.ts';
import { webVerifier } from '../crypto/verifier-web.ts';
import type { Evidence } from './evidence.ts';
import { judgeEvidence } from './judge.ts';
import type { AmdRoots, ReportParts } from './judging.ts';
import { readMaaKeys } from './maa-keys.ts';
import type { MaaPolicy } from './maa-policy.ts';
import { judgeMaaToken } from './maa-token.ts';
import type { EvidencePolicy } from './policy.ts';
import { type PolicyFile, readPolicyFile } from './policy-file.ts';
import { SNP_SHARED_POLICY } from './snp-verdict.ts';
import type { Verdict } from './verdict.ts';

export interface BrowserTerms {
  /** What every policy shares if absent: it says what evidence is, not whether to trust it. */
  readonly policy?: EvidencePolicy;
  /** Now if absent. */
  readonly atMs?: number;
  /** AMD's if absent. */
  readonly roots?: AmdRoots;
  readonly crls?: readonly Uint8Array[];
}

const SHARED: EvidencePolicy = {
  platforms: { snp: SNP_SHARED_POLICY, 'azure-cvm': { report: SNP_SHARED_POLICY } },
};

/** Judges evidence as nodes serve it. */
export async function judge(evidence: Evidence, terms: BrowserTerms = {}): Promise<Verdict> {
  const { policy = SHARED, atMs = Date.now(), roots, crls } = terms;
  const dependencies = {
    verifier: webVerifier,
    ...(roots === undefined ? {} : { roots }),
    ...(crls === undefined ? {} : { crls }),
  };
  return await judgeEvidence(evidence, policy, dependencies, atMs);
}

/** Judges a token of Azure's attestation service by the keys that its issuer serves. */
export async function judgeToken(
  token: string,
  policy: MaaPolicy,
  keysByIssuer: Readonly<Record<string, unknown>>,
  atMs: number = Date.now(),
): Promise<Verdict> {
  const keys = Object.entries(keysByIssuer).map(([issuer, jwks]) => readMaaKeys(issuer, jwks));
  return await judgeMaaToken(token, policy, keys, atMs);
}

/** Reads a policy file; throws `BadPolicy`. */
export function readPolicy(text: string): PolicyFile {
  return readPolicyFile(text);
}

/** A report and its chain as evidence. */
export function evidenceOf({ report, endorsements, uvmEndorsements }: ReportParts): Evidence {
  return {
    format: 'AMD_SEV_SNP_v1',
    quote: toBase64(report),
    endorsements: toBase64(toUtf8(endorsements)),
    ...(uvmEndorsements === undefined ? {} : { uvm_endorsements: toBase64(uvmEndorsements) }),
  };
}
