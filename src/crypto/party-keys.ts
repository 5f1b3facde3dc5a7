/**
 * Party keys: the Curve25519 key pairs of NaCl's box (RFC 7748), by which Quorum's organisations
 * name each other.
 */
import { x25519 } from '@noble/curves/ed25519.js';
import type { Random } from '../base/environment.ts';

export const PARTY_KEY_BYTES = 32;

export interface PartyKeyPair {
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
}

/** A new pair. */
export function generatePartyKey(random: Random): PartyKeyPair {
  const privateKey = random.bytes(PARTY_KEY_BYTES);
  return { privateKey, publicKey: partyKeyOf(privateKey) };
}

/** The public key of a private one. */
export function partyKeyOf(privateKey: Uint8Array): Uint8Array {
  return x25519.getPublicKey(privateKey);
}
