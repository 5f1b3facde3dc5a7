/**
 * Evidence of the `virtual` platform: a statement without proof, for development. Its form is CCF's
 * (node-lifecycle.md §4), and it says INSECURE wherever it shows.
 */
import { base64Of, utf8 } from '../base/bytes.ts';
import { sha256 } from '../crypto/hash.ts';

/** What stands in the place of a measurement. */
export const VIRTUAL_MEASUREMENT = 'Insecure hard-coded virtual measurement v1';

export interface VirtualEvidence {
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
