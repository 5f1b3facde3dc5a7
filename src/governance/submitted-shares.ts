/**
 * Recovery shares on their way back (governance.md §7): each member submits the one it was given;
 * they lie in the ledger sealed under the new service's secret, until enough of them open the
 * former one.
 */
import { base64Of, bytesOfBase64, NO_BYTES, textOf, utf8 } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { aeadKeyOf, GCM_IV_BYTES, openWhole, sealWhole } from '../crypto/aead.ts';
import {
  combineShares,
  placeOfShare,
  unwrapLedgerSecret,
  wrappingKeyOf,
} from '../crypto/shares.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { serviceInfo } from './nodes.ts';
import type { RecoveryRole } from './recovery-shares.ts';
import { jsonRow, MEMBER_INFO, RECOVERY_SHARES, SERVICE_CONFIG, SINGLETON } from './tables.ts';

/** Member id → JSON string, base64 of the share as it is sealed. */
export const SUBMITTED_SHARES = 'public:ccf.internal.encrypted_submitted_shares';
/**
 * Combinations of shares that are tried: all of those of the greatest consortium for which shares
 * are practical (5 of 9 are 126), and no more work than a moment's in any.
 */
const COMBINATIONS_MAX = 2_000;

/** What seals shares: the secret in force, and chance. */
export interface ShareSeal {
  readonly secret: Uint8Array;
  readonly random: Random;
}

export interface ShareSubmission {
  /** Members that have submitted a share so far. */
  readonly submittedCount: number;
  readonly recoveryThreshold: number;
  /** Whether this very share is an owner's, which suffices. */
  readonly fullKeySubmitted: boolean;
  /** Whether the former secret is known from here on. */
  readonly recovers: boolean;
}

/** A member's share as the ledger holds it, base64; undefined for one who holds none. */
export function encryptedShareOf(view: ReadView, memberId: string): string | undefined {
  return sharesRow(view)?.encrypted_shares[memberId];
}

/**
 * Takes a member's share in; a second one of the same member takes the place of the first. Throws
 * `ServiceNotWaitingForRecoveryShares` (403), `AuthorizationFailed` (403) for a member who holds
 * none, and `InvalidShare` (500) for what cannot be this member's share.
 */
export function submitShare(
  transaction: Transaction,
  memberId: string,
  share: Uint8Array,
  seal: ShareSeal,
): ShareSubmission {
  if (serviceInfo(transaction)?.status !== 'WaitingForRecoveryShares') {
    const code = 'ServiceNotWaitingForRecoveryShares';
    throw new CodedError(code, 'Service is not waiting for recovery shares.', { status: 403 });
  }
  if (encryptedShareOf(transaction, memberId) === undefined) {
    const why = `Member ${memberId} holds no recovery share.`;
    throw new CodedError('AuthorizationFailed', why, { status: 403 });
  }
  const place = placeOf(share);
  const own = placesOf(transaction).get(memberId);
  if (own !== undefined && place !== own) throw invalid('it is of another member');
  const iv = seal.random.bytes(GCM_IV_BYTES);
  const sealed = sealWhole(aeadKeyOf(seal.secret), iv, NO_BYTES, share);
  transaction.table(SUBMITTED_SHARES).put(utf8(memberId), jsonRow(base64Of(sealed)));
  return {
    submittedCount: transaction.table(SUBMITTED_SHARES).page().length,
    recoveryThreshold: thresholdOf(transaction),
    fullKeySubmitted: place === 0,
    recovers: secretFromShares(transaction, seal.secret) !== undefined,
  };
}

/**
 * The former service's last secret, from the shares submitted so far; undefined until enough of
 * them are good. A wrong share cannot be told from its looks, so others go on without it.
 */
export function secretFromShares(view: ReadView, secret: Uint8Array): Uint8Array | undefined {
  const wrapped = bytesOfBase64(sharesRow(view)?.wrapped_latest_ledger_secret ?? '');
  if (wrapped === undefined) return undefined;
  const key = aeadKeyOf(secret);
  const shares = view
    .table(SUBMITTED_SHARES)
    .page()
    .map(({ value }) => bytesOfBase64(String(JSON.parse(textOf(value)))) ?? NO_BYTES)
    .map((sealed) => openWhole(key, NO_BYTES, sealed));
  const owners = shares.filter((share) => placeOfShare(share) === 0).map((share) => [share]);
  const others = shares.filter((share) => placeOfShare(share) !== 0);
  let tried = 0;
  for (const some of choices(owners, others, thresholdOf(view))) {
    if (tried === COMBINATIONS_MAX) return undefined;
    tried += 1;
    const found = opened(some, wrapped);
    if (found !== undefined) return found;
  }
  return undefined;
}

function opened(shares: readonly Uint8Array[], wrapped: Uint8Array): Uint8Array | undefined {
  try {
    return unwrapLedgerSecret(wrappingKeyOf(combineShares(shares)), wrapped);
  } catch (error) {
    if (isCoded(error, 'SealBroken') || isCoded(error, 'BadShare')) return undefined;
    throw error;
  }
}

/** An owner's share alone; then the threshold's number of others, and more if it was lowered. */
function* choices(
  owners: readonly (readonly Uint8Array[])[],
  others: readonly Uint8Array[],
  threshold: number,
): Generator<readonly Uint8Array[], void, void> {
  yield* owners;
  for (let count = threshold; count <= others.length; count += 1) {
    yield* combinations(others, count);
  }
}

/** All choices of `count` of these, one after the other. */
function* combinations<T>(
  all: readonly T[],
  count: number,
): Generator<readonly T[], void, void> {
  if (count === 0) {
    yield [];
    return;
  }
  for (const [index, first] of all.entries()) {
    if (all.length - index < count) return;
    for (const rest of combinations(all.slice(index + 1), count - 1)) yield [first, ...rest];
  }
}

function placeOf(share: Uint8Array): number {
  try {
    return placeOfShare(share);
  } catch (cause) {
    throw invalid('it has not the form of one', cause);
  }
}

/** Where each member's share lies: an owner's at 0, the participants' from 1 on in map order. */
function placesOf(view: ReadView): ReadonlyMap<string, number> {
  const places = new Map<string, number>();
  let participants = 0;
  for (const memberId of Object.keys(sharesRow(view)?.encrypted_shares ?? {}).sort()) {
    const info = view.table(MEMBER_INFO).get(utf8(memberId));
    const row: { recovery_role?: RecoveryRole } =
      info === undefined ? {} : JSON.parse(textOf(info));
    const isOwner = row.recovery_role === 'Owner';
    if (!isOwner) participants += 1;
    places.set(memberId, isOwner ? 0 : participants);
  }
  return places;
}

function thresholdOf(view: ReadView): number {
  const config = view.table(SERVICE_CONFIG).get(SINGLETON) ?? utf8('{}');
  const row = JSON.parse(textOf(config)) as { recovery_threshold?: number };
  return row.recovery_threshold ?? 1;
}

interface SharesRow {
  readonly encrypted_shares: Readonly<Record<string, string>>;
  readonly wrapped_latest_ledger_secret: string;
}

function sharesRow(view: ReadView): SharesRow | undefined {
  const row = view.table(RECOVERY_SHARES).get(SINGLETON);
  return row === undefined ? undefined : (JSON.parse(textOf(row)) as SharesRow);
}

function invalid(why: string, cause?: unknown): CodedError {
  const message = `This recovery share cannot be taken: ${why}.`;
  return new CodedError('InvalidShare', message, { status: 500 }, { cause });
}
