/**
 * Verifies a snapshot file: its form, and that a committed transaction of the service vouches for
 * its bytes (ledger-format.md §10 and §15.5).
 */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { equalBytes, hexOf } from '../base/bytes.ts';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { aeadKeyOf } from '../crypto/aead.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import { type ReceiptVerdict, verifyReceipt } from '../ledger/receipt.ts';
import {
  openSnapshot,
  parseSnapshot,
  parseSnapshotName,
  type Snapshot,
} from '../ledger/snapshot.ts';
import { type Fault, FaultError, rule } from './fault.ts';
import { jsonRow, textField } from './rows.ts';
import type { DatedSecret } from './sealed.ts';

export interface SnapshotOptions {
  /** PEM of the service's certificate; without it the one in the snapshot itself is used. */
  readonly serviceCertificate?: string;
  readonly secrets?: readonly DatedSecret[];
  /** Digest that the ledger's evidence names for this snapshot. */
  readonly evidenceDigest?: Uint8Array;
}

export interface SnapshotVerdict {
  readonly ok: boolean;
  readonly file: string;
  readonly fault?: Fault;
  readonly seqno?: number;
  readonly digest?: string;
  readonly tables?: number;
  readonly rows?: number;
  readonly bytes: number;
  readonly receipt?: ReceiptVerdict;
  /** Whose word the receipt was judged by. `itself` shows soundness, not whose snapshot it is. */
  readonly trust: 'given' | 'itself';
}

const SERVICE = 'public:ccf.gov.service.info';

/** Verifies a snapshot file. Rejects with `LedgerUnreadable` when it cannot be read. */
export async function verifySnapshot(
  path: string,
  options: SnapshotOptions = {},
): Promise<SnapshotVerdict> {
  const file = basename(path);
  const bytes = await read(path);
  const trust = options.serviceCertificate === undefined ? 'itself' : 'given';
  const known = { file, bytes: bytes.length, trust } as const;
  let snapshot: Snapshot | undefined;
  try {
    const name = parseSnapshotName(file);
    rule(name !== undefined, 'SnapshotName', () => `${JSON.stringify(file)} is not`);
    rule(name.committed, 'SnapshotName', () => `${file} is unfinished`);
    snapshot = parsed(bytes);
    const { seqno, digest } = snapshot;
    rule(name.seqno === seqno, 'SnapshotName', () => `it holds the state at ${seqno}`);
    const { evidenceDigest } = options;
    const sameRow = evidenceDigest === undefined || equalBytes(evidenceDigest, digest);
    rule(sameRow, 'SnapshotEvidenceRow', () => `this one's is ${hexOf(digest)}`);
    mustOpen(snapshot, options.secrets);
    const receipt = await judged(snapshot, options);
    const told = receipt.txId?.split('.')[1];
    rule(told === String(name.evidenceSeqno), 'SnapshotName', () => {
      return `its receipt is of ${receipt.txId ?? 'no transaction'}`;
    });
    return { ok: true, ...known, ...facts(snapshot), receipt };
  } catch (thrown) {
    if (!(thrown instanceof FaultError)) throw thrown;
    return { ok: false, ...known, fault: thrown.at({ file }), ...facts(snapshot) };
  }
}

function facts(
  snapshot: Snapshot | undefined,
): Pick<SnapshotVerdict, 'seqno' | 'digest' | 'tables' | 'rows'> {
  if (snapshot === undefined) return {};
  return {
    seqno: snapshot.seqno,
    digest: hexOf(snapshot.digest),
    tables: snapshot.publicMaps.length,
    rows: snapshot.publicMaps.reduce((sum, map) => sum + map.rows.length, 0),
  };
}

function parsed(bytes: Buffer): Snapshot {
  try {
    return parseSnapshot(bytes);
  } catch (thrown) {
    if (isCoded(thrown, 'BadSnapshot')) throw new FaultError('SnapshotContent', thrown.message);
    if (!isCoded(thrown, 'BadEntry')) throw thrown;
    throw new FaultError('SnapshotEntry', thrown.message, Number(thrown.fields.offset));
  }
}

function mustOpen(snapshot: Snapshot, secrets: readonly DatedSecret[] | undefined): void {
  if (secrets === undefined) return;
  const applying = secrets.filter(({ from }) => from <= snapshot.seqno);
  const latest = applying.sort((left, right) => left.from - right.from).at(-1);
  rule(latest !== undefined, 'SecretMissing', () => `none applies to ${snapshot.seqno}`);
  try {
    openSnapshot(snapshot, aeadKeyOf(latest.bytes));
  } catch (thrown) {
    if (isCoded(thrown, 'SealBroken')) throw new FaultError('Seal', thrown.message);
    if (!isCoded(thrown, 'BadSnapshot')) throw thrown;
    throw new FaultError('SnapshotContent', thrown.message);
  }
}

async function judged(snapshot: Snapshot, options: SnapshotOptions): Promise<ReceiptVerdict> {
  const { receipt, digest } = snapshot;
  rule(receipt.length > 0, 'SnapshotReceipt', () => 'this one is not');
  const serviceCertificate = options.serviceCertificate ?? ownService(snapshot);
  const trust = { serviceCertificate, claimsDigest: digest };
  const verdict = await verifyReceipt(receipt, trust, nodeVerifier);
  const failed = verdict.checks.find((check) => !check.ok);
  if (failed === undefined) return verdict;
  const reason = failed.name === 'claims' ? 'SnapshotClaims' : 'SnapshotReceipt';
  throw new FaultError(reason, failed.detail, snapshot.entry.bytes.length);
}

function ownService(snapshot: Snapshot): string {
  const row = snapshot.publicMaps.find(({ name }) => name === SERVICE)?.rows[0];
  if (row === undefined) throw new FaultError('SnapshotContent', 'it names no service');
  return textField(jsonRow(row.value, 'SnapshotContent'), 'cert', 'SnapshotContent');
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const message = `${path} cannot be read: ${messageOf(cause)}`;
    throw new CodedError('LedgerUnreadable', message, { path }, { cause });
  }
}
