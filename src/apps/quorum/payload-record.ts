/**
 * The record of a payload, as it lies sealed in the ledger: what is needed to give it to its
 * parties, to judge later transactions by it, to open its receipt, and to pass it on to a Tessera
 * peer.
 */
import { equalBytes, textOf, utf8 } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import {
  openPayload,
  PAYLOAD_KEY_BYTES,
  PAYLOAD_NONCE_BYTES,
  PAYLOAD_SECRET_BYTES,
  payloadKeyOf,
} from '../../crypto/payload.ts';
import { PARTY_KEY_BYTES } from './parties.ts';
import { RecordReader, RecordWriter } from './record-bytes.ts';

/** Standard private, party protection, mandatory recipients, private state validation. */
export type PrivacyFlag = 0 | 1 | 2 | 3;
export const MANDATORY_RECIPIENTS = 2;
export const PRIVATE_STATE_VALIDATION = 3;

/** A transaction whose contract this one touches. */
export interface AffectedTransaction {
  readonly hash: Uint8Array;
  /** SHA3-512(this ciphertext ‖ its ciphertext ‖ its master key): shows a peer that we have it. */
  readonly securityHash: Uint8Array;
  /** For each recipient, whether its organisation was a party to that transaction. */
  readonly knownTo: readonly boolean[];
}

/** A payload as it was encrypted, before anybody is named. */
export interface SealedPayload {
  readonly ciphertext: Uint8Array;
  readonly nonce: Uint8Array;
  readonly masterKey: Uint8Array;
}

export interface PayloadRecord extends SealedPayload {
  readonly sender: Uint8Array;
  /** In the order they were named, the sender last unless named; each once. */
  readonly recipients: readonly Uint8Array[];
  readonly privacyFlag: PrivacyFlag;
  /** Text as the client gave it; empty unless private state validation. */
  readonly execHash: string;
  readonly mandatory: readonly Uint8Array[];
  readonly affected: readonly AffectedTransaction[];
  /** Empty when no group was named. */
  readonly privacyGroupId: Uint8Array;
  /** Hides the payload in its receipt's claims digest. */
  readonly salt: Uint8Array;
  /** The nonce of the boxes that it came in; absent unless it came from outside. */
  readonly recipientNonce?: Uint8Array;
}

const FORMAT = 1;
/** Like the first, with the nonce of the boxes at its end. */
const FORMAT_FROM_OUTSIDE = 2;
export const SALT_BYTES = 32;

export function encodePayload(record: PayloadRecord): Uint8Array {
  const { recipientNonce } = record;
  const writer = new RecordWriter()
    .byte(recipientNonce === undefined ? FORMAT : FORMAT_FROM_OUTSIDE)
    .byte(record.privacyFlag)
    .fixed(record.nonce)
    .fixed(record.masterKey)
    .fixed(record.salt)
    .fixed(record.sender)
    .list(record.recipients)
    .list(record.mandatory)
    .sized(utf8(record.execHash))
    .sized(record.privacyGroupId)
    .count(record.affected.length);
  for (const { hash, securityHash, knownTo } of record.affected) {
    writer
      .fixed(hash)
      .fixed(securityHash)
      .sized(Buffer.from(knownTo.map(Number)));
  }
  writer.sized(record.ciphertext);
  if (recipientNonce !== undefined) writer.fixed(recipientNonce);
  return writer.finish();
}

/**
 * Reads a record that was stored under `key`, and makes sure that it belongs there: the key is
 * recomputed from the ciphertext.
 */
export function decodePayload(key: Uint8Array, bytes: Uint8Array): PayloadRecord {
  const record = recordIn(bytes);
  requireKey(key, record.ciphertext);
  return record;
}

/** Reads a record, and computes the key that it was stored under. */
export function decodeKeyed(bytes: Uint8Array): {
  readonly key: Uint8Array;
  readonly record: PayloadRecord;
} {
  const record = recordIn(bytes);
  return { key: payloadKeyOf(record.ciphertext), record };
}

function recordIn(bytes: Uint8Array): PayloadRecord {
  const reader = new RecordReader(bytes);
  const format = reader.byte();
  if (format !== FORMAT && format !== FORMAT_FROM_OUTSIDE) {
    throw reader.broken(`is of format ${format}, not ${FORMAT} or ${FORMAT_FROM_OUTSIDE}`);
  }
  const privacyFlag = reader.byte() as PrivacyFlag;
  const nonce = reader.fixed(PAYLOAD_NONCE_BYTES);
  const masterKey = reader.fixed(PAYLOAD_SECRET_BYTES);
  const salt = reader.fixed(SALT_BYTES);
  const sender = reader.fixed(PARTY_KEY_BYTES);
  const recipients = reader.list(PARTY_KEY_BYTES);
  const mandatory = reader.list(PARTY_KEY_BYTES);
  const execHash = textOf(reader.sized());
  const privacyGroupId = reader.sized();
  const affected = Array.from({ length: reader.count() }, () => ({
    hash: reader.fixed(PAYLOAD_KEY_BYTES),
    securityHash: reader.fixed(PAYLOAD_KEY_BYTES),
    knownTo: [...reader.sized()].map(Boolean),
  }));
  const ciphertext = reader.sized();
  const fromOutside = format === FORMAT_FROM_OUTSIDE;
  const nonces = fromOutside ? { recipientNonce: reader.fixed(PAYLOAD_NONCE_BYTES) } : {};
  reader.finish();
  return {
    ...nonces,
    privacyFlag,
    nonce,
    masterKey,
    salt,
    sender,
    recipients,
    mandatory,
    execHash,
    privacyGroupId,
    affected,
    ciphertext,
  };
}

/** The payload itself. What does not open is damage, never a reason to say that it is not there. */
export function openRecord(sealed: SealedPayload): Uint8Array {
  const payload = openPayload(sealed.masterKey, sealed.nonce, sealed.ciphertext);
  if (payload === undefined) {
    throw new CodedError('BadRecord', 'a stored payload does not open under its master key');
  }
  return payload;
}

/** A payload stored ahead of its transaction (`/storeraw`). */
export interface RawRecord extends SealedPayload {
  readonly sender: Uint8Array;
}

export function encodeRaw(record: RawRecord): Uint8Array {
  return new RecordWriter()
    .byte(FORMAT)
    .fixed(record.nonce)
    .fixed(record.masterKey)
    .fixed(record.sender)
    .sized(record.ciphertext)
    .finish();
}

/** Reads a raw record that was stored under `key`; the key is recomputed as above. */
export function decodeRaw(key: Uint8Array, bytes: Uint8Array): RawRecord {
  const reader = new RecordReader(bytes);
  if (reader.byte() !== FORMAT) throw reader.broken(`is not of format ${FORMAT}`);
  const nonce = reader.fixed(PAYLOAD_NONCE_BYTES);
  const masterKey = reader.fixed(PAYLOAD_SECRET_BYTES);
  const sender = reader.fixed(PARTY_KEY_BYTES);
  const ciphertext = reader.sized();
  reader.finish();
  requireKey(key, ciphertext);
  return { nonce, masterKey, sender, ciphertext };
}

function requireKey(key: Uint8Array, ciphertext: Uint8Array): void {
  if (equalBytes(payloadKeyOf(ciphertext), key)) return;
  const shown = Buffer.from(key).toString('base64');
  throw new CodedError('BadRecord', `the ciphertext stored under ${shown} has another key`);
}
