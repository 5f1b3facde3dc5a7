/**
 * Gets a ledger's secrets back, as a disaster recovery does: from the recovery shares in the ledger
 * and a member's key to its share, then back along the chain of former secrets (ledger-format.md
 * §11, governance.md §7). One share must suffice: a threshold of 1, or an owner's.
 */
import { CodedError, isCoded } from '../base/errors.ts';
import { aeadKeyOf } from '../crypto/aead.ts';
import { UnwrappingKey } from '../crypto/keys.ts';
import {
  combineShares,
  unwrapLedgerSecret,
  unwrapUnder,
  wrappingKeyOf,
} from '../crypto/shares.ts';
import { type VerifyOptions, verifyLedger } from './ledger.ts';
import type { DatedSecret } from './sealed.ts';
import {
  type HistoricalSecret,
  historicalSecret,
  recoveryShares,
  type SharesRow,
} from './secret-rules.ts';

/**
 * All secrets of a ledger. Rejects with `SecretsUnavailable` when this key opens no share, one
 * share is not enough, or the ledger does not hold what it takes.
 */
export async function recoverSecrets(
  folder: string,
  memberKeyPem: string,
  options: VerifyOptions = {},
): Promise<DatedSecret[]> {
  const rows: HistoricalSecret[] = [];
  let shares: SharesRow | undefined;
  const onEntry: VerifyOptions['onEntry'] = ({ entry, publicMaps }) => {
    const row = historicalSecret(publicMaps, entry.seqno);
    if (row !== undefined) rows.push(row);
    shares = recoveryShares(publicMaps, entry.seqno) ?? shares;
  };
  const { fault } = await verifyLedger(folder, { ...options, level: 'headers', onEntry });
  if (fault !== undefined)
    throw unavailable(`the ledger cannot be read through: ${fault.message}`);
  if (shares === undefined) throw unavailable('the ledger holds no recovery shares');
  return secretsBackFrom(latestSecret(shares, memberKey(memberKeyPem)), rows);
}

function memberKey(pem: string): UnwrappingKey {
  try {
    return UnwrappingKey.fromPem(pem);
  } catch (cause) {
    throw unavailable("the member's key is no RSA private key in PEM", cause);
  }
}

function latestSecret({ shares, wrapped, seqno }: SharesRow, key: UnwrappingKey): Uint8Array {
  const share = [...shares.values()].map((sealed) => opened(key, sealed)).find(isThere);
  if (share === undefined) {
    throw unavailable(
      `none of the ${shares.size} shares of transaction ${seqno} opens with it`,
    );
  }
  try {
    return unwrapLedgerSecret(wrappingKeyOf(combineShares([share])), wrapped);
  } catch (cause) {
    if (!isCoded(cause)) throw cause;
    throw unavailable('one share does not suffice: the threshold is higher', cause);
  }
}

function opened(key: UnwrappingKey, sealed: Uint8Array): Uint8Array | undefined {
  try {
    return key.unwrap(sealed);
  } catch {
    // It is another member's.
    return undefined;
  }
}

function isThere<T>(value: T | undefined): value is T {
  return value !== undefined;
}

/** All secrets of a ledger, oldest first, from the newest and the rows of the chain. */
export function secretsBackFrom(
  latest: Uint8Array,
  rows: readonly HistoricalSecret[],
): DatedSecret[] {
  const last = rows.at(-1);
  if (last === undefined) return [{ from: 1, bytes: latest }];
  const secrets: DatedSecret[] = [{ from: last.appliesFrom, bytes: latest }];
  let current = latest;
  for (const row of [...rows].reverse()) {
    if (row.previous === undefined) break;
    try {
      current = unwrapUnder(aeadKeyOf(current), row.previous.wrapped);
    } catch (cause) {
      const why = `the secret before that of transaction ${row.seqno} does not open`;
      throw unavailable(why, cause);
    }
    secrets.push({ from: row.previous.appliesFrom, bytes: current });
  }
  return secrets.reverse();
}

function unavailable(why: string, cause?: unknown): CodedError {
  const message = `the ledger secrets cannot be recovered: ${why}`;
  return new CodedError('SecretsUnavailable', message, {}, { cause });
}
