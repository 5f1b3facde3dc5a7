// A service to put behind the front door: the real store, with no ledger, no consensus and no
// clock. A test says when transactions commit, and can roll them back under a new view.

import { X509Certificate } from 'node:crypto';
import type {
  AppRequest,
  AppResponse,
  Endpoint,
  NoReceipt,
  Receipt,
  Step,
} from '../../src/apps/interface.ts';
import { virtualEvidence } from '../../src/attestation/virtual.ts';
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
  NodeFacts,
  NodeFiles,
  RunOptions,
  RunResult,
} from '../../src/http/backend.ts';
import { Store } from '../../src/kv/store.ts';
import type { ReadView } from '../../src/kv/tables.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import type { TxStatus } from '../../src/ledger/view-history.ts';

export interface DoubleOptions {
  readonly userCertificates?: readonly string[];
  readonly memberCertificates?: readonly string[];
  readonly nodeCertificate: string;
  readonly serviceCertificate: string;
  /** False: a test calls `commit` itself. */
  readonly commitsAtOnce?: boolean;
}

export class ServiceDouble implements Backend {
  readonly #store = new Store([]);
  readonly #commitsAtOnce: boolean;
  readonly #nodeCertificate: string;
  /** View of each seqno from 1 on. */
  readonly #views: View[] = [];
  #view = viewOf(2);
  /** What a test may turn. */
  open = true;
  stopNotice = false;
  role: 'primary' | 'backup' = 'primary';
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
    genesis.table(NODE_INFO).put(utf8(this.nodeId), jsonRow(nodeRow(options.nodeCertificate)));
    this.#apply(genesis);
    this.commit(this.#store.newest);
  }

  get nodeId(): string {
    return sha256Hex(publicKeyOf(this.#nodeCertificate));
  }

  async run(endpoint: Endpoint, request: AppRequest, options: RunOptions): Promise<RunResult> {
    this.runs.push({ endpoint, options });
    if (this.gate !== undefined) await this.gate;
    if (this.failure !== undefined) throw this.failure;
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
    const scope = endpoint.governs ? 'service' : 'application';
    const tx = new StoreTransaction(this.#store, scope);
    const response = apply(tx);
    const keep = response.applyWrites ?? (response.status >= 200 && response.status < 300);
    if (keep) this.#apply(tx);
    if (keep && this.#commitsAtOnce) this.commit(this.#store.newest);
    return { response, txId: this.#txIdAt(this.#store.newest) };
  }

  #apply(tx: StoreTransaction): void {
    this.#views.push(this.#view);
    this.#store.apply(seqnoOf(this.#store.newest + 1), tx.writeSet());
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
    this.#store.rollback(this.#store.committed);
    this.#views.length = this.#store.newest;
    this.#view = viewOf(this.#view + 1);
    this.#apply(new StoreTransaction(this.#store, 'service'));
    this.commit();
  }

  isPrimary(): boolean {
    return this.role === 'primary';
  }

  forward(): Promise<never> {
    const message = 'this double knows no other';
    return Promise.reject(new CodedError('InternalError', message, { status: 503 }));
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
      role: this.role === 'primary' ? 'leader' : 'follower',
      configurations: [{ seqno: seqnoOf(1), nodeIds: [this.nodeId] }],
      acks: new Map(),
      primaryId: this.role === 'primary' ? this.nodeId : 'ff'.repeat(32),
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

function publicKeyOf(pem: string): Uint8Array {
  return new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' });
}

function nodeRow(pem: string): unknown {
  return {
    node_to_node_interface: {
      bind_address: '127.0.0.1:7000',
      published_address: '127.0.0.1:7000',
    },
    quote_info: virtualEvidence(publicKeyOf(pem), '11'.repeat(32)),
    rpc_interfaces: {
      primary_rpc_interface: {
        app_protocol: 'HTTP1',
        bind_address: '127.0.0.1:8000',
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
        published_address: '127.0.0.1:8000',
      },
    },
    status: 'Trusted',
  };
}
