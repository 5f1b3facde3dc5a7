/** What a SEV-SNP report says, as claims: for tables, policies and whoever asks what runs there. */
import { toHex } from '../base/portable-bytes.ts';
import type { LeafFacts } from './snp-leaf.ts';
import type { UvmFound } from './snp-policy-checks.ts';
import { cpuidKey, type SnpProduct } from './snp-product.ts';
import type { SnpReport } from './snp-report.ts';
import { tcbOrHex } from './snp-tcb.ts';
import type { EvidenceClaims } from './verdict.ts';

export function snpClaims(
  report: SnpReport,
  product: SnpProduct | undefined,
  leaf: LeafFacts | undefined,
  uvm: UvmFound,
): EvidenceClaims {
  return {
    platform: 'snp',
    measurement: toHex(report.measurement),
    hostData: toHex(report.hostData),
    reportData: report.reportData,
    details: {
      ...reportDetails(report, product),
      ...(leaf === undefined ? {} : leafDetails(leaf)),
      ...(typeof uvm === 'string'
        ? {}
        : { uvmIssuer: uvm.issuer, uvmFeed: uvm.feed, uvmSvn: String(uvm.svn) }),
    },
  };
}

function reportDetails(
  report: SnpReport,
  product: SnpProduct | undefined,
): Readonly<Record<string, string>> {
  const { policy, processor, mitigations } = report;
  return {
    reportVersion: String(report.version),
    product: product ?? 'unknown',
    ...(processor === undefined ? {} : { cpu: cpuidKey(processor.cpuid) }),
    chipId: toHex(report.chipId),
    signingKey: report.signingKey,
    vmpl: String(report.vmpl),
    guestSvn: String(report.guestSvn),
    guestPolicy: `0x${policy.bits.toString(16)}`,
    guestAbi: policy.abi,
    smt: String(policy.smt),
    singleSocket: String(policy.singleSocket),
    platformInfo: `0x${report.platformInfo.toString(16)}`,
    reportedTcb: tcbOrHex(report.reportedTcb, product),
    committedTcb: tcbOrHex(report.committedTcb, product),
    currentTcb: tcbOrHex(report.currentTcb, product),
    launchTcb: tcbOrHex(report.launchTcb, product),
    currentFirmware: report.currentFirmware,
    committedFirmware: report.committedFirmware,
    ...(mitigations === undefined
      ? {}
      : {
          launchMitigations: `0x${mitigations.launch.toString(16)}`,
          currentMitigations: `0x${mitigations.current.toString(16)}`,
        }),
    familyId: toHex(report.familyId),
    imageId: toHex(report.imageId),
    reportId: toHex(report.reportId),
    idKeyDigest: toHex(report.idKeyDigest),
    authorKeyDigest: toHex(report.authorKeyDigest),
  };
}

function leafDetails({ productName, cloud }: LeafFacts): Readonly<Record<string, string>> {
  return { certificateProduct: productName, ...(cloud === undefined ? {} : { cloud }) };
}
