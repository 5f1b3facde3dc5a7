/**
 * The report of Azure's paravisor (HCL) on a confidential VM: the hardware's report, and the data
 * whose digest that report carries, with the vTPM's attestation key (attestation-snp.md §6).
 */
import { CodedError, messageOf } from '../base/errors.ts';
import { fromBase64Url } from '../base/portable-bytes.ts';
import { rsaSpki } from '../crypto/rsa-key.ts';
import type { HashName } from '../crypto/verifier.ts';
import { parseJson } from './untrusted-json.ts';

export interface HclReport {
  /** Of the header: 1, or 2 on newer machines; both have the same layout. */
  readonly version: 1 | 2;
  /** The hardware's report as it stands. */
  readonly report: Uint8Array;
  /** What the hardware's report data begin with the digest of: never to be serialised anew. */
  readonly runtimeData: Uint8Array;
  readonly runtimeDataHash: HashName;
  /** The vTPM's attestation key, SubjectPublicKeyInfo in DER. */
  readonly attestationKey: Uint8Array;
  readonly vmConfiguration: Readonly<Record<string, boolean | number | string>>;
  /** Of the NV index that a guest may write; 64 bytes, or none on old machines. */
  readonly userData: Uint8Array | undefined;
}

const MAGIC = 0x48434c41;
const HEADER_BYTES = 0x20;
const SNP_REPORT_BYTES = 1184;
/** Behind the area of the hardware's report: five numbers, then the runtime data. */
const RUNTIME_AT = 0x4c0;
const RUNTIME_HEADER_BYTES = 20;
const REQUEST_ATTESTATION = 2;
const TYPE_SNP = 2;
const HASHES: Readonly<Record<number, HashName>> = {
  1: 'SHA-256',
  2: 'SHA-384',
  3: 'SHA-512',
};
/** The NV index holds 2600 bytes today; ten times as much is no report any more. */
const HCL_BYTES_MAX = 32_768;
const ATTESTATION_KEY = 'HCLAkPub';
const USER_DATA_BYTES = 64;

/** Reads a report; throws `BadHclReport`. Nothing in it is proven by that. */
export function readHclReport(bytes: Uint8Array): HclReport {
  if (bytes.length > HCL_BYTES_MAX) throw bad(`it has ${bytes.length} bytes`);
  if (bytes.length < RUNTIME_AT + RUNTIME_HEADER_BYTES) {
    throw bad(`it is cut off after ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const number = (at: number): number => view.getUint32(at, true);
  if (view.getUint32(0) !== MAGIC) throw bad('it does not begin with HCLA');
  const version = number(4);
  if (version !== 1 && version !== 2) throw bad(`its version is ${version}; known are 1 and 2`);
  expect('request type', number(12), REQUEST_ATTESTATION);
  expect('status', number(16), 0);
  if (!isZero(bytes.subarray(20, HEADER_BYTES))) throw bad('reserved bytes are set');
  const dataBytes = number(RUNTIME_AT + 16);
  expect('size of the data', number(RUNTIME_AT), dataBytes + RUNTIME_HEADER_BYTES);
  expect('size of the report', number(8), RUNTIME_AT + number(RUNTIME_AT));
  expect('version of the data', number(RUNTIME_AT + 4), 1);
  expect('type of the hardware report', number(RUNTIME_AT + 8), TYPE_SNP);
  const hashType = number(RUNTIME_AT + 12);
  const runtimeDataHash = HASHES[hashType];
  if (runtimeDataHash === undefined) throw bad(`its type of hash is ${hashType}`);
  const from = RUNTIME_AT + RUNTIME_HEADER_BYTES;
  if (dataBytes > bytes.length - from) throw bad('its data reach beyond its end');
  // The NV index is larger than what the paravisor writes into it.
  if (!isZero(bytes.subarray(from + dataBytes))) throw bad('something follows its data');
  const runtimeData = bytes.subarray(from, from + dataBytes);
  return {
    version,
    report: bytes.subarray(HEADER_BYTES, HEADER_BYTES + SNP_REPORT_BYTES),
    runtimeData,
    runtimeDataHash,
    ...readRuntimeData(runtimeData),
  };
}

type RuntimeData = Pick<HclReport, 'attestationKey' | 'vmConfiguration' | 'userData'>;

function readRuntimeData(bytes: Uint8Array): RuntimeData {
  let value: unknown;
  try {
    value = parseJson(bytes);
  } catch (cause) {
    throw bad('its data are not JSON', cause);
  }
  if (!isObject(value)) throw bad('its data are not an object');
  const { keys, 'vm-configuration': configuration, 'user-data': userData } = value;
  return {
    attestationKey: attestationKeyOf(keys),
    vmConfiguration: configurationOf(configuration),
    userData: userData === undefined ? undefined : userDataOf(userData),
  };
}

/** With two keys of one name, two readers could take different ones. */
function attestationKeyOf(keys: unknown): Uint8Array {
  if (!Array.isArray(keys)) throw bad('it names no keys');
  const named = keys.filter((key: unknown) => isObject(key) && key.kid === ATTESTATION_KEY);
  const key: unknown = named[0];
  if (named.length !== 1 || !isObject(key)) {
    throw bad(`it has ${named.length} keys named ${ATTESTATION_KEY} instead of one`);
  }
  const { kty, n, e } = key;
  const modulus = typeof n === 'string' ? fromBase64Url(n) : undefined;
  const exponent = typeof e === 'string' ? fromBase64Url(e) : undefined;
  if (kty !== 'RSA' || modulus === undefined || exponent === undefined) {
    throw bad(`${ATTESTATION_KEY} is not an RSA key`);
  }
  try {
    return rsaSpki({ modulus, exponent });
  } catch (thrown) {
    throw bad(`${ATTESTATION_KEY}: ${messageOf(thrown)}`, thrown);
  }
}

function configurationOf(value: unknown): HclReport['vmConfiguration'] {
  if (!isObject(value)) throw bad('it has no vm-configuration');
  const configuration: Record<string, boolean | number | string> = {};
  for (const [name, setting] of Object.entries(value)) {
    const isPlain =
      typeof setting === 'boolean' ||
      typeof setting === 'number' ||
      typeof setting === 'string';
    if (isPlain) configuration[name] = setting;
  }
  return configuration;
}

function userDataOf(value: unknown): Uint8Array {
  const isHex =
    typeof value === 'string' &&
    value.length === 2 * USER_DATA_BYTES &&
    /^[0-9A-F]*$/.test(value);
  if (!isHex) throw bad(`its user-data are not ${USER_DATA_BYTES} bytes in hexadecimal`);
  return Uint8Array.from({ length: USER_DATA_BYTES }, (_, i) =>
    Number.parseInt(value.slice(2 * i, 2 * i + 2), 16),
  );
}

function expect(what: string, is: number, shouldBe: number): void {
  if (is !== shouldBe) throw bad(`its ${what} is ${is} instead of ${shouldBe}`);
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError('BadHclReport', `not a paravisor's report: ${why}`, {}, { cause });
}
