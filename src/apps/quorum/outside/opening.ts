/**
 * Payloads between an inside record and what a Tessera node takes: the boxes of a master key are
 * made when they are needed, by the private key of whichever end is inside. Made from one stored
 * nonce they are the same each time, which a peer that is sent a payload twice insists on.
 */
import { equalBytes, NO_BYTES, utf8 } from '../../../base/bytes.ts';
import { sha256Of } from '../../../crypto/hash.ts';
import {
  boxSecretOf,
  openPayload,
  PAYLOAD_NONCE_BYTES,
  PAYLOAD_SECRET_BYTES,
  sealPayload,
} from '../../../crypto/payload.ts';
import type { ReadView } from '../../../kv/tables.ts';
import { ownerOf, privateKeyOf } from '../organisation.ts';
import {
  type PayloadRecord,
  PRIVATE_STATE_VALIDATION,
  type PrivacyFlag,
} from '../payload-record.ts';
import { includes } from '../rules.ts';

/** A payload as it travels; `federation/` puts it into bytes. */
export interface TravellingPayload {
  readonly senderKey: Uint8Array;
  readonly cipherText: Uint8Array;
  readonly cipherTextNonce: Uint8Array;
  readonly recipientBoxes: readonly Uint8Array[];
  readonly recipientNonce: Uint8Array;
  readonly recipientKeys: readonly Uint8Array[];
  readonly privacyFlag: PrivacyFlag;
  readonly affected: readonly {
    readonly hash: Uint8Array;
    readonly securityHash: Uint8Array;
  }[];
  readonly execHash: Uint8Array;
  readonly mandatory: readonly Uint8Array[];
  readonly privacyGroupId: Uint8Array;
}

const RECIPIENT_NONCE = utf8('concordat.recipient_nonce.v1');

/** The nonce of all boxes of a payload: as it came, or made from what is secret and its own. */
export function recipientNonceOf(key: Uint8Array, record: PayloadRecord): Uint8Array {
  const derived = (): Uint8Array =>
    sha256Of(RECIPIENT_NONCE, key, record.salt).subarray(0, PAYLOAD_NONCE_BYTES);
  return record.recipientNonce ?? derived();
}

/** What one party is sent of a payload; undefined when neither end of its box is inside. */
export function travelling(
  view: ReadView,
  key: Uint8Array,
  record: PayloadRecord,
  recipient: Uint8Array,
): TravellingPayload | undefined {
  const others = record.recipients.filter((one) => !equalBytes(one, recipient));
  const named = record.privacyFlag === PRIVATE_STATE_VALIDATION ? others : [];
  const boxes = boxesOf(view, key, record, [recipient]);
  if (boxes.length === 0) return undefined;
  return { ...whole(key, record), recipientBoxes: boxes, recipientKeys: [recipient, ...named] };
}

/** What its own sender is given back of a payload: all boxes that can be made. */
export function returning(
  view: ReadView,
  key: Uint8Array,
  record: PayloadRecord,
  parties: readonly Uint8Array[],
): TravellingPayload | undefined {
  const boxed = parties.filter((one) => boxesOf(view, key, record, [one]).length > 0);
  if (boxed.length === 0) return undefined;
  const others = record.recipients.filter((one) => !includes(boxed, one));
  const named = record.privacyFlag === PRIVATE_STATE_VALIDATION ? others : [];
  const recipientBoxes = boxesOf(view, key, record, boxed);
  return { ...whole(key, record), recipientBoxes, recipientKeys: [...boxed, ...named] };
}

function whole(
  key: Uint8Array,
  record: PayloadRecord,
): Omit<TravellingPayload, 'recipientBoxes' | 'recipientKeys'> {
  return {
    senderKey: record.sender,
    cipherText: record.ciphertext,
    cipherTextNonce: record.nonce,
    recipientNonce: recipientNonceOf(key, record),
    privacyFlag: record.privacyFlag,
    affected: record.affected,
    execHash: utf8(record.execHash),
    mandatory: record.mandatory,
    privacyGroupId: record.privacyGroupId,
  };
}

function boxesOf(
  view: ReadView,
  key: Uint8Array,
  record: PayloadRecord,
  recipients: readonly Uint8Array[],
): readonly Uint8Array[] {
  const nonce = recipientNonceOf(key, record);
  return recipients.flatMap((recipient) => {
    const secret = secretBetween(view, record.sender, recipient);
    return secret === undefined ? [] : [sealPayload(secret, nonce, record.masterKey)];
  });
}

function secretBetween(
  view: ReadView,
  sender: Uint8Array,
  recipient: Uint8Array,
): Uint8Array | undefined {
  const senders = privateKeyOf(view, sender);
  if (senders !== undefined) return boxSecretOf(senders, recipient);
  const recipients = privateKeyOf(view, recipient);
  return recipients === undefined ? undefined : boxSecretOf(recipients, sender);
}

/** A payload from outside, opened with keys that are inside. */
export interface OpenedPayload {
  readonly masterKey: Uint8Array;
  readonly payload: Uint8Array;
  /** Whose boxes opened. */
  readonly recipients: readonly Uint8Array[];
}

/** Opens what came from outside with the inside keys that it names. */
export function openTravelling(
  view: ReadView,
  pushed: TravellingPayload,
): OpenedPayload | undefined {
  let opened: OpenedPayload | undefined;
  for (const [at, box] of pushed.recipientBoxes.entries()) {
    const recipient = pushed.recipientKeys[at] ?? NO_BYTES;
    // The key of an organisation that has left is kept for its payloads, not to open new ones.
    const isInside = ownerOf(view, recipient) !== undefined;
    const own = isInside ? privateKeyOf(view, recipient) : undefined;
    const secret = own === undefined ? undefined : boxSecretOf(own, pushed.senderKey);
    const masterKey =
      secret === undefined ? undefined : openPayload(secret, pushed.recipientNonce, box);
    if (masterKey?.length !== PAYLOAD_SECRET_BYTES) continue;
    if (opened === undefined) {
      const payload = openPayload(masterKey, pushed.cipherTextNonce, pushed.cipherText);
      if (payload !== undefined) opened = { masterKey, payload, recipients: [recipient] };
    } else if (equalBytes(opened.masterKey, masterKey)) {
      opened = { ...opened, recipients: [...opened.recipients, recipient] };
    }
  }
  return opened;
}

/** A plain NaCl box that a peer made to see whether a key is held here, opened. */
export function openChallenge(
  view: ReadView,
  challenge: TravellingPayload,
): Uint8Array | undefined {
  const [recipient = NO_BYTES] = challenge.recipientKeys;
  const one = { ...challenge, recipientBoxes: challenge.recipientBoxes.slice(0, 1) };
  return openTravelling(view, { ...one, recipientKeys: [recipient] })?.payload;
}
