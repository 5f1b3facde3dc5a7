/**
 * What an auditor has judged: evidence or a token with everything a verdict on it depends on. The
 * same function judges it now and, out of a bundle, years later.
 */
import { CheckList, verdictOf } from '../../attestation/check-list.ts';
import type { Evidence } from '../../attestation/evidence.ts';
import { judgeEvidence } from '../../attestation/judge.ts';
import type { AmdRoots } from '../../attestation/judging.ts';
import { readMaaKeys } from '../../attestation/maa-keys.ts';
import type { MaaPolicy } from '../../attestation/maa-policy.ts';
import { judgeMaaToken, readMaaToken } from '../../attestation/maa-token.ts';
import type { PolicyFile } from '../../attestation/policy-file.ts';
import { SNP_SHARED_POLICY } from '../../attestation/snp-verdict.ts';
import type { Check, EvidenceClaims, Verdict } from '../../attestation/verdict.ts';
import { isCoded } from '../../base/errors.ts';
import { toHex } from '../../base/portable-bytes.ts';
import type { Verifier } from '../../crypto/verifier.ts';

export interface EvidenceSubject {
  readonly kind: 'evidence';
  readonly name: string;
  readonly evidence: Evidence;
  /** What the evidence must be bound to. */
  readonly binding?: Uint8Array;
  /** The text whose SHA-256 the host data must be. */
  readonly containerPolicy?: Uint8Array;
}

export interface TokenSubject {
  readonly kind: 'token';
  readonly name: string;
  readonly token: string;
  readonly issuer: string;
  /** The issuer's keys as it serves them at `/certs`. */
  readonly keys: unknown;
}

export type Subject = EvidenceSubject | TokenSubject;

/** What a subject is judged by. */
export interface Terms {
  readonly policy: PolicyFile;
  readonly atMs: number;
  readonly roots: AmdRoots;
  readonly crls: readonly Uint8Array[];
}

/** What every policy shares, of every platform that proves anything. */
export const SHARED_POLICY: PolicyFile = {
  version: 1,
  comment: 'what every policy shares: it says what evidence is, not whether to trust it',
  platforms: { snp: SNP_SHARED_POLICY, 'azure-cvm': { report: SNP_SHARED_POLICY } },
};

/** The policy without the platform that proves nothing, or with it if that was asked for. */
export function withVirtual(policy: PolicyFile, allowed: boolean): PolicyFile {
  const { virtual = {}, ...proving } = policy.platforms;
  return { ...policy, platforms: allowed ? { ...proving, virtual } : proving };
}

export async function judgeSubject(
  subject: Subject,
  terms: Terms,
  verifier: Verifier,
): Promise<Verdict> {
  return subject.kind === 'evidence'
    ? await judgeEvidenceSubject(subject, terms, verifier)
    : await judgeTokenSubject(subject, terms);
}

async function judgeEvidenceSubject(
  { evidence, binding, containerPolicy }: EvidenceSubject,
  { policy, atMs, roots, crls }: Terms,
  verifier: Verifier,
): Promise<Verdict> {
  const verdict = await judgeEvidence(
    evidence,
    { platforms: policy.platforms, ...(binding === undefined ? {} : { binding }) },
    { verifier, roots, crls },
    atMs,
  );
  if (containerPolicy === undefined) return verdict;
  const check = await containerCheck(verdict.claims, containerPolicy, verifier);
  return verdictOf([...verdict.checks, check], atMs, verdict.claims);
}

/** The container policy is no secret and no proof: its digest in the report makes it one. */
async function containerCheck(
  claims: EvidenceClaims | undefined,
  containerPolicy: Uint8Array,
  verifier: Verifier,
): Promise<Check> {
  const list = new CheckList();
  const name = 'container policy';
  if (claims === undefined) list.skip(name, 'there is no report to look at');
  else {
    const digest = toHex(await verifier.hash('SHA-256', containerPolicy));
    list.expect(
      name,
      digest === claims.hostData,
      'the host data are the digest of the container policy that came with the evidence',
      {
        kind: 'binding',
        code: 'ContainerPolicyMismatch',
        message: 'the container policy is another one than the report was made under',
      },
      { hostData: claims.hostData, digest },
    );
  }
  const [check] = list.checks;
  return check ?? { name, outcome: 'skipped', message: 'nothing was checked', values: {} };
}

async function judgeTokenSubject(
  { token, issuer, keys }: TokenSubject,
  { policy, atMs }: Terms,
): Promise<Verdict> {
  const demands = maaPolicyOf(policy, issuer, platformNamed(token));
  if (demands === undefined) {
    const list = new CheckList();
    list.fail('platform', {
      kind: 'policy',
      code: 'PlatformNotAccepted',
      message: 'the policy has no entry for the platform that this token is of',
    });
    return list.verdict(atMs);
  }
  const verdict = await judgeMaaToken(token, demands, [readMaaKeys(issuer, keys)], atMs);
  const pcrs = Object.keys(policy.platforms['azure-cvm']?.pcrs ?? {});
  if (demands.platform === 'snp' || pcrs.length === 0) return verdict;
  const list = new CheckList();
  list.fail('registers', {
    kind: 'policy',
    code: 'PcrNotInToken',
    message: "the policy asks for values of the vTPM's registers, which no token tells",
  });
  return verdictOf([...verdict.checks, ...list.checks], atMs, verdict.claims);
}

/** Which entry of the policy to judge by; that the token really is of it, the judge checks. */
function platformNamed(token: string): 'snp' | 'azure-cvm' {
  try {
    const { claims } = readMaaToken(token);
    return claims['x-ms-attestation-type'] === 'azurevm' ? 'azure-cvm' : 'snp';
  } catch (thrown) {
    if (isCoded(thrown)) return 'snp';
    throw thrown;
  }
}

function maaPolicyOf(
  { platforms, tokens = {} }: PolicyFile,
  issuer: string,
  platform: 'snp' | 'azure-cvm',
): MaaPolicy | undefined {
  const { issuers = [issuer], ...more } = tokens;
  const shared = { issuers, ...more };
  if (platform === 'snp') {
    return platforms.snp === undefined
      ? undefined
      : { ...shared, platform, report: platforms.snp };
  }
  const { report, secureBoot } = platforms['azure-cvm'] ?? {};
  if (report === undefined) return undefined;
  return { ...shared, platform, report, ...(secureBoot === undefined ? {} : { secureBoot }) };
}
