/**
 * One running node: what an opened ledger and a front door make together.
 */
import type { AppRequest, Endpoint, NoReceipt, Receipt } from '../apps/interface.ts';
import { InvariantError, invariant } from '../base/assert.ts';
import { utf8 } from '../base/bytes.ts';
import type { LocalIndex } from '../base/environment.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { type Seqno, seqnoOf, type TxId } from '../base/ids.ts';
import { systemRandom } from '../crypto/random.ts';
import { type Opening, writeOpening } from '../governance/opening.ts';
import { NODE_CERTIFICATES, SERVICE_INFO, SINGLETON } from '../governance/tables.ts';
import type { Backend, NodeFacts, RunOptions, RunResult } from '../http/backend.ts';
import { createFrontDoor, type FrontDoor } from '../http/front-door.ts';
import type { FrontDoorStats } from '../http/stats.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { StoreTransaction } from '../kv/transaction.ts';
import { statusOf, type TxStatus } from '../ledger/view-history.ts';
import { ArchiveReader } from './archive-reader.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { foldersOf } from './node-folders.ts';
import type { NodeDependencies, NodeOptions } from './node-options.ts';
import { OfferedFiles } from './offered-files.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import { ReceiptBuilder } from './receipt-builder.ts';
import { Runner } from './runner.ts';
import type { SnapshotFolder } from './snapshot-folder.ts';
import { SnapshotTaker } from './snapshot-taker.ts';
import { WritePipeline } from './write-pipeline.ts';

export class RunningNode implements Backend {
  readonly #options: NodeOptions;
  readonly #deps: NodeDependencies;
  readonly #ledger: OpenedLedger;
  readonly #index: LocalIndex;
  readonly #pipeline: WritePipeline;
  readonly #receipts: ReceiptBuilder;
  readonly #runner: Runner;
  readonly #snapshots: SnapshotTaker;
  readonly files: OfferedFiles;
  #frontDoor: FrontDoor | undefined;
  #stopNotice = false;
  #checkpointAt: Seqno;
  #checkpoint: Promise<void> = Promise.resolve();
  #checkpointing = false;
  #commits = 0;
  #transactions = 0;

