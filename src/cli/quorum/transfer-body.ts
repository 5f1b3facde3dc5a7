/** What is moved, in the bodies that the service takes (`/quorum/import/…`). */
import { base64Of } from '../../base/bytes.ts';
import type { EncodedPayload } from '../../federation/encoded-payload.ts';
import type { PushedGroup } from '../../federation/privacy-group.ts';

/** One thing to move: where it goes, and what it is called on the way. */
export interface Transfer {
  readonly path: '/transaction' | '/raw' | '/group';
  /** Its hash or id in base64. */
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** Hashes that should be there first: what is known of whom depends on them. */
  readonly affected: readonly string[];
}

export function payloadTransfer(hash: Uint8Array, payload: EncodedPayload): Transfer {
  const affected = payload.affected.map(
    ({ hash: one, securityHash }) => [base64Of(one), base64Of(securityHash)] as const,
  );
  return {
    path: '/transaction',
    name: base64Of(hash),
    affected: affected.map(([one]) => one),
    body: {
      hash: base64Of(hash),
      senderKey: base64Of(payload.senderKey),
      cipherText: base64Of(payload.cipherText),
      cipherTextNonce: base64Of(payload.cipherTextNonce),
      recipientBoxes: payload.recipientBoxes.map(base64Of),
      recipientNonce: base64Of(payload.recipientNonce),
      recipientKeys: payload.recipientKeys.map(base64Of),
      privacyMode: payload.privacyFlag,
      affectedContractTransactions: Object.fromEntries(affected),
      execHash: base64Of(payload.execHash),
      mandatoryRecipients: payload.mandatory.map(base64Of),
      privacyGroupId: base64Of(payload.privacyGroupId),
    },
  };
}

/** A row of Tessera's table of raw payloads. */
export interface RawRow {
  readonly hash: Uint8Array;
  readonly encryptedPayload: Uint8Array;
  readonly encryptedKey: Uint8Array;
  readonly nonce: Uint8Array;
  readonly sender: Uint8Array;
}

export function rawTransfer(row: RawRow): Transfer {
  return {
    path: '/raw',
    name: base64Of(row.hash),
    affected: [],
    body: {
      hash: base64Of(row.hash),
      encryptedPayload: base64Of(row.encryptedPayload),
      encryptedKey: base64Of(row.encryptedKey),
      nonce: base64Of(row.nonce),
      from: base64Of(row.sender),
    },
  };
}

export function groupTransfer(id: Uint8Array, group: PushedGroup): Transfer {
  return {
    path: '/group',
    name: base64Of(id),
    affected: [],
    body: {
      privacyGroupId: base64Of(id),
      name: group.name,
      description: group.description,
      members: group.members.map(base64Of),
      seed: base64Of(group.seed),
    },
  };
}
