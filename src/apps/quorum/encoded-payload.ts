/**
 * A payload in Tessera's encoded form: with a NaCl box of its master key for each recipient, all
 * sealed with the sender's private key (transaction-manager.md §B). GoQuorum's contract extension
 * carries it from one party to another inside other payloads.
 */
import type { Random } from '../../base/environment.ts';
import {
  boxSecretOf,
  openPayload,
  PAYLOAD_NONCE_BYTES,
  PAYLOAD_SECRET_BYTES,
  sealPayload,
} from '../../crypto/payload.ts';
import type { SealedPayload } from './payload-record.ts';

export interface EncodedPayload {
  readonly senderKey: Uint8Array;
  readonly cipherText: Uint8Array;
  readonly cipherTextNonce: Uint8Array;
  /** One for each recipient key; or a single one when no keys are named. */
  readonly recipientBoxes: readonly Uint8Array[];
  readonly recipientNonce: Uint8Array;
  readonly recipientKeys: readonly Uint8Array[];
}

/** Finds the private key of one of the caller's own party keys. */
export type OwnPrivateKey = (publicKey: Uint8Array) => Uint8Array | undefined;

/** Boxes a payload's master key for its recipients; undefined when a key is no curve point. */
export function encodePayloadFor(
  random: Random,
  sealed: SealedPayload,
  sender: Uint8Array,
  senderPrivateKey: Uint8Array,
  recipients: readonly Uint8Array[],
): EncodedPayload | undefined {
  const recipientNonce = random.bytes(PAYLOAD_NONCE_BYTES);
  const boxes: Uint8Array[] = [];
  for (const recipient of recipients) {
    const secret = boxSecretOf(senderPrivateKey, recipient);
    if (secret === undefined) return undefined;
    boxes.push(sealPayload(secret, recipientNonce, sealed.masterKey));
  }
  return {
    senderKey: sender,
    cipherText: sealed.ciphertext,
    cipherTextNonce: sealed.nonce,
    recipientBoxes: boxes,
    recipientNonce,
    recipientKeys: recipients,
  };
}

/**
 * Opens an encoded payload with whichever of the caller's keys fits. A box opens with the private
 * key of either end, so a sender can open the boxes it made for others, and its own.
 */
export function openEncoded(
  encoded: EncodedPayload,
  ownKeys: readonly Uint8Array[],
  privateKeyOf: OwnPrivateKey,
): Uint8Array | undefined {
  const senderPrivateKey = privateKeyOf(encoded.senderKey);
  for (const [index, box] of encoded.recipientBoxes.entries()) {
    const recipient = encoded.recipientKeys[index];
    for (const secret of secretsOf(
      encoded,
      recipient,
      ownKeys,
      privateKeyOf,
      senderPrivateKey,
    )) {
      const masterKey = openPayload(secret, encoded.recipientNonce, box);
      if (masterKey?.length !== PAYLOAD_SECRET_BYTES) continue;
      return openPayload(masterKey, encoded.cipherTextNonce, encoded.cipherText);
    }
  }
  return undefined;
}

function* secretsOf(
  encoded: EncodedPayload,
  recipient: Uint8Array | undefined,
  ownKeys: readonly Uint8Array[],
  privateKeyOf: OwnPrivateKey,
  senderPrivateKey: Uint8Array | undefined,
): Generator<Uint8Array, void, void> {
  // A payload that names no recipients holds one box: it may be for any of ours.
  for (const key of recipient === undefined ? ownKeys : [recipient]) {
    const own = privateKeyOf(key);
    const secret =
      own !== undefined
        ? boxSecretOf(own, encoded.senderKey)
        : senderPrivateKey !== undefined
          ? boxSecretOf(senderPrivateKey, key)
          : undefined;
    if (secret !== undefined) yield secret;
  }
}
