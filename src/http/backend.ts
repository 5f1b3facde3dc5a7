/**
 * What the front door needs of the node behind it. The node implements it; tests use a double.
 */
import type {
  AppRequest,
  AppResponse,
  Endpoint,
  FileRequest,
  NoReceipt,
  OfferedFile,
  Receipt,
} from '../apps/interface.ts';
import type { Seqno, TxId, View } from '../base/ids.ts';
import type { ReadView } from '../kv/tables.ts';
import type { TxStatus } from '../ledger/view-history.ts';

/** How one request wants to be run, from its headers (http-api.md, top; design decision 9). */
export interface RunOptions {
  /** `x-concordat-wait: commit`. */
  readonly waitForCommit: boolean;
  /** `x-concordat-min-txid`: the state must hold this transaction. */
  readonly minTxId?: TxId;
  /** `x-concordat-read: linearizable`. */
  readonly linearizable: boolean;
}

export interface RunResult {
  readonly response: AppResponse;
  /** Its own for a write, the last it could observe for a read; absent with effect `none`. */
  readonly txId?: TxId;
}

export interface Backend {
  /**
   * Runs one endpoint to its answer. Rejects with a `CodedError` whose `fields.status` is the HTTP
   * status when the service cannot (503 `TooManyPendingTransactions`, 500 `TransactionInvalid`, …).
   */
  run(endpoint: Endpoint, request: AppRequest, options: RunOptions): Promise<RunResult>;
  /** Whether the application frontend is open (service status Open). */
  applicationOpen(): boolean;
  /** The newest state, for authentication and built-in endpoints. */
  current(): ReadView;
  committed(): TxId;
  statusOf(txId: TxId): TxStatus;
  /** First TxID of each view, oldest first. */
  viewHistory(): readonly TxId[];
  /** Receipt of a committed transaction. */
  receipt(seqno: Seqno, form: 'json' | 'cose'): Promise<Receipt | NoReceipt>;
  node(): NodeFacts;
  /** What this node offers for download; without it there are no endpoints for that. */
  readonly files?: NodeFiles;
}

/** Snapshots and closed chunks of the ledger; both never change once they have their names. */
export interface NodeFiles {
  newestSnapshot(): { readonly name: string; readonly seqno: number } | undefined;
  /** Name of the committed chunk that holds an entry. */
  chunkWith(seqno: number): string | undefined;
  /** The oldest entry whose chunk this node has or writes. */
  readonly firstSeqno: number;
  look(file: FileRequest): Promise<OfferedFile | undefined>;
}

/** What `/node/…` tells of this node (http-api.md §10). */
export interface NodeFacts {
  readonly nodeId: string;
  readonly state: 'Initialized' | 'Pending' | 'PartOfNetwork';
  readonly view: View;
  readonly primaryId: string | undefined;
  readonly lastSignedSeqno: Seqno;
  readonly startupSeqno: Seqno;
  /** Set once a stop was asked for: readiness turns to 503 while requests in flight end. */
  readonly stopNotice: boolean;
  /** How the last restart was judged (design decision 11); absent before any. */
  readonly restart?: { readonly proven: boolean; readonly view: View; readonly seqno: Seqno };
  readonly selfSignedCertificatePem: string;
  readonly version: string;
  /** Insecure or not, said wherever it shows. */
  readonly platform: 'virtual' | 'snp';
}
