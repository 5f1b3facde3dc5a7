// Machines with an AMD of our own behind them: they make reports about whatever they are asked, of
// whatever code a test says that they run.

import type { Evidence } from '../../src/attestation/evidence.ts';
import type { EvidenceSource } from '../../src/attestation/sources/source.ts';
import {
  type ChipOptions,
  type FakePki,
  fakePki,
  type ReportFields,
  signedReport,
  snpEvidence,
} from '../attestation/fake-pki.ts';

export interface FakeMachine {
  readonly pki?: FakePki;
  readonly chip?: ChipOptions;
  readonly report?: ReportFields;
  readonly uvm?: Uint8Array;
  readonly hostPolicy?: string;
  /** What is shown instead of what was made. */
  readonly shows?: (evidence: Evidence) => Evidence;
}

export function fakeHardware(machine: FakeMachine = {}): EvidenceSource {
  const { pki = fakePki('Milan'), uvm, hostPolicy, shows = (evidence) => evidence } = machine;
  const chip = pki.chip(machine.chip);
  return {
    platform: 'snp',
    name: 'fake hardware',
    ...(hostPolicy === undefined ? {} : { hostPolicy: async () => hostPolicy }),
    evidenceFor: async (asked) => {
      const reportData = new Uint8Array(64);
      reportData.set(asked);
      const report = signedReport(chip, { reportData, ...machine.report });
      return shows(snpEvidence(report, chip.chain, uvm === undefined ? {} : { uvm }));
    },
  };
}
