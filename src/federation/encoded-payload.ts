/**
 * A payload as Tessera's peers hand it to each other, whichever codec carries it: sealed once, with
 * a NaCl box of its master key for each recipient it names (transaction-manager.md §B and §C).
 */
import { equalBytes } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';

/** A transaction that a payload touches, and what shows that its sender holds it. */
export interface AffectedHash {
  readonly hash: Uint8Array;
  readonly securityHash: Uint8Array;
}

export interface EncodedPayload {
  readonly senderKey: Uint8Array;
  readonly cipherText: Uint8Array;
  readonly cipherTextNonce: Uint8Array;
  /** One for each of the first recipients; a push carries one. */
  readonly recipientBoxes: readonly Uint8Array[];
  readonly recipientNonce: Uint8Array;
  /** Empty in what the oldest peers send; then there is one box. */
  readonly recipientKeys: readonly Uint8Array[];
  readonly privacyFlag: 0 | 1 | 2 | 3;
  readonly affected: readonly AffectedHash[];
  /** Text in UTF-8; empty unless private state validation. */
  readonly execHash: Uint8Array;
  readonly mandatory: readonly Uint8Array[];
  /** Empty when no group was named. */
  readonly privacyGroupId: Uint8Array;
}

/** Private state validation: the one flag under which recipients learn of each other. */
export const PRIVATE_STATE_VALIDATION = 3;
export const MANDATORY_RECIPIENTS = 2;

/** The privacy flag of a byte or a number; Tessera takes what it does not know for 0. */
export function privacyFlagOf(value: number): EncodedPayload['privacyFlag'] {
  return value === 1 || value === 2 || value === 3 ? value : 0;
}

/**
 * What one recipient is sent of a payload with boxes for all: its own box, and no other recipient's
 * name unless private state validation, where its own comes first.
 */
export function forRecipient(payload: EncodedPayload, recipient: Uint8Array): EncodedPayload {
  const at = payload.recipientKeys.findIndex((key) => equalBytes(key, recipient));
  const box = payload.recipientBoxes[at];
  if (at < 0 || box === undefined) {
    const shown = Buffer.from(recipient).toString('base64');
    const sentence = `Recipient ${shown} is not a recipient of transaction `;
    throw new CodedError('NotARecipient', sentence, { status: 400 });
  }
  const others = payload.recipientKeys.filter((_, index) => index !== at);
  const named = payload.privacyFlag === PRIVATE_STATE_VALIDATION ? others : [];
  return { ...payload, recipientBoxes: [box], recipientKeys: [recipient, ...named] };
}
