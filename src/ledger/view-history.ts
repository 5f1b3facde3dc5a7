/**
 * Which view each seqno belongs to, and what may be said of a transaction from that alone
 * (http-api.md §5.2).
 */
import { invariant } from '../base/assert.ts';
import { type Seqno, seqnoOf, type TxId, type View, viewOf } from '../base/ids.ts';

export class ViewHistory {
  readonly #starts: TxId[] = [];

  /** First TxID of each view that has entries, oldest first. */
  get starts(): readonly TxId[] {
    return this.#starts;
  }

  get lastView(): View {
    return this.#starts.at(-1)?.view ?? viewOf(0);
  }

  /** Notes that the entry at `seqno` is of `view`. */
  note(view: View, seqno: Seqno): void {
    const last = this.#starts.at(-1);
    if (last !== undefined) {
      invariant(view >= last.view && seqno > last.seqno, 'views only grow');
      if (view === last.view) return;
    }
    this.#starts.push({ view, seqno });
  }

  /** Forgets views that began after `seqno`. */
  rollback(seqno: Seqno): void {
    for (let last = this.#starts.at(-1); last !== undefined; last = this.#starts.at(-1)) {
      if (last.seqno <= seqno) break;
      this.#starts.pop();
    }
  }

  /**
   * The view of an entry at `seqno`, given that the ledger reaches that far; 0 before the
   * first.
   */
  viewAt(seqno: Seqno): View {
    for (let index = this.#starts.length - 1; index >= 0; index -= 1) {
      const start = this.#starts[index] as TxId;
      if (start.seqno <= seqno) return start.view;
    }
    return viewOf(0);
  }

  /** The history as CCF tells it: an entry for every view from 1 on, empty views included. */
  complete(): readonly TxId[] {
    const all: TxId[] = [];
    let view = 1;
    for (const start of this.#starts) {
      for (; view <= start.view; view += 1)
        all.push({ view: viewOf(view), seqno: start.seqno });
    }
    return all;
  }
}

export type TxStatus = 'Unknown' | 'Pending' | 'Committed' | 'Invalid';

/** The status of a transaction; Committed and Invalid are final. */
export function statusOf(
  asked: TxId,
  committed: TxId,
  newest: Seqno,
  history: ViewHistory,
): TxStatus {
  const local =
    asked.seqno <= newest && asked.seqno > 0 ? history.viewAt(asked.seqno) : seqnoOf(0);
  const agrees = asked.view === (local as number) && asked.seqno > 0;
  if (committed.seqno >= asked.seqno) return agrees ? 'Committed' : 'Invalid';
  if (agrees) return 'Pending';
  return committed.view > asked.view ? 'Invalid' : 'Unknown';
}
