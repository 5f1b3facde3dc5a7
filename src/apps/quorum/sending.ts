/**
 * Storing a payload for its parties: the rules checked, the record made, and the one transaction
 * that writes it together with the digest by which its receipt can be opened
 * (transaction-manager.md, part 1, decision 8).
 */

import { base64Of, utf8 } from '../../base/bytes.ts';
import type { Random } from '../../base/environment.ts';
import { AFFECTED_TRANSACTIONS_MAX, PAYLOAD_PARTIES_MAX } from '../../base/limits.ts';
import { sha3_512, sha256, sha256Of } from '../../crypto/hash.ts';
import {
  PAYLOAD_NONCE_BYTES,
  PAYLOAD_SECRET_BYTES,
  payloadKeyOf,
  sealPayload,
} from '../../crypto/payload.ts';
import type { ReadView, Transaction } from '../../kv/tables.ts';
import { type AppResponse, answer, type Step } from '../interface.ts';
import { type Absent, type FoundPayload, rowNow, withPayloads } from './lookup.ts';
import {
  type Organisation,
  ownerOf,
  owns,
  refuseForeignKey,
  requireKnown,
} from './organisation.ts';
import { outsideOf, outsideParty, queueDeliveries } from './outside/parties.ts';
import { isAnyParty, labelOf } from './parties.ts';
import {
  type AffectedTransaction,
  encodePayload,
  type PayloadRecord,
  SALT_BYTES,
  type SealedPayload,
} from './payload-record.ts';
import {
  checkAgainstAffected,
  checkMetadata,
  distinct,
  includes,
  type Metadata,
} from './rules.ts';
import { PAYLOADS } from './tables.ts';
import { locationOf, refuseAbsent, refuseWith } from './wire/answers.ts';

/** What a client asks to be sent, read but not yet checked against the state. */
export interface Order extends Metadata {
  readonly sender: Buffer;
  readonly to: readonly Buffer[];
  readonly affected: readonly Buffer[];
  readonly privacyGroupId: Uint8Array;
}

/** A payload with its ciphertext. */
export interface Content {
  readonly sealed: SealedPayload;
  readonly payload: Uint8Array;
}

/** A checked order: what is written when its transaction runs. */
export interface Dispatch {
  readonly key: Buffer;
  readonly record: PayloadRecord;
  /** The caller's own keys among the parties. */
  readonly managed: readonly Buffer[];
  /** Where its outside recipients are. */
  readonly outside: readonly string[];
  /** Writes it; refuses when the caller has lost access to an affected transaction meanwhile. */
  write(tx: Transaction): void;
}

/** What a sender may want of the world outside before anything is written. */
export interface OutsidePeers {
  /** Those of some peers that do not answer, if that matters. */
  unreachable(urls: readonly string[]): Promise<readonly string[]>;
}

/** Encrypts a payload under a fresh master key. */
export function sealFresh(random: Random, payload: Uint8Array): Content {
  const fresh = random.bytes(PAYLOAD_SECRET_BYTES + PAYLOAD_NONCE_BYTES);
  const masterKey = fresh.subarray(0, PAYLOAD_SECRET_BYTES);
  const nonce = fresh.subarray(PAYLOAD_SECRET_BYTES);
  const ciphertext = sealPayload(masterKey, nonce, payload);
  return { payload, sealed: { ciphertext, nonce, masterKey } };
}

export const affectedNotFound: Absent = (hash) =>
  refuseAbsent(403, `Unable to find affectedContractTransaction ${hash.toString('base64')}`);

/**
 * Checks an order in Tessera's order: the affected transactions, the rules of the privacy flags,
 * the sender, the recipients. Only then is anything encrypted.
 */
export function dispatch(
  { random, peers }: SendingDependencies,
  view: ReadView,
  caller: Organisation,
  order: Order,
  content: () => Content,
  next: (dispatch: Dispatch) => Step,
): Step {
  const recipients = checkedParties(order);
  return withPayloads(view, caller, order.affected, affectedNotFound, (found) => {
    checkOrder(view, caller, order, recipients, found);
    const sent = dispatchOf(random, view, caller, order, recipients, found, content());
    if (peers === undefined || sent.outside.length === 0) return next(sent);
    return { kind: 'ask', ask: async () => await whenReached(peers, sent, next) };
  });
}

async function whenReached(
  peers: OutsidePeers,
  sent: Dispatch,
  next: (dispatch: Dispatch) => Step,
): Promise<Step> {
  const down = await peers.unreachable(sent.outside);
  return down.length === 0 ? next(sent) : answer(gone());
}

/** Tessera's answer when a recipient's node takes no payload (transaction-manager.md §B). */
export function gone(): AppResponse {
  return { status: 410, headers: { 'cache-control': 'must-revalidate,no-cache,no-store' } };
}

