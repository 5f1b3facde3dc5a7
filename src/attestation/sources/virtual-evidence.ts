/** Makes evidence of the `virtual` platform, which binds a key to nothing but somebody's word. */
import { base64Of, utf8 } from '../../base/bytes.ts';
import { sha256 } from '../../crypto/hash.ts';
import { VIRTUAL_MEASUREMENT, type VirtualEvidence } from '../virtual.ts';

/** A statement about a node's public key (SPKI, DER). */
export function virtualEvidence(publicKeyDer: Uint8Array, hostData: string): VirtualEvidence {
  return virtualStatement(sha256(publicKeyDer), hostData);
}

/** A statement about report data. */
export function virtualStatement(reportData: Uint8Array, hostData: string): VirtualEvidence {
  const statement = {
    host_data: hostData,
    measurement: VIRTUAL_MEASUREMENT,
    report_data: base64Of(reportData),
  };
  const quote = base64Of(utf8(JSON.stringify(statement)));
  return { format: 'Insecure_Virtual', quote, endorsements: '' };
}
