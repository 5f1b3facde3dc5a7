/**
 * A backup of a service: its committed chunks and snapshots, fetched from any of its nodes as they
 * are committed, over the endpoints that operators use, and verified before they count. What lies
 * in the folder is a ledger that `concordat node recover` takes, and no node's: it holds no key.
 *
 *     backup.json   whose it is, and how far it goes
 *     ledger/       committed chunks         snapshots/   snapshots with their receipts
 *     incoming/     what is not verified yet set-aside/   what turned out to be of no history
 */
import { verifySnapshot } from '../../audit/snapshot.ts';
import { hexOf, textOf, utf8 } from '../../base/bytes.ts';
import type { Disk, Timers } from '../../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { type TxId, textOfTxId } from '../../base/ids.ts';
import { FETCHED_SNAPSHOT_BYTES_MAX } from '../../base/limits.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { certificateOfPem } from '../../crypto/x509.ts';
import { parseSnapshotName } from '../../ledger/snapshot.ts';
import { fetchFile, finishFile } from '../joining/file-fetch.ts';
import type { JoinSources } from '../joining/join-source.ts';
import { LedgerFetch } from '../joining/ledger-fetch.ts';
import { LedgerVerifier } from '../joining/ledger-verifier.ts';
import { mustGoOn } from '../joining/pause.ts';
import type { NodeLog } from '../node-options.ts';
import { BACKUP_FILE } from '../recovering/surviving-ledger.ts';
import type { BackupStore } from './store.ts';

export interface BackupOptions {
  readonly folder: string;
  /** Where nodes serve clients, `host:port` each. */
  readonly targets: readonly string[];
  readonly serviceCertificatePem: string;
  /** Pause before nodes that do not answer are asked again. */
  readonly retryMs: number;
}

export interface BackupDependencies {
  readonly disk: Disk;
  readonly timers: Timers;
  readonly log: NodeLog;
  readonly verifier: Verifier;
  readonly sources: JoinSources;
  /** The last transaction that the service says is committed; undefined if nobody answers. */
  readonly committed: () => Promise<TxId | undefined>;
  /** Where copies go besides. */
  readonly store?: BackupStore;
  readonly signal?: AbortSignal;
}

/** How far a backup goes. */
export interface BackupState {
  /** The last transaction that could be recovered from it. */
  readonly recoveryPoint: string | undefined;
  readonly recoveryPointSeqno: number;
  /** What the service had committed when it was asked last. */
  readonly committed: string | undefined;
  readonly committedSeqno: number;
  readonly snapshotSeqno: number;
  readonly chunks: number;
  /** Files that the object store has. */
  readonly stored: number;
}

export class Backup {
  readonly #options: BackupOptions;
  readonly #deps: BackupDependencies;
  readonly #ledger: LedgerFetch;
  #addresses: readonly string[];
  #committed: TxId | undefined;
  #snapshotSeqno = 0;
  #chunks = 0;
  #stored = 0;

