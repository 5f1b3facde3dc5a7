/**
 * Fetches the newest snapshot of a service (node-lifecycle.md §9) and verifies it: by its receipt,
 * by its seal, and by asking the service whether what vouches for it is committed. A joiner can do
 * without one.
 */
import type { Disk } from '../../base/environment.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { textOfTxId } from '../../base/ids.ts';
import { FETCHED_SNAPSHOT_BYTES_MAX } from '../../base/limits.ts';
import { parseSnapshotName } from '../../ledger/snapshot.ts';
import {
  type LoadedSnapshot,
  loadSnapshot,
  type SnapshotSource,
  type SnapshotTrust,
} from '../../ledger/snapshot-loading.ts';
import type { NodeLog } from '../node-options.ts';
import { fetchFile, finishFile } from './file-fetch.ts';
import type { JoinSource } from './join-source.ts';
import { mustGoOn } from './pause.ts';

export interface FetchedSnapshot {
  /** Its file in the folder of snapshots. */
  readonly name: string;
  readonly loaded: LoadedSnapshot;
}

export interface SnapshotFetchOptions {
  readonly disk: Disk;
  readonly log: NodeLog;
  readonly partFolder: string;
  readonly snapshotFolder: string;
  readonly trust: SnapshotTrust;
  readonly source: Omit<SnapshotSource, 'bytes'>;
  /** The last entry of the ledger that is there: a snapshot beyond it would leave a gap. */
  readonly ledgerEnd: number;
  readonly signal?: AbortSignal;
}

/** The newest good snapshot that one of these nodes offers; undefined, and told why, without. */
export async function fetchSnapshot(
  sources: readonly JoinSource[],
  options: SnapshotFetchOptions,
): Promise<FetchedSnapshot | undefined> {
  for (const source of sources) {
    mustGoOn(options.signal);
    try {
      const snapshot = await fromOne(source, options);
      if (snapshot !== undefined) return snapshot;
    } catch (thrown) {
      if (!(thrown instanceof CodedError) || thrown.code === 'JoinStopped') throw thrown;
      options.log.warn(`no snapshot of ${source.address}: ${messageOf(thrown)}`);
    }
  }
  return undefined;
}

async function fromOne(
  source: JoinSource,
  options: SnapshotFetchOptions,
): Promise<FetchedSnapshot | undefined> {
  const { disk, log, partFolder, snapshotFolder, trust } = options;
  const offered = await source.newestSnapshot();
  if (offered === undefined) return undefined;
  const named = parseSnapshotName(offered.name);
  if (named?.committed !== true) throw bad(offered.name, 'this is no name of a snapshot');
  if (named.seqno > options.ledgerEnd) {
    log.info(`${offered.name} lies beyond entry ${options.ledgerEnd}: it is not needed`);
    return undefined;
  }
  const fetched = await fetchFile(offered, {
    disk,
    folder: partFolder,
    bytesMax: FETCHED_SNAPSHOT_BYTES_MAX,
    onPiece: (done) => {
      mustGoOn(options.signal);
      log.progress(`fetching ${offered.name}`, done, offered.bytes, 'B');
    },
  });
  try {
    const loaded = await loadSnapshot({ ...options.source, bytes: fetched.bytes }, trust);
    const { seqno, evidence } = loaded;
    if (seqno !== named.seqno || evidence.seqno !== named.evidenceSeqno) {
      throw bad(offered.name, `it is of ${seqno}, and ${textOfTxId(evidence)} vouches for it`);
    }
    const status = await source.statusOf(evidence);
    if (status !== 'Committed') throw bad(offered.name, `its evidence is ${status}`);
    await finishFile(disk, fetched, snapshotFolder);
    return { name: fetched.name, loaded };
  } catch (thrown) {
    await disk.remove(fetched.path);
    throw thrown;
  }
}

function bad(name: string, why: string): CodedError {
  return new CodedError('BadDownload', `${name}: ${why}`, { name });
}
