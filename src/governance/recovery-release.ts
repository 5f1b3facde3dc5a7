/**
 * Recovery without members' shares, where the members have allowed it (design decision 8): the
 * whole wrapping key is kept encrypted to a key that a vault releases to attested code only, as an
 * owner's share is kept encrypted to its owner.
 *
 * The vault is asked at a recovery and never before: a service only needs the public half. So a
 * vault that is away harms nobody, and one that has changed hands learns nothing.
 */
import { base64Of, bytesOfBase64, textOf, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Wrap } from '../crypto/key-source.ts';
import { combineShares, unwrapLedgerSecret, wrappingKeyOf } from '../crypto/shares.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { jsonRow, RECOVERY_SHARES, SINGLETON } from './tables.ts';

/** Name → JSON `ReleaseKeyRow`: what members have voted for. */
export const RELEASE_KEYS = 'public:ccf.gov.concordat.recovery_release_keys';
/** Name → JSON string, base64 of the whole wrapping key, encrypted to the key of that name. */
export const RELEASE_SHARES = 'public:concordat.recovery_release_shares';

/** A key in a vault; arguments of the action `set_recovery_release_key`. */
export interface ReleaseKeyRow {
  /** PEM of its public half, RSA. */
  readonly encryption_pub_key: string;
  /** `https://NAME.vault.azure.net` */
  readonly vault_url: string;
  readonly key_name: string;
  readonly key_version: string;
  /** JSON of the policy that the key must be kept under; any will do when absent. */
  readonly release_policy?: string;
}

export interface ReleaseKey {
  readonly name: string;
  readonly row: ReleaseKeyRow;
}

/** The keys that members have voted for, by their names. */
export function releaseKeysIn(view: ReadView): readonly ReleaseKey[] {
  return view
    .table(RELEASE_KEYS)
    .page()
    .map(({ key, value }) => ({
      name: textOf(key),
      row: JSON.parse(textOf(value)) as ReleaseKeyRow,
    }));
}

/** Encrypts a new wrapping key to each of these keys; what a key could open before, it cannot. */
export function writeReleaseShares(
  transaction: Transaction,
  fullShare: Uint8Array,
  wrap: Wrap,
): void {
  const table = transaction.table(RELEASE_SHARES);
  const keys = releaseKeysIn(transaction);
  const names = new Set(keys.map(({ name }) => name));
  for (const { key } of table.page()) if (!names.has(textOf(key))) table.remove(key);
  for (const { name, row } of keys) {
    table.put(utf8(name), jsonRow(base64Of(wrap(row.encryption_pub_key, fullShare))));
  }
}

/**
 * The former service's last secret, from what lies encrypted to a key of this name. Throws
 * `ReleaseKeyMisfit` where that key does not open it.
 */
export function secretFromRelease(
  view: ReadView,
  name: string,
  unwrap: (wrapped: Uint8Array) => Uint8Array,
): Uint8Array {
  const held = view.table(RELEASE_SHARES).get(utf8(name));
  const shares = view.table(RECOVERY_SHARES).get(SINGLETON);
  const wrapped: unknown =
    shares && Reflect.get(JSON.parse(textOf(shares)), 'wrapped_latest_ledger_secret');
  const share = held && bytesOfBase64(String(JSON.parse(textOf(held))));
  const secret = typeof wrapped === 'string' ? bytesOfBase64(wrapped) : undefined;
  if (share === undefined || secret === undefined) {
    throw misfit(name, 'the ledger holds nothing that is encrypted to it');
  }
  try {
    return unwrapLedgerSecret(wrappingKeyOf(combineShares([unwrap(share)])), secret);
  } catch (cause) {
    throw misfit(name, 'what was released does not open what the ledger holds', cause);
  }
}

function misfit(name: string, why: string, cause?: unknown): CodedError {
  const message = `the release key ${JSON.stringify(name)} recovers nothing: ${why}`;
  return new CodedError('ReleaseKeyMisfit', message, { name }, { cause });
}
