/**
 * Payloads in Tessera's oldest encoding (transaction-manager.md §C). What newer features added
 * stands at the end, so that a payload of any age can be read: without recipients, without a flag,
 * without a group.
 */
import { NO_BYTES } from '../base/bytes.ts';
import {
  type EncodedPayload,
  MANDATORY_RECIPIENTS,
  PRIVATE_STATE_VALIDATION,
  privacyFlagOf,
} from './encoded-payload.ts';
import { FieldReader, FieldWriter } from './octet-fields.ts';

export function encodeLegacy(payload: EncodedPayload): Uint8Array {
  const writer = new FieldWriter()
    .field(payload.senderKey)
    .field(payload.cipherText)
    .field(payload.cipherTextNonce)
    .list(payload.recipientBoxes)
    .field(payload.recipientNonce)
    .list(payload.recipientKeys)
    .field(Buffer.from([payload.privacyFlag]))
    .count(payload.affected.length);
  for (const { hash, securityHash } of payload.affected) writer.field(hash).field(securityHash);
  if (payload.execHash.length > 0) writer.field(payload.execHash);
  if (payload.privacyFlag === MANDATORY_RECIPIENTS) writer.list(payload.mandatory);
  if (payload.privacyGroupId.length > 0) writer.field(payload.privacyGroupId);
  return writer.finish();
}

export function decodeLegacy(bytes: Uint8Array): EncodedPayload {
  const reader = new FieldReader(bytes, 'a payload in the legacy encoding');
  const head = {
    senderKey: reader.field('a sender'),
    cipherText: reader.field('a ciphertext'),
    cipherTextNonce: reader.field('a nonce'),
    recipientBoxes: reader.list('recipient boxes'),
    recipientNonce: reader.field('a recipient nonce'),
    recipientKeys: reader.hasMore ? reader.list('recipients') : [],
  };
  if (!reader.hasMore) return { ...head, ...STANDARD_PRIVATE };
  const privacyFlag = privacyFlagOf(reader.field('a privacy flag')[0] ?? 0);
  const affected = Array.from({ length: reader.count('affected transactions') }, () => ({
    hash: reader.field('an affected hash'),
    securityHash: reader.field('a security hash'),
  }));
  const validated = privacyFlag === PRIVATE_STATE_VALIDATION && reader.hasMore;
  const execHash = validated ? reader.field('an execution hash') : NO_BYTES;
  const hasMandatory = privacyFlag === MANDATORY_RECIPIENTS && reader.hasMore;
  const mandatory = hasMandatory ? reader.list('mandatory recipients') : [];
  const privacyGroupId = reader.hasMore ? reader.field('a privacy group') : NO_BYTES;
  reader.finish();
  return { ...head, privacyFlag, affected, execHash, mandatory, privacyGroupId };
}

const STANDARD_PRIVATE = {
  privacyFlag: 0,
  affected: [],
  execHash: NO_BYTES,
  mandatory: [],
  privacyGroupId: NO_BYTES,
} as const;
