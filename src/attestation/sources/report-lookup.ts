/**
 * What of a report says which certificates endorse it (attestation-snp.md §1, §2). Nothing of it is
 * proven here: a host that lies gets certificates that the verifier refuses.
 */

import { hexOf } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { productOfCpuid, type SnpProduct } from '../snp-product.ts';

export const REPORT_BYTES = 1184;

const VERSION_AT = 0x00;
const FLAGS_AT = 0x48;
const REPORT_DATA_AT = 0x50;
const REPORTED_TCB_AT = 0x180;
const CPUID_AT = 0x188;
const CHIP_ID_AT = 0x1a0;
const CHIP_ID_BYTES = 64;
const TURIN_CHIP_ID_BYTES = 8;
const SIGNERS = ['VCEK', 'VLEK'] as const;

/** Names the certificates that a report needs. */
export interface EndorsementNeed {
  readonly signer: (typeof SIGNERS)[number];
  /** Unknown for reports of version 2, which do not name their processor. */
  readonly product: SnpProduct | undefined;
  /** As AMD's service takes it: 128 hexadecimal digits, 16 for Turin. */
  readonly chipId: string;
  /** The TCB that the key was derived for, as it stands in the report: eight bytes. */
  readonly tcb: Uint8Array;
  /** The same as services write it: the number in hexadecimal, so in reverse. */
  readonly tcbText: string;
}

/** Reads what a report needs; throws `BadReport`. */
export function needOf(report: Uint8Array): EndorsementNeed {
  if (report.length !== REPORT_BYTES) {
    const message = `a report has ${REPORT_BYTES} bytes, this one ${report.length}`;
    throw new CodedError('BadReport', message, { bytes: report.length });
  }
  const view = new DataView(report.buffer, report.byteOffset, report.byteLength);
  const signer = SIGNERS[(view.getUint32(FLAGS_AT, true) >> 2) & 7];
  if (signer === undefined) throw new CodedError('BadReport', 'the report is not signed');
  const [family = 0, model = 0, stepping = 0] = report.subarray(CPUID_AT, CPUID_AT + 3);
  const isNamed = view.getUint32(VERSION_AT, true) >= 3;
  const product = isNamed ? productOfCpuid({ family, model, stepping }) : undefined;
  const chipIdBytes = product === 'Turin' ? TURIN_CHIP_ID_BYTES : CHIP_ID_BYTES;
  const tcb = report.slice(REPORTED_TCB_AT, REPORTED_TCB_AT + 8);
  return {
    signer,
    product,
    chipId: hexOf(report.subarray(CHIP_ID_AT, CHIP_ID_AT + chipIdBytes)),
    tcb,
    tcbText: hexOf(tcb.toReversed()),
  };
}

/** The field that its guest chose, 64 bytes. */
export function reportDataOf(report: Uint8Array): Uint8Array {
  return report.slice(REPORT_DATA_AT, REPORT_DATA_AT + 64);
}

/** Security version numbers in the order in which AMD's service takes them. */
export function securityVersions({ product, tcb }: EndorsementNeed): readonly SplValue[] {
  const at = (name: string, index: number): SplValue => [name, tcb[index] ?? 0];
  return product === 'Turin'
    ? [at('fmcSPL', 0), at('blSPL', 1), at('teeSPL', 2), at('snpSPL', 3), at('ucodeSPL', 7)]
    : [at('blSPL', 0), at('teeSPL', 1), at('snpSPL', 6), at('ucodeSPL', 7)];
}

export type SplValue = readonly [name: string, value: number];
