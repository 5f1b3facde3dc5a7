/**
 * How a ledger secret stays recoverable: the rows that every opening, rekey, recovery and unproven
 * restart writes (ledger-format.md §11, governance.md §7).
 *
 * The secret is wrapped under a fresh wrapping key, which is split among the members; each share is
 * encrypted to its member. The secret before it is encrypted under the new one, so that whoever
 * recovers the latest walks back to the first.
 */
import { invariant } from '../base/assert.ts';
import { base64Of, textOf } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import type { Seqno } from '../base/ids.ts';
import { aeadKeyOf, GCM_IV_BYTES } from '../crypto/aead.ts';
import type { Wrap } from '../crypto/key-source.ts';
import { wrapTo } from '../crypto/keys.ts';
import { splitWrappingKey, wrapLedgerSecret, wrapUnder } from '../crypto/shares.ts';
import type { ReadTable, ReadView, Row, Transaction } from '../kv/tables.ts';
import { allNodes, serviceInfo } from './nodes.ts';
import { writeReleaseShares } from './recovery-release.ts';
import {
  ENCRYPTED_SECRETS,
  HISTORICAL_SECRET,
  jsonRow,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  RECOVERY_SHARES,
  SERVICE_CONFIG,
  SINGLETON,
} from './tables.ts';

/** What a member is to recovery (governance.md §2). */
export type RecoveryRole = 'NonParticipant' | 'Participant' | 'Owner';

export interface ShareHolder {
  readonly memberId: string;
  readonly encryptionPublicKeyPem: string;
  /** An owner's share is the whole key; absent stands for a participant. */
  readonly role?: Exclude<RecoveryRole, 'NonParticipant'>;
}

/** Who holds shares of the ledger secret, in map order, and how many recover it. */
export interface ShareHolders {
  readonly holders: readonly ShareHolder[];
  readonly threshold: number;
}

