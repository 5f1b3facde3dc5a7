/**
 * Runs applications on the real store without a ledger, a network or a clock: what a node does
 * with an endpoint's steps, in one thread. Archived values are read back from the write sets;
 * receipts are stand-ins that carry the true claims digest.
 */
import type {
  Application,
  AppRequest,
  AppResponse,
  Caller,
  Endpoint,
  Receipt,
  ReceiptJson,
  RequestError,
  Step,
  Verb,
} from '../../src/apps/interface.ts';
import { hexOf, NO_BYTES, utf8 } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { type Seqno, seqnoOf, viewOf } from '../../src/base/ids.ts';
import { Router } from '../../src/http/router.ts';
import { archivedValueIn } from '../../src/kv/archived-value.ts';
import { Store } from '../../src/kv/store.ts';
import type { ArchiveLookup, Transaction } from '../../src/kv/tables.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import type { MapWrites } from '../../src/kv/write-set.ts';

export interface PlainRequest {
  readonly verb: string;
  /** Path and query, as on the request line. */
  readonly target: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: Uint8Array | string;
  readonly caller?: Caller;
}

interface Entry {
  readonly maps: readonly MapWrites[];
  readonly claimsDigest: Uint8Array;
}

export class MemoryRuntime {
  readonly store: Store;
  readonly #router = new Router();
  readonly #applications: readonly Application[];
  readonly #entries = new Map<Seqno, Entry>();
  /** What the last request needed: how many values were fetched, and whether it wrote. */
  readonly last = { fetched: 0, wrote: false, absence: false };
  /** Set to make every fetch fail, as a missing chunk file would. */
  fetchesFail = false;
  /** What COSE receipts are: there, not yet, or never. */
  coseReceipts: 'there' | 'pending' | 'unavailable' = 'there';
  /** Clear to leave writes uncommitted until `commitAll`. */
  commitsAtOnce = true;

  constructor(applications: readonly Application[]) {
    this.#applications = applications;
    this.store = new Store(applications.flatMap((one) => one.archivedTables));
    for (const application of applications) this.#router.add('app', application);
  }

  /** Writes rows as governance would. */
  setUp(fill: (tx: Transaction) => void): void {
    const tx = new StoreTransaction(this.store, 'service');
    fill(tx);
    this.#append(tx);
    this.commitAll();
  }

  commitAll(): void {
    this.store.commit(this.store.newest);
  }

  rollBack(): void {
    this.store.rollback(this.store.committed);
  }

  /** The newest value stored under a key, as an auditor with the secret would read it. */
  archivedValue(table: string, key: Uint8Array): Uint8Array | undefined {
    const row = this.store.current.archive(table).find(key).at(-1);
    return row === undefined ? undefined : this.#archived({ table, key, row });
  }

  /** Changes the newest value stored under a key, as no honest host would. */
  damage(table: string, key: Uint8Array, change: (bytes: Uint8Array) => void): void {
    const value = this.archivedValue(table, key);
    if (value !== undefined) change(value);
  }

