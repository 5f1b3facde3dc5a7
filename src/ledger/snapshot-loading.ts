/**
 * Takes a snapshot in: the state to begin with instead of the entries that led to it
 * (ledger-format.md §10). Nothing of it is looked at before its receipt has shown that the service
 * itself committed to these bytes; that its seal opens shows besides that it was sealed by a holder
 * of the ledger secret, and not by somebody who had a transaction of his own claim a digest.
 */
import { equalBytes, hexOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoOf, type TxId, txIdOfText, viewOf } from '../base/ids.ts';
import { openGcm } from '../crypto/aead.ts';
import { sha256 } from '../crypto/hash.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { type ImageTable, loadImage } from '../kv/image.ts';
import type { ImageRow } from '../kv/image-rows.ts';
import { Store } from '../kv/store.ts';
import { isPublicName } from '../kv/write-set.ts';
import { COSE_SIGNATURES, type ParsedEntry, parseEntry, SIGNATURES, TREE } from './entry.ts';
import { MerkleTree } from './merkle.ts';
import { verifyReceipt } from './receipt.ts';
import type { LedgerSecret } from './secret.ts';
import { parseSignature, type ReadSignature, SINGLETON_KEY } from './signature.ts';
import { readSnapshotHead } from './snapshot.ts';
import { decodeImageTables } from './state-image.ts';
import { ViewHistory } from './view-history.ts';

export interface SnapshotTrust {
  /** PEM of the certificate of the service that the snapshot must be of. */
  readonly serviceCertificate: string;
  readonly verifier: Verifier;
}

export interface SnapshotSource {
  /** The whole file. */
  readonly bytes: Buffer;
  readonly archivedTables: readonly string[];
  /** The ledger secret in force at a seqno, if it is known. */
  readonly secretAt: (seqno: Seqno) => LedgerSecret | undefined;
  /** An empty store to fill; a new one when absent. */
  readonly store?: Store;
}

export interface LoadedSnapshot {
  /** The signature after which the state stands. */
  readonly seqno: Seqno;
  readonly signature: ReadSignature;
  /** The transaction that vouches for the snapshot. */
  readonly evidence: TxId;
  readonly store: Store;
  /** All leaves up to and with the signature's own. */
  readonly tree: MerkleTree;
  readonly views: ViewHistory;
}

/**
 * Verifies and loads a snapshot. Rejects with `BadEntry` or `BadSnapshot` for bytes that are none,
 * `SnapshotUnvouched` (with the failed check's name in its fields) when the receipt does not prove
 * it, `SecretMissing` or `SealBroken` when its private part cannot be opened.
 */
export async function loadSnapshot(
  { bytes, archivedTables, secretAt, store }: SnapshotSource,
  trust: SnapshotTrust,
): Promise<LoadedSnapshot> {
  const entry = parseEntry(bytes);
  if (!entry.isSnapshot) throw bad('it holds the entry of a transaction');
  const seqno = seqnoOf(entry.seqno);
  const receipt = bytes.subarray(entry.bytes.length);
  const evidence = await vouchedBy(seqno, sha256(entry.bytes), receipt, trust);

  const secret = secretAt(seqno);
  if (secret === undefined) {
    throw new CodedError(
      'SecretMissing',
      `the ledger secret in force at ${seqno} is not known`,
      {
        seqno,
      },
    );
  }
  const privatePart = openGcm(secret.key, entry.iv, entry.publicDomain, entry);
  try {
    return {
      seqno,
      evidence,
      ...stateIn(entry, privatePart, store ?? new Store(archivedTables), seqno),
    };
  } catch (thrown) {
    if (!(thrown instanceof CodedError) || thrown.code === 'BadSnapshot') throw thrown;
    throw bad(thrown.message, thrown);
  }
}

function stateIn(
  entry: ParsedEntry,
  privatePart: Buffer,
  store: Store,
  seqno: Seqno,
): Omit<LoadedSnapshot, 'seqno' | 'evidence'> {
  const head = readSnapshotHead(entry);
  const publicPart = entry.publicDomain.subarray(head.mapsAt);
  loadImage(store, bothDomains(publicPart, privatePart), seqno);
  const signature = signatureIn(store, seqno);
  const tree = treeOf(signature, seqno);
  tree.append(head.leaf);
  tree.flushTo(seqno);
  return { signature, store, tree, views: viewsOf(head.viewHistory, seqno) };
}

