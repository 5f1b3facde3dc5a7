/**
 * Taking in a payload from outside. It is accepted only if a key that is inside opens it and it
 * opens under the master key that came with it; its own key is computed, never believed. Then the
 * rules are Tessera's for a push (transaction-manager.md §B, §C), in its order.
 */
import { base64Of, equalBytes, textOf, utf8 } from '../../../base/bytes.ts';
import type { Random } from '../../../base/environment.ts';
import { AFFECTED_TRANSACTIONS_MAX, PAYLOAD_PARTIES_MAX } from '../../../base/limits.ts';
import { ERROR_CODE_HEADER } from '../../../base/own-headers.ts';
import {
  PAYLOAD_KEY_BYTES,
  PAYLOAD_NONCE_BYTES,
  payloadKeyOf,
} from '../../../crypto/payload.ts';
import type { ArchiveRow, ReadView, Transaction } from '../../../kv/tables.ts';
import { type AppResponse, answer, type Step } from '../../interface.ts';
import { ORGANISATIONS, type OrganisationRow } from '../../organisations.ts';
import { ownerOf } from '../organisation.ts';
import { isAnyParty, isParty, labelOf, PARTY_KEY_BYTES, partiesOf } from '../parties.ts';
import {
  type AffectedTransaction,
  decodePayload,
  encodePayload,
  type PayloadRecord,
  PRIVATE_STATE_VALIDATION,
  SALT_BYTES,
} from '../payload-record.ts';
import { includes } from '../rules.ts';
import { claimsDigestOf, securityHashOf } from '../sending.ts';
import { PAYLOADS } from '../tables.ts';
import { refuseWith, text } from '../wire/answers.ts';
import {
  type OpenedPayload,
  openTravelling,
  recipientNonceOf,
  type TravellingPayload,
} from './opening.ts';

/** Under this code an answer is 201 although nothing was stored, as with Tessera. */
export const PUSH_IGNORED = 'PushIgnored';

/** A push on its way: what it says, what opened it, and the key that it will have. */
interface Push {
  readonly random: Random;
  readonly view: ReadView;
  readonly pushed: TravellingPayload;
  readonly opened: OpenedPayload;
  readonly key: Buffer;
}

interface Known {
  readonly row: ArchiveRow;
  readonly record: PayloadRecord;
}

export function acceptPush(random: Random, view: ReadView, pushed: TravellingPayload): Step {
  requireForm(pushed);
  const key = payloadKeyOf(pushed.cipherText);
  const opened = openTravelling(view, pushed);
  if (opened === undefined) {
    const shown = base64Of(key);
    throw refuseWith(400, `payload ${shown} opens with no key that is held here`);
  }
  const push: Push = { random, view, pushed, opened, key };
  const archive = view.archive(PAYLOADS);
  const own = archive.find(key).map((row) => ({ hash: key as Uint8Array, row }));
  const affected = pushed.affected.flatMap(({ hash }) =>
    archive.find(hash).map((row) => ({ hash, row })),
  );
  const sought = [...own, ...affected];
  if (sought.length === 0) return judged(push, undefined, []);
  return {
    kind: 'fetch',
    rows: sought.map(({ hash, row }) => ({ table: PAYLOADS, key: hash, row })),
    next: (values) => {
      const found = sought.map(({ hash, row }, index) => {
        const bytes = values[index];
        return bytes === undefined ? undefined : { row, record: decodePayload(hash, bytes) };
      });
      const existing = found.slice(0, own.length).findLast((one) => one !== undefined);
      const known = pushed.affected.map(({ hash }) => {
        const at = sought.findLastIndex(
          (one, index) =>
            index >= own.length && found[index] !== undefined && equalBytes(one.hash, hash),
        );
        return found[at];
      });
      return judged(push, existing, known);
    },
  };
}