  /** Routes a request and runs it to its answer. */
  request(request: PlainRequest): AppResponse {
    const [path = '', query = ''] = splitOnce(request.target, '?');
    const match = this.#router.match(request.verb, path);
    Object.assign(this.last, { fetched: 0, wrote: false, absence: false });
    switch (match.kind) {
      case 'found':
        return this.#answerOf(match.route.endpoint, asAppRequest(request, match, query));
      case 'other-verb':
        return this.#refused(path, {
          status: 405,
          code: 'UnsupportedHttpVerb',
          message: '',
          headers: { allow: match.allow },
        });
      default:
        return this.#refused(path, { status: 404, code: 'ResourceNotFound', message: '' });
    }
  }

  /** Runs an endpoint that is on no surface, as the node runs its own. */
  run(endpoint: Endpoint): AppResponse {
    Object.assign(this.last, { fetched: 0, wrote: false, absence: false });
    const match = { path: endpoint.path, params: {} };
    return this.#answerOf(endpoint, asAppRequest({ verb: 'POST', target: '/' }, match, ''));
  }

  #refused(path: string, error: RequestError): AppResponse {
    const segment = path.split('/')[path.startsWith('/app/') ? 2 : 1];
    const owner = this.#applications.find(({ endpoints }) =>
      endpoints.some((one) => one.path.split('/')[1] === segment),
    );
    return owner?.renderError?.(error) ?? { status: error.status };
  }

  #answerOf(endpoint: Endpoint, request: AppRequest): AppResponse {
    const view = endpoint.reads === 'committed' ? this.store.committedView : this.store.current;
    let step: Step = endpoint.handle(request, view);
    for (;;) {
      switch (step.kind) {
        case 'answer':
          this.last.absence = step.response.absence === true;
          return step.response;
        case 'fetch':
          if (this.fetchesFail) {
            throw new CodedError('FetchFailed', 'a chunk cannot be read', { status: 503 });
          }
          this.last.fetched += step.rows.length;
          step = step.next(step.rows.map((row) => this.#archived(row)));
          break;
        case 'receipt':
          step = step.next(this.#receipt(step.seqno, step.form));
          break;
        case 'file':
        case 'ask':
          throw new Error(`there is no node in memory for a step ${step.kind}`);
        case 'write':
          return this.#write(step.apply);
      }
    }
  }

  #write(apply: (tx: Transaction) => AppResponse): AppResponse {
    const tx = new StoreTransaction(this.store, 'application');
    const response = apply(tx);
    this.last.absence = response.absence === true;
    if (response.applyWrites ?? (response.status >= 200 && response.status < 300)) {
      this.last.wrote = tx.writeSet().length > 0;
      this.#append(tx);
      if (this.commitsAtOnce) this.commitAll();
    }
    return response;
  }

  #append(tx: StoreTransaction): void {
    const maps = tx.writeSet();
    if (maps.length === 0) return;
    const seqno = seqnoOf(this.store.newest + 1);
    this.store.apply(seqno, maps);
    this.#entries.set(seqno, { maps, claimsDigest: tx.claimsDigest });
  }

  #archived({ table, key, row }: ArchiveLookup): Uint8Array | undefined {
    const map = this.#entries.get(row.seqno)?.maps.find(({ name }) => name === table);
    return map === undefined ? undefined : archivedValueIn(map, key);
  }

  #receipt(seqno: Seqno, form: 'json' | 'cose'): Receipt | 'pending' | 'unavailable' {
    const entry = this.#entries.get(seqno);
    if (entry === undefined) return 'unavailable';
    const txId = { view: viewOf(2), seqno };
    if (form === 'cose') {
      if (this.coseReceipts !== 'there') return this.coseReceipts;
      return { form, txId, bytes: Buffer.concat([utf8('cose'), entry.claimsDigest]) };
    }
    const json: ReceiptJson = {
      signature: '',
      proof: [],
      node_id: '',
      cert: '',
      leaf_components: {
        write_set_digest: '',
        commit_evidence: '',
        claims_digest: hexOf(entry.claimsDigest),
      },
    };
    return { form, txId, json };
  }
}

function asAppRequest(
  request: PlainRequest,
  match: { readonly path: string; readonly params: Readonly<Record<string, string>> },
  query: string,
): AppRequest {
  const { body = NO_BYTES, headers = [], caller = { policy: 'no_auth' } } = request;
  return {
    verb: request.verb as Verb,
    path: match.path,
    params: match.params,
    query,
    header: (name) => headers.find(([key]) => key.toLowerCase() === name)?.[1],
    body: typeof body === 'string' ? utf8(body) : body,
    caller,
  };
}

function splitOnce(text: string, mark: string): readonly string[] {
  const at = text.indexOf(mark);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
