/**
 * Judges how far the platform that made a report can be trusted (attestation-snp.md §4): what the
 * guest lets its host do, and the firmware. What is asked without a policy cannot be turned off.
 */
import type { CheckList } from './check-list.ts';
import type { SnpPolicy, TcbVersion } from './policy.ts';
import { refusal } from './refusals.ts';
import { cpuidKey, type SnpProduct } from './snp-product.ts';
import type { SnpReport } from './snp-report.ts';
import { readableTcb, tcbHex, tcbOrHex, tcbReaches, tcbText } from './snp-tcb.ts';

export const VMPL_MAX = 3;
const MINIMUM = 'minimum TCB';
const COMMITTED = 'committed TCB';
const ENDORSED = 'endorsed TCB';

export const PLATFORM_CHECKS = [
  'chip key',
  'guest report',
  'debug',
  'migration',
  MINIMUM,
  COMMITTED,
  ENDORSED,
] as const;

export function judgePlatform(
  list: CheckList,
  report: SnpReport,
  product: SnpProduct | undefined,
  policy: SnpPolicy,
  endorsedTcb: unknown,
): void {
  const bits = `0x${report.policy.bits.toString(16)}`;
  list.expect(
    'chip key',
    !report.chipKeyMasked,
    'the host does not mask the key of the chip',
    refusal('ChipKeyMasked'),
  );
  list.expect(
    'guest report',
    report.vmpl <= VMPL_MAX,
    'a guest asked for the report',
    refusal('HostReport'),
    { vmpl: String(report.vmpl) },
  );
  list.expect(
    'debug',
    !report.policy.debug,
    "debugging is off in the guest's policy",
    refusal('DebugAllowed'),
    { policy: bits },
  );
  list.expect(
    'migration',
    !report.policy.migrationAgent,
    "migration agents are off in the guest's policy",
    refusal('MigrationAllowed'),
    { policy: bits },
  );
  judgeMinimum(list, report, product, policy);
  judgeEndorsed(list, report, endorsedTcb);
}

function judgeMinimum(
  list: CheckList,
  report: SnpReport,
  product: SnpProduct | undefined,
  policy: SnpPolicy,
): void {
  const { tcbMin, committedTcb = false } = policy;
  if (tcbMin === undefined) {
    list.skip(MINIMUM, 'the policy has no lowest TCB');
    list.skip(COMMITTED, 'the policy has no lowest TCB');
    return;
  }
  const cpu = report.processor === undefined ? undefined : cpuidKey(report.processor.cpuid);
  const least = cpu === undefined ? undefined : leastFor(tcbMin, cpu);
  if (least === undefined || product === undefined) {
    const what = cpu ?? 'a report of version 2 does not say of which processor it is';
    list.fail(MINIMUM, refusal('ProcessorNotAccepted', what), { cpu: cpu ?? 'unknown' });
    list.skip(COMMITTED, 'there is no lowest TCB for this processor');
    return;
  }
  const reaches = (raw: Uint8Array): boolean => {
    const tcb = readableTcb(raw, product);
    return tcb !== undefined && tcbReaches(tcb, least);
  };
  const values = (raw: Uint8Array): Readonly<Record<string, string>> => ({
    found: tcbOrHex(raw, product),
    least: tcbText(least),
  });
  list.expect(
    MINIMUM,
    reaches(report.reportedTcb),
    'the firmware that the report vouches for is new enough',
    refusal('TcbBelowMinimum', tcbOrHex(report.reportedTcb, product)),
    values(report.reportedTcb),
  );
  if (!committedTcb) {
    list.skip(COMMITTED, 'the policy does not ask to what the firmware can be rolled back');
    return;
  }
  list.expect(
    COMMITTED,
    reaches(report.committedTcb),
    'the firmware cannot be rolled back below what is new enough',
    refusal('CommittedTcbBelowMinimum', tcbOrHex(report.committedTcb, product)),
    values(report.committedTcb),
  );
}

function leastFor(
  tcbMin: Readonly<Record<string, TcbVersion>>,
  cpu: string,
): TcbVersion | undefined {
  return Object.entries(tcbMin).find(([key]) => key.toLowerCase() === cpu)?.[1];
}

function judgeEndorsed(list: CheckList, report: SnpReport, endorsedTcb: unknown): void {
  if (endorsedTcb === undefined) {
    list.skip(ENDORSED, 'the evidence does not say for which TCB it was endorsed');
    return;
  }
  if (typeof endorsedTcb !== 'string' || !/^[0-9a-f]{16}$/i.test(endorsedTcb)) {
    list.fail(ENDORSED, refusal('EndorsedTcbUnreadable', JSON.stringify(endorsedTcb)));
    return;
  }
  const reported = tcbHex(report.reportedTcb);
  list.expect(
    ENDORSED,
    endorsedTcb.toLowerCase() === reported,
    'the endorsements were fetched for the TCB that the report says',
    refusal('EndorsedTcbMismatch'),
    { reported, endorsed: endorsedTcb },
  );
}
