/**
 * What AMD says of a key in the certificate of a chip (VCEK) or of a cloud (VLEK): extensions under
 * 1.3.6.1.4.1.3704.1 (AMD 57230 §3.1; attestation-snp.md §3).
 */
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { DER_INTEGER, DerReader } from '../crypto/der.ts';
import type { Certificate } from '../crypto/x509.ts';
import { extensionValue, smallInteger } from '../crypto/x509-extensions.ts';
import { DER_IA5_STRING, textOfString } from '../crypto/x509-names.ts';
import type { TcbVersion } from './policy.ts';
import { refusal } from './refusals.ts';

export type LeafKind = 'VCEK' | 'VLEK';

export interface LeafFacts {
  readonly structVersion: number;
  readonly productName: string;
  /** With an FMC exactly on Turin. */
  readonly tcb: TcbVersion;
  /** Of a VCEK: the chip's id, 64 bytes or, on Turin, 8. */
  readonly chipId?: Uint8Array;
  /** Of a VLEK: whose cloud. */
  readonly cloud?: string;
}

const AMD = '1.3.6.1.4.1.3704.1';
const STRUCT_VERSION = `${AMD}.1`;
const PRODUCT_NAME = `${AMD}.2`;
const BOOT_LOADER = `${AMD}.3.1`;
const TEE = `${AMD}.3.2`;
const SNP = `${AMD}.3.3`;
/** Bytes of a TCB that mean nothing yet; Turin has no `.3.4`. */
const RESERVED = [`${AMD}.3.4`, `${AMD}.3.5`, `${AMD}.3.6`, `${AMD}.3.7`];
const MICROCODE = `${AMD}.3.8`;
const FMC = `${AMD}.3.9`;
const HARDWARE_ID = `${AMD}.4`;
const CLOUD = `${AMD}.5`;
const CHIP_ID_BYTES = [8, 64];

/** Reads them; throws `LeafExtensionUnreadable`. */
export function readLeaf(leaf: Certificate, kind: LeafKind): LeafFacts {
  for (const oid of RESERVED) {
    const value = extensionValue(leaf, oid);
    if (value !== undefined && number(value, oid) !== 0) throw bad(`${oid} is not zero`);
  }
  const fmc = extensionValue(leaf, FMC);
  const need = (oid: string): number => number(needed(leaf, oid), oid);
  return {
    structVersion: need(STRUCT_VERSION),
    productName: text(needed(leaf, PRODUCT_NAME), PRODUCT_NAME),
    tcb: {
      ...(fmc === undefined ? {} : { fmc: number(fmc, FMC) }),
      bootLoader: need(BOOT_LOADER),
      tee: need(TEE),
      snp: need(SNP),
      microcode: need(MICROCODE),
    },
    ...(kind === 'VCEK' ? { chipId: chipIdOf(leaf) } : { cloud: cloudOf(leaf) }),
  };
}

function chipIdOf(leaf: Certificate): Uint8Array {
  // Raw octets: not even wrapped in DER.
  const value = needed(leaf, HARDWARE_ID);
  if (!CHIP_ID_BYTES.includes(value.length)) {
    throw bad(`${HARDWARE_ID} has ${value.length} bytes, not 8 or 64`);
  }
  return value;
}

function cloudOf(leaf: Certificate): string {
  if (extensionValue(leaf, HARDWARE_ID) !== undefined) {
    throw bad(`${HARDWARE_ID} is there, which a key of a cloud does not have`);
  }
  return text(needed(leaf, CLOUD), CLOUD);
}

function needed(leaf: Certificate, oid: string): Uint8Array {
  const value = extensionValue(leaf, oid);
  if (value === undefined) throw bad(`${oid} is missing`);
  return value;
}

function number(value: Uint8Array, oid: string): number {
  return only(value, oid, (reader) => smallInteger(reader.expect(DER_INTEGER).content));
}

function text(value: Uint8Array, oid: string): string {
  return only(value, oid, (reader) => textOfString(reader.expect(DER_IA5_STRING)));
}

function only<T>(value: Uint8Array, oid: string, read: (reader: DerReader) => T): T {
  try {
    const reader = new DerReader(value);
    const result = read(reader);
    reader.end();
    return result;
  } catch (thrown) {
    if (isCoded(thrown, 'BadDer')) throw bad(`${oid}: ${messageOf(thrown)}`);
    throw thrown;
  }
}

function bad(detail: string): CodedError {
  const { code, message } = refusal('LeafExtensionUnreadable', detail);
  return new CodedError(code, message);
}
