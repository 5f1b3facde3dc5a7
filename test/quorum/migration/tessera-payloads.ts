/**
 * Payloads as a Tessera node makes and keeps them, made from the contract: a master key of their
 * own, a box of it for each recipient, the key SHA3-512 of the ciphertext
 * (transaction-manager.md §B).
 */
import { randomBytes } from 'node:crypto';
import { sha3_512 } from '../../../src/crypto/hash.ts';
import { generatePartyKey } from '../../../src/crypto/party-keys.ts';
import { boxSecretOf, payloadKeyOf, sealPayload } from '../../../src/crypto/payload.ts';
import { systemRandom } from '../../../src/crypto/random.ts';
import { type EncodedPayload, forRecipient } from '../../../src/federation/encoded-payload.ts';
import type { PartyKeyPair } from '../../support/quorum-network.ts';

/** Real X25519 pairs: organisation n has the n-th. */
export function realKeys(organisations: number): readonly PartyKeyPair[] {
  return Array.from({ length: organisations }, (_, index) => {
    const { publicKey, privateKey } = generatePartyKey(systemRandom);
    const [shown, secret] = [publicKey, privateKey].map((key) =>
      Buffer.from(key).toString('base64'),
    ) as [string, string];
    return { node: index + 1, publicKey: shown, privateKey: secret };
  });
}

export interface SealedByTessera {
  readonly hash: Buffer;
  readonly masterKey: Buffer;
  /** As its sender keeps it. */
  readonly whole: EncodedPayload;
  /** As a recipient is sent it, and keeps it. */
  for(recipient: PartyKeyPair): EncodedPayload;
}

export interface Order {
  readonly from: PartyKeyPair;
  readonly to: readonly PartyKeyPair[];
  readonly payload?: string;
  readonly privacyFlag?: EncodedPayload['privacyFlag'];
  readonly affected?: readonly SealedByTessera[];
  readonly execHash?: string;
  readonly mandatory?: readonly PartyKeyPair[];
  readonly privacyGroupId?: Uint8Array;
}

/** What Tessera does on `/send`; the sender comes last among the recipients. */
export function sealedByTessera(order: Order): SealedByTessera {
  const { from, to, payload = 'a payload', privacyFlag = 0, affected = [] } = order;
  const [masterKey, cipherTextNonce, recipientNonce] = [32, 24, 24].map((length) =>
    randomBytes(length),
  ) as [Buffer, Buffer, Buffer];
  const cipherText = sealPayload(masterKey, cipherTextNonce, Buffer.from(payload));
  const parties = [...to, from];
  const recipientBoxes = parties.map((party) => {
    const secret = boxSecretOf(bytesOf(from.privateKey), bytesOf(party.publicKey));
    if (secret === undefined) throw new Error('a key of the test is no curve point');
    return sealPayload(secret, recipientNonce, masterKey);
  });
  const whole: EncodedPayload = {
    senderKey: bytesOf(from.publicKey),
    cipherText,
    cipherTextNonce,
    recipientBoxes,
    recipientNonce,
    recipientKeys: parties.map(({ publicKey }) => bytesOf(publicKey)),
    privacyFlag,
    affected: affected.map((one) => ({
      hash: one.hash,
      securityHash: sha3_512(Buffer.concat([cipherText, one.whole.cipherText, one.masterKey])),
    })),
    execHash: Buffer.from(order.execHash ?? ''),
    mandatory: (order.mandatory ?? []).map(({ publicKey }) => bytesOf(publicKey)),
    privacyGroupId: order.privacyGroupId ?? new Uint8Array(0),
  };
  const hash = payloadKeyOf(cipherText);
  return {
    hash,
    masterKey,
    whole,
    for: (party) => forRecipient(whole, bytesOf(party.publicKey)),
  };
}

export function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'base64');
}
