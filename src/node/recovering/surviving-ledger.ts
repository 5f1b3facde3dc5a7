/**
 * One ledger that survived a disaster, judged as a recovery needs it: verified from its first entry
 * to its last signature, with what it says of nodes, of former secrets, and of how far it is known
 * to be committed.
 */
import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuditedEntry, type Level, verifyLedger } from '../../audit/ledger.ts';
import { type HistoricalSecret, historicalSecret } from '../../audit/secret-rules.ts';
import { hexOf } from '../../base/bytes.ts';
import { CodedError, isCoded } from '../../base/errors.ts';
import { type NodeId, type Seqno, seqnoOf, type TxId, viewOf } from '../../base/ids.ts';
import { parseChunkName } from '../../ledger/chunk.ts';
import { MerkleTree } from '../../ledger/merkle.ts';
import { parseSignature } from '../../ledger/signature.ts';
import { NO_NODES, nodesAfter, votersOf } from '../membership.ts';

/** A backup's own file says that the ledger beside it is nobody's disk (`cli/backup`). */
export const BACKUP_FILE = 'backup.json';

/**
 * Beside a node's ledger, JSON `{node_id}`: whose it is. Ledgers of one service are alike, so that
 * nothing else tells two copies of one from those of two nodes. It guards against mistakes only.
 */
export const OWNER_FILE = 'concordat-node.json';

export interface VotingNodes {
  /** The entry from which on they vote. */
  readonly seqno: Seqno;
  readonly nodes: readonly NodeId[];
}

export interface SurvivingLedger {
  /** As the operator named it, and where its chunks lie. */
  readonly given: string;
  readonly folder: string;
  /** Only what was committed when it was copied: it speaks for no node. */
  readonly isBackup: boolean;
  /** Whose disk it was, if that stands beside it. */
  readonly owner: NodeId | undefined;
  /** Its last signature: what comes behind it counts for nothing. */
  readonly end: TxId;
  /** Hexadecimal root that it signs. */
  readonly endRoot: string;
  /** The file that holds it, and where it ends there. */
  readonly endFile: string;
  readonly endOffset: number;
  /** The last transaction that this ledger itself shows to be committed, if there is any. */
  readonly committed: TxId | undefined;
  /** Chunk files up to the last signature, oldest first. */
  readonly files: readonly string[];
  readonly configurations: readonly VotingNodes[];
  /** Where each of its views begins. */
  readonly views: readonly TxId[];
  /** Hexadecimal roots at the ends of committed chunks. */
  readonly roots: ReadonlyMap<number, string>;
  readonly secretRows: readonly HistoricalSecret[];
  readonly serviceStatus: string;
}