  constructor(options: BackupOptions, dependencies: BackupDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.#addresses = options.targets;
    const { disk, timers, log, sources, verifier, signal } = dependencies;
    const { publicKeyDer } = certificateOfPem(options.serviceCertificatePem);
    this.#ledger = new LedgerFetch(
      {
        addresses: () => this.#addresses,
        retryMs: options.retryMs,
        ledgerFolder: this.#path('ledger'),
        partFolder: this.#path('incoming'),
        asideFolder: this.#path('set-aside'),
      },
      {
        ...{ disk, timers, log, sources },
        newVerifier: () => new LedgerVerifier(publicKeyDer, verifier),
        ...(signal === undefined ? {} : { signal }),
      },
    );
  }

  /** Makes or takes up the folder: what lies in it is verified again. */
  async begin(): Promise<void> {
    const { disk } = this.#deps;
    await this.#claim();
    const names = ['ledger', 'snapshots', 'incoming', 'incoming/whole', 'set-aside'];
    for (const name of names) await disk.makeFolder(this.#path(name));
    for (const name of await disk.list(this.#path('incoming/whole'))) {
      await disk.remove(this.#path(`incoming/whole/${name}`));
    }
    await this.#ledger.resume();
    await this.#noteFiles();
  }

  /** Fetches all that was committed meanwhile. */
  async round(): Promise<BackupState> {
    await this.#hearOfNodes();
    await this.#ledger.fetchAll();
    await this.#newestSnapshot();
    this.#committed = (await this.#deps.committed()) ?? this.#committed;
    await this.#noteFiles();
    await this.#storeFiles();
    return this.state;
  }

  get state(): BackupState {
    const { last } = this.#ledger;
    return {
      recoveryPoint: last === undefined ? undefined : textOfTxId(last),
      recoveryPointSeqno: last?.seqno ?? 0,
      committed: this.#committed === undefined ? undefined : textOfTxId(this.#committed),
      committedSeqno: this.#committed?.seqno ?? 0,
      snapshotSeqno: this.#snapshotSeqno,
      chunks: this.#chunks,
      stored: this.#stored,
    };
  }

  #path(name: string): string {
    return `${this.#options.folder}/${name}`;
  }

  /** A folder is the backup of one service for good. */
  async #claim(): Promise<void> {
    const { disk, verifier } = this.#deps;
    const { folder, serviceCertificatePem } = this.#options;
    const { publicKeyDer } = certificateOfPem(serviceCertificatePem);
    const service = hexOf(await verifier.hash('SHA-256', publicKeyDer));
    await disk.makeFolder(folder);
    const path = this.#path(BACKUP_FILE);
    if (!(await disk.exists(path))) {
      const strangers = await disk.list(folder);
      if (strangers.length > 0)
        throw foreign(folder, `holds ${strangers[0]}, and is no backup`);
      const row = utf8(`${JSON.stringify({ kind: 'concordat-backup', service })}\n`);
      const file = await disk.open(path, 'create');
      await file.write(0, row);
      await file.sync();
      await file.close();
      await disk.syncFolder(folder);
      return;
    }
    const file = await disk.open(path, 'read');
    const text = textOf(await file.read(0, await file.size()));
    await file.close();
    const known = serviceIn(text);
    if (known === service) return;
    throw foreign(
      folder,
      `is of the service with the key ${known}, and this one has ${service}`,
    );
  }

  async #hearOfNodes(): Promise<void> {
    for (const target of this.#options.targets) {
      try {
        const heard = await this.#deps.sources.at(target).addresses();
        this.#addresses = [...new Set([...this.#options.targets, ...heard])];
        return;
      } catch (thrown) {
        if (!isCoded(thrown, 'SourceUnreachable')) throw thrown;
      }
    }
  }

  /** A backup can do without; one that is bad is told of, and another node is asked. */
  async #newestSnapshot(): Promise<void> {
    for (const address of this.#addresses) {
      mustGoOn(this.#deps.signal);
      try {
        await this.#snapshotFrom(address);
        return;
      } catch (thrown) {
        if (!(thrown instanceof CodedError) || thrown.code === 'JoinStopped') throw thrown;
        this.#deps.log.warn(`no snapshot of ${address}: ${messageOf(thrown)}`);
      }
    }
  }

  async #snapshotFrom(address: string): Promise<void> {
    const { disk, log, sources, signal } = this.#deps;
    const offered = await sources.at(address).newestSnapshot();
    const named = offered === undefined ? undefined : parseSnapshotName(offered.name);
    const end = this.#ledger.last?.seqno ?? 0;
    if (offered === undefined || named === undefined || named.seqno > end) return;
    if (await disk.exists(this.#path(`snapshots/${offered.name}`))) return;
    const fetched = await fetchFile(offered, {
      disk,
      folder: this.#path('incoming'),
      bytesMax: FETCHED_SNAPSHOT_BYTES_MAX,
      onPiece: (done) => {
        mustGoOn(signal);
        log.progress(`fetching ${offered.name}`, done, offered.bytes, 'B');
      },
    });
    const whole = this.#path('incoming/whole');
    await finishFile(disk, fetched, whole);
    const path = `${whole}/${fetched.name}`;
    const { serviceCertificatePem: serviceCertificate } = this.#options;
    const verdict = await verifySnapshot(path, { serviceCertificate });
    if (verdict.ok) {
      await finishFile(disk, { path, name: fetched.name }, this.#path('snapshots'));
      return;
    }
    await disk.remove(path);
    const why = verdict.fault?.message ?? 'it is not sound';
    throw new CodedError('BadDownload', `${fetched.name}: ${why}`, { name: fetched.name });
  }

  async #noteFiles(): Promise<void> {
    const { disk } = this.#deps;
    this.#chunks = (await disk.list(this.#path('ledger'))).length;
    const snapshots = await disk.list(this.#path('snapshots'));
    const seqnos = snapshots.map((name) => parseSnapshotName(name)?.seqno ?? 0);
    this.#snapshotSeqno = Math.max(0, ...seqnos);
  }

  async #storeFiles(): Promise<void> {
    const { store, disk } = this.#deps;
    if (store === undefined) return;
    // The file that makes it a backup comes last: until then nobody takes it for a whole one.
    for (const folder of ['ledger', 'snapshots']) {
      for (const name of await disk.list(this.#path(folder))) {
        await store.keep(`${folder}/${name}`, this.#path(`${folder}/${name}`));
      }
    }
    await store.keep(BACKUP_FILE, this.#path(BACKUP_FILE));
    this.#stored = store.kept;
  }
}

function serviceIn(text: string): string {
  try {
    const row = JSON.parse(text) as { service?: unknown };
    return typeof row.service === 'string' ? row.service : 'unknown';
  } catch {
    return 'unknown';
  }
}

function foreign(folder: string, why: string): CodedError {
  const message = `${folder} ${why}. Choose an empty folder`;
  return new CodedError('ForeignFolder', message, { folder });
}
