/**
 * Judges SEV-SNP evidence in the order of attestation-snp.md §4. Every check is listed, also those
 * that could not be made because one before them failed; nothing that evidence holds makes it
 * throw.
 */
import { invariant } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { fromBase64 } from '../base/portable-bytes.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { CheckList, verdictOf } from './check-list.ts';
import type { Evidence } from './evidence.ts';
import type { Bound, JudgeDependencies, ReportJudgement, ReportParts } from './judging.ts';
import type { SnpPolicy } from './policy.ts';
import { type RefusalCode, refusal } from './refusals.ts';
import { judgeRevocation, REVOCATION_CHECK } from './revocation.ts';
import { CHAIN_CHECKS, judgeChain, readChain } from './snp-certificates.ts';
import { snpClaims } from './snp-claims.ts';
import { judgePlatform, PLATFORM_CHECKS } from './snp-platform-checks.ts';
import { judgePolicy, POLICY_CHECKS, type UvmFound } from './snp-policy-checks.ts';
import { parseReport, type SnpReport } from './snp-report.ts';
import { judgeReportByLeaf, LEAF_CHECKS, type ReportOrigin } from './snp-report-checks.ts';
import { judgeUvmOrigin, readUvmEndorsement, UVM_CHECKS } from './uvm-endorsements.ts';
import type { Check, Verdict } from './verdict.ts';

/**
 * What every policy shares and no more: reports of every version, key and level pass that prove
 * where they come from. For those who ask what evidence is, not whether to trust it.
 */
export const SNP_SHARED_POLICY: SnpPolicy = {
  reportVersionMin: 2,
  signingKeys: ['VCEK', 'VLEK'],
  vmpl: [0, 1, 2, 3],
};

/** Judges evidence of the platform `snp`. */
export async function judgeSnp(
  evidence: Evidence,
  policy: Bound<SnpPolicy>,
  dependencies: JudgeDependencies,
  atMs: number,
): Promise<Verdict> {
  const list = new CheckList();
  const parts = list.read('evidence', 'the evidence is that of SEV-SNP', () =>
    partsOf(evidence),
  );
  if (parts === undefined) return list.verdict(atMs);
  const judgement = await judgeReport(parts, policy, dependencies, atMs);
  return verdictOf([...list.checks, ...judgement.checks], atMs, judgement.claims);
}

function partsOf(evidence: Evidence): ReportParts {
  if (evidence.format !== 'AMD_SEV_SNP_v1') {
    throw bad('EvidenceUnreadable', `its format is ${String(evidence.format)}`);
  }
  const { uvm_endorsements: uvm, endorsed_tcb: endorsedTcb } = evidence;
  return {
    report: bytesOf(evidence.quote, 'QuoteNotBase64'),
    endorsements: textOf(bytesOf(evidence.endorsements, 'EndorsementsNotBase64')),
    ...(uvm === undefined ? {} : { uvmEndorsements: bytesOf(uvm, 'UvmNotBase64') }),
    ...(endorsedTcb === undefined ? {} : { endorsedTcb }),
  };
}

/** Evidence may come straight from JSON that nobody has looked at. */
function bytesOf(text: unknown, code: RefusalCode): Uint8Array {
  const bytes = typeof text === 'string' ? fromBase64(text) : undefined;
  if (bytes === undefined) throw bad(code);
  return bytes;
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw bad('EndorsementsNotBase64');
  }
}

/** Judges a raw report with its chain; the policy's binding is the head of its report data. */
export async function judgeReport(
  parts: ReportParts,
  policy: Bound<SnpPolicy>,
  dependencies: JudgeDependencies,
  atMs: number,
): Promise<ReportJudgement> {
  const { verifier } = dependencies;
  const list = new CheckList();
  const report = list.read('report form', 'the report is well-formed', () =>
    parseReport(parts.report),
  );
  const origin = await judgeOrigin(
    list,
    parts.endorsements,
    report,
    policy,
    dependencies,
    atMs,
  );
  const uvm = await judgeUvm(list, parts.uvmEndorsements, verifier);
  if (report === undefined) {
    const all = [...LEAF_CHECKS, ...PLATFORM_CHECKS, ...POLICY_CHECKS];
    skipAll(list, all, 'there is no report to look at');
    return { checks: list.checks };
  }
  const leaf = await judgeReportByLeaf(list, report, origin, verifier);
  const product = report.processor?.product ?? origin?.names?.product;
  judgePlatform(list, report, product, policy, parts.endorsedTcb);
  judgePolicy(list, report, policy, uvm);
  invariant(refusedOrProven(list.checks), 'nothing was refused, and a check was left out');
  return { checks: list.checks, claims: snpClaims(report, product, leaf, uvm) };
}

/** What evidence that is not refused has passed, whatever the policy. */
const ALWAYS: readonly string[] = [
  'report form',
  'endorsements',
  ...CHAIN_CHECKS,
  ...LEAF_CHECKS.filter((name) => name !== 'chip id'),
  'chip key',
  'guest report',
  'debug',
  'migration',
  'report version',
  'accepted key',
  'privilege level',
];

function refusedOrProven(checks: readonly Check[]): boolean {
  if (checks.some(({ outcome }) => outcome === 'failed')) return true;
  const passed = checks.filter(({ outcome }) => outcome === 'passed').map(({ name }) => name);
  return ALWAYS.every((name) => passed.includes(name));
}

/** Judges the chain, which needs the report for its product only. */
async function judgeOrigin(
  list: CheckList,
  pem: string,
  report: SnpReport | undefined,
  policy: SnpPolicy,
  dependencies: JudgeDependencies,
  atMs: number,
): Promise<ReportOrigin | undefined> {
  const chain = list.read('endorsements', 'three certificates can be read', () =>
    readChain(pem),
  );
  if (chain === undefined) {
    skipAll(list, [...CHAIN_CHECKS, REVOCATION_CHECK], 'there is no chain to look at');
    return undefined;
  }
  const names = await judgeChain(list, chain, report?.processor?.product, dependencies, atMs);
  const { crls = [], verifier } = dependencies;
  const demand = policy.revocation ?? 'if-given';
  await judgeRevocation(list, chain, { crls, demand }, verifier, atMs);
  return { leaf: chain.leaf, ...(names === undefined ? {} : { names }) };
}

async function judgeUvm(
  list: CheckList,
  bytes: Uint8Array | undefined,
  verifier: Verifier,
): Promise<UvmFound> {
  if (bytes === undefined) return 'none';
  const form = "the utility VM's endorsements can be read";
  const uvm = list.read('UVM form', form, () => readUvmEndorsement(bytes));
  if (uvm === undefined) {
    skipAll(list, UVM_CHECKS, 'the endorsements cannot be read');
    return 'unreadable';
  }
  await judgeUvmOrigin(list, uvm, verifier);
  return uvm;
}

function skipAll(list: CheckList, names: readonly string[], why: string): void {
  for (const name of names) list.skip(name, why);
}

function bad(code: RefusalCode, detail?: string): CodedError<RefusalCode> {
  return new CodedError(code, refusal(code, detail).message);
}
