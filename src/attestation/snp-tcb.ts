/**
 * TCB versions: how they stand in reports, how they are written, how they compare
 * (attestation-snp.md §2). They are never compared as one number: their parts are independent.
 */
import { CodedError, isCoded } from '../base/errors.ts';
import { toHex } from '../base/portable-bytes.ts';
import type { TcbVersion } from './policy.ts';
import { refusal } from './refusals.ts';
import type { SnpProduct } from './snp-product.ts';

/** The parts of eight bytes of a report. Throws `TcbReserved`. */
export function parseTcb(raw: Uint8Array, product: SnpProduct): TcbVersion {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, microcode = 0] = raw;
  const isTurin = product === 'Turin';
  const reserved = isTurin ? [e, f, g] : [c, d, e, f];
  if (raw.length !== 8 || reserved.some((byte) => byte !== 0)) {
    const { code, message } = refusal('TcbReserved', `${tcbHex(raw)} on ${product}`);
    throw new CodedError(code, message);
  }
  return isTurin
    ? { fmc: a, bootLoader: b, tee: c, snp: d, microcode }
    : { bootLoader: a, tee: b, snp: g, microcode };
}

/** As CCF and the Azure cache write it: most significant byte first. */
export function tcbHex(raw: Uint8Array): string {
  return toHex(raw.slice().reverse());
}

/** For people: `boot loader 4, TEE 0, SNP 24, microcode 219`. */
export function tcbText({ fmc, bootLoader, tee, snp, microcode }: TcbVersion): string {
  const first = fmc === undefined ? '' : `FMC ${fmc}, `;
  return `${first}boot loader ${bootLoader}, TEE ${tee}, SNP ${snp}, microcode ${microcode}`;
}

/** The parts of a TCB where they can be told, or undefined. */
export function readableTcb(
  raw: Uint8Array,
  product: SnpProduct | undefined,
): TcbVersion | undefined {
  if (product === undefined) return undefined;
  try {
    return parseTcb(raw, product);
  } catch (thrown) {
    if (isCoded(thrown, 'TcbReserved')) return undefined;
    throw thrown;
  }
}

/** For people, whatever it is. */
export function tcbOrHex(raw: Uint8Array, product: SnpProduct | undefined): string {
  const tcb = readableTcb(raw, product);
  return tcb === undefined ? tcbHex(raw) : tcbText(tcb);
}

const PARTS = ['bootLoader', 'tee', 'snp', 'microcode'] as const;

/**
 * Whether each part of a TCB is at least that of another. Where one has an FMC and the other none,
 * they are of different processors, and neither reaches the other.
 */
export function tcbReaches(tcb: TcbVersion, least: TcbVersion): boolean {
  if ((tcb.fmc === undefined) !== (least.fmc === undefined)) return false;
  return (tcb.fmc ?? 0) >= (least.fmc ?? 0) && PARTS.every((part) => tcb[part] >= least[part]);
}

/** Whether two TCBs are the same in each part. */
export function sameTcb(left: TcbVersion, right: TcbVersion): boolean {
  return left.fmc === right.fmc && PARTS.every((part) => left[part] === right[part]);
}
