/**
 * Judges a report by what a policy accepts (attestation-snp.md §4, §5): a list that is absent is
 * not judged, and the verdict says so; a list that is empty accepts nothing.
 */
import { CodedError } from '../base/errors.ts';
import { sameBytes, toHex } from '../base/portable-bytes.ts';
import type { CheckList } from './check-list.ts';
import type { Bound } from './judging.ts';
import type { SnpPolicy, UvmPolicy } from './policy.ts';
import { refusal } from './refusals.ts';
import type { SnpReport } from './snp-report.ts';
import type { UvmEndorsement } from './uvm-endorsements.ts';

/** As in CCF: reports of version 2 do not name their processor. */
const VERSION_MIN = 3;
const BINDING_BYTES_MIN = 32;

/** `unreadable`: it has been refused for that. */
export type UvmFound = UvmEndorsement | 'none' | 'unreadable';

const UVM_POLICY = 'UVM policy';
const MEASUREMENT = 'measurement';
const HOST_DATA = 'host data';
const REPORT_DATA = 'report data';

export const POLICY_CHECKS = [
  'report version',
  'accepted key',
  'privilege level',
  UVM_POLICY,
  MEASUREMENT,
  HOST_DATA,
  REPORT_DATA,
] as const;

export function judgePolicy(
  list: CheckList,
  report: SnpReport,
  policy: Bound<SnpPolicy>,
  uvm: UvmFound,
): void {
  const { reportVersionMin = VERSION_MIN, signingKeys = ['VCEK'], vmpl = [0] } = policy;
  list.expect(
    'report version',
    report.version >= reportVersionMin,
    "the report's version is high enough",
    refusal('ReportVersionLow', `${report.version}, not ${reportVersionMin} or more`),
    { version: String(report.version), least: String(reportVersionMin) },
  );
  list.expect(
    'accepted key',
    signingKeys.some((key) => key === report.signingKey),
    'the policy accepts the kind of key that signed the report',
    refusal('SigningKeyNotAccepted', report.signingKey),
    { key: report.signingKey, accepted: signingKeys.join(' ') },
  );
  list.expect(
    'privilege level',
    vmpl.includes(report.vmpl),
    'the policy accepts the privilege level that asked for the report',
    refusal('VmplNotAccepted', String(report.vmpl)),
    { vmpl: String(report.vmpl), accepted: vmpl.join(' ') },
  );
  judgeLaunch(list, toHex(report.measurement), policy, uvm);
  judgeHostData(list, toHex(report.hostData), policy.hostData);
  judgeReportData(list, report.reportData, policy.binding);
}

/**
 * What was launched is accepted by its digest or, if the evidence endorses it, by who endorsed it.
 * A policy that asks for either is never satisfied by evidence that leaves both open: endorsements
 * count only where the policy names endorsers, and replace the digests only then.
 */
function judgeLaunch(
  list: CheckList,
  measurement: string,
  policy: SnpPolicy,
  uvm: UvmFound,
): void {
  const { measurements, uvmEndorsements } = policy;
  if (typeof uvm === 'object') {
    list.expect(
      'UVM measurement',
      uvm.measurement === measurement,
      "the utility VM's endorsements are for the report's measurement",
      refusal('UvmMeasurementMismatch'),
      { report: measurement, endorsed: uvm.measurement },
    );
  }
  if (uvmEndorsements !== undefined && uvm !== 'none') {
    if (uvm === 'unreadable') list.skip(UVM_POLICY, 'the endorsements cannot be read');
    else judgeEndorser(list, uvmEndorsements, uvm);
    list.skip(MEASUREMENT, 'the policy judges the endorsements instead', { measurement });
    return;
  }
  if (uvmEndorsements !== undefined && measurements === undefined) {
    list.fail(UVM_POLICY, refusal('UvmMissing'));
  } else {
    list.skip(
      UVM_POLICY,
      uvmEndorsements === undefined
        ? 'the policy asks nothing of endorsements of the utility VM'
        : 'the evidence has no endorsements; the policy judges the measurement instead',
    );
  }
  if (measurements === undefined) {
    list.skip(MEASUREMENT, 'the policy does not ask what was launched', { measurement });
    return;
  }
  list.expect(
    MEASUREMENT,
    among(measurements, measurement),
    'the policy accepts what was launched',
    refusal('MeasurementNotAccepted', measurement),
    { measurement, accepted: measurements.join(' ') },
  );
}

function judgeEndorser(list: CheckList, accepted: UvmPolicy, uvm: UvmEndorsement): void {
  const { issuer, feed, svn } = uvm;
  const feeds = Object.hasOwn(accepted, issuer) ? accepted[issuer] : undefined;
  const least = feeds !== undefined && Object.hasOwn(feeds, feed) ? feeds[feed] : undefined;
  const values = { issuer, feed, svn: String(svn) };
  if (feeds === undefined) {
    list.fail(UVM_POLICY, refusal('UvmIssuerNotAccepted', issuer), values);
  } else if (least === undefined) {
    list.fail(UVM_POLICY, refusal('UvmFeedNotAccepted', feed), values);
  } else {
    list.expect(
      UVM_POLICY,
      svn >= least,
      "the policy accepts issuer, feed and version of the utility VM's endorsements",
      refusal('UvmVersionLow', `${svn}, not ${least} or more`),
      { ...values, least: String(least) },
    );
  }
}

function judgeHostData(
  list: CheckList,
  hostData: string,
  accepted: readonly string[] | undefined,
): void {
  if (accepted === undefined) {
    list.skip(HOST_DATA, 'the policy does not ask for host data', { hostData });
    return;
  }
  list.expect(
    HOST_DATA,
    among(accepted, hostData),
    'the policy accepts the host data',
    refusal('HostDataNotAccepted', hostData),
    { hostData, accepted: accepted.join(' ') },
  );
}

function judgeReportData(
  list: CheckList,
  reportData: Uint8Array,
  binding: Uint8Array | undefined,
): void {
  if (binding === undefined) {
    list.skip(REPORT_DATA, 'nothing is named that the report must be bound to');
    return;
  }
  if (binding.length < BINDING_BYTES_MIN || binding.length > reportData.length) {
    const what = `${BINDING_BYTES_MIN} to ${reportData.length} bytes, not ${binding.length}`;
    throw new CodedError('BadPolicy', `what a report must be bound to has ${what}`);
  }
  const head = sameBytes(reportData.subarray(0, binding.length), binding);
  const tail = reportData.subarray(binding.length).every((byte) => byte === 0);
  list.expect(
    REPORT_DATA,
    head && tail,
    'the report is bound to what it must be bound to, and to nothing else',
    refusal(head ? 'ReportDataTail' : 'ReportDataMismatch'),
    { reportData: toHex(reportData), expected: toHex(binding) },
  );
}

function among(accepted: readonly string[], text: string): boolean {
  return accepted.some((item) => item.toLowerCase() === text);
}
