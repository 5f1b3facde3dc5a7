// An AMD of our own: roots, chips and the reports they sign, so that every rule can be broken
// alone.

import { createHash, type KeyObject, sign } from 'node:crypto';
import type { Evidence } from '../../src/attestation/evidence.ts';
import type { AmdRoots } from '../../src/attestation/judging.ts';
import type { TcbVersion } from '../../src/attestation/policy.ts';
import type { SnpProduct } from '../../src/attestation/snp-product.ts';
import { toBase64, toUtf8 } from '../../src/base/portable-bytes.ts';
import * as der from './der-writer.ts';
import {
  type CertificateSpec,
  type ExtensionSpec,
  ecKeys,
  type KeyPair,
  makeCertificate,
  makeRevocationList,
  pemOf,
  type RevocationSpec,
  rsaKeys,
} from './fake-certificates.ts';

const AMD = '1.3.6.1.4.1.3704.1';
const CA: ExtensionSpec = {
  oid: '2.5.29.19',
  critical: true,
  value: der.sequence(der.truth),
};
const CA_OF_LEAVES: ExtensionSpec = {
  oid: '2.5.29.19',
  critical: true,
  value: der.sequence(der.truth, der.integer(0)),
};
const CERT_SIGN: ExtensionSpec = {
  oid: '2.5.29.15',
  critical: true,
  value: Uint8Array.of(0x03, 0x02, 0x02, 0x04),
};
const CERT_AND_CRL_SIGN: ExtensionSpec = {
  oid: '2.5.29.15',
  critical: true,
  value: Uint8Array.of(0x03, 0x02, 0x01, 0x06),
};

export interface Authority {
  readonly keys: KeyPair;
  readonly commonName: string;
  readonly serial: number;
  readonly certificate: Uint8Array;
}

export interface ChipOptions {
  readonly kind?: 'VCEK' | 'VLEK';
  readonly tcb?: TcbVersion;
  readonly chipId?: Uint8Array;
  readonly productName?: string;
  readonly keys?: KeyPair;
  /** Changes what AMD's extensions would be. */
  readonly extensions?: (usual: readonly ExtensionSpec[]) => readonly ExtensionSpec[];
  /** Changes anything else of the leaf's certificate. */
  readonly certificate?: Partial<CertificateSpec>;
}

/** A chip, or a cloud's hold on it: what signs reports, and the chain that says so. */
export interface FakeChip {
  readonly product: SnpProduct;
  readonly kind: 'VCEK' | 'VLEK';
  readonly keys: KeyPair;
  readonly tcb: TcbVersion;
  readonly chipId: Uint8Array;
  readonly certificate: Uint8Array;
  /** PEM: leaf, intermediate, root. */
  readonly chain: string;
}

export interface FakePki {
  readonly product: SnpProduct;
  readonly roots: AmdRoots;
  readonly ark: Authority;
  readonly ask: Authority;
  readonly asvk: Authority;
  chip(options?: ChipOptions): FakeChip;
  /** A revocation list by the root. */
  crl(options?: Partial<RevocationSpec>): Uint8Array;
}

export const TCBS: Readonly<Record<SnpProduct, TcbVersion>> = {
  Milan: { bootLoader: 4, tee: 0, snp: 24, microcode: 219 },
  Genoa: { bootLoader: 10, tee: 0, snp: 23, microcode: 84 },
  Turin: { fmc: 1, bootLoader: 1, tee: 1, snp: 2, microcode: 71 },
};
const SERIALS: Readonly<Record<SnpProduct, number>> = {
  Milan: 0x01_00_00,
  Genoa: 0x02_00_00,
  Turin: 0x03_00_00,
};
const PRODUCT_NAMES = { Milan: 'Milan-B0', Genoa: 'Genoa', Turin: 'Turin' } as const;

const made = new Map<SnpProduct, FakePki>();

/** The authorities of a product: made once in a process, as keys of RSA take their time. */
export function fakePki(product: SnpProduct = 'Milan'): FakePki {
  const known = made.get(product);
  if (known !== undefined) return known;
  const pki = newPki(product);
  made.set(product, pki);
  return pki;
}

