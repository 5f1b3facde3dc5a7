/**
 * The table of certificates that a host hands to its guests beside a report (GHCB specification
 * §4.1.8.1; `auxblob` of configfs-tsm). GUIDs stand in the byte order of RFC 4122.
 */

import { hexOf } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';

const ROW_BYTES = 24;
const GUID_BYTES = 16;

const NAMES: Readonly<Record<string, CertificateName>> = {
  '63da758de6644564adc5f4b93be8accd': 'VCEK',
  a8074bc2a25a483eaae639c045a0b8a1: 'VLEK',
  '4ab7b379bbac4fe4a02f05aef327c782': 'ASK',
  c0b406a4a803495297433fb6014cd0ae: 'ARK',
};

export type CertificateName = 'VCEK' | 'VLEK' | 'ASK' | 'ARK';

/** DER by name. */
export type CertificateTable = ReadonlyMap<CertificateName, Uint8Array>;

/** Reads a table; what it names otherwise is passed over. Throws `BadCertTable`. */
export function parseCertTable(table: Uint8Array): CertificateTable {
  const certificates = new Map<CertificateName, Uint8Array>();
  if (table.length === 0) return certificates;
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  for (let at = 0; ; at += ROW_BYTES) {
    if (at + ROW_BYTES > table.length)
      throw bad(`no zero row ends it within ${table.length} bytes`);
    const row = table.subarray(at, at + ROW_BYTES);
    if (row.every((byte) => byte === 0)) return certificates;
    const guid = hexOf(row.subarray(0, GUID_BYTES));
    const offset = view.getUint32(at + GUID_BYTES, true);
    const length = view.getUint32(at + GUID_BYTES + 4, true);
    if (offset > table.length || length > table.length - offset) {
      throw bad(`${guid} is said to lie at ${offset}, ${length} bytes long; beyond its end`);
    }
    const name = NAMES[guid];
    if (name === undefined) continue;
    if (certificates.has(name)) throw bad(`it has two of ${name}`);
    certificates.set(name, table.subarray(offset, offset + length));
  }
}

function bad(why: string): CodedError {
  return new CodedError(
    'BadCertTable',
    `the host's table of certificates cannot be read: ${why}`,
  );
}
