/**
 * A ledger secret made ready: the key that seals private domains and what commit evidence is
 * derived from (ledger-format.md §3.2 and §7).
 */
import { type AeadKey, aeadKeyOf } from '../crypto/aead.ts';
import { EvidenceMaker } from './evidence.ts';

export const LEDGER_SECRET_BYTES = 32;

export interface LedgerSecret {
  readonly key: AeadKey;
  readonly evidence: EvidenceMaker;
}

/** Makes the 32 bytes of a ledger secret ready for use. */
export function ledgerSecretOf(bytes: Uint8Array): LedgerSecret {
  return { key: aeadKeyOf(bytes), evidence: new EvidenceMaker(bytes) };
}
