/**
 * Rows of `nodes.snp.tcb_versions`, in both forms that CCF's proposals leave behind (governance.md
 * §6): parts by name, or the whole in hexadecimal, as services write it (attestation-snp.md §2).
 */
import type { TcbVersion } from '../attestation/policy.ts';
import { bytesOfHex } from '../base/bytes.ts';

export interface TcbRow {
  readonly hexstring?: unknown;
  readonly fmc?: unknown;
  readonly boot_loader?: unknown;
  readonly tee?: unknown;
  readonly snp?: unknown;
  readonly microcode?: unknown;
}

/** Family 0x1A, as processors are named here: extended family 0xB. */
const TURIN = /^00b/;
const TCB_BYTES = 8;

/** The version in a row about a processor; undefined if there is none. */
export function tcbOfRow(cpuid: string, row: TcbRow): TcbVersion | undefined {
  const { fmc, boot_loader: bootLoader, tee, snp, microcode } = row;
  if (isPart(bootLoader) && isPart(tee) && isPart(snp) && isPart(microcode)) {
    if (fmc !== undefined && !isPart(fmc)) return undefined;
    return { ...(fmc === undefined ? {} : { fmc }), bootLoader, tee, snp, microcode };
  }
  const { hexstring } = row;
  return typeof hexstring === 'string' ? tcbOfHex(cpuid, hexstring) : undefined;
}

/** The row that says it by parts. */
export function rowOfTcb({ fmc, bootLoader, tee, snp, microcode }: TcbVersion): TcbRow {
  return {
    ...(fmc === undefined ? {} : { fmc }),
    boot_loader: bootLoader,
    tee,
    snp,
    microcode,
  };
}

function tcbOfHex(cpuid: string, hex: string): TcbVersion | undefined {
  const bytes = bytesOfHex(hex);
  if (bytes?.length !== TCB_BYTES) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, , , g = 0, microcode = 0] = bytes.toReversed();
  return TURIN.test(cpuid)
    ? { fmc: a, bootLoader: b, tee: c, snp: d, microcode }
    : { bootLoader: a, tee: b, snp: g, microcode };
}

function isPart(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 255;
}
