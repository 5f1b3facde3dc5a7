/**
 * How Tessera encrypts a private payload, so that what is stored here stays valid there and back
 * (transaction-manager.md §B): NaCl's secretbox (XSalsa20-Poly1305) under a random master key, the
 * payload's key SHA3-512 of the ciphertext, and the master key in a NaCl box for each recipient.
 */
import { hsalsa, xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { sha3_512 } from './hash.ts';

/** Bytes of a master key, of a party key and of its private key. */
export const PAYLOAD_SECRET_BYTES = 32;
/** Bytes of a secretbox's nonce. */
export const PAYLOAD_NONCE_BYTES = 24;
/** Bytes of a payload's key. */
export const PAYLOAD_KEY_BYTES = 64;

/** The key under which a payload is stored: SHA3-512 of its ciphertext. */
export function payloadKeyOf(ciphertext: Uint8Array): Buffer {
  return sha3_512(ciphertext);
}

/** secretbox(message): 16 bytes of Poly1305 tag, then the ciphertext. */
export function sealPayload(
  secret: Uint8Array,
  nonce: Uint8Array,
  message: Uint8Array,
): Uint8Array {
  return xsalsa20poly1305(secret, nonce).encrypt(message);
}

/** The message of a secretbox, or undefined when it does not open. */
export function openPayload(
  secret: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  if (secret.length !== PAYLOAD_SECRET_BYTES || nonce.length !== PAYLOAD_NONCE_BYTES) {
    return undefined;
  }
  try {
    return xsalsa20poly1305(secret, nonce).decrypt(sealed);
  } catch {
    return undefined;
  }
}

// "expand 32-byte k", as little-endian words (Salsa20 specification §9).
const SIGMA = new Uint32Array([0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
const ZERO_NONCE = new Uint32Array(4);

/**
 * What a NaCl box of two parties is sealed with (`crypto_box_beforenm`): HSalsa20 of their X25519
 * secret. The same from either side. Undefined for a public key of small order or of wrong length.
 */
export function boxSecretOf(
  privateKey: Uint8Array,
  publicKey: Uint8Array,
): Uint8Array | undefined {
  if (publicKey.length !== PAYLOAD_SECRET_BYTES) return undefined;
  try {
    const shared = x25519.getSharedSecret(privateKey, publicKey);
    const words = new Uint32Array(8);
    const view = new DataView(shared.buffer, shared.byteOffset, shared.byteLength);
    for (let i = 0; i < 8; i += 1) words[i] = view.getUint32(4 * i, true);
    const derived = new Uint32Array(8);
    hsalsa(SIGMA, words, ZERO_NONCE, derived);
    const secret = Buffer.allocUnsafe(PAYLOAD_SECRET_BYTES);
    derived.forEach((word, i) => {
      secret.writeUInt32LE(word, 4 * i);
    });
    return secret;
  } catch {
    return undefined;
  }
}
