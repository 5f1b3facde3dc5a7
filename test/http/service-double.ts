// A service to put behind the front door: the real store, with no ledger, no consensus and no
// clock. A test says when transactions commit, and can roll them back under a new view. A second
// one can be its backup: a test says when it catches up, and by what way it forwards.

import { X509Certificate } from 'node:crypto';
import type {
  AppRequest,
  AppResponse,
  Endpoint,
  NoReceipt,
  Receipt,
  Step,
} from '../../src/apps/interface.ts';
import { virtualEvidence } from '../../src/attestation/sources/virtual-evidence.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { type Seqno, seqnoOf, type TxId, type View, viewOf } from '../../src/base/ids.ts';
import { sha256Hex } from '../../src/crypto/hash.ts';
import {
  jsonRow,
  MEMBER_CERTS,
  NODE_INFO,
  SERVICE_CONFIG,
  SERVICE_INFO,
  SINGLETON,
  USER_CERTS,
} from '../../src/governance/tables.ts';
import type {
  Backend,
  ForwardedAnswer,
  ForwardedRequest,
  NodeFacts,
  NodeFiles,
  RunOptions,
  RunResult,
} from '../../src/http/backend.ts';
import { Store } from '../../src/kv/store.ts';
import type { ReadView } from '../../src/kv/tables.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import type { MapWrites } from '../../src/kv/write-set.ts';
import type { TxStatus } from '../../src/ledger/view-history.ts';

export interface DoubleOptions {
  readonly userCertificates?: readonly string[];
  readonly memberCertificates?: readonly string[];
  readonly nodeCertificate: string;
  /** Ports of all nodes by their certificates; this node alone unless given. */
  readonly nodes?: readonly { readonly certificate: string; readonly port: number }[];
  readonly serviceCertificate: string;
  /** False: a test calls `commit` itself. */
  readonly commitsAtOnce?: boolean;
}

type Role = 'primary' | 'backup' | 'candidate' | 'retired';

const ROLES: Readonly<Record<Role, NodeFacts['role']>> = {
  primary: 'leader',
  backup: 'follower',
  candidate: 'candidate',
  retired: 'retired',
};

export class ServiceDouble implements Backend {
  readonly #store = new Store([]);
  readonly #commitsAtOnce: boolean;
  readonly #nodeCertificate: string;
  readonly #nodeIds: readonly string[];
  /** View of each seqno from 1 on, and what it wrote. */
  readonly #views: View[] = [];
  readonly #writes: (readonly MapWrites[])[] = [];
  #view = viewOf(2);
  /** What a test may turn. */
  open = true;
  stopNotice = false;
  role: Role = 'primary';
  /** As a backup knows it. */
  primaryId: string | undefined = 'ff'.repeat(32);
  /** Where a backup catches up, and by what way it forwards; without one it knows no primary. */
  leader: ServiceDouble | undefined;
  forwardTo:
    | ((request: ForwardedRequest) => Promise<ForwardedAnswer | 'not-primary'>)
    | undefined;
  readonly forwarded: ForwardedRequest[] = [];
  acks: NodeFacts['acks'] = new Map();
  state: NodeFacts['state'] = 'PartOfNetwork';
  receiptsAre: 'ready' | NoReceipt = 'ready';
  files?: NodeFiles;
  /** Thrown by `run` instead of running. */
  failure: unknown;
  /** `run` waits for this before it does anything. */
  gate: Promise<void> | undefined;
  readonly runs: { readonly endpoint: Endpoint; readonly options: RunOptions }[] = [];