export interface JudgeOptions {
  /** PEM of the certificate that the lost service had last; any will do when absent. */
  readonly serviceCertificatePem?: string;
  /** `full` when absent: a simulation has keys that nobody can verify. */
  readonly level?: Level;
  readonly onProgress?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/** The folder of chunks that a path names: a node's, a backup's, or the chunks' own. */
export async function ledgerFolderOf(given: string): Promise<string> {
  const path = await realpath(given).catch(() => given);
  const inner = join(path, 'ledger');
  const isFolder = await stat(inner).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return isFolder ? inner : path;
}

/** Judges a ledger; rejects with `LedgerRefused` and the reason. */
export async function judgeLedger(
  given: string,
  { serviceCertificatePem, level = 'full', onProgress, signal }: JudgeOptions,
): Promise<SurvivingLedger> {
  const folder = await ledgerFolderOf(given);
  const reader = new Reader();
  try {
    const verdict = await verifyLedger(folder, {
      level,
      afterCrash: true,
      ...(serviceCertificatePem === undefined
        ? {}
        : { serviceCertificate: serviceCertificatePem }),
      onEntry: (entry) => reader.take(entry),
      ...(onProgress === undefined ? {} : { onProgress: ({ bytes }) => onProgress(bytes) }),
      ...(signal === undefined ? {} : { signal }),
    });
    const { fault } = verdict;
    if (fault !== undefined) throw refused(given, fault.message);
    const backup = await stat(join(folder, '..', BACKUP_FILE)).catch(() => undefined);
    const { end, ...rest } = reader;
    if (end === undefined) throw refused(given, 'it holds no signature');
    const serviceStatus = verdict.service?.status ?? 'none';
    // Only a full verification follows what becomes of the service.
    if (level === 'full' && serviceStatus !== 'Open')
      throw refused(given, notOpen(serviceStatus));
    return {
      ...{ given, folder, end, serviceStatus },
      isBackup: backup !== undefined,
      owner: await ownerOf(folder),
      endRoot: rest.endRoot,
      endFile: rest.endFile,
      endOffset: rest.endOffset,
      committed: reader.committed,
      files: reader.files.slice(0, reader.files.indexOf(rest.endFile) + 1),
      configurations: rest.configurations,
      views: reader.views,
      roots: rest.roots,
      secretRows: rest.secretRows,
    };
  } catch (error) {
    if (isCoded(error, 'LedgerUnreadable')) throw refused(given, error.message);
    throw error;
  }
}

async function ownerOf(folder: string): Promise<NodeId | undefined> {
  try {
    const row: unknown = JSON.parse(await readFile(join(folder, '..', OWNER_FILE), 'utf8'));
    const id = String(Reflect.get(Object(row), 'node_id'));
    return /^[0-9a-f]{64}$/.test(id) ? (id as NodeId) : undefined;
  } catch {
    // Not there, or nothing that names a node: then nobody knows.
    return undefined;
  }
}

/** Takes in what entries say, one after the other. */
class Reader {
  end: TxId | undefined;
  endRoot = '';
  endFile = '';
  endOffset = 0;
  readonly files: string[] = [];
  readonly configurations: VotingNodes[] = [];
  readonly roots = new Map<number, string>();
  readonly secretRows: HistoricalSecret[] = [];
  #nodes = NO_NODES;
  readonly views: TxId[] = [];
  #committed = 0;

  /** Up to a committed chunk's end, or as far as a signature's tree was flushed: both say it. */
  get committed(): TxId | undefined {
    const start = this.views.findLast(({ seqno }) => seqno <= this.#committed);
    if (start === undefined) return undefined;
    return { view: start.view, seqno: seqnoOf(this.#committed) };
  }

  take({ entry, file, offset, publicMaps }: AuditedEntry): void {
    if (this.files.at(-1) !== file) this.files.push(file);
    const [view, seqno] = [viewOf(entry.view), seqnoOf(entry.seqno)];
    if (this.views.at(-1)?.view !== view) this.views.push({ view, seqno });
    const row = historicalSecret(publicMaps, seqno);
    if (row !== undefined) this.secretRows.push(row);
    const nodes = nodesAfter(this.#nodes, entry.publicMaps);
    if (votersOf(nodes).join() !== votersOf(this.#nodes).join()) {
      this.configurations.push({ seqno, nodes: votersOf(nodes) });
    }
    this.#nodes = nodes;
    if (!entry.isSignature()) return;
    const signature = parseSignature(entry.publicMaps);
    if (signature === undefined) return;
    const { raw, tree } = signature;
    const root =
      raw?.root ?? (tree === undefined ? undefined : MerkleTree.deserialise(tree).root());
    this.end = { view, seqno };
    this.endRoot = root === undefined ? '' : hexOf(root);
    this.endFile = file;
    this.endOffset = offset + entry.bytes.length;
    const flushed = tree === undefined ? 0 : Number(Buffer.from(tree).readBigUInt64BE(8));
    this.#committed = Math.max(this.#committed, flushed);
    const name = parseChunkName(file);
    if (name?.committed !== true || name.end !== seqno) return;
    this.roots.set(seqno, this.endRoot);
    this.#committed = Math.max(this.#committed, seqno);
  }
}

function notOpen(status: string): string {
  const unfinished = status === 'Recovering' || status === 'WaitingForRecoveryShares';
  if (!unfinished) return `its service was never open (${status})`;
  const why = `it is of a recovery that was never finished (${status})`;
  return `${why}: name the ledgers that it began from`;
}

function refused(given: string, why: string): CodedError {
  const message = `the ledger in ${given} cannot be recovered from: ${why}`;
  return new CodedError('LedgerRefused', message, { folder: given });
}