/** Authorities that nobody else has: another root under the same name. */
export function newPki(product: SnpProduct): FakePki {
  const ark = authority(`ARK-${product}`, SERIALS[product], undefined);
  const ask = authority(`SEV-${product}`, SERIALS[product] + 1, ark);
  const asvk = authority(`SEV-VLEK-${product}`, SERIALS[product] + 0x101, ark);
  return {
    product,
    roots: { [product]: [sha256Hex(ark.certificate)] },
    ark,
    ask,
    asvk,
    chip: (options = {}) => newChip(product, { ark, ask, asvk }, options),
    crl: (options = {}) =>
      makeRevocationList({
        issuer: ark.commonName,
        signer: ark.keys.privateKey,
        ...options,
      }),
  };
}

function authority(
  commonName: string,
  serial: number,
  issuer: Authority | undefined,
): Authority {
  const keys = rsaKeys();
  const certificate = makeCertificate({
    subject: commonName,
    issuer: issuer?.commonName ?? commonName,
    signer: (issuer?.keys ?? keys).privateKey,
    publicKey: keys.publicKey,
    serial,
    extensions: issuer === undefined ? [CERT_AND_CRL_SIGN, CA] : [CA_OF_LEAVES, CERT_SIGN],
  });
  return { keys, commonName, serial, certificate };
}

function newChip(
  product: SnpProduct,
  { ark, ask, asvk }: Pick<FakePki, 'ark' | 'ask' | 'asvk'>,
  options: ChipOptions,
): FakeChip {
  const { kind = 'VCEK', tcb = TCBS[product], keys = ecKeys() } = options;
  const chipId = options.chipId ?? chipIdOf(product, 1);
  const issuer = kind === 'VCEK' ? ask : asvk;
  const usual = leafExtensions(product, kind, tcb, chipId, options.productName);
  const certificate = makeCertificate({
    subject: `SEV-${kind}`,
    issuer: issuer.commonName,
    signer: issuer.keys.privateKey,
    publicKey: keys.publicKey,
    extensions: options.extensions?.(usual) ?? usual,
    ...options.certificate,
  });
  const chain = pemOf(certificate, issuer.certificate, ark.certificate);
  return { product, kind, keys, tcb, chipId, certificate, chain };
}

function leafExtensions(
  product: SnpProduct,
  kind: 'VCEK' | 'VLEK',
  tcb: TcbVersion,
  chipId: Uint8Array,
  productName: string | undefined,
): readonly ExtensionSpec[] {
  const isTurin = product === 'Turin';
  const version = (at: string, value: number): ExtensionSpec => ({
    oid: `${AMD}.3.${at}`,
    value: der.integer(value),
  });
  const named = kind === 'VLEK' ? product : PRODUCT_NAMES[product];
  const whose: ExtensionSpec =
    kind === 'VCEK'
      ? { oid: `${AMD}.4`, value: isTurin ? chipId.subarray(0, 8) : chipId }
      : { oid: `${AMD}.5`, value: der.ia5String('CN=cc-test.cloud.example') };
  return [
    { oid: `${AMD}.1`, value: der.integer(isTurin ? 1 : 0) },
    { oid: `${AMD}.2`, value: der.ia5String(productName ?? named) },
    ...(isTurin ? [version('9', tcb.fmc ?? 0)] : [version('4', 0)]),
    version('1', tcb.bootLoader),
    version('2', tcb.tee),
    version('3', tcb.snp),
    version('5', 0),
    version('6', 0),
    version('7', 0),
    version('8', tcb.microcode),
    whose,
  ];
}

/** The id of the n-th chip of a product; Turin's have eight bytes and zeros. */
export function chipIdOf(product: SnpProduct, n: number): Uint8Array {
  const id = new Uint8Array(createHash('sha512').update(`${product} ${n}`).digest());
  if (product === 'Turin') id.fill(0, 8);
  return id;
}

/** A TCB as reports have it (attestation-snp.md §2). */
export function tcbBytes(tcb: TcbVersion, product: SnpProduct): Uint8Array {
  const { fmc = 0, bootLoader, tee, snp, microcode } = tcb;
  return product === 'Turin'
    ? Uint8Array.of(fmc, bootLoader, tee, snp, 0, 0, 0, microcode)
    : Uint8Array.of(bootLoader, tee, 0, 0, 0, 0, snp, microcode);
}

