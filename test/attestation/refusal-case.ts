// What the tables of refusals are made of: evidence that is good in all but one thing.

import type { Evidence } from '../../src/attestation/evidence.ts';
import type { RefusalCode } from '../../src/attestation/refusals.ts';
import {
  type ChipOptions,
  type FakeChip,
  fakePki,
  type ReportFields,
  signedReport,
  snpEvidence,
} from './fake-pki.ts';
import type { Judging } from './judged.ts';

export interface RefusalCase {
  readonly code: RefusalCode;
  /** How it comes about. */
  readonly how: string;
  readonly evidence: Evidence;
  readonly judging?: Judging;
  /** Of other checks that cannot but fail with it. */
  readonly also?: readonly RefusalCode[];
}

export const MILAN = fakePki('Milan');
export const CHIP: FakeChip = MILAN.chip();

/** Evidence of a good chip, with these fields. */
export const reported = (fields: ReportFields = {}, by: FakeChip = CHIP): Evidence =>
  snpEvidence(signedReport(by, fields), by.chain);

/** Evidence of a chip that is different, with a report that fits it but for these fields. */
export const byChip = (options: ChipOptions, fields: ReportFields = {}): Evidence =>
  reported(fields, MILAN.chip(options));

/** A report whose byte is this before it is signed. */
export const withByte = (at: number, value: number): ReportFields => ({
  edit: (report) => {
    report[at] = value;
  },
});
