/**
 * One running node: what an opened ledger, its part in consensus and a front door make together.
 */
import type { AppRequest, Endpoint, NoReceipt, Receipt } from '../apps/interface.ts';
import { InvariantError, invariant } from '../base/assert.ts';
import type { LocalIndex } from '../base/environment.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { type NodeId, type Seqno, seqnoAfter, seqnoOf, type TxId } from '../base/ids.ts';
import type { HeldSigningKey } from '../crypto/key-source.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import { serviceInfo } from '../governance/nodes.ts';
import { type Opening, writeOpening } from '../governance/opening.ts';
import { type SecretKeeper, shareHoldersOf } from '../governance/recovery-shares.ts';
import type { ScriptRunner } from '../governance/scripts.ts';
import { SERVICE_INFO, SINGLETON } from '../governance/tables.ts';
import type {
  Backend,
  ForwardedAnswer,
  ForwardedRequest,
  NodeFacts,
  RunOptions,
  RunResult,
} from '../http/backend.ts';
import { createFrontDoor, type FrontDoor } from '../http/front-door.ts';
import type { GovernanceDesk } from '../http/gov/gov-request.ts';
import type { RecoveryDesk } from '../http/gov/recovery-endpoints.ts';
import { refusalNotes } from '../http/refusal-note.ts';
import type { FrontDoorStats } from '../http/stats.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { StoreTransaction } from '../kv/transaction.ts';
import type { DatedSecret } from '../ledger/secret-history.ts';
import { statusOf, type TxStatus } from '../ledger/view-history.ts';
import { ArchiveReader } from './archive-reader.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { desksOf } from './desks.ts';
import { NodeFederation } from './federation.ts';
import { Forwarding } from './forwarding.ts';
import { governanceDeskOf } from './governance-desk.ts';
import type { CommittedSignature } from './ledger-state.ts';
import type { NodeFigures } from './node-figures.ts';
import { foldersOf } from './node-folders.ts';
import type { NodeDependencies, NodeOptions } from './node-options.ts';
import { OfferedFiles } from './offered-files.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import { platformOf, type ShownEvidence } from './own-evidence.ts';
import type { PeerMessage } from './peers/messages.ts';
import type { Peer } from './peers/peer-network.ts';
import { Peers } from './peers.ts';
import { ReceiptBuilder } from './receipt-builder.ts';
import { RecentTimes } from './recent-times.ts';
import { PrivateRecovery } from './recovering/private-recovery.ts';
import { Replica } from './replica.ts';
import { Runner } from './runner.ts';
import { workerRunner } from './scripts/worker-runner.ts';
import type { SealedFolder } from './sealed-folder.ts';
import { secretKeeperOf } from './secret-keeper.ts';
import { ShownCertificate } from './shown-certificate.ts';
import type { SnapshotFolder } from './snapshot-folder.ts';
import { SnapshotTaker } from './snapshot-taker.ts';
import { type TokenKeyRefresher, tokenKeyRefresherOf } from './token-key-refresher.ts';
import { Writing } from './writing.ts';

/** What a node is made of, besides what it is told. */
export interface NodeParts {
  readonly ledger: OpenedLedger;
  readonly sealed: SealedFolder;
  readonly index: LocalIndex;
  /** What this start showed of itself. */
  readonly shown: ShownEvidence;
  readonly snapshots: { readonly folder: SnapshotFolder; readonly grownBytes: number };
  /** Writes the service's first transaction; absent unless the service is new. */
  readonly create?: (transaction: Transaction) => void;
  /** Nodes to talk to besides those that the ledger names so far. */
  readonly peers?: readonly Peer[];
}

export class RunningNode implements Backend {
  readonly #options: NodeOptions;
  readonly #deps: NodeDependencies;
  readonly #parts: NodeParts;
  readonly #ledger: OpenedLedger;
  readonly #peers: Peers;
  readonly #forwarding: Forwarding;
  readonly #replica: Replica;
  readonly #receipts: ReceiptBuilder;
  readonly #runner: Runner;
  readonly #snapshots: SnapshotTaker;
  readonly files: OfferedFiles;
  /** Absent unless peers outside are spoken with. */
  readonly federation: NodeFederation | undefined;
  #frontDoor: FrontDoor | undefined;
  #stopNotice = false;
  #checkpointAt: Seqno;
  #checkpoint: Promise<void> = Promise.resolve();
  #checkpointing = false;
  readonly #recovery: PrivateRecovery | undefined;
  readonly #tokenKeys: TokenKeyRefresher | undefined;
  readonly #certificate: ShownCertificate;
  #opened: Promise<void> | undefined;
  readonly #scripts: ScriptRunner;
  #chunkAsked = false;
  #commits = 0;
  #transactions = 0;
  readonly #commitTimes = new RecentTimes();

