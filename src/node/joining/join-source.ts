/**
 * The service as a joiner sees it: nodes that answer its questions and offer files
 * (node-lifecycle.md §4). What they say is only as good as the TLS session that it comes by; what
 * they offer is verified before it counts.
 */
import { CodedError } from '../../base/errors.ts';
import type { Seqno, TxId } from '../../base/ids.ts';
import type { HeldSigningKey } from '../../crypto/key-source.ts';
import type { TxStatus } from '../../ledger/view-history.ts';

/** What came of asking to join. */
export type JoinReply =
  | { readonly kind: 'answer'; readonly body: Uint8Array }
  /** Another node must be asked. */
  | { readonly kind: 'elsewhere'; readonly address: string }
  /** `status` below 500 is final. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly code: string;
      readonly message: string;
    };

/** A file that a node offers. */
export interface OfferedDownload {
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 of the whole file, as the node states it. */
  readonly sha256?: Uint8Array;
  /** The bytes from `from` up to, but not including, `to`. */
  read(from: number, to: number): Promise<Uint8Array>;
}

/**
 * One node, asked by its address. Each call rejects with `SourceUnreachable` when there is no
 * answer, or one that makes no sense: another node may be asked, or the same one later.
 */
export interface JoinSource {
  readonly address: string;
  join(body: Uint8Array): Promise<JoinReply>;
  /** Addresses at which the nodes of the service serve clients. */
  addresses(): Promise<readonly string[]>;
  statusOf(txId: TxId): Promise<TxStatus>;
  newestSnapshot(): Promise<OfferedDownload | undefined>;
  /** The closed chunk that holds an entry; undefined if no node that was asked has one. */
  chunkWith(seqno: Seqno): Promise<OfferedDownload | undefined>;
}

export interface JoinSources {
  at(address: string): JoinSource;
  close(): void;
}

/** What a joiner shows, and whom it believes. */
export interface JoinerCredentials {
  /** Self-signed: its key is the joiner's identity. */
  readonly certificatePem: string;
  readonly key: HeldSigningKey;
  /** PEM; the only authority. */
  readonly serviceCertificatePem: string;
}

export type OpenSources = (credentials: JoinerCredentials) => JoinSources;

export function unreachable(address: string, why: string, cause?: unknown): CodedError {
  return new CodedError('SourceUnreachable', `${address}: ${why}`, { address }, { cause });
}
