/**
 * How a ledger secret stays recoverable: the rows that every opening, rekey and unproven restart
 * writes (ledger-format.md §11, governance.md §7).
 *
 * The secret is wrapped under a fresh wrapping key, which is split among the members; each share is
 * encrypted to its member. The secret before it is encrypted under the new one, so that whoever
 * recovers the latest walks back to the first.
 */
import { base64Of } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import type { Seqno } from '../base/ids.ts';
import { aeadKeyOf, GCM_IV_BYTES } from '../crypto/aead.ts';
import type { Wrap } from '../crypto/key-source.ts';
import { wrapTo } from '../crypto/keys.ts';
import { splitWrappingKey, wrapLedgerSecret, wrapUnder } from '../crypto/shares.ts';
import type { Transaction } from '../kv/tables.ts';
import {
  ENCRYPTED_SECRETS,
  HISTORICAL_SECRET,
  jsonRow,
  RECOVERY_SHARES,
  SINGLETON,
} from './tables.ts';

export interface ShareHolder {
  readonly memberId: string;
  readonly encryptionPublicKeyPem: string;
}

export interface SecretRowsRequest {
  /** The secret from now on, and the seqno from which on it applies. */
  readonly secret: Uint8Array;
  readonly from: Seqno;
  /** The one before it; absent for the first. */
  readonly previous?: { readonly secret: Uint8Array; readonly from: Seqno };
  /** Members in map order, and how many of their shares recover. */
  readonly holders: readonly ShareHolder[];
  readonly threshold: number;
  /** Trusted nodes that are told the secret; empty at the opening, when there is only its maker. */
  readonly nodes: readonly {
    readonly nodeId: string;
    readonly encryptionPublicKeyPem: string;
  }[];
  /** Seqno at which the historical row before this one was written. */
  readonly previousStoredAt?: Seqno;
}

/** Writes the three tables of ledger-format.md §11. */
export function writeSecretRows(
  transaction: Transaction,
  request: SecretRowsRequest,
  random: Random,
  wrap: Wrap = wrapTo,
): void {
  writeShares(transaction, request, random, wrap);
  writeHistory(transaction, request, random);
  if (request.nodes.length === 0) return;
  const secrets: Record<string, unknown> = {};
  for (const { nodeId, encryptionPublicKeyPem } of request.nodes) {
    const encrypted = wrap(encryptionPublicKeyPem, request.secret);
    secrets[nodeId] = [
      {
        version: request.from,
        encrypted_secret: base64Of(encrypted),
        ...storedVersion(request.previousStoredAt),
      },
    ];
  }
  transaction.table(ENCRYPTED_SECRETS).put(SINGLETON, jsonRow(secrets));
}

function writeShares(
  transaction: Transaction,
  request: SecretRowsRequest,
  random: Random,
  wrap: Wrap,
): void {
  const { holders, threshold } = request;
  const { wrappingKey, shares } = splitWrappingKey(threshold, holders.length, random);
  const encrypted: Record<string, string> = {};
  holders.forEach((holder, index) => {
    const share = shares[index];
    if (share === undefined) return;
    encrypted[holder.memberId] = base64Of(wrap(holder.encryptionPublicKeyPem, share));
  });
  const row = {
    encrypted_shares: encrypted,
    wrapped_latest_ledger_secret: base64Of(wrapLedgerSecret(wrappingKey, request.secret)),
    ...storedVersion(request.previousStoredAt),
  };
  transaction.table(RECOVERY_SHARES).put(SINGLETON, jsonRow(row));
}

function writeHistory(
  transaction: Transaction,
  request: SecretRowsRequest,
  random: Random,
): void {
  const { previous } = request;
  const row: Record<string, unknown> = { next_version: request.from };
  if (previous !== undefined) {
    const iv = random.bytes(GCM_IV_BYTES);
    const wrapped = wrapUnder(aeadKeyOf(request.secret), previous.secret, iv);
    row.previous_ledger_secret = {
      encrypted_data: base64Of(wrapped),
      version: previous.from,
      ...storedVersion(request.previousStoredAt),
    };
  }
  transaction.table(HISTORICAL_SECRET).put(SINGLETON, jsonRow(row));
}

function storedVersion(seqno: Seqno | undefined): { previous_secret_stored_version?: number } {
  return seqno === undefined ? {} : { previous_secret_stored_version: seqno };
}
