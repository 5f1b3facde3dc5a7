/**
 * A payload as a Tessera node held it, read from the body of an import and opened with the
 * caller's own keys. It is believed only where that can be checked: its key is SHA3-512 of its
 * ciphertext, and the ciphertext opens under the master key that came with it.
 */
import { base64Of, bufferOf, equalBytes, textOf } from '../../../base/bytes.ts';
import { AFFECTED_TRANSACTIONS_MAX, PAYLOAD_PARTIES_MAX } from '../../../base/limits.ts';
import {
  boxSecretOf,
  openPayload,
  PAYLOAD_KEY_BYTES,
  PAYLOAD_NONCE_BYTES,
  PAYLOAD_SECRET_BYTES,
  payloadKeyOf,
} from '../../../crypto/payload.ts';
import type { ReadView } from '../../../kv/tables.ts';
import { type Organisation, owns, privateKeyOf } from '../organisation.ts';
import { PARTY_KEY_BYTES } from '../parties.ts';
import type { PrivacyFlag } from '../payload-record.ts';
import { distinct, flagOf } from '../rules.ts';
import { refuseWith } from '../wire/answers.ts';
import { type Body, bytesOfText } from '../wire/body.ts';

export interface TransferredPayload {
  readonly key: Buffer;
  readonly sender: Buffer;
  readonly ciphertext: Buffer;
  readonly nonce: Buffer;
  readonly recipientNonce: Buffer;
  readonly boxes: readonly Buffer[];
  /** Empty in what the oldest nodes held of others; then there is one box, for one of theirs. */
  readonly recipients: readonly Buffer[];
  readonly privacyFlag: PrivacyFlag;
  readonly execHash: string;
  readonly mandatory: readonly Buffer[];
  readonly affected: readonly { readonly hash: Buffer; readonly securityHash: Buffer }[];
  readonly privacyGroupId: Buffer;
}

/** Reads a body; refuses by name what no payload of Tessera is. */
export function transferredIn(body: Body): TransferredPayload {
  const affected = [...body.map('affectedContractTransactions')].map(([hash, security]) => ({
    hash: sized(bytesOfText(hash), PAYLOAD_KEY_BYTES, 'an affected transaction'),
    securityHash: sized(bytesOfText(security), PAYLOAD_KEY_BYTES, 'a security hash'),
  }));
  if (affected.length > AFFECTED_TRANSACTIONS_MAX) {
    const most = AFFECTED_TRANSACTIONS_MAX;
    throw refuseWith(400, `a payload has at most ${most} affected contract transactions`);
  }
  const ciphertext = required(body, 'cipherText');
  return {
    key: checkedKey(required(body, 'hash'), ciphertext),
    sender: sized(required(body, 'senderKey'), PARTY_KEY_BYTES, 'senderKey'),
    ciphertext,
    nonce: sized(required(body, 'cipherTextNonce'), PAYLOAD_NONCE_BYTES, 'cipherTextNonce'),
    recipientNonce: sized(
      required(body, 'recipientNonce'),
      PAYLOAD_NONCE_BYTES,
      'recipientNonce',
    ),
    boxes: listed(body, 'recipientBoxes'),
    recipients: keysIn(body, 'recipientKeys'),
    privacyFlag: flagOf(body.integer('privacyMode', 0)),
    execHash: execHashIn(body),
    mandatory: keysIn(body, 'mandatoryRecipients'),
    affected,
    privacyGroupId: body.bytes('privacyGroupId') ?? Buffer.alloc(0),
  };
}

/** The key, if it is the ciphertext's own. */
export function checkedKey(key: Buffer, ciphertext: Buffer): Buffer {
  const own = payloadKeyOf(ciphertext);
  if (equalBytes(own, key)) return own;
  throw refuseWith(
    400,
    `hash ${base64Of(key)} is not that of its ciphertext, which is ${base64Of(own)}`,
  );
}

/** What the caller's keys made of it. */
export interface OpenedTransfer {
  readonly masterKey: Uint8Array;
  readonly payload: Uint8Array;
  /** Recipients whose boxes opened: the caller's own, and all of them if the caller sent it. */
  readonly recipients: readonly Buffer[];
  readonly bySender: boolean;
}

/** Opens a payload with the caller's keys; undefined when none of them does. */
export function openTransferred(
  view: ReadView,
  caller: Organisation,
  transferred: TransferredPayload,
): OpenedTransfer | undefined {
  const { sender, boxes, recipientNonce, nonce, ciphertext } = transferred;
  const bySender = owns(caller, sender);
  let masterKey: Uint8Array | undefined;
  const recipients: Buffer[] = [];
  for (const [index, box] of boxes.entries()) {
    const named = transferred.recipients[index];
    for (const recipient of named === undefined ? caller.keys : [named]) {
      const secret = secretWith(view, caller, sender, recipient);
      const found = secret === undefined ? undefined : openPayload(secret, recipientNonce, box);
      if (found?.length !== PAYLOAD_SECRET_BYTES) continue;
      // Boxes of one payload hold one master key; another is none of this payload's.
      if (masterKey !== undefined && !equalBytes(masterKey, found)) continue;
      masterKey = found;
      recipients.push(recipient);
    }
  }
  const payload =
    masterKey === undefined ? undefined : openPayload(masterKey, nonce, ciphertext);
  if (masterKey === undefined || payload === undefined) return undefined;
  return { masterKey, payload, recipients: distinct(recipients), bySender };
}

/** A box opens with the private key of either end, so a sender opens those it made for others. */
function secretWith(
  view: ReadView,
  caller: Organisation,
  sender: Buffer,
  recipient: Buffer,
): Uint8Array | undefined {
  if (owns(caller, recipient)) {
    const own = privateKeyOf(view, recipient);
    return own === undefined ? undefined : boxSecretOf(own, sender);
  }
  const own = owns(caller, sender) ? privateKeyOf(view, sender) : undefined;
  return own === undefined ? undefined : boxSecretOf(own, recipient);
}

/** Bytes that must be there. */
export function required(body: Body, name: string): Buffer {
  const given = body.text(name);
  const bytes = given === undefined ? undefined : bytesOfText(given);
  if (bytes !== undefined && bytes.length > 0) return bytes;
  throw refuseWith(400, `${name} is missing`);
}

/** Bytes of one length. */
export function sized(bytes: Buffer, length: number, what: string): Buffer {
  if (bytes.length === length) return bytes;
  throw refuseWith(400, `${what} has ${bytes.length} bytes, not ${length}`);
}

/** Party keys, not too many. */
export function keysIn(body: Body, name: string): readonly Buffer[] {
  return distinct(
    listed(body, name).map((key) => sized(key, PARTY_KEY_BYTES, `a key of ${name}`)),
  );
}

function listed(body: Body, name: string): readonly Buffer[] {
  const texts = body.texts(name);
  if (texts.length <= PAYLOAD_PARTIES_MAX) return texts.map(bytesOfText);
  throw refuseWith(400, `${name} has ${texts.length} items, at most ${PAYLOAD_PARTIES_MAX}`);
}

function execHashIn(body: Body): string {
  const bytes = body.bytes('execHash') ?? Buffer.alloc(0);
  try {
    return textOf(bufferOf(bytes));
  } catch {
    throw refuseWith(400, 'execHash is no text');
  }
}
