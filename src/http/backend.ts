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
import type { Evidence, PlatformName } from '../attestation/evidence.ts';
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

/** One header of a request or an answer that travels between nodes. */
export interface ForwardedHeader {
  readonly name: string;
  readonly value: string;
}

/** A client's request on its way to the primary (design decision 6). */
export interface ForwardedRequest {
  /** The client's certificate (DER), if it showed one: the primary looks its owner up again. */
  readonly callerCertificate?: Uint8Array;
  /** Name of the interface by which it came in. */
  readonly interfaceName: string;
  readonly verb: string;
  /** Path and query, as they came. */
  readonly target: string;
  /** Without those that speak of the connection, and without those that vouch for a caller. */
  readonly headers: readonly ForwardedHeader[];
  readonly body: Uint8Array;
}

/** The primary's answer, errors included. */
export interface ForwardedAnswer {
  readonly status: number;
  readonly headers: readonly ForwardedHeader[];
  readonly body: Uint8Array;
  /** Its own for a write, the last it could observe for a read; absent if the client sees none. */
  readonly txId?: TxId;
}

/**
 * The node behind the front door. If a `CodedError` by which `run` or `forward` rejects has
 * `fields.retryable`, nothing was done and it may go otherwise a moment later: no leader is known,
 * an election is under way, the one believed to be primary was not. The request is then held.
 */
export interface Backend {
  /**
   * Runs one endpoint to its answer. Rejects with a `CodedError` whose `fields.status` is the HTTP
   * status when the service cannot (503 `TooManyPendingTransactions`, 500 `TransactionInvalid`, …).
   */
  run(endpoint: Endpoint, request: AppRequest, options: RunOptions): Promise<RunResult>;
  /** Whether writes are executed here: always, on a service of one node. */
  isPrimary(): boolean;
  /**
   * Has the primary execute a request, or rejects with a `CodedError` whose `fields.status` is 503;
   * `fields.retryable` only if no node has begun to execute it. After `timeoutMs` nobody waits for
   * the answer any more.
   */
  forward(request: ForwardedRequest, timeoutMs: number): Promise<ForwardedAnswer>;
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
  readonly state: 'Initialized' | 'Pending' | 'PartOfPublicNetwork' | 'PartOfNetwork';
  readonly view: View;
  readonly role: 'leader' | 'follower' | 'candidate' | 'retired';
  readonly primaryId: string | undefined;
  /** Every configuration in effect, oldest first. */
  readonly configurations: readonly Configuration[];
  /** On a leader: what each other node last acknowledged. */
  readonly acks: ReadonlyMap<string, Acknowledgement>;
  readonly lastSignedSeqno: Seqno;
  readonly startupSeqno: Seqno;
  /** Set once a stop was asked for: readiness turns to 503 while requests in flight end. */
  readonly stopNotice: boolean;
  /** How the last restart was judged (design decision 11); absent before any. */
  readonly restart?: { readonly proven: boolean; readonly view: View; readonly seqno: Seqno };
  readonly selfSignedCertificatePem: string;
  /** How often this node read the keys of a token issuer; absent where it never does. */
  readonly tokenRefresh?: {
    readonly attempts: number;
    readonly successes: number;
    readonly failures: number;
  };
  readonly version: string;
  /** Insecure or not, said wherever it shows. */
  readonly platform: PlatformName;
  /** What this start of the node showed of itself, and its measurement in hexadecimal. */
  readonly evidence?: { readonly evidence: Evidence; readonly codeDigest: string };
}

/** The nodes that take part from one entry on. */
export interface Configuration {
  readonly seqno: Seqno;
  readonly nodeIds: readonly string[];
}

export interface Acknowledgement {
  readonly seqno: Seqno;
  /** Milliseconds since it was last heard. */
  readonly lastReceivedMs: number;
}
