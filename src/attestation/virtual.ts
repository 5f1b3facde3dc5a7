/**
 * Evidence of the `virtual` platform: a statement without proof, for development. Its form is CCF's
 * (node-lifecycle.md §4), and it says INSECURE wherever it shows.
 */
import { base64Of, bytesOfBase64, hexOf, textOf, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { DIGEST_BYTES, sha256, sha256Text } from '../crypto/hash.ts';
import type { Evidence } from './evidence.ts';
import type { EvidenceClaims } from './verdict.ts';

/** What stands in the place of a measurement. */
export const VIRTUAL_MEASUREMENT = 'Insecure hard-coded virtual measurement v1';

/** What our virtual nodes say of their host: the same everywhere, so that they can join. */
export const VIRTUAL_HOST_DATA: string = hexOf(sha256Text('concordat virtual'));

export interface VirtualEvidence extends Evidence {
  readonly format: 'Insecure_Virtual';
  /** Base64 of the statement. */
  readonly quote: string;
  readonly endorsements: '';
}

/** A statement that binds a node's public key (SPKI, DER) to nothing but somebody's word. */
export function virtualEvidence(publicKeyDer: Uint8Array, hostData: string): VirtualEvidence {
  const statement = {
    host_data: hostData,
    measurement: VIRTUAL_MEASUREMENT,
    report_data: base64Of(sha256(publicKeyDer)),
  };
  const quote = base64Of(utf8(JSON.stringify(statement)));
  return { format: 'Insecure_Virtual', quote, endorsements: '' };
}

/** Reads a statement; throws `BadEvidence`. Nothing proves any of it. */
export function readVirtualEvidence(evidence: Evidence): EvidenceClaims {
  // A statement under another platform's name would be taken for that platform's proof.
  if (evidence.format !== 'Insecure_Virtual') throw bad(`its format is ${evidence.format}`);
  const bytes = bytesOfBase64(evidence.quote);
  if (bytes === undefined) throw bad('its quote is not base64');
  const statement = statementOf(bytes);
  const measurement = textField(statement, 'measurement');
  const hostData = textField(statement, 'host_data');
  if (!/^[0-9a-f]{64}$/.test(hostData)) throw bad(`host_data is ${JSON.stringify(hostData)}`);
  const reportData = bytesOfBase64(textField(statement, 'report_data'));
  if (reportData?.length !== DIGEST_BYTES) throw bad('report_data is not 32 bytes in base64');
  return { platform: 'virtual', measurement, hostData, reportData, details: {} };
}

function statementOf(bytes: Uint8Array): object {
  let value: unknown;
  try {
    value = JSON.parse(textOf(bytes));
  } catch (cause) {
    throw bad('its quote is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null) throw bad('its quote is not an object');
  return value;
}

function textField(statement: object, name: string): string {
  const value: unknown = Reflect.get(statement, name);
  if (typeof value !== 'string') throw bad(`${name} is not a text`);
  return value;
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError('BadEvidence', `not virtual evidence: ${why}`, {}, { cause });
}
