/**
 * Reads an attestation report (AMD 56860, table ATTESTATION_REPORT; attestation-snp.md §1).
 * Whatever is reserved must be as the table says: what is not understood is not accepted.
 */
import { CodedError } from '../base/errors.ts';
import { join, toHex } from '../base/portable-bytes.ts';
import { type RefusalCode, refusal } from './refusals.ts';
import { type Cpuid, productOfCpuid, type SnpProduct } from './snp-product.ts';

export const REPORT_BYTES = 1184;
const SIGNED_BYTES = 0x2a0;
const COMPONENT_BYTES = 72;
/** P-384. */
const NUMBER_BYTES = 48;
const ECDSA_P384_SHA384 = 1;

export type SigningKey = 'VCEK' | 'VLEK' | 'none';

export interface GuestPolicy {
  readonly bits: bigint;
  readonly abi: string;
  readonly smt: boolean;
  readonly migrationAgent: boolean;
  readonly debug: boolean;
  readonly singleSocket: boolean;
}

export interface SnpReport {
  readonly version: 2 | 3 | 5;
  readonly guestSvn: number;
  readonly policy: GuestPolicy;
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  /** 0 to 3 of a guest; the host's is 2^32 - 1. */
  readonly vmpl: number;
  readonly platformInfo: bigint;
  readonly authorKey: boolean;
  readonly chipKeyMasked: boolean;
  readonly signingKey: SigningKey;
  readonly reportData: Uint8Array;
  readonly measurement: Uint8Array;
  readonly hostData: Uint8Array;
  readonly idKeyDigest: Uint8Array;
  readonly authorKeyDigest: Uint8Array;
  readonly reportId: Uint8Array;
  readonly reportIdOfAgent: Uint8Array;
  /** Eight bytes each: what they mean depends on the product (`snp-tcb.ts`). */
  readonly currentTcb: Uint8Array;
  readonly reportedTcb: Uint8Array;
  readonly committedTcb: Uint8Array;
  readonly launchTcb: Uint8Array;
  /** From version 3 on. */
  readonly processor?: { readonly cpuid: Cpuid; readonly product: SnpProduct };
  readonly chipId: Uint8Array;
  /** `major.minor.build` of the firmware. */
  readonly currentFirmware: string;
  readonly committedFirmware: string;
  /** From version 5 on. */
  readonly mitigations?: { readonly launch: bigint; readonly current: bigint };
  readonly signedPart: Uint8Array;
  /** r ‖ s, 48 bytes each, most significant first. */
  readonly signature: Uint8Array;
}