export interface ReportFields {
  readonly version?: number;
  readonly policy?: bigint;
  readonly vmpl?: number;
  readonly signatureAlgorithm?: number;
  readonly flags?: number;
  readonly reportData?: Uint8Array;
  readonly measurement?: Uint8Array;
  readonly hostData?: Uint8Array;
  readonly chipId?: Uint8Array;
  readonly tcb?: TcbVersion;
  readonly currentTcb?: TcbVersion;
  readonly committedTcb?: TcbVersion;
  readonly launchTcb?: TcbVersion;
  /** Family, model, stepping. */
  readonly cpuid?: readonly [number, number, number];
  /** Changes bytes before they are signed. */
  readonly edit?: (report: Uint8Array) => void;
  /** Changes bytes after they were signed. */
  readonly spoil?: (report: Uint8Array) => void;
  readonly signer?: KeyObject;
}

export const MEASUREMENT: Uint8Array = new Uint8Array(48).fill(0xaa);
export const HOST_DATA: Uint8Array = new Uint8Array(32).fill(0xbb);
export const REPORT_DATA: Uint8Array = new Uint8Array(64).fill(0xcc, 0, 32);
const SIGNED_BYTES = 0x2a0;

export const CPUIDS: Readonly<Record<SnpProduct, readonly [number, number, number]>> = {
  Milan: [0x19, 0x01, 1],
  Genoa: [0x19, 0x11, 1],
  Turin: [0x1a, 0x02, 1],
};

/** A report that a chip signed, of version 3 unless told otherwise. */
export function signedReport(chip: FakeChip, fields: ReportFields = {}): Uint8Array {
  const report = new Uint8Array(1184);
  const view = new DataView(report.buffer);
  const { version = 3, tcb = chip.tcb } = fields;
  const { product } = chip;
  const tcbAt = (at: number, value: TcbVersion): void =>
    report.set(tcbBytes(value, product), at);
  view.setUint32(0x000, version, true);
  view.setBigUint64(0x008, fields.policy ?? 0x3_001fn, true);
  view.setUint32(0x030, fields.vmpl ?? 0, true);
  view.setUint32(0x034, fields.signatureAlgorithm ?? 1, true);
  tcbAt(0x038, fields.currentTcb ?? tcb);
  view.setBigUint64(0x040, 0x25n, true);
  view.setUint32(0x048, fields.flags ?? (chip.kind === 'VLEK' ? 4 : 0), true);
  report.set(fields.reportData ?? REPORT_DATA, 0x050);
  report.set(fields.measurement ?? MEASUREMENT, 0x090);
  report.set(fields.hostData ?? HOST_DATA, 0x0c0);
  report.fill(0x11, 0x140, 0x160);
  report.fill(0xff, 0x160, 0x180);
  tcbAt(0x180, tcb);
  if (version >= 3) report.set(fields.cpuid ?? CPUIDS[product], 0x188);
  report.set(fields.chipId ?? (chip.kind === 'VLEK' ? new Uint8Array(64) : chip.chipId), 0x1a0);
  tcbAt(0x1e0, fields.committedTcb ?? tcb);
  report.set([40, 55, 1, 0, 40, 55, 1, 0], 0x1e8);
  tcbAt(0x1f0, fields.launchTcb ?? tcb);
  if (version >= 5) view.setBigUint64(0x200, 0x0bn, true);
  fields.edit?.(report);
  signReport(report, fields.signer ?? chip.keys.privateKey);
  fields.spoil?.(report);
  return report;
}

/** Puts the signature in its place: r and s in 72 bytes each, least significant first. */
export function signReport(report: Uint8Array, key: KeyObject): void {
  const signature = sign('sha384', report.subarray(0, SIGNED_BYTES), {
    key,
    dsaEncoding: 'ieee-p1363',
  });
  report.fill(0, SIGNED_BYTES);
  report.set(new Uint8Array(signature.subarray(0, 48)).reverse(), SIGNED_BYTES);
  report.set(new Uint8Array(signature.subarray(48)).reverse(), SIGNED_BYTES + 72);
}

/** A report as evidence. */
export function snpEvidence(
  report: Uint8Array,
  chain: string,
  more: { readonly uvm?: Uint8Array; readonly endorsedTcb?: string } = {},
): Evidence {
  return {
    format: 'AMD_SEV_SNP_v1',
    quote: toBase64(report),
    endorsements: toBase64(toUtf8(chain)),
    ...(more.uvm === undefined ? {} : { uvm_endorsements: toBase64(more.uvm) }),
    ...(more.endorsedTcb === undefined ? {} : { endorsed_tcb: more.endorsedTcb }),
  };
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