  constructor(options: DoubleOptions) {
    this.#commitsAtOnce = options.commitsAtOnce ?? true;
    this.#nodeCertificate = options.nodeCertificate;
    const genesis = new StoreTransaction(this.#store, 'service');
    for (const [table, certificates] of [
      [USER_CERTS, options.userCertificates ?? []],
      [MEMBER_CERTS, options.memberCertificates ?? []],
    ] as const) {
      for (const pem of certificates) genesis.table(table).put(utf8(idOf(pem)), utf8(pem));
    }
    genesis.table(SERVICE_INFO).put(
      SINGLETON,
      jsonRow({
        cert: options.serviceCertificate,
        current_service_create_txid: '2.1',
        status: 'Open',
      }),
    );
    genesis.table(SERVICE_CONFIG).put(SINGLETON, jsonRow({ recovery_threshold: 1 }));
    const own = { certificate: options.nodeCertificate, port: 8000 };
    const nodes = options.nodes ?? [own];
    this.#nodeIds = nodes.map(({ certificate }) => nodeIdOf(certificate));
    for (const { certificate, port } of nodes) {
      const row = jsonRow(nodeRow(certificate, port));
      genesis.table(NODE_INFO).put(utf8(nodeIdOf(certificate)), row);
    }
    this.#apply(genesis.writeSet());
    this.commit(this.#store.newest);
  }

  get nodeId(): string {
    return nodeIdOf(this.#nodeCertificate);
  }

  async run(endpoint: Endpoint, request: AppRequest, options: RunOptions): Promise<RunResult> {
    this.runs.push({ endpoint, options });
    if (this.gate !== undefined) await this.gate;
    if (this.failure !== undefined) throw this.failure;
    if (options.linearizable) this.catchUp();
    if (options.minTxId !== undefined) this.#reach(options.minTxId);
    const view = endpoint.reads === 'committed' ? this.#store.committedView : this.current();
    return this.#walk(endpoint, endpoint.handle(request, view));
  }

  async #walk(endpoint: Endpoint, step: Step): Promise<RunResult> {
    switch (step.kind) {
      case 'answer':
        return this.#observed(endpoint, step.response);
      case 'receipt':
        return this.#walk(endpoint, step.next(await this.receipt(step.seqno, step.form)));
      case 'file':
        return this.#walk(endpoint, step.next(await this.files?.look(step.file)));
      case 'ask':
        return this.#walk(endpoint, await step.ask());
      case 'write':
        return this.#write(endpoint, step.apply);
      case 'fetch':
        throw new CodedError('NotImplemented', 'the double has no archive', { status: 500 });
    }
  }

  #observed({ effect }: Endpoint, response: AppResponse): RunResult {
    if (effect === 'none') return { response };
    return { response, txId: this.#txIdAt(this.#store.newest) };
  }

  #write(endpoint: Endpoint, apply: (tx: StoreTransaction) => AppResponse): RunResult {
    if (!this.isPrimary()) throw notHere('this is a backup');
    const scope = endpoint.governs ? 'service' : 'application';
    const tx = new StoreTransaction(this.#store, scope);
    const response = apply(tx);
    const keep = response.applyWrites ?? (response.status >= 200 && response.status < 300);
    if (keep) this.#apply(tx.writeSet());
    if (keep && this.#commitsAtOnce) this.commit(this.#store.newest);
    return { response, txId: this.#txIdAt(this.#store.newest) };
  }

  #apply(writes: readonly MapWrites[], view = this.#view): void {
    this.#views.push(view);
    this.#writes.push(writes);
    this.#store.apply(seqnoOf(this.#store.newest + 1), writes);
  }

  #reach(txId: TxId): void {
    const status = this.statusOf(txId);
    if (status === 'Invalid')
      throw new CodedError('SessionConsistencyLost', 'lost', { status: 500 });
    if (status === 'Unknown') throw new CodedError('TooNew', 'not here yet', { status: 503 });
  }

  /** Takes over what its leader has, as committed as it is there. */
  catchUp(): void {
    const { leader } = this;
    if (leader === undefined) return;
    const same = leader.#views.findIndex((view, index) => view !== this.#views[index]);
    if (same !== -1 && same < this.#views.length) this.#truncate(seqnoOf(same));
    for (const [index, writes] of leader.#writes.entries()) {
      if (index >= this.#views.length) this.#apply(writes, leader.#views[index]);
    }
    this.#view = leader.#view;
    this.commit(leader.#store.committed);
  }

  /** Writes something of the service itself, which is committed at once. */
  write(change: (tx: StoreTransaction) => void): void {
    const tx = new StoreTransaction(this.#store, 'service');
    change(tx);
    this.#apply(tx.writeSet());
    this.commit();
  }

  #truncate(seqno: Seqno): void {
    this.#store.rollback(seqno);
    this.#views.length = seqno;
    this.#writes.length = seqno;
  }

  #txIdAt(seqno: Seqno): TxId {
    return { view: this.#views[seqno - 1] ?? viewOf(0), seqno };
  }

  /** Commits all up to a seqno, or all there is. */
  commit(seqno: Seqno = this.#store.newest): void {
    this.#store.commit(seqno);
  }

  /** A new primary that does not have what was not committed, and has committed one entry. */
  elect(): void {
    this.#truncate(this.#store.committed);
    this.#view = viewOf(this.#view + 1);
    this.#apply(new StoreTransaction(this.#store, 'service').writeSet());
    this.commit();
  }

  isPrimary(): boolean {
    return this.role === 'primary';
  }

  async forward(request: ForwardedRequest): Promise<ForwardedAnswer> {
    if (this.forwardTo === undefined) throw notHere('no primary is known');
    this.forwarded.push(request);
    const answer = await this.forwardTo(request);
    if (answer === 'not-primary') throw notHere('it was not the primary');
    return answer;
  }

  applicationOpen(): boolean {
    return this.open;
  }

  current(): ReadView {
    return this.#store.current;
  }

  committed(): TxId {
    return this.#txIdAt(this.#store.committed);
  }

  /** http-api.md §5.2, rule by rule. */
  statusOf(txId: TxId): TxStatus {
    const local = this.#views[txId.seqno - 1] ?? 0;
    const committed = this.committed();
    if (committed.seqno >= txId.seqno) return local === txId.view ? 'Committed' : 'Invalid';
    if (local === txId.view) return 'Pending';
    return committed.view > txId.view ? 'Invalid' : 'Unknown';
  }

  viewHistory(): readonly TxId[] {
    const first = { view: viewOf(1), seqno: seqnoOf(1) };
    const begins = this.#views.flatMap((view, index) =>
      view === this.#views[index - 1] ? [] : [{ view, seqno: seqnoOf(index + 1) }],
    );
    return [first, ...begins];
  }

  receipt(seqno: Seqno, form: 'json' | 'cose'): Promise<Receipt | NoReceipt> {
    if (this.receiptsAre !== 'ready') return Promise.resolve(this.receiptsAre);
    const txId = this.#txIdAt(seqno);
    if (form === 'cose') return Promise.resolve({ form, txId, bytes: utf8('a COSE receipt') });
    const json = {
      cert: this.#nodeCertificate,
      leaf_components: {
        claims_digest: '00'.repeat(32),
        commit_evidence: `ce:${txId.view}.${seqno}:${'ab'.repeat(32)}`,
        write_set_digest: 'cd'.repeat(32),
      },
      node_id: this.nodeId,
      proof: [{ left: 'ef'.repeat(32) }],
      signature: Buffer.from('not a signature').toString('base64'),
    };
    return Promise.resolve({ form, txId, json });
  }

  node(): NodeFacts {
    return {
      nodeId: this.nodeId,
      state: this.state,
      view: this.#view,
      role: ROLES[this.role],
      configurations: [{ seqno: seqnoOf(1), nodeIds: this.#nodeIds }],
      acks: this.acks,
      primaryId: this.role === 'primary' ? this.nodeId : this.primaryId,
      lastSignedSeqno: this.#store.committed,
      startupSeqno: seqnoOf(0),
      stopNotice: this.stopNotice,
      selfSignedCertificatePem: this.#nodeCertificate,
      version: '0.0.0-double',
      platform: 'virtual',
    };
  }
}

function idOf(pem: string): string {
  return sha256Hex(new X509Certificate(pem).raw);
}

function nodeIdOf(pem: string): string {
  return sha256Hex(publicKeyOf(pem));
}

/** As a node says that nothing was done and that it may go otherwise a moment later. */
function notHere(message: string): CodedError {
  return new CodedError('InternalError', message, { status: 503, retryable: true });
}

function publicKeyOf(pem: string): Uint8Array {
  return new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' });
}

function nodeRow(pem: string, port: number): unknown {
  return {
    node_to_node_interface: {
      bind_address: `127.0.0.1:${port - 1000}`,
      published_address: `127.0.0.1:${port - 1000}`,
    },
    quote_info: virtualEvidence(publicKeyOf(pem), '11'.repeat(32)),
    rpc_interfaces: {
      primary_rpc_interface: {
        app_protocol: 'HTTP1',
        bind_address: `127.0.0.1:${port}`,
        endorsement: { authority: 'Service' },
        forwarding_timeout_ms: 3000,
        http_configuration: {
          max_body_size: '1048576',
          max_header_size: '16384',
          max_headers_count: 256,
        },
        max_open_sessions_hard: 1010,
        max_open_sessions_soft: 1000,
        protocol: 'tcp',
        published_address: `127.0.0.1:${port}`,
      },
    },
    status: 'Trusted',
  };
}