  constructor(
    options: NodeOptions,
    dependencies: NodeDependencies,
    ledger: OpenedLedger,
    index: LocalIndex,
    snapshots: { readonly folder: SnapshotFolder; readonly grownBytes: number },
  ) {
    this.#options = options;
    this.#deps = dependencies;
    this.#ledger = ledger;
    this.#index = index;
    this.#checkpointAt = ledger.store.committed;
    const { identity, store, tree, leaves, views, secrets, chunks } = ledger;
    this.#pipeline = new WritePipeline(
      {
        ...options.signatures,
        nodeId: identity.nodeKey.fingerprint,
        view: ledger.view,
        chunkBytes: options.chunkBytes,
      },
      {
        store,
        tree,
        leaves,
        views,
        secrets,
        chunks,
        nodeKey: identity.nodeKey,
        serviceKey: identity.serviceKey,
        nodeCertificatePem: ledger.nodeCertificatePem,
        clock: dependencies.clock,
        timers: dependencies.timers,
        onFatal: dependencies.onFatal,
        onCommit: (seqno, transactions, bytes) => this.#onCommit(seqno, transactions, bytes),
        endsChunkAt: (signature) => this.#snapshots.endsChunkAt(signature),
      },
    );
    const archive = new ArchiveReader(chunks, leaves, secrets);
    const { kind } = options.signatures;
    this.#receipts = new ReceiptBuilder({ store, leaves, archive, secrets, kind });
    this.#snapshots = new SnapshotTaker(
      {
        entries: options.snapshotEntries,
        receiptForm: kind === 'cose' ? 'cose' : 'json',
        grownBytes: snapshots.grownBytes,
      },
      {
        store,
        tree,
        views,
        secrets,
        pipeline: this.#pipeline,
        receipts: this.#receipts,
        folder: snapshots.folder,
        timers: dependencies.timers,
        log: dependencies.log,
      },
    );
    const folders = foldersOf(options.folder);
    this.files = new OfferedFiles({
      disk: dependencies.disk,
      snapshotFolder: folders.snapshots,
      snapshots: snapshots.folder,
      ledgerFolder: folders.ledger,
      chunks,
    });
    this.#runner = new Runner({
      store,
      pipeline: this.#pipeline,
      archive,
      receipts: this.#receipts,
      views,
      timers: dependencies.timers,
      files: this.files,
      readIndex: () => this.#readIndex(),
    });
  }

  get nodeId(): string {
    return this.#ledger.identity.nodeKey.fingerprint;
  }

  get serviceCertificatePem(): string {
    return this.#ledger.serviceCertificatePem;
  }

  /** Commits a transaction of the service itself. */
  async commitService(write: (transaction: Transaction) => void): Promise<TxId> {
    const transaction = new StoreTransaction(this.#ledger.store, 'service');
    write(transaction);
    const txId = this.#pipeline.submit(transaction.writeSet(), transaction.claimsDigest);
    await this.#pipeline.whenCommitted(txId.seqno);
    return txId;
  }

  /** Opens the service: from then on its applications answer. */
  async openService(
    opening: Omit<Opening, 'secret' | 'endorsement' | 'endorsingKeyDer'>,
    also: (transaction: Transaction) => void,
  ): Promise<TxId> {
    const secret = this.#ledger.secrets.latest.bytes;
    const { endorsement, identity } = this.#ledger;
    const endorsingKeyDer = identity.serviceKey.publicKeyDer;
    const txId = await this.commitService((transaction) => {
      const whole = { ...opening, secret, endorsement, endorsingKeyDer };
      writeOpening(transaction, whole, systemRandom);
      also(transaction);
    });
    await this.#ledger.markOpened();
    return txId;
  }

  /** Has a snapshot taken at the next signature. */
  requestSnapshot(): void {
    this.#snapshots.request();
  }

  /** Resolves when no snapshot is under way. */
  async snapshotsIdle(): Promise<void> {
    await this.#snapshots.idle();
  }

  /** Opens the front door. */
  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    const { identity } = this.#ledger;
    this.#frontDoor = createFrontDoor(this.#options.frontDoor, {
      backend: this,
      applications: this.#options.applications,
      clock: this.#deps.clock,
      timers: this.#deps.timers,
      tls: { key: identity.nodeKey.privateKeyPem(), cert: this.#certificate() },
      onFault: (fault, where) => {
        this.#deps.log.warn(`${where}: ${messageOf(fault)}`);
        // A broken invariant means that this node no longer understands its own state. Anything
        // else was one request's misfortune, and must not be a way to stop the node.
        if (fault instanceof InvariantError) this.#deps.onFatal(fault);
      },
    });
    return await this.#frontDoor.listen(this.#options.host, this.#options.port);
  }

  /** Ends requests in flight, commits what is there, and lets go of the folder. */
  async stop(): Promise<void> {
    this.#stopNotice = true;
    await this.#frontDoor?.close();
    await this.#snapshots.stop();
    await this.#pipeline.stop();
    await this.#checkpoint;
    try {
      await this.#writeCheckpoint();
    } finally {
      await this.#ledger.chunks.close();
      await this.#index.close();
    }
  }

  run(endpoint: Endpoint, request: AppRequest, options: RunOptions): Promise<RunResult> {
    return this.#runner.run(endpoint, request, options);
  }

  /** A service of one node. */
  isPrimary(): boolean {
    return true;
  }

  forward(): Promise<never> {
    const message = 'this node is the primary: it has nobody to forward a request to';
    return Promise.reject(new CodedError('InternalError', message, { status: 503 }));
  }

  applicationOpen(): boolean {
    return this.#serviceStatus() === 'Open';
  }

  current(): ReadView {
    return this.#ledger.store.current;
  }

  committed(): TxId {
    const seqno = this.#ledger.store.committed;
    return { view: this.#ledger.views.viewAt(seqno), seqno };
  }

  statusOf(txId: TxId): TxStatus {
    const { store, views } = this.#ledger;
    return statusOf(txId, this.committed(), store.newest, views);
  }

  viewHistory(): readonly TxId[] {
    return this.#ledger.views.complete();
  }

  receipt(seqno: Seqno, form: 'json' | 'cose'): Promise<Receipt | NoReceipt> {
    return this.#receipts.receipt(seqno, form);
  }

  node(): NodeFacts {
    const ledger = this.#ledger;
    return {
      nodeId: this.nodeId,
      state: 'PartOfNetwork',
      view: ledger.view,
      role: 'leader',
      primaryId: this.nodeId,
      configurations: [{ seqno: seqnoOf(1), nodeIds: [this.nodeId] }],
      acks: new Map(),
      lastSignedSeqno: seqnoOf(ledger.leaves.lastSignature),
      startupSeqno: ledger.startupSeqno,
      stopNotice: this.#stopNotice,
      ...(ledger.restart === undefined ? {} : { restart: ledger.restart }),
      selfSignedCertificatePem: ledger.selfSignedCertificatePem,
      version: this.#options.version,
      platform: 'virtual',
    };
  }

  /** Figures for the operator. */
  figures(): NodeFigures {
    return {
      committedSeqno: this.#ledger.store.committed,
      uncommitted: this.#pipeline.uncommitted,
      view: this.#ledger.view,
      rounds: this.#commits,
      transactions: this.#transactions,
      chunks: this.#ledger.chunks.closed.length,
    };
  }

  /** Figures of the front door, which must be open. */
  frontDoorStats(): FrontDoorStats {
    invariant(this.#frontDoor !== undefined, 'the front door is open');
    return this.#frontDoor.stats();
  }

  #certificate(): string {
    const row = this.current().table(NODE_CERTIFICATES).get(utf8(this.nodeId));
    return row === undefined ? this.#ledger.nodeCertificatePem : Buffer.from(row).toString();
  }

  #serviceStatus(): string | undefined {
    const row = this.current().table(SERVICE_INFO).get(SINGLETON);
    if (row === undefined) return undefined;
    if (row !== this.#statusRow) {
      this.#statusRow = row;
      this.#status = (JSON.parse(Buffer.from(row).toString()) as { status: string }).status;
    }
    return this.#status;
  }

  #statusRow: Uint8Array | undefined;
  #status: string | undefined;

  /** With one node the leader is always confirmed; it only must have committed in its view. */
  async #readIndex(): Promise<Seqno> {
    await this.#pipeline.whenCommitted(this.#ledger.viewStart);
    return this.#ledger.store.committed;
  }

  #onCommit(seqno: Seqno, transactions: number, bytes: number): void {
    this.#snapshots.onCommit(seqno, bytes);
    this.#commits += 1;
    this.#transactions += transactions;
    const due = seqno - this.#checkpointAt >= this.#options.checkpointEntries;
    if (!due || this.#checkpointing) return;
    this.#checkpointing = true;
    this.#checkpoint = this.#writeCheckpoint()
      .catch((error: unknown) => {
        this.#deps.log.warn(`no checkpoint could be written: ${String(error)}`);
      })
      .finally(() => {
        this.#checkpointing = false;
      });
  }

  async #writeCheckpoint(): Promise<void> {
    const { store, tree, identity } = this.#ledger;
    const seqno = store.committed;
    if (seqno === this.#checkpointAt) return;
    const capture = store.capture();
    if (capture === undefined) return;
    this.#checkpointAt = seqno;
    const { random, timers } = this.#deps;
    const key = identity.indexKey;
    try {
      const root = tree.root(seqno + 1);
      await writeCheckpoint({ index: this.#index, key, random, timers }, capture, root);
    } finally {
      capture.release();
    }
  }
}

export interface NodeFigures {
  readonly committedSeqno: number;
  readonly uncommitted: number;
  readonly view: number;
  readonly rounds: number;
  readonly transactions: number;
  readonly chunks: number;
}