/** What of the ledger secrets a node lends to a transaction that changes them. */
export interface SecretKeeper {
  /** The secret that seals the next transaction, and from which seqno on it applies. */
  latest(): { readonly secret: Uint8Array; readonly from: Seqno };
  readonly random: Random;
  readonly wrap: Wrap;
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

/**
 * Has a fresh secret seal all that follows this transaction: every trusted node is told, and the
 * members get shares of it. Call it last, and once: it does what `refreshShares` does. Throws
 * `ServiceRecovering` (400) while a lost service is being recovered.
 */
export function rekeyLedger(transaction: Transaction, keeper: SecretKeeper): void {
  const status = serviceInfo(transaction)?.status ?? 'Open';
  // Its opening makes the first shares; nobody holds one yet.
  if (status === 'Opening') return;
  if (status !== 'Open') {
    const why =
      'the ledger secret cannot be renewed before the recovered service is open again';
    throw new CodedError('ServiceRecovering', why, { status: 400 });
  }
  const { random, wrap } = keeper;
  const previous = keeper.latest();
  const request = {
    secret: random.bytes(previous.secret.length),
    previous,
    ...shareHoldersOf(transaction),
    nodes: secretRecipients(transaction),
    ...previousStored(transaction),
  };
  writeShares(transaction, request, random, wrap);
  writeHistory(transaction, request, random);
  writeForNodes(transaction, request, wrap);
}

/**
 * Gives the members new shares of the secret in force: under a new wrapping key, so that shares of
 * before open nothing. Call it last, when members and threshold stand as they are to be. Before a
 * service is open there is nothing to do: its opening makes them, and until then a recovery needs
 * those of the lost one.
 */
export function refreshShares(transaction: Transaction, keeper: SecretKeeper): void {
  if ((serviceInfo(transaction)?.status ?? 'Open') !== 'Open') return;
  const { secret } = keeper.latest();
  const request = { secret, ...shareHoldersOf(transaction), ...previousStored(transaction) };
  writeShares(transaction, request, keeper.random, keeper.wrap);
}

/** The active members that take part in recovery, with the threshold of the service. */
export function shareHoldersOf(view: ReadView): ShareHolders {
  const keys = view.table(MEMBER_ENCRYPTION_KEYS);
  const holders = rowsOf(view.table(MEMBER_INFO)).flatMap(({ key, value }): ShareHolder[] => {
    const info = JSON.parse(textOf(value)) as MemberInfoRow;
    const pem = keys.get(key);
    const role = info.recovery_role ?? 'Participant';
    if (info.status !== 'Active' || pem === undefined || role === 'NonParticipant') return [];
    return [{ memberId: textOf(key), encryptionPublicKeyPem: textOf(pem), role }];
  });
  const config = view.table(SERVICE_CONFIG).get(SINGLETON);
  if (config === undefined) {
    throw new CodedError('LedgerDamaged', `the ledger has no row in ${SERVICE_CONFIG}`);
  }
  const { recovery_threshold } = JSON.parse(textOf(config)) as { recovery_threshold: number };
  return { holders, threshold: recovery_threshold };
}

interface MemberInfoRow {
  readonly status: string;
  readonly recovery_role?: RecoveryRole;
}

/**
 * The nodes that are told a new secret: all that are trusted, and those whose retirement is not
 * recorded for good, for their voices may still be needed to commit it.
 */
export function secretRecipients(view: ReadView): SecretRowsRequest['nodes'] {
  return allNodes(view).flatMap(({ nodeId, info }) => {
    const { status, retired_committed, encryption_pub_key } = info;
    const takesPart = status === 'Trusted' || (status === 'Retired' && !retired_committed);
    if (!takesPart || encryption_pub_key === undefined) return [];
    return [{ nodeId, encryptionPublicKeyPem: encryption_pub_key }];
  });
}

/** Seqno at which the newest historical row was written, if there is one. */
export function previousStored(view: ReadView): { readonly previousStoredAt?: Seqno } {
  const version = view.table(HISTORICAL_SECRET).versionOf(SINGLETON);
  return version === undefined ? {} : { previousStoredAt: version };
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
  writeForNodes(transaction, request, wrap);
}

/** Tells the nodes a secret; without a version it applies from the next seqno on. */
function writeForNodes(
  transaction: Transaction,
  request: Rows & Pick<SecretRowsRequest, 'nodes'>,
  wrap: Wrap,
): void {
  if (request.nodes.length === 0) return;
  const secrets: Record<string, unknown> = {};
  for (const { nodeId, encryptionPublicKeyPem } of request.nodes) {
    const encrypted = wrap(encryptionPublicKeyPem, request.secret);
    secrets[nodeId] = [
      {
        version: request.from ?? null,
        encrypted_secret: base64Of(encrypted),
        ...storedVersion(request.previousStoredAt),
      },
    ];
  }
  transaction.table(ENCRYPTED_SECRETS).put(SINGLETON, jsonRow(secrets));
}

/** What all rows are made from; a secret without a place applies from the next seqno on. */
type Rows = Pick<SecretRowsRequest, 'secret' | 'previous' | 'previousStoredAt'> & {
  readonly from?: Seqno;
};

function writeShares(
  transaction: Transaction,
  request: Rows & ShareHolders,
  random: Random,
  wrap: Wrap,
): void {
  const { holders, threshold } = request;
  const participants = holders.filter(({ role }) => role !== 'Owner').length;
  // Owners need nobody: where there are only they, the one share of the split is nobody's.
  const onlyOwners = participants === 0 && holders.length > 0;
  const split = onlyOwners
    ? splitWrappingKey(1, 1, random)
    : splitWrappingKey(threshold, participants, random);
  const { wrappingKey, fullShare, shares } = split;
  const unclaimed = shares.values();
  const encrypted: Record<string, string> = {};
  for (const { memberId, encryptionPublicKeyPem, role } of holders) {
    const share = role === 'Owner' ? fullShare : unclaimed.next().value;
    invariant(share !== undefined, 'there is a share for each participant');
    encrypted[memberId] = base64Of(wrap(encryptionPublicKeyPem, share));
  }
  const row = {
    encrypted_shares: encrypted,
    wrapped_latest_ledger_secret: base64Of(wrapLedgerSecret(wrappingKey, request.secret)),
    ...storedVersion(request.previousStoredAt),
  };
  transaction.table(RECOVERY_SHARES).put(SINGLETON, jsonRow(row));
  writeReleaseShares(transaction, fullShare, wrap);
}

function writeHistory(transaction: Transaction, request: Rows, random: Random): void {
  const { from, previous } = request;
  const row: Record<string, unknown> = from === undefined ? {} : { next_version: from };
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

/** All rows of a table, however many. */
function rowsOf(table: ReadTable): readonly Row[] {
  const rows: Row[] = [];
  for (let page = table.page(); page.length > 0; ) {
    rows.push(...page);
    const last = page.at(-1);
    if (last === undefined) break;
    page = table.page({ after: last.key });
  }
  return rows;
}