export interface SendingDependencies {
  readonly random: Random;
  /** Asked before a payload for outside recipients is stored; nobody is when absent. */
  readonly peers?: OutsidePeers;
}

/** The parties of an order, each once, in the order they were named; the sender last. */
export function checkedParties(order: Order): readonly Buffer[] {
  if (order.to.length > PAYLOAD_PARTIES_MAX || order.mandatory.length > PAYLOAD_PARTIES_MAX) {
    throw refuseWith(400, `a payload has at most ${PAYLOAD_PARTIES_MAX} recipients`);
  }
  if (order.affected.length > AFFECTED_TRANSACTIONS_MAX) {
    const most = AFFECTED_TRANSACTIONS_MAX;
    throw refuseWith(400, `a payload has at most ${most} affected contract transactions`);
  }
  return distinct([...order.to, order.sender]);
}

/** Refuses an order that its affected transactions, its flag, its sender or its parties forbid. */
export function checkOrder(
  view: ReadView,
  caller: Organisation,
  order: Order,
  recipients: readonly Buffer[],
  affected: readonly FoundPayload[],
): void {
  checkAgainstAffected(order, recipients, affected);
  checkMetadata(order);
  if (!owns(caller, order.sender)) throw refuseForeignKey(order.sender);
  requireKnown(view, recipients);
}

/** What ties a transaction to the one it affects, for those who hold both (Tessera's CA hash). */
export function securityHashOf(ciphertext: Uint8Array, affected: SealedPayload): Buffer {
  return sha3_512(Buffer.concat([ciphertext, affected.ciphertext, affected.masterKey]));
}

function dispatchOf(
  random: Random,
  view: ReadView,
  caller: Organisation,
  order: Order,
  recipients: readonly Buffer[],
  found: readonly FoundPayload[],
  { sealed, payload }: Content,
): Dispatch {
  const record: PayloadRecord = {
    ...sealed,
    sender: order.sender,
    recipients,
    privacyFlag: order.privacyFlag,
    execHash: order.execHash,
    mandatory: order.mandatory,
    affected: found.map((one) => affectedOf(view, sealed.ciphertext, recipients, one)),
    privacyGroupId: order.privacyGroupId,
    salt: random.bytes(SALT_BYTES),
  };
  const key = payloadKeyOf(sealed.ciphertext);
  const label = labelOf({ sender: order.sender, others: recipients });
  const bytes = encodePayload(record);
  const claims = claimsDigestOf(key, record.salt, payload);
  const outside = outsideOf(view, recipients);
  return {
    key,
    record,
    outside: [...new Set(outside.flatMap((one) => outsideParty(view, one)?.url ?? []))],
    managed: caller.keys.filter((own) => includes(recipients, own)),
    write: (tx) => {
      for (const one of found) rowNow(tx, caller, one, affectedNotFound);
      tx.archive(PAYLOADS).store(key, label, bytes);
      // What is to be delivered outside commits with the payload, or not at all.
      queueDeliveries(tx, key, outsideOf(tx, recipients));
      tx.setClaimsDigest(claims);
    },
  };
}

function affectedOf(
  view: ReadView,
  ciphertext: Uint8Array,
  recipients: readonly Uint8Array[],
  { hash, row, record }: FoundPayload,
): AffectedTransaction {
  const knowing = new Set<string>();
  for (const key of record.recipients) {
    if (isAnyParty(row.label, [key])) knowing.add(holderOf(view, key));
  }
  return {
    hash,
    securityHash: securityHashOf(ciphertext, record),
    knownTo: recipients.map((key) => knowing.has(holderOf(view, key))),
  };
}

/** Whoever holds a key: an organisation inside, or outside the key alone. */
function holderOf(view: ReadView, key: Uint8Array): string {
  return ownerOf(view, key) ?? base64Of(key);
}

const CLAIM = utf8('concordat.payload.v1');

/** What a payload's receipt vouches for; without the salt it tells nothing of the payload. */
export function claimsDigestOf(
  key: Uint8Array,
  salt: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  return sha256Of(CLAIM, key, salt, sha256(payload));
}

/** The answer to a payload that was stored, in the form of its media type. */
export function sentAnswer(
  status: number,
  type: string,
  sent: Pick<Dispatch, 'key' | 'managed'> & { readonly sender: Uint8Array },
): AppResponse {
  const key = sent.key.toString('base64');
  const location = locationOf(key);
  if (type === 'text/plain') {
    return { status, headers: { 'content-type': type, location }, body: key };
  }
  const body =
    type === 'application/json'
      ? { key }
      : { key, managedParties: sent.managed.map(base64Of), senderKey: base64Of(sent.sender) };
  return { status, headers: { 'content-type': type, location }, body: JSON.stringify(body) };
}
