/**
 * What judging evidence needs beside the evidence and the policy, and the shape of the judges
 * (attestation-snp.md §4). `snp-verdict.ts` judges SEV-SNP, `judge.ts` every platform.
 */
import type { Verifier } from '../crypto/verifier.ts';
import type { Evidence } from './evidence.ts';
import type { EvidencePolicy, SnpPolicy } from './policy.ts';
import type { SnpProduct } from './snp-product.ts';
import type { Check, EvidenceClaims, Verdict } from './verdict.ts';

/**
 * AMD's root certificates (ARK) that are trusted: SHA-256 of their DER in lowercase hexadecimal,
 * by the product they are for. A product without an entry is refused.
 */
export type AmdRoots = Readonly<Partial<Record<SnpProduct, readonly string[]>>>;

export interface JudgeDependencies {
  readonly verifier: Verifier;
  /** `AMD_ROOTS` by default. */
  readonly roots?: AmdRoots;
  /** Revocation lists in DER, of whatever product; those of other roots are passed over. */
  readonly crls?: readonly Uint8Array[];
}

/** A policy, and what the evidence must be bound to: the head of its report data, 32-64 bytes. */
export type Bound<Policy> = Policy & { readonly binding?: Uint8Array };

/** What a raw report comes with. */
export interface ReportParts {
  /** The report, 1184 bytes and nothing behind them. */
  readonly report: Uint8Array;
  /** PEM: leaf, intermediate, root. */
  readonly endorsements: string;
  /** COSE. */
  readonly uvmEndorsements?: Uint8Array;
  /** Sixteen hexadecimal digits, as CCF and the Azure cache write a TCB. */
  readonly endorsedTcb?: string;
}

/** What a report was found to be; `verdictOf` (verdict-making) makes a verdict of it. */
export interface ReportJudgement {
  readonly checks: readonly Check[];
  /** Present whenever the report could be read. */
  readonly claims?: EvidenceClaims;
}

/** `judgeReport` in `snp-verdict.ts`. */
export type ReportJudge = (
  parts: ReportParts,
  policy: Bound<SnpPolicy>,
  dependencies: JudgeDependencies,
  atMs: number,
) => Promise<ReportJudgement>;

/** `judgeSnp` in `snp-verdict.ts`, `judgeAzureCvm` in `azure-cvm.ts`, each by its own policy. */
export type PlatformJudge<Policy> = (
  evidence: Evidence,
  policy: Bound<Policy>,
  dependencies: JudgeDependencies,
  atMs: number,
) => Promise<Verdict>;

/** `judgeEvidence` in `judge.ts`. */
export type PolicyJudge = (
  evidence: Evidence,
  policy: EvidencePolicy,
  dependencies: JudgeDependencies,
  atMs: number,
) => Promise<Verdict>;
