/**
 * Judges evidence of every platform by one policy: the door of this room. It runs in a node, a
 * connector, the auditor's command and a browser, and never throws for what evidence is like.
 */
import { judgeAzureCvm } from './azure-cvm.ts';
import { CheckList } from './check-list.ts';
import { EVIDENCE_FORMATS, type Evidence, type PlatformName } from './evidence.ts';
import type { Bound, JudgeDependencies, PlatformJudge } from './judging.ts';
import type { AzureCvmPolicy, EvidencePolicy, SnpPolicy, VirtualPolicy } from './policy.ts';
import { refusal } from './refusals.ts';
import { judgeSnp } from './snp-verdict.ts';
import { shown } from './untrusted-json.ts';
import type { Verdict } from './verdict.ts';
import { judgeVirtual } from './virtual.ts';

/** Judges evidence by the policy's entry for its platform; without an entry it is refused. */
export async function judgeEvidence(
  evidence: Evidence,
  policy: EvidencePolicy,
  dependencies: JudgeDependencies,
  atMs: number,
): Promise<Verdict> {
  const list = new CheckList();
  const platform = platformOf(evidence);
  if (platform === undefined) {
    list.fail('platform', refusal('EvidenceUnreadable'), { format: shownFormat(evidence) });
    return list.verdict(atMs);
  }
  const { platforms, binding } = policy;
  const bound = <P extends object>(entry: P): Bound<P> =>
    binding === undefined ? entry : { ...entry, binding };
  const by = <P extends object>(
    judge: PlatformJudge<P>,
    entry: P | undefined,
  ): Promise<Verdict> | undefined =>
    entry === undefined ? undefined : judge(evidence, bound(entry), dependencies, atMs);

  const verdict = await byPlatform(platform, {
    snp: () => by<SnpPolicy>(judgeSnp, platforms.snp),
    'azure-cvm': () => by<AzureCvmPolicy>(judgeAzureCvm, platforms['azure-cvm']),
    virtual: () => by<VirtualPolicy>(judgeVirtual, platforms.virtual),
  });
  if (verdict !== undefined) return verdict;
  const accepted = Object.keys(platforms).join(' ');
  list.fail('platform', refusal('PlatformNotAccepted', platform), { platform, accepted });
  return list.verdict(atMs);
}

async function byPlatform(
  platform: PlatformName,
  judges: Readonly<Record<PlatformName, () => Promise<Verdict> | undefined>>,
): Promise<Verdict | undefined> {
  return await judges[platform]();
}

/** The platform of evidence, also of what only claims to be some. */
function platformOf(evidence: unknown): PlatformName | undefined {
  if (typeof evidence !== 'object' || evidence === null) return undefined;
  const format: unknown = Reflect.get(evidence, 'format');
  const names = Object.keys(EVIDENCE_FORMATS) as readonly PlatformName[];
  return names.find((name) => EVIDENCE_FORMATS[name] === format);
}

function shownFormat(evidence: unknown): string {
  const isObject = typeof evidence === 'object' && evidence !== null;
  const format: unknown = isObject ? Reflect.get(evidence, 'format') : evidence;
  // Whoever parsed the evidence may have let anything nest, which printing does not survive.
  const isNested = typeof format === 'object' && format !== null;
  return isNested ? 'an object' : shown(format).slice(0, 64);
}
