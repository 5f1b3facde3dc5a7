// Machines in files, so that a node in a process of its own can have one: its chip with the key
// that signs reports, and which AMD it believes in.

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Evidence } from '../../src/attestation/evidence.ts';
import type { AmdRoots } from '../../src/attestation/judging.ts';
import { type EvidenceSource, unavailable } from '../../src/attestation/sources/source.ts';
import { type FakeChip, signedReport, snpEvidence } from '../attestation/fake-pki.ts';

export interface MachineFile {
  readonly chip: FakeChip;
  readonly roots: AmdRoots;
  readonly measurement: Uint8Array;
  /** Digest of its container policy; that of every fake machine unless told otherwise. */
  readonly hostData?: Uint8Array;
  /** What it binds its report to, whatever it is asked. */
  readonly reportData?: Uint8Array;
  /** What it shows instead of a report of its own. */
  readonly shows?: Evidence;
  /** Its hardware gives nothing. */
  readonly isBroken?: boolean;
}

interface Written {
  readonly chip: Omit<FakeChip, 'keys' | 'chipId' | 'certificate'> & {
    readonly chipId: string;
    readonly key: string;
  };
  readonly roots: AmdRoots;
  readonly measurement: string;
  readonly hostData?: string;
  readonly reportData?: string;
  readonly shows?: Evidence;
  readonly isBroken: boolean;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export function writeMachine(path: string, machine: MachineFile): void {
  const { chip, roots, measurement, hostData, reportData, shows, isBroken = false } = machine;
  const { product, kind, tcb, chain, keys } = chip;
  const key = String(keys.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const written: Written = {
    chip: { product, kind, tcb, chain, chipId: hex(chip.chipId), key },
    roots,
    measurement: hex(measurement),
    ...(hostData === undefined ? {} : { hostData: hex(hostData) }),
    ...(reportData === undefined ? {} : { reportData: hex(reportData) }),
    ...(shows === undefined ? {} : { shows }),
    isBroken,
  };
  writeFileSync(path, JSON.stringify(written));
}

/** The hardware of a machine, and the roots that a node on it believes in. */
export function readMachine(path: string): {
  readonly evidenceSource: EvidenceSource;
  readonly amdRoots: AmdRoots;
} {
  const written: Written = JSON.parse(readFileSync(path, 'utf8'));
  const { key, chipId, ...chip } = written.chip;
  const privateKey = createPrivateKey(key);
  const whole: FakeChip = {
    ...chip,
    chipId: Buffer.from(chipId, 'hex'),
    keys: { privateKey, publicKey: createPublicKey(privateKey) },
    certificate: new Uint8Array(0),
  };
  const evidenceFor = async (asked: Uint8Array): Promise<Evidence> => {
    if (written.isBroken) throw unavailable('the fake hardware', 'missing', 'it is broken');
    if (written.shows !== undefined) return written.shows;
    const reportData = new Uint8Array(64);
    reportData.set(
      written.reportData === undefined ? asked : Buffer.from(written.reportData, 'hex'),
    );
    const measurement = Buffer.from(written.measurement, 'hex');
    const { hostData } = written;
    const report = signedReport(whole, {
      ...{ reportData, measurement },
      ...(hostData === undefined ? {} : { hostData: Buffer.from(hostData, 'hex') }),
    });
    return snpEvidence(report, whole.chain);
  };
  return {
    evidenceSource: { platform: 'snp', name: 'the fake hardware', evidenceFor },
    amdRoots: written.roots,
  };
}
