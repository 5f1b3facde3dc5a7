/** Payloads as a Tessera node makes them: real keys, real boxes, whatever is asked for. */
import { randomBytes } from 'node:crypto';
import { sha3_512 } from '../../src/crypto/hash.ts';
import { generatePartyKey } from '../../src/crypto/party-keys.ts';
import {
  boxSecretOf,
  openPayload,
  payloadKeyOf,
  sealPayload,
} from '../../src/crypto/payload.ts';
import type { EncodedPayload } from '../../src/federation/encoded-payload.ts';

export interface KeyPair {
  readonly publicKey: Buffer;
  readonly privateKey: Buffer;
}

export function newKeyPair(): KeyPair {
  const pair = generatePartyKey({ bytes: (count) => randomBytes(count) });
  return { publicKey: Buffer.from(pair.publicKey), privateKey: Buffer.from(pair.privateKey) };
}

/** What a payload was made of, for those that affect it later. */
export interface MadePayload {
  readonly encoded: EncodedPayload;
  readonly masterKey: Buffer;
  readonly key: string;
  readonly recipients: readonly Buffer[];
}

export interface PayloadWish {
  readonly text?: string;
  readonly privacyFlag?: 0 | 1 | 2 | 3;
  readonly execHash?: string;
  readonly mandatory?: readonly Buffer[];
  readonly affected?: readonly MadePayload[];
  readonly privacyGroupId?: Buffer;
}

/** A payload with a box for each recipient, the sender among them. */
export function madePayload(
  sender: KeyPair,
  to: readonly Buffer[],
  wish: PayloadWish = {},
): MadePayload {
  const masterKey = randomBytes(32);
  const cipherTextNonce = randomBytes(24);
  const recipientNonce = randomBytes(24);
  const text = Buffer.from(wish.text ?? 'a payload from outside');
  const cipherText = Buffer.from(sealPayload(masterKey, cipherTextNonce, text));
  const recipients = [...to, sender.publicKey];
  const encoded: EncodedPayload = {
    senderKey: sender.publicKey,
    cipherText,
    cipherTextNonce,
    recipientBoxes: recipients.map((key) => boxed(sender, key, recipientNonce, masterKey)),
    recipientNonce,
    recipientKeys: recipients,
    privacyFlag: wish.privacyFlag ?? 0,
    affected: (wish.affected ?? []).map((one) => ({
      hash: Buffer.from(one.key, 'base64'),
      securityHash: sha3_512(
        Buffer.concat([cipherText, one.encoded.cipherText, one.masterKey]),
      ),
    })),
    execHash: Buffer.from(wish.execHash ?? ''),
    mandatory: wish.mandatory ?? [],
    privacyGroupId: wish.privacyGroupId ?? Buffer.alloc(0),
  };
  return { encoded, masterKey, key: payloadKeyOf(cipherText).toString('base64'), recipients };
}

function boxed(sender: KeyPair, to: Buffer, nonce: Buffer, masterKey: Buffer): Uint8Array {
  const secret = boxSecretOf(sender.privateKey, to);
  if (secret === undefined) throw new Error('no curve point');
  return sealPayload(secret, nonce, masterKey);
}

/** Opens a payload with the key pair of one of its recipients, or of its sender. */
export function opened(
  payload: EncodedPayload,
  own: KeyPair,
): { readonly masterKey: Buffer; readonly text: string } | undefined {
  for (const [at, box] of payload.recipientBoxes.entries()) {
    const recipient = Buffer.from(payload.recipientKeys[at] ?? own.publicKey);
    const other = recipient.equals(own.publicKey) ? payload.senderKey : recipient;
    const secret = boxSecretOf(own.privateKey, other);
    if (secret === undefined) continue;
    const masterKey = openPayload(secret, payload.recipientNonce, box);
    if (masterKey === undefined) continue;
    const text = openPayload(masterKey, payload.cipherTextNonce, payload.cipherText);
    if (text === undefined) continue;
    return { masterKey: Buffer.from(masterKey), text: Buffer.from(text).toString() };
  }
  return undefined;
}