/** Refuses what no payload of Tessera is, before anything is computed with it. */
function requireForm(pushed: TravellingPayload): void {
  const keys = [pushed.senderKey, ...pushed.recipientKeys, ...pushed.mandatory];
  const bad = keys.find(({ length }) => length !== PARTY_KEY_BYTES);
  if (bad !== undefined) throw refuseWith(400, `a party key has ${bad.length} bytes, not 32`);
  const nonces = [pushed.cipherTextNonce, pushed.recipientNonce];
  const nonce = nonces.find(({ length }) => length !== PAYLOAD_NONCE_BYTES);
  if (nonce !== undefined) throw refuseWith(400, `a nonce has ${nonce.length} bytes, not 24`);
  const { recipientKeys, recipientBoxes, mandatory, affected } = pushed;
  const most = Math.max(recipientKeys.length, recipientBoxes.length, mandatory.length);
  if (most > PAYLOAD_PARTIES_MAX) {
    throw refuseWith(400, `a payload has at most ${PAYLOAD_PARTIES_MAX} recipients`);
  }
  if (affected.length > AFFECTED_TRANSACTIONS_MAX) {
    const sentence = `a payload has at most ${AFFECTED_TRANSACTIONS_MAX} affected transactions`;
    throw refuseWith(400, sentence);
  }
  for (const { hash, securityHash } of affected) {
    if (hash.length === PAYLOAD_KEY_BYTES && securityHash.length === PAYLOAD_KEY_BYTES)
      continue;
    throw refuseWith(400, 'an affected transaction has a hash that is not 64 bytes long');
  }
}

function judged(
  push: Push,
  existing: Known | undefined,
  affected: readonly (Known | undefined)[],
): Step {
  const { view, pushed, opened, key } = push;
  if (existing !== undefined) requireSame(push, existing.record);
  else if (ownerOf(view, pushed.senderKey) !== undefined) {
    const sender = base64Of(pushed.senderKey);
    const sentence = `the sender ${sender} is an organisation of this service: it sends from here`;
    throw refuseWith(403, sentence);
  }
  const mine = affected.filter(
    (one) =>
      one !== undefined && isAnyParty(one.row.label, keysBeside(view, opened.recipients)),
  );
  if (mine.some((one) => one?.record.privacyFlag !== pushed.privacyFlag)) {
    return answer(ignored(key, 'an affected transaction has another privacy flag'));
  }
  if (pushed.privacyFlag === PRIVATE_STATE_VALIDATION) {
    if (mine.length !== pushed.affected.length) {
      return answer(ignored(key, 'not all of its affected transactions are known'));
    }
    if (mine.some((one) => !includes(one?.record.recipients ?? [], pushed.senderKey))) {
      return answer(ignored(key, 'its sender is no party to an affected transaction'));
    }
    const other = pushed.affected.find(
      (_, index) =>
        !sameParties(affected[index]?.record.recipients ?? [], pushed.recipientKeys),
    );
    if (other !== undefined) {
      throw refuseWith(403, `Recipients mismatched for Affected Txn ${base64Of(other.hash)}`);
    }
  }
  const proven = provenOf(push, affected);
  return {
    kind: 'write',
    apply: (tx) =>
      existing === undefined ? store(tx, push, proven) : addParties(tx, push, existing),
  };
}

/** The affected transactions that the sender has shown it holds; the others are dropped. */
function provenOf(
  { pushed }: Push,
  affected: readonly (Known | undefined)[],
): readonly AffectedTransaction[] {
  const proven = pushed.affected.filter(({ securityHash }, index) => {
    const known = affected[index]?.record;
    if (known === undefined) return false;
    return equalBytes(securityHashOf(pushed.cipherText, known), securityHash);
  });
  if (
    pushed.privacyFlag === PRIVATE_STATE_VALIDATION &&
    proven.length < pushed.affected.length
  ) {
    const bad = pushed.affected.filter((one) => !proven.includes(one));
    const shown = bad.map(({ hash }) => base64Of(hash)).join(',');
    const sentence = `Invalid security hashes identified for PSC TX. Invalid ACOTHs: ${shown}`;
    throw refuseWith(403, sentence);
  }
  const knownTo = pushed.recipientKeys.map(() => true);
  return proven.map(({ hash, securityHash }) => ({ hash, securityHash, knownTo }));
}

