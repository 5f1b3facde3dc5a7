/**
 * Runs an endpoint from request to answer: hands it a state, does what its steps ask for, commits
 * what it writes, and lets nothing out that is not yet true (design decisions 3, 6, 9 and 10).
 */
import type { AppRequest, AppResponse, Endpoint, Step } from '../apps/interface.ts';
import { unreachable } from '../base/assert.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { type Seqno, type TxId, textOfTxId } from '../base/ids.ts';
import type { NodeFiles, RunOptions, RunResult } from '../http/backend.ts';
import type { Store } from '../kv/store.ts';
import { StoreTransaction } from '../kv/transaction.ts';
import type { ViewHistory } from '../ledger/view-history.ts';
import type { ArchiveReader } from './archive-reader.ts';
import type { ReceiptBuilder } from './receipt-builder.ts';
import type { Replica } from './replica.ts';

/** Times a request is run again because the state moved on while it looked. */
const RERUNS_MAX = 8;

export interface RunnerDependencies {
  readonly store: Store;
  readonly replica: Pick<
    Replica,
    'submit' | 'whenCommitted' | 'whenHeld' | 'whenReached' | 'readIndex'
  >;
  readonly archive: ArchiveReader;
  readonly receipts: ReceiptBuilder;
  readonly views: ViewHistory;
  readonly files: NodeFiles;
}

export class Runner {
  readonly #deps: RunnerDependencies;

  constructor(dependencies: RunnerDependencies) {
    this.#deps = dependencies;
  }

  async run(endpoint: Endpoint, request: AppRequest, options: RunOptions): Promise<RunResult> {
    if (options.minTxId !== undefined) await this.#reach(options.minTxId, endpoint);
    let proven = options.linearizable ? await this.#deps.replica.readIndex() : undefined;
    if (proven !== undefined) await this.#committed(proven);
    for (let runs = 0; runs < RERUNS_MAX; runs += 1) {
      const seen = this.#seenBy(endpoint);
      const result = await this.#attempt(endpoint, request, options);
      if (!(await this.#stands(endpoint, options, result))) continue;
      if (result.response.absence !== true) return result;
      // One is enough: what is committed after it was not there when the request came.
      proven ??= await this.#deps.replica.readIndex();
      if (proven <= seen) return result;
      await this.#committed(proven);
    }
    throw new CodedError(
      'InternalError',
      'the state changed too often while this request looked for something; try again',
      { status: 503, retryAfterSeconds: 1 },
    );
  }

  /**
   * A read that promises to be fresh may have seen what is not committed yet: it waits for
   * that, and does not stand if that is lost.
   */
  async #stands(
    endpoint: Endpoint,
    { linearizable, waitForCommit }: RunOptions,
    { txId }: RunResult,
  ): Promise<boolean> {
    const promises = linearizable || waitForCommit;
    if (!promises || endpoint.effect !== 'read' || txId === undefined) return true;
    try {
      await this.#deps.replica.whenCommitted(txId);
      return true;
    } catch (error) {
      if (isCoded(error, 'TransactionInvalid')) return false;
      throw error;
    }
  }

  /** The committed seqno that an endpoint's answer about absence rests on. */
  #seenBy(endpoint: Endpoint): Seqno {
    const { store } = this.#deps;
    return endpoint.reads === 'committed' ? store.committed : store.newest;
  }

  async #attempt(
    endpoint: Endpoint,
    request: AppRequest,
    options: RunOptions,
  ): Promise<RunResult> {
    const { store } = this.#deps;
    const committed = endpoint.reads === 'committed';
    const view = committed ? store.committedView : store.current;
    const readTxId = this.#txIdAt(committed ? store.committed : store.newest);
    let step: Step = endpoint.handle(request, view);
    for (;;) {
      switch (step.kind) {
        case 'answer':
          return endpoint.effect === 'none'
            ? { response: step.response }
            : { response: step.response, txId: readTxId };
        case 'fetch':
          step = step.next(await this.#fetch(step));
          break;
        case 'receipt':
          step = step.next(await this.#deps.receipts.receipt(step.seqno, step.form));
          break;
        case 'file':
          step = step.next(await this.#deps.files.look(step.file));
          break;
        case 'ask':
          step = await step.ask();
          break;
        case 'write':
          return await this.#write(endpoint, step, options);
        default:
          return unreachable(step, 'a step of an endpoint');
      }
    }
  }

  async #fetch(
    step: Extract<Step, { kind: 'fetch' }>,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    try {
      return await Promise.all(step.rows.map((row) => this.#deps.archive.value(row)));
    } catch (error) {
      if (!isCoded(error)) throw error;
      throw new CodedError(error.code, error.message, { status: 503, ...error.fields });
    }
  }

  async #write(
    endpoint: Endpoint,
    step: Extract<Step, { kind: 'write' }>,
    options: RunOptions,
  ): Promise<RunResult> {
    const { replica, store } = this.#deps;
    const scope = endpoint.governs ? 'service' : 'application';
    const transaction = new StoreTransaction(store, scope);
    const response = step.apply(transaction);
    const writes = transaction.writeSet();
    const waits = endpoint.answers === 'committed' || options.waitForCommit;
    if (!keepsWrites(response) || writes.length === 0) {
      // What it read may be uncommitted, and an answer that waits, be it about a presence or an
      // absence, rests only on what is committed.
      const seen = this.#txIdAt(store.newest);
      if (waits) await replica.whenCommitted(seen);
      return { response, txId: seen };
    }
    const txId = replica.submit(writes, transaction.claimsDigest);
    if (waits) await replica.whenCommitted(txId);
    return { response, txId };
  }

  /** Waits until the state that an endpoint reads holds a transaction that the client has seen. */
  async #reach(txId: TxId, { reads }: Endpoint): Promise<void> {
    const { replica } = this.#deps;
    try {
      await (reads === 'committed' ? replica.whenCommitted(txId) : replica.whenHeld(txId));
    } catch (error) {
      if (!isCoded(error, 'TransactionInvalid')) throw error;
      throw new CodedError(
        'SessionConsistencyLost',
        `transaction ${textOfTxId(txId)}, which this session has seen, is not in the ledger`,
        { status: 500 },
      );
    }
  }

  async #committed(seqno: Seqno): Promise<void> {
    await this.#deps.replica.whenReached(seqno);
  }

  #txIdAt(seqno: Seqno): TxId {
    return { view: this.#deps.views.viewAt(seqno), seqno };
  }
}

function keepsWrites(response: AppResponse): boolean {
  return response.applyWrites ?? (response.status >= 200 && response.status < 300);
}
