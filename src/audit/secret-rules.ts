/**
 * What the ledger itself says about its secrets, which stay encrypted: that each former one is the
 * one that applied before (ledger-format.md §11 and §11.2), and evidence of snapshots (§10).
 */
import { bytesOfBase64, bytesOfHex, equalBytes } from '../base/bytes.ts';
import { WRAPPED_SECRET_BYTES } from '../crypto/shares.ts';
import type { MapWrites, ParsedEntry } from '../ledger/entry.ts';
import { FaultError, rule } from './fault.ts';
import {
  type JsonRow,
  jsonRow,
  numberField,
  optionalNumber,
  singleton,
  textField,
} from './rows.ts';

const HISTORICAL = 'public:ccf.internal.historical_encrypted_ledger_secret';
const RECOVERY_SHARES = 'public:ccf.internal.recovery_shares';
const SNAPSHOT_EVIDENCE = 'public:ccf.internal.snapshot_evidence';

/** A row of the chain of former ledger secrets. */
export interface HistoricalSecret {
  /** The seqno that wrote the row. */
  readonly seqno: number;
  /** From which seqno on the secret of this row's making applies. */
  readonly appliesFrom: number;
  /** The secret before it, sealed under it; absent in the first row. */
  readonly previous?: { readonly wrapped: Uint8Array; readonly appliesFrom: number };
}

export interface SharesRow {
  readonly seqno: number;
  /** Member id → the share, encrypted to the member. */
  readonly shares: ReadonlyMap<string, Uint8Array>;
  /** The newest ledger secret, under the key that the shares hide. */
  readonly wrapped: Uint8Array;
}

/** Reads a row of the chain; undefined if this write set has none. */
export function historicalSecret(
  maps: readonly MapWrites[],
  seqno: number,
): HistoricalSecret | undefined {
  const value = singleton(maps, HISTORICAL, 'SecretRow');
  if (value === undefined) return undefined;
  const row = jsonRow(value, 'SecretRow');
  const appliesFrom = optionalNumber(row, 'next_version', 'SecretRow') ?? seqno + 1;
  const before = row.previous_ledger_secret;
  if (before === undefined || before === null) return { seqno, appliesFrom };
  if (typeof before !== 'object') throw new FaultError('SecretRow', 'the secret is no object');
  const previous = before as JsonRow;
  return {
    seqno,
    appliesFrom,
    previous: {
      wrapped: wrappedSecret(previous, 'encrypted_data'),
      appliesFrom: numberField(previous, 'version', 'SecretRow'),
    },
  };
}

/** Reads the recovery shares; undefined if this write set has none. */
export function recoveryShares(
  maps: readonly MapWrites[],
  seqno: number,
): SharesRow | undefined {
  const value = singleton(maps, RECOVERY_SHARES, 'SecretRow');
  if (value === undefined) return undefined;
  const row = jsonRow(value, 'SecretRow');
  const encrypted = row.encrypted_shares;
  if (typeof encrypted !== 'object' || encrypted === null) {
    throw new FaultError('SecretRow', 'encrypted_shares is no object');
  }
  const shares = new Map<string, Uint8Array>();
  for (const [member, text] of Object.entries(encrypted)) {
    const share = typeof text === 'string' ? bytesOfBase64(text) : undefined;
    if (share === undefined)
      throw new FaultError('SecretRow', `${member}'s share is not base64`);
    shares.set(member, share);
  }
  return { seqno, shares, wrapped: wrappedSecret(row, 'wrapped_latest_ledger_secret') };
}

function wrappedSecret(row: JsonRow, field: string): Uint8Array {
  const bytes = bytesOfBase64(textField(row, field, 'SecretRow'));
  if (bytes?.length !== WRAPPED_SECRET_BYTES) {
    throw new FaultError(
      'SecretRow',
      `${field} is not ${WRAPPED_SECRET_BYTES} bytes in base64`,
    );
  }
  return bytes;
}

/** Follows the chain through the ledger. */
export class SecretRules {
  private last: HistoricalSecret | undefined;

  /** The chain so far, to go on from. */
  copy(): SecretRules {
    const copy = new SecretRules();
    copy.last = this.last;
    return copy;
  }

  apply(maps: readonly MapWrites[], entry: ParsedEntry): void {
    if (!maps.some(({ name }) => name.startsWith('public:ccf.internal.'))) return;
    recoveryShares(maps, entry.seqno);
    const row = historicalSecret(maps, entry.seqno);
    if (row !== undefined) this.follow(row);
    snapshotEvidence(maps, entry);
  }

  private follow(row: HistoricalSecret): void {
    const before = this.last;
    this.last = row;
    if (before === undefined) return;
    rule(row.previous?.appliesFrom === before.appliesFrom, 'SecretChain', () => {
      const named = row.previous?.appliesFrom ?? 'none';
      return `it names that of ${named}; before it applied that of ${before.appliesFrom}`;
    });
  }
}

export interface SnapshotEvidence {
  readonly digest: Uint8Array;
  readonly seqno: number;
}

/** Reads the evidence of a snapshot and checks it against the entry's claims. */
export function snapshotEvidence(
  maps: readonly MapWrites[],
  entry: ParsedEntry,
): SnapshotEvidence | undefined {
  const value = singleton(maps, SNAPSHOT_EVIDENCE, 'SnapshotEvidence');
  if (value === undefined) return undefined;
  const row = jsonRow(value, 'SnapshotEvidence');
  const digest = bytesOfHex(textField(row, 'hash', 'SnapshotEvidence'));
  const seqno = numberField(row, 'version', 'SnapshotEvidence');
  rule(seqno < entry.seqno, 'SnapshotEvidence', () => `it is about ${seqno}`);
  const claims = entry.claimsDigest;
  const same = digest !== undefined && claims !== undefined && equalBytes(digest, claims);
  rule(same, 'SnapshotEvidence', () => 'digest and claims differ');
  return { digest, seqno };
}