function store(
  tx: Transaction,
  { random, pushed, opened, key }: Push,
  affected: readonly AffectedTransaction[],
): AppResponse {
  const archive = tx.archive(PAYLOADS);
  // Another push of it is under way: what that one stores can be read once it is committed.
  if (archive.find(key).length > 0) return underWay(key);
  const validated = pushed.privacyFlag === PRIVATE_STATE_VALIDATION;
  const record: PayloadRecord = {
    ciphertext: pushed.cipherText,
    nonce: pushed.cipherTextNonce,
    masterKey: opened.masterKey,
    sender: pushed.senderKey,
    recipients: validated ? pushed.recipientKeys : opened.recipients,
    privacyFlag: pushed.privacyFlag,
    execHash: execHashOf(pushed),
    mandatory: pushed.mandatory,
    affected,
    privacyGroupId: pushed.privacyGroupId,
    salt: random.bytes(SALT_BYTES),
    recipientNonce: pushed.recipientNonce,
  };
  const label = labelOf({ sender: pushed.senderKey, others: opened.recipients });
  archive.store(key, label, encodePayload(record));
  tx.setClaimsDigest(claimsDigestOf(key, record.salt, opened.payload));
  return stored(key);
}

/** A payload that is known: its new recipients become parties, and nothing else changes. */
function addParties(tx: Transaction, { opened, key }: Push, { row }: Known): AppResponse {
  const archive = tx.archive(PAYLOADS);
  const now = archive.find(key).find(({ seqno }) => seqno === row.seqno);
  if (now === undefined) return underWay(key);
  if (opened.recipients.every((recipient) => isParty(now.label, recipient))) return stored(key);
  const { sender, others } = partiesOf(now.label);
  archive.relabel(key, now, labelOf({ sender, others: [...others, ...opened.recipients] }));
  return stored(key);
}

/** Refuses a payload that says of a known one what is not so. */
function requireSame({ pushed, opened, key }: Push, record: PayloadRecord): void {
  const same =
    equalBytes(record.sender, pushed.senderKey) &&
    equalBytes(record.nonce, pushed.cipherTextNonce) &&
    equalBytes(record.masterKey, opened.masterKey) &&
    equalBytes(recipientNonceOf(key, record), pushed.recipientNonce) &&
    record.privacyFlag === pushed.privacyFlag &&
    equalBytes(utf8(record.execHash), pushed.execHash) &&
    (record.privacyFlag !== PRIVATE_STATE_VALIDATION ||
      sameParties(record.recipients, pushed.recipientKeys));
  if (same) return;
  throw refuseWith(409, `Invalid existing transaction: ${base64Of(key)} is known otherwise`);
}

/** All keys of the organisations that some keys belong to. */
function keysBeside(view: ReadView, keys: readonly Uint8Array[]): readonly Uint8Array[] {
  return keys.flatMap((key) => {
    const owner = ownerOf(view, key);
    const row = owner === undefined ? undefined : view.table(ORGANISATIONS).get(utf8(owner));
    if (row === undefined) return [key];
    const { party_keys: own } = JSON.parse(textOf(row)) as OrganisationRow;
    return own.map((one) => Buffer.from(one, 'base64'));
  });
}

function execHashOf({ execHash }: TravellingPayload): string {
  try {
    return textOf(execHash);
  } catch {
    throw refuseWith(400, 'the execution hash is no text');
  }
}

function sameParties(left: readonly Uint8Array[], right: readonly Uint8Array[]): boolean {
  return left.every((key) => includes(right, key)) && right.every((key) => includes(left, key));
}

function stored(key: Buffer): AppResponse {
  return text(201, key.toString('base64'));
}

function ignored(key: Buffer, why: string): AppResponse {
  const response = stored(key);
  const headers = { [ERROR_CODE_HEADER]: PUSH_IGNORED, 'x-concordat-why': why };
  return { ...response, headers: { ...response.headers, ...headers } };
}

function underWay(key: Buffer): AppResponse {
  const shown = key.toString('base64');
  const response = text(503, `payload ${shown} is being stored, ask again`);
  return { ...response, absence: true };
}
