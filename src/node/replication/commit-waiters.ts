/**
 * Who waits for a transaction to be decided, and for how long. A transaction that was taken in by
 * a leader may commit under the next one, or be lost with its view: only the ledger's own rule says
 * which (http-api.md §5.2).
 */
import type { Timers } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import { type Seqno, type TxId, textOfTxId } from '../../base/ids.ts';
import { REQUEST_WAIT_MS_MAX } from '../../base/limits.ts';
import { statusOf } from '../../ledger/view-history.ts';
import type { LedgerState } from '../ledger-state.ts';

interface Waiter {
  /** Undefined: whatever stands at `seqno`. */
  readonly txId: TxId | undefined;
  /** It is enough that this node holds it. */
  readonly isPendingEnough: boolean;
  readonly seqno: Seqno;
  readonly untilMs: number;
  readonly resolve: () => void;
  readonly reject: (error: CodedError) => void;
}

/** How often those who have waited too long are looked for. */
const SWEEP_MS = 100;

export class CommitWaiters {
  readonly #state: LedgerState;
  readonly #timers: Timers;
  #waiters: Waiter[] = [];
  #failure: CodedError | undefined;
  #cancelSweep: (() => void) | undefined;

  constructor(state: LedgerState, timers: Timers) {
    this.#state = state;
    this.#timers = timers;
  }

  get count(): number {
    return this.#waiters.length;
  }

  /**
   * Resolves once a transaction is committed. Rejects with `TransactionInvalid` when it never will
   * be, and with `TransactionPendingOrUnknown` when that is not known after `maxMs`.
   */
  whenCommitted(txId: TxId, maxMs = REQUEST_WAIT_MS_MAX): Promise<void> {
    return this.#wait(txId, txId.seqno, maxMs);
  }

  /** The same once this node holds a transaction, committed or not yet. */
  whenHeld(txId: TxId, maxMs = REQUEST_WAIT_MS_MAX): Promise<void> {
    return this.#wait(txId, txId.seqno, maxMs, true);
  }

  /** Resolves once this node knows that everything up to `seqno` is committed. */
  whenReached(seqno: Seqno, maxMs = REQUEST_WAIT_MS_MAX): Promise<void> {
    return this.#wait(undefined, seqno, maxMs);
  }

  /** Something was committed or rolled back. */
  look(): void {
    if (this.#waiters.length === 0) return;
    const waiting: Waiter[] = [];
    const decided: Waiter[] = [];
    for (const waiter of this.#waiters) {
      (this.#verdictOn(waiter) === 'open' ? waiting : decided).push(waiter);
    }
    this.#waiters = waiting;
    for (const waiter of decided) {
      if (this.#verdictOn(waiter) === 'lost') waiter.reject(invalid(waiter));
      else waiter.resolve();
    }
  }

  /** Nothing will be decided here any more. */
  fail(failure: CodedError): void {
    this.#failure ??= failure;
    this.#cancelSweep?.();
    for (const { reject } of this.#waiters.splice(0)) reject(failure);
  }

  #wait(
    txId: TxId | undefined,
    seqno: Seqno,
    maxMs: number,
    isPendingEnough = false,
  ): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const untilMs = this.#timers.elapsedMs() + maxMs;
      const waiter = { txId, seqno, isPendingEnough, untilMs, resolve, reject };
      const verdict = this.#verdictOn(waiter);
      if (verdict === 'done') resolve();
      else if (verdict === 'lost') reject(invalid(waiter));
      else {
        this.#waiters.push(waiter);
        this.#cancelSweep ??= this.#timers.after(SWEEP_MS, () => this.#sweep());
      }
    });
  }

  #verdictOn({ txId, seqno, isPendingEnough }: Waiter): 'open' | 'done' | 'lost' {
    const { store, views } = this.#state;
    if (txId === undefined) return store.committed >= seqno ? 'done' : 'open';
    const status = statusOf(txId, this.#state.committed, store.newest, views);
    if (status === 'Committed' || (isPendingEnough && status === 'Pending')) return 'done';
    return status === 'Invalid' ? 'lost' : 'open';
  }

  #sweep(): void {
    this.#cancelSweep = undefined;
    const nowMs = this.#timers.elapsedMs();
    const late = this.#waiters.filter(({ untilMs }) => untilMs <= nowMs);
    if (late.length > 0) {
      this.#waiters = this.#waiters.filter(({ untilMs }) => untilMs > nowMs);
      for (const waiter of late) waiter.reject(undecided(waiter));
    }
    if (this.#waiters.length === 0) return;
    this.#cancelSweep = this.#timers.after(SWEEP_MS, () => this.#sweep());
  }
}

function nameOf({ txId, seqno }: Waiter): string {
  return txId === undefined ? `entry ${seqno}` : `transaction ${textOfTxId(txId)}`;
}

function invalid(waiter: Waiter): CodedError {
  return new CodedError(
    'TransactionInvalid',
    `${nameOf(waiter)} was lost when the service changed its primary: it is not in the ledger ` +
      'and never will be. Send it again',
    { status: 500 },
  );
}

function undecided(waiter: Waiter): CodedError {
  return new CodedError(
    'TransactionPendingOrUnknown',
    `${nameOf(waiter)} is not committed yet, and may still be: ask for its status, or repeat the ` +
      'request under its request id',
    { status: 503, retryAfterSeconds: 1 },
  );
}
