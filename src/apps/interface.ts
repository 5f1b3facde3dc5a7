/**
 * What an application may see.
 *
 * An application is a list of endpoints over tables. An endpoint is a pure function of its request
 * and a state: it answers, or says what it needs next. It never waits, reads a clock or touches a
 * disk; whoever runs it does, which is why the same code runs in a node and in the simulator, and
 * why a request can be run again from the start when the state has moved on.
 */
import type { Seqno, TxId } from '../base/ids.ts';
import type { ArchiveLookup, ReadView, Transaction } from '../kv/tables.ts';

export type Verb = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';

/** Names as CCF's (http-api.md §6). They are tried in the order an endpoint lists them. */
export type AuthenticationPolicy = 'no_auth' | 'jwt' | 'user_cert' | 'member_cert' | 'any_cert';

/** Who is asking, as the policy that passed established it. */
export type Caller =
  | { readonly policy: 'no_auth' }
  | {
      readonly policy: 'user_cert' | 'member_cert' | 'any_cert';
      /** Lowercase hex SHA-256 of the certificate (DER). */
      readonly id: string;
      readonly certificatePem: string;
    }
  | {
      readonly policy: 'jwt';
      /** Whom members named as the holder of the key; `iss` is what the token says. */
      readonly keyIssuer: string;
      /** Of the token, whose signature and times are good. Whom it was made for is not checked. */
      readonly header: Readonly<Record<string, unknown>>;
      readonly payload: Readonly<Record<string, unknown>>;
    };

/** A request, as it came in but for its transport. */
export interface AppRequest {
  readonly verb: Verb;
  /**
   * Path below the application's root, not decoded: `%2F` is not a separator, `+` is not a
   * space.
   */
  readonly path: string;
  /** Segments matched by the template's `{name}`s, not decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** What follows `?`, not decoded; empty if there is none. */
  readonly query: string;
  /** First value of a header; names are lowercase. */
  header(name: string): string | undefined;
  readonly body: Uint8Array;
  readonly caller: Caller;
}

export interface AppResponse {
  readonly status: number;
  /** Names are lowercase. `content-length` is not for applications to set. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** In place of a body: one that is too long to lie in memory. */
  readonly stream?: ByteStream;
  /**
   * The answer says that something does not exist. It leaves only when that is proven: the leader
   * was confirmed after the request arrived and the state is at least as new (design decision 10).
   * Until then the request is run again. Never set for a failure to look.
   */
  readonly absence?: true;
  /** Keep the writes although the status is not 2xx, or discard them although it is. */
  readonly applyWrites?: boolean;
}

/** Bytes of a known number that come piece by piece. */
export interface ByteStream {
  readonly bytes: number;
  pieces(): AsyncIterable<Uint8Array>;
}

export type DigestName = 'sha-256' | 'sha-384' | 'sha-512';

/** One of the files that a node offers for download, by the name it has on disk. */
export interface FileRequest {
  readonly folder: 'snapshots' | 'ledger';
  readonly name: string;
  /** Digests of the whole file that the answer needs. */
  readonly digests: readonly DigestName[];
}

export interface OfferedFile {
  readonly bytes: number;
  readonly digests: ReadonlyMap<DigestName, Uint8Array>;
  /** The bytes from `from` up to, but not including, `to`. */
  part(from: number, to: number): ByteStream;
}

/** A receipt in one of its two forms (ledger-format.md §14). */
export type Receipt =
  | { readonly form: 'json'; readonly txId: TxId; readonly json: ReceiptJson }
  | { readonly form: 'cose'; readonly txId: TxId; readonly bytes: Uint8Array };

export interface ReceiptJson {
  readonly signature: string;
  readonly proof: readonly ({ readonly left: string } | { readonly right: string })[];
  readonly node_id: string;
  readonly cert: string;
  readonly leaf_components?: {
    readonly write_set_digest: string;
    readonly commit_evidence: string;
    readonly claims_digest?: string;
  };
  readonly leaf?: string;
  readonly service_endorsements?: readonly string[];
}

/** Why there is no receipt: not yet (ask again), or never. */
export type NoReceipt = 'pending' | 'unavailable';

/** What an endpoint wants next. */
export type Step =
  | { readonly kind: 'answer'; readonly response: AppResponse }
  /**
   * Reads archived values from the ledger and verifies each against the Merkle tree. A value is
   * undefined when the entry turned out to hold another key. A read that fails ends in 503.
   */
  | {
      readonly kind: 'fetch';
      readonly rows: readonly ArchiveLookup[];
      readonly next: (values: readonly (Uint8Array | undefined)[]) => Step;
    }
  | {
      readonly kind: 'receipt';
      readonly seqno: Seqno;
      readonly form: 'json' | 'cose';
      readonly next: (receipt: Receipt | NoReceipt) => Step;
    }
  /** Looks for a file of the node; only the endpoints that every node has may. */
  | {
      readonly kind: 'file';
      readonly file: FileRequest;
      readonly next: (file: OfferedFile | undefined) => Step;
    }
  /**
   * Waits for something that only the node can do: a certificate, the check of a signature, whether
   * peers outside answer. The state may have moved on meanwhile.
   */
  | { readonly kind: 'ask'; readonly ask: () => Promise<Step> }
  /** Runs as one transaction on the newest state; only in endpoints whose effect is `write`. */
  | { readonly kind: 'write'; readonly apply: (tx: Transaction) => AppResponse };

export interface Endpoint {
  readonly verb: Verb;
  /** Template below the application's root, e.g. `/transaction/{hash}/isSender`. */
  readonly path: string;
  readonly authentication: readonly AuthenticationPolicy[];
  /** `none`: touches no table, so its answer carries no transaction id. */
  readonly effect: 'none' | 'read' | 'write';
  /** Which state `handle` sees: the newest, or only what is committed. */
  readonly reads: 'current' | 'committed';
  /**
   * When the answer to a write leaves. A request may ask a `local` one to wait, never the
   * reverse.
   */
  readonly answers: 'local' | 'committed';
  /**
   * Executed by the node it came to, even if it writes: a backup answers for itself. Without it, a
   * backup has the primary execute what writes.
   */
  readonly forwarding?: 'never';
  /**
   * Milliseconds that its answer may take where it was forwarded, if that is more than the
   * interface allows: a backup that gave up would tell of a failure that is none.
   */
  readonly answerMsMax?: number;
  /** Its writes may be of governance's tables; only the endpoints that every node has may. */
  readonly governs?: true;
  /** Bytes; REQUEST_BODY_BYTES_MAX when absent. */
  readonly bodyBytesMax?: number;
  /** One line for the OpenAPI document, and further members of the operation object. */
  readonly summary: string;
  readonly openApi?: Readonly<Record<string, unknown>>;
  /** Left out of the OpenAPI document. */
  readonly hidden?: true;
  handle(request: AppRequest, view: ReadView): Step;
}

export interface Application {
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  /** Names of its archived tables; all others are ordinary. */
  readonly archivedTables: readonly string[];
  /**
   * How this application says an error that arises outside its endpoints; CCF's shape if
   * absent.
   */
  readonly renderError?: (error: RequestError) => AppResponse;
}

/** An error of the request itself or of the service, before or beside an endpoint's own answers. */
export interface RequestError {
  readonly status: number;
  /** http-api.md §8. */
  readonly code: string;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly details?: readonly Readonly<Record<string, unknown>>[];
}

/** The step that ends a request. */
export function answer(response: AppResponse): Step {
  return { kind: 'answer', response };
}
