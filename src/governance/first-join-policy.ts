/**
 * The join policy that a service begins with: nodes like the one that founded it, as CCF's start
 * does. From then on it is the members' (governance.md §6).
 */
import { readAzureCvmEvidence } from '../attestation/azure-cvm.ts';
import type { Evidence } from '../attestation/evidence.ts';
import { readHclReport } from '../attestation/hcl-report.ts';
import type { TcbVersion } from '../attestation/policy.ts';
import { cpuidKey } from '../attestation/snp-product.ts';
import { parseReport, type SnpReport } from '../attestation/snp-report.ts';
import { parseTcb } from '../attestation/snp-tcb.ts';
import { readUvmEndorsement } from '../attestation/uvm-endorsements.ts';
import type { EvidenceClaims } from '../attestation/verdict.ts';
import { bytesOfBase64, hexOf, NO_BYTES, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Transaction } from '../kv/tables.ts';
import {
  AZURE_CVM_MEASUREMENTS,
  AZURE_CVM_PCRS,
  jsonRow,
  SINGLETON,
  SNP_HOST_DATA,
  SNP_MEASUREMENTS,
  SNP_TCB_VERSIONS,
  SNP_UVM_ENDORSEMENTS,
  VIRTUAL_HOST_DATA,
  VIRTUAL_MEASUREMENTS,
} from './tables.ts';
import { rowOfTcb } from './tcb-rows.ts';

/** What the founder shows, once it was judged to prove itself. */
export interface FoundersEvidence {
  readonly evidence: Evidence;
  readonly claims: EvidenceClaims;
  /** The container policy that its host data are the digest of, where its platform tells. */
  readonly hostPolicy?: string;
}

/**
 * Registers that say which code a confidential VM booted: loader, secure boot's keys, kernel with
 * its initial disk, and what the loader read. Others change from start to start.
 */
const CODE_PCRS = [4, 7, 9, 11] as const;

const ALLOWED = jsonRow('AllowedToJoin');

/** Writes the rows by which nodes like this one may join. */
export function writeFirstJoinPolicy(tx: Transaction, founder: FoundersEvidence): void {
  const { claims, evidence } = founder;
  switch (claims.platform) {
    case 'virtual':
      tx.table(VIRTUAL_MEASUREMENTS).put(utf8(claims.measurement), ALLOWED);
      tx.table(VIRTUAL_HOST_DATA).put(utf8(claims.hostData), SINGLETON);
      break;
    case 'snp':
      writeSnp(tx, founder);
      break;
    case 'azure-cvm': {
      const { hclReport, pcrs } = readAzureCvmEvidence(evidence);
      tx.table(AZURE_CVM_MEASUREMENTS).put(utf8(claims.measurement), ALLOWED);
      for (const index of CODE_PCRS) {
        const values = [hexOf(pcrs.get(index) ?? NO_BYTES)];
        tx.table(AZURE_CVM_PCRS).put(utf8(String(index)), jsonRow(values));
      }
      writeTcb(tx, parseReport(readHclReport(hclReport).report));
      break;
    }
  }
}

function writeSnp(tx: Transaction, { evidence, claims, hostPolicy }: FoundersEvidence): void {
  const { uvm_endorsements: uvm, quote } = evidence;
  if (uvm === undefined) tx.table(SNP_MEASUREMENTS).put(utf8(claims.measurement), ALLOWED);
  else {
    // Who endorses the utility VM says which of its versions are good: this one and later ones.
    const { issuer, feed, svn } = readUvmEndorsement(bytesOfBase64(uvm) ?? NO_BYTES);
    const feeds = { [feed]: { svn: String(svn) } };
    tx.table(SNP_UVM_ENDORSEMENTS).put(utf8(issuer), jsonRow(feeds));
  }
  tx.table(SNP_HOST_DATA).put(utf8(claims.hostData), jsonRow(hostPolicy ?? ''));
  writeTcb(tx, parseReport(bytesOfBase64(quote) ?? NO_BYTES));
}

function writeTcb(tx: Transaction, { processor, reportedTcb }: SnpReport): void {
  if (processor === undefined) {
    const message = 'its report does not name its processor: reports of version 3 and later do';
    throw new CodedError('OwnEvidenceRefused', message);
  }
  const { cpuid, product } = processor;
  const least: TcbVersion = parseTcb(reportedTcb, product);
  tx.table(SNP_TCB_VERSIONS).put(utf8(cpuidKey(cpuid)), jsonRow(rowOfTcb(least)));
}