/** Reads a report; throws a coded error whose code is the reason to refuse it. */
export function parseReport(bytes: Uint8Array): SnpReport {
  if (bytes.length !== REPORT_BYTES) throw bad('ReportLength', `these are ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(0, true);
  if (version !== 2 && version !== 3 && version !== 5) {
    throw bad('ReportVersionUnknown', `it is of version ${version}`);
  }
  const algorithm = view.getUint32(0x34, true);
  if (algorithm !== ECDSA_P384_SHA384) {
    throw bad('SignatureAlgorithmUnknown', `algorithm ${algorithm}`);
  }
  const policy = guestPolicy(view.getBigUint64(0x08, true));
  const platformInfo = view.getBigUint64(0x40, true);
  if ((platformInfo & ~PLATFORM_INFO_KNOWN) !== 0n) {
    throw bad('PlatformInfoUnknownBits', `0x${platformInfo.toString(16)}`);
  }
  checkReserved(bytes, version);
  const flags = view.getUint32(0x48, true);
  const part = (at: number, length: number): Uint8Array => bytes.slice(at, at + length);
  return {
    version,
    guestSvn: view.getUint32(0x04, true),
    policy,
    familyId: part(0x10, 16),
    imageId: part(0x20, 16),
    vmpl: view.getUint32(0x30, true),
    platformInfo,
    authorKey: (flags & 1) !== 0,
    chipKeyMasked: (flags & 2) !== 0,
    signingKey: signingKeyOf(flags),
    reportData: part(0x50, 64),
    measurement: part(0x90, 48),
    hostData: part(0xc0, 32),
    idKeyDigest: part(0xe0, 48),
    authorKeyDigest: part(0x110, 48),
    reportId: part(0x140, 32),
    reportIdOfAgent: part(0x160, 32),
    currentTcb: part(0x38, 8),
    reportedTcb: part(0x180, 8),
    committedTcb: part(0x1e0, 8),
    launchTcb: part(0x1f0, 8),
    ...(version === 2 ? {} : { processor: processorOf(bytes) }),
    chipId: part(0x1a0, 64),
    currentFirmware: firmware(bytes, 0x1e8),
    committedFirmware: firmware(bytes, 0x1ec),
    ...(version === 5 ? { mitigations: mitigationsOf(view) } : {}),
    signedPart: part(0, SIGNED_BYTES),
    signature: signatureOf(bytes),
  };
}

const POLICY_MUST_BE_ONE = 1n << 17n;
/** Bits 0 to 25 (AMD 56860, table GUEST_POLICY). */
const POLICY_KNOWN = (1n << 26n) - 1n;
/** SMT, TSME, ECC, RAPL, ciphertext hiding, alias check, TIO. Bit 6 has no name and is seen set. */
const PLATFORM_INFO_KNOWN = 0xffn;

function guestPolicy(bits: bigint): GuestPolicy {
  const text = `0x${bits.toString(16)}`;
  if ((bits & POLICY_MUST_BE_ONE) === 0n) throw bad('PolicyReservedBit', text);
  if ((bits & ~POLICY_KNOWN) !== 0n) throw bad('PolicyUnknownBits', text);
  const has = (bit: bigint): boolean => (bits & (1n << bit)) !== 0n;
  return {
    bits,
    abi: `${(bits >> 8n) & 0xffn}.${bits & 0xffn}`,
    smt: has(16n),
    migrationAgent: has(18n),
    debug: has(19n),
    singleSocket: has(20n),
  };
}

/** What must be zero: [from, until). */
function checkReserved(bytes: Uint8Array, version: 2 | 3 | 5): void {
  const ranges = [
    [0x4c, 0x50],
    [version === 2 ? 0x188 : 0x18b, 0x1a0],
    [0x1eb, 0x1ec],
    [0x1ef, 0x1f0],
    [version === 5 ? 0x208 : 0x1f8, SIGNED_BYTES],
    [SIGNED_BYTES + 2 * COMPONENT_BYTES, REPORT_BYTES],
  ] as const;
  for (const [from, until] of ranges) {
    const at = bytes.subarray(from, until).findIndex((byte) => byte !== 0);
    if (at >= 0) throw bad('ReservedField', `at byte 0x${(from + at).toString(16)}`);
  }
  // Bits 5 to 31 of the flags.
  const flags = (bytes[0x48] ?? 0) & 0xe0;
  const rest = bytes.subarray(0x49, 0x4c).some((byte) => byte !== 0);
  if (flags !== 0 || rest) throw bad('ReservedField', 'in the flags at byte 0x48');
}

const SIGNING_KEYS: Readonly<Record<number, SigningKey>> = { 0: 'VCEK', 1: 'VLEK', 7: 'none' };

function signingKeyOf(flags: number): SigningKey {
  const number = (flags >> 2) & 7;
  const key = SIGNING_KEYS[number];
  if (key === undefined) throw bad('SigningKeyUnknown', `key ${number}`);
  return key;
}

function processorOf(bytes: Uint8Array): { cpuid: Cpuid; product: SnpProduct } {
  const [family = 0, model = 0, stepping = 0] = bytes.subarray(0x188, 0x18b);
  const cpuid = { family, model, stepping };
  const product = productOfCpuid(cpuid);
  if (product === undefined) {
    throw bad('ProcessorUnknown', `family ${family}, model ${model}, stepping ${stepping}`);
  }
  return { cpuid, product };
}

function firmware(bytes: Uint8Array, at: number): string {
  const [build = 0, minor = 0, major = 0] = bytes.subarray(at, at + 3);
  return `${major}.${minor}.${build}`;
}

function mitigationsOf(view: DataView): { launch: bigint; current: bigint } {
  return { launch: view.getBigUint64(0x1f8, true), current: view.getBigUint64(0x200, true) };
}

function signatureOf(bytes: Uint8Array): Uint8Array {
  const r = signatureNumber(bytes, SIGNED_BYTES, 'R');
  const s = signatureNumber(bytes, SIGNED_BYTES + COMPONENT_BYTES, 'S');
  return join(r, s);
}

/** A number stands there least significant byte first, padded with zeros to 72 bytes. */
function signatureNumber(bytes: Uint8Array, at: number, name: string): Uint8Array {
  const whole = bytes.subarray(at, at + COMPONENT_BYTES);
  const isZero = (part: Uint8Array): boolean => part.every((byte) => byte === 0);
  if (!isZero(whole.subarray(NUMBER_BYTES))) throw bad('SignaturePadding', toHex(whole));
  const number = whole.slice(0, NUMBER_BYTES).reverse();
  if (isZero(number)) throw bad('SignatureZero', `${name} is zero`);
  return number;
}

function bad(code: RefusalCode, detail: string): CodedError<RefusalCode> {
  return new CodedError(code, refusal(code, detail).message);
}