  constructor(options: NodeOptions, dependencies: NodeDependencies, parts: NodeParts) {
    this.#options = options;
    this.#deps = dependencies;
    this.#parts = parts;
    const { ledger } = parts;
    this.#ledger = ledger;
    const { state, chunks } = ledger;
    const { store, leaves, views, tree, secrets } = state;
    const { timers, clock, random, log } = dependencies;
    this.#checkpointAt = store.committed;
    this.#scripts = dependencies.scripts ?? workerRunner(timers);
    this.#certificate = new ShownCertificate(ledger, () => {
      this.#frontDoor?.setCertificate(this.#certificate.identity);
      this.#peers.renewIdentity();
    });
    this.#peers = new Peers(options, dependencies, {
      ledger,
      shown: () => this.#certificate.identity,
      known: parts.peers ?? [],
      onMessage: (from, message) => this.#onMessage(from, message),
      onPeerDown: (id) => this.#forwarding.onPeerDown(id),
    });
    const send: Peers['send'] = (to, message) => this.#peers.send(to, message);
    this.#forwarding = new Forwarding({
      send,
      primary: () => this.#replica.consensus.leader,
      execute: (request) => this.#executeForwarded(request),
      timers,
      onFault: (fault, where) => this.#onFault(fault, where),
    });
    const writing = new Writing(options, dependencies, {
      ledger,
      sealed: parts.sealed,
      shown: parts.shown,
      ...(parts.create === undefined ? {} : { create: parts.create }),
      endsChunkAt: (signature) => this.#endsChunkAt(signature),
      onRound: (ms) => this.#commitTimes.note(ms),
      leadsIn: (view) => this.#replica.leadsIn(view),
    });
    this.#replica = new Replica(
      { ...options.consensus, unproven: options.unprovenRestart },
      {
        ...{ ledger, clock, timers, random, log, send },
        verifier: dependencies.verifier ?? nodeVerifier,
        duties: {
          newPipeline: (view, links) => writing.newPipeline(view, links),
          firstWrites: (view, isUnproven) => writing.firstWrites(view, isUnproven),
          retiredWrites: (nodes) => writing.retiredWrites(nodes),
          onCommitted: (signature) => this.#onCommitted(signature),
          onFollows: () => this.#snapshots.forget(),
          onNodes: () => this.#peers.refresh(),
          onRetired: () => dependencies.onRetired?.(),
        },
        onFatal: dependencies.onFatal,
      },
    );
    const archive = new ArchiveReader(chunks, leaves, secrets);
    const { kind } = options.signatures;
    this.#receipts = new ReceiptBuilder({ store, leaves, archive, secrets, kind });
    this.#snapshots = new SnapshotTaker(
      {
        entries: options.snapshotEntries,
        receiptForm: kind === 'cose' ? 'cose' : 'json',
        grownBytes: parts.snapshots.grownBytes,
      },
      {
        ...{ store, tree, views, secrets, timers, log },
        replica: this.#replica,
        receipts: this.#receipts,
        folder: parts.snapshots.folder,
      },
    );
    const folders = foldersOf(options.folder);
    this.files = new OfferedFiles({
      disk: dependencies.disk,
      snapshotFolder: folders.snapshots,
      snapshots: parts.snapshots.folder,
      ledgerFolder: folders.ledger,
      chunks,
    });
    this.#recovery =
      ledger.recovery &&
      new PrivateRecovery(ledger.recovery, {
        ...{ ledger, sealed: parts.sealed, random, clock, timers, log },
        ledgerFolder: folders.ledger,
        archivedTables: options.applications.flatMap((each) => each.archivedTables),
        disk: dependencies.disk,
        commit: (write) => this.commitService(write),
        onFatal: dependencies.onFatal,
        release: dependencies.recoveryRelease,
      });
    this.#runner = new Runner({
      ...{ store, archive, views },
      replica: this.#replica,
      receipts: this.#receipts,
      files: this.files,
    });
    this.federation = this.#newFederation();
    this.#tokenKeys = tokenKeyRefresherOf(options, dependencies, {
      ...{ store, replica: this.#replica },
      leads: () => this.isPrimary() && this.applicationOpen(),
    });
  }

  /** Takes its part in the service; resolves when the other nodes can reach it. */
  async start(): Promise<void> {
    await this.#peers.listen();
    this.#replica.start();
    this.#tokenKeys?.start();
  }

  /**
   * Resolves when it leads, or follows, and holds all that anyone was ever told to be committed.
   */
  async ready(): Promise<void> {
    await this.#replica.ready();
  }

  get nodeId(): string {
    return this.#ledger.identity.nodeKey.fingerprint;
  }

  get serviceCertificatePem(): string {
    return this.#ledger.serviceCertificatePem;
  }

  /** What a joiner is given once it is trusted (node-lifecycle.md §4), and nobody else. */
  secretsForJoiners(): {
    readonly serviceKey: HeldSigningKey;
    readonly ledgerSecrets: readonly DatedSecret[];
  } {
    const { identity, state } = this.#ledger;
    return { serviceKey: identity.serviceKey, ledgerSecrets: state.secrets.all };
  }

  /** What transactions need that change ledger secrets or their shares. */
  secretKeeper(): SecretKeeper {
    return secretKeeperOf(this.#ledger, this.#deps.random, () => this.#replica.consensus.view);
  }

  /** Commits a transaction of the service itself. */
  async commitService(write: (transaction: Transaction) => void): Promise<TxId> {
    const transaction = new StoreTransaction(this.#ledger.state.store, 'service');
    write(transaction);
    const txId = this.#replica.submit(transaction.writeSet(), transaction.claimsDigest);
    await this.#replica.whenCommitted(txId);
    return txId;
  }

  /** Opens the service: from then on its applications answer. */
  async openService(
    opening: Omit<Opening, 'secret' | 'endorsement' | 'endorsingKeyDer'>,
    also: (transaction: Transaction) => void,
  ): Promise<TxId> {
    const secret = this.#ledger.state.secrets.latest.bytes;
    const { endorsement, identity } = this.#ledger;
    const endorsingKeyDer = identity.serviceKey.publicKeyDer;
    const txId = await this.commitService((transaction) => {
      const whole = { ...opening, secret, endorsement, endorsingKeyDer };
      writeOpening(transaction, whole, this.#deps.random, identity.keys.wrapTo);
      also(transaction);
    });
    await this.#markOpened();
    return txId;
  }

  /** What opens a new service by order of its members; see `transitionServiceToOpen`. */
  opener(): (transaction: Transaction) => void {
    return (transaction) => {
      const { endorsement, identity, state } = this.#ledger;
      const opening = {
        ...shareHoldersOf(transaction),
        secret: state.secrets.latest.bytes,
        endorsement,
        endorsingKeyDer: identity.serviceKey.publicKeyDer,
        users: [],
      };
      writeOpening(transaction, opening, this.#deps.random, identity.keys.wrapTo);
    };
  }

  /** Takes members' shares in; undefined unless this node recovers a service. */
  get recovery(): RecoveryDesk | undefined {
    return this.#recovery;
  }

  /** Has a snapshot taken at the next signature. */
  requestSnapshot(): void {
    this.#snapshots.request();
  }

  #governanceDesk(): GovernanceDesk {
    return governanceDeskOf({
      ledger: this.#ledger,
      scripts: this.#scripts,
      verifier: this.#deps.verifier ?? nodeVerifier,
      clock: this.#deps.clock,
      log: this.#deps.log,
      keeper: () => this.secretKeeper(),
      opener: () => this.opener(),
      requestSnapshot: () => this.requestSnapshot(),
      requestChunk: () => {
        this.#chunkAsked = true;
      },
    });
  }

  /** Whether a chunk ends with a signature: one that was asked for, or that a snapshot needs. */
  #endsChunkAt(signature: Seqno): boolean {
    const asked = this.#chunkAsked;
    this.#chunkAsked = false;
    const first = this.#recovery?.firstSeqno;
    const planned = !this.#isRecovering && this.#snapshots.endsChunkAt(signature);
    // Whoever joins finds a recovered service in a chunk of its own, and not only the lost one's.
    return planned || asked || (first !== undefined && signature === seqnoAfter(first));
  }

  /** Resolves when no snapshot is under way. */
  async snapshotsIdle(): Promise<void> {
    await this.#snapshots.idle();
  }

  /** Opens the front door. */
  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    this.#frontDoor = createFrontDoor(this.#options.frontDoor, {
      backend: this,
      applications: this.#options.applications,
      clock: this.#deps.clock,
      timers: this.#deps.timers,
      tls: this.#certificate.identity,
      ...desksOf(this.#ledger, this.#options.signatures, this.#deps),
      recovery: { verifier: this.#deps.verifier ?? nodeVerifier, desk: this.#recovery },
      governance: this.#governanceDesk(),
      onFault: (fault, where) => this.#onFault(fault, where),
      onRefused: refusalNotes(this.#deps),
    });
    const at = await this.#frontDoor.listen(this.#options.host, this.#options.port);
    await this.federation?.start();
    return at;
  }

  /** Ends requests in flight, commits what is there, and lets go of the folder. */
  async stop(): Promise<void> {
    this.#stopNotice = true;
    await this.federation?.stop();
    await this.#tokenKeys?.stop();
    await this.#frontDoor?.close();
    await this.#scripts.close();
    await this.#recovery?.stop();
    const snapshots = this.#snapshots.stop();
    const leads = this.#replica.consensus.role === 'leader';
    await this.#replica.stop();
    await snapshots;
    await this.#checkpoint;
    await this.#peers.close(leads);
    try {
      await this.#writeCheckpoint();
    } finally {
      await this.#ledger.chunks.close();
      await this.#parts.index.close();
    }
  }

  async run(endpoint: Endpoint, request: AppRequest, options: RunOptions): Promise<RunResult> {
    const sinceMs = this.#deps.timers.elapsedMs();
    const result = await this.#runner.run(endpoint, request, options);
    return (await this.federation?.settled(result, sinceMs)) ?? result;
  }

  isPrimary(): boolean {
    return this.#replica.isPrimary;
  }

  forward(request: ForwardedRequest, timeoutMs: number): Promise<ForwardedAnswer> {
    return this.#forwarding.forward(request, timeoutMs);
  }

  /** The operator lets an unproven restart go on. */
  acceptUnproven(): void {
    this.#replica.acceptUnproven();
  }

  applicationOpen(): boolean {
    return this.#serviceStatus() === 'Open';
  }

  current(): ReadView {
    return this.#ledger.state.store.current;
  }

  committed(): TxId {
    return this.#ledger.state.committed;
  }

  statusOf(txId: TxId): TxStatus {
    const { store, views } = this.#ledger.state;
    return statusOf(txId, this.committed(), store.newest, views);
  }

  viewHistory(): readonly TxId[] {
    return this.#ledger.state.views.complete();
  }

  async receipt(seqno: Seqno, form: 'json' | 'cose'): Promise<Receipt | NoReceipt> {
    if (this.#isRecovering && seqno < (this.#recovery?.firstSeqno ?? 0)) {
      throw new CodedError(
        'ServiceRecovering',
        `receipts of transactions before the recovery come when the service is open again`,
        { status: 503, retryAfterSeconds: 5 },
      );
    }
    return await this.#receipts.receipt(seqno, form);
  }

  node(): NodeFacts {
    const ledger = this.#ledger;
    const { consensus, restart, isReady } = this.#replica;
    const { role } = consensus;
    return {
      nodeId: this.nodeId,
      state: !isReady
        ? 'Initialized'
        : this.#isRecovering
          ? 'PartOfPublicNetwork'
          : 'PartOfNetwork',
      view: consensus.view,
      role: role === 'pre-candidate' ? 'candidate' : role,
      primaryId: consensus.leader,
      configurations: consensus.configurations.map(({ seqno, nodes }) => ({
        seqno,
        nodeIds: nodes,
      })),
      acks: new Map(
        [...consensus.peers].map(([id, { match, silentMs }]) => [
          id,
          { seqno: match, lastReceivedMs: silentMs },
        ]),
      ),
      lastSignedSeqno: seqnoOf(ledger.state.leaves.lastSignature),
      startupSeqno: ledger.startupSeqno,
      stopNotice: this.#stopNotice,
      ...(restart === undefined ? {} : { restart }),
      selfSignedCertificatePem: ledger.selfSignedCertificatePem,
      version: this.#options.version,
      platform: platformOf(this.#deps),
      evidence: this.#parts.shown,
      ...(this.#tokenKeys === undefined ? {} : { tokenRefresh: this.#tokenKeys.counts }),
    };
  }

  /** Nodes whose word a restart waits for; empty once it takes part. */
  get waitsFor(): readonly NodeId[] {
    return this.#replica.waitsFor;
  }

  /** Figures for the operator. */
  figures(): NodeFigures {
    const { store } = this.#ledger.state;
    const commitMs = this.#commitTimes.quantiles();
    return {
      ...(commitMs === undefined ? {} : { commitMs }),
      committedSeqno: store.committed,
      newestSeqno: store.newest,
      uncommitted: this.#replica.uncommitted,
      view: this.#replica.consensus.view,
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

  get #isRecovering(): boolean {
    return this.#recovery?.isPending === true;
  }

  /** Notes, once, that this service was open: from then on its loss is noticed at a start. */
  #markOpened(): Promise<void> {
    this.#opened ??= this.#ledger.markOpened();
    return this.#opened;
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

  #onMessage(from: NodeId, message: PeerMessage): void {
    switch (message.kind) {
      case 'known-nodes':
        this.#peers.learn(message.nodes);
        break;
      case 'forward-request':
      case 'forward-answer':
      case 'forward-refusal':
        this.#forwarding.receive(from, message);
        break;
      default:
        this.#replica.receive(from, message);
    }
  }

  async #executeForwarded(request: ForwardedRequest): Promise<ForwardedAnswer | undefined> {
    if (this.federation?.takes(request)) return await this.federation.executeForwarded(request);
    if (!this.isPrimary() || this.#frontDoor === undefined) return undefined;
    const answer = await this.#frontDoor.executeForwarded(request);
    return answer === 'not-primary' ? undefined : answer;
  }

  #newFederation(): NodeFederation | undefined {
    const { federation } = this.#options;
    if (federation === undefined) return undefined;
    const { timers, random, log } = this.#deps;
    return new NodeFederation(federation, {
      run: (endpoint, request) =>
        this.#runner.run(endpoint, request, { waitForCommit: false, linearizable: false }),
      isPrimary: () => this.isPrimary() && this.applicationOpen(),
      committed: () => this.#ledger.state.store.committedView,
      forward: (request, timeoutMs) => this.forward(request, timeoutMs),
      ...{ timers, random, log },
      onFault: (fault, where) => this.#onFault(fault, where),
    });
  }

  #onFault(fault: unknown, where: string): void {
    this.#deps.log.warn(`${where}: ${messageOf(fault)}`);
    // A broken invariant means that this node no longer understands its own state. Anything else
    // was one request's misfortune, and must not be a way to stop the node.
    if (fault instanceof InvariantError) this.#deps.onFatal(fault);
  }

  #onCommitted({ seqno, transactions, bytes }: CommittedSignature): void {
    this.#snapshots.onCommit(seqno, bytes);
    this.#recovery?.onCommit();
    this.#certificate.look();
    if (this.#opened === undefined && this.#ledger.beginning.kind === 'found') {
      const info = serviceInfo(this.#ledger.state.store.committedView);
      if (info?.status === 'Open') this.#markOpened().catch(this.#deps.onFatal);
    }
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
    const { identity, state } = this.#ledger;
    const { store, tree } = state;
    const seqno = store.committed;
    // A state without its private part must never be taken for the whole one.
    if (seqno === this.#checkpointAt || this.#isRecovering) return;
    const capture = store.capture();
    if (capture === undefined) return;
    this.#checkpointAt = seqno;
    const { random, timers } = this.#deps;
    const key = identity.indexKey;
    try {
      const root = tree.root(seqno + 1);
      // The others may have committed what this node's own disk does not hold yet: a checkpoint of
      // it would make the ledger look as if it had been shortened.
      await this.#replica.stored();
      await writeCheckpoint({ index: this.#parts.index, key, random, timers }, capture, root);
    } finally {
      capture.release();
    }
  }
}
