/**
 * The TxIDs that a session was shown. A session is lost only when one of them has become Invalid
 * (design decision 9), not at every change of view.
 *
 * Within one view the newest stands for all before it: they are of one history. One per view is
 * therefore enough, and a committed one can never become Invalid and needs no watching.
 */
import type { TxId } from '../base/ids.ts';
import type { TxStatus } from '../ledger/view-history.ts';

export class ShownTransactions {
  #latest: TxId | undefined;
  /** Of earlier views, not known to be committed; nearly always empty. */
  #earlier: TxId[] = [];

  /** Notes that a reply with this TxID leaves. */
  add(txId: TxId): void {
    const latest = this.#latest;
    if (latest !== undefined && latest.view !== txId.view) this.#earlier.push(latest);
    if (latest === undefined || latest.view !== txId.view || latest.seqno < txId.seqno) {
      this.#latest = txId;
    }
  }

  /** The newest that this node does not know to be committed, if there is one. */
  unsettled(statusOf: (txId: TxId) => TxStatus): TxId | undefined {
    const latest = this.#latest;
    if (latest !== undefined && statusOf(latest) !== 'Committed') return latest;
    return this.#earlier.findLast((txId) => statusOf(txId) !== 'Committed');
  }

  /** A TxID that was shown and is Invalid by now, if there is one. */
  lost(statusOf: (txId: TxId) => TxStatus): TxId | undefined {
    if (this.#earlier.length > 0) {
      const lost = this.#earlier.find((txId) => statusOf(txId) === 'Invalid');
      if (lost !== undefined) return lost;
      this.#earlier = this.#earlier.filter((txId) => statusOf(txId) !== 'Committed');
    }
    const latest = this.#latest;
    return latest !== undefined && statusOf(latest) === 'Invalid' ? latest : undefined;
  }
}