/** The transaction that committed to `digest`, as the receipt proves it. */
async function vouchedBy(
  seqno: Seqno,
  digest: Uint8Array,
  receipt: Uint8Array,
  { serviceCertificate, verifier }: SnapshotTrust,
): Promise<TxId> {
  if (receipt.length === 0) throw unvouched('format', 'it has no receipt');
  const trust = { serviceCertificate, claimsDigest: digest };
  const verdict = await verifyReceipt(receipt, trust, verifier);
  const failed = verdict.checks.find((check) => !check.ok);
  if (failed !== undefined) throw unvouched(failed.name, failed.detail);
  const txId = verdict.txId === undefined ? undefined : txIdOfText(verdict.txId);
  if (txId === undefined || txId.seqno <= seqno) {
    const what = verdict.txId ?? 'no transaction';
    throw unvouched('evidence', `its receipt is of ${what}, which is not after ${seqno}`);
  }
  return txId;
}

function* bothDomains(
  publicPart: Buffer,
  privatePart: Buffer,
): Generator<ImageTable, void, void> {
  for (const [part, isPublic] of [[publicPart, true] as const, [privatePart, false] as const]) {
    for (const table of decodeImageTables(part)) {
      if (isPublicName(table.name) !== isPublic) {
        throw bad(`table ${JSON.stringify(table.name)} stands in the other domain`);
      }
      yield { ...table, rows: detached(table.rows) };
    }
  }
}

/** The same rows with values of their own, so that one row does not keep the whole file. */
function* detached(rows: Iterable<ImageRow>): Generator<ImageRow, void, void> {
  for (const row of rows) yield { ...row, value: Uint8Array.prototype.slice.call(row.value) };
}

/** The signature at which the snapshot was taken, as its own tables hold it. */
function signatureIn(store: Store, seqno: Seqno): ReadSignature {
  const maps = [COSE_SIGNATURES, SIGNATURES, TREE].flatMap((name) => {
    const table = store.versionedTable(name);
    const cell = table.cell(SINGLETON_KEY, seqno);
    // The service does not sign every time: its row may be of an earlier signature.
    if (cell?.value === undefined || cell.seqno !== seqno) return [];
    const writes = new Map([[SINGLETON_KEY, cell.value]]);
    return [{ name, writes, removes: new Set<string>() }];
  });
  const signature = parseSignature(maps);
  if (signature === undefined) throw bad(`it holds no signature made at ${seqno}`);
  return signature;
}

function treeOf({ tree: row, raw }: ReadSignature, seqno: Seqno): MerkleTree {
  if (row === undefined) throw bad(`it holds no tree of signature ${seqno}`);
  const tree = MerkleTree.deserialise(row);
  if (tree.size !== seqno) throw bad(`its tree has ${tree.size} leaves, not ${seqno}`);
  if (raw === undefined) return tree;
  const root = tree.root();
  if (raw.seqno !== seqno || !equalBytes(raw.root, root)) {
    throw bad(`its tree has root ${hexOf(root)}, its signature is of ${hexOf(raw.root)}`);
  }
  return tree;
}

/** First seqno of view 1, 2, 3, …; a view without entries shares that of the next. */
function viewsOf(starts: readonly number[], seqno: Seqno): ViewHistory {
  const views = new ViewHistory();
  starts.forEach((start, index) => {
    const next = starts[index + 1];
    if (start < 1 || start > seqno || (next !== undefined && next < start)) {
      throw bad(`its views do not begin one after the other: ${starts.join(', ')}`);
    }
    if (next !== start) views.note(viewOf(index + 1), seqnoOf(start));
  });
  if (starts.length === 0) throw bad('it has no view history');
  return views;
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError('BadSnapshot', `not a snapshot: ${why}`, {}, { cause });
}

function unvouched(check: string, why: string): CodedError {
  return new CodedError(
    'SnapshotUnvouched',
    `the service does not vouch for this snapshot (${check}): ${why}. ` +
      'Fetch it again, or another one',
    { check },
  );
}
