/**
 * The committed transactions that the service has shown to this client (design decisions 9, 11 and
 * 13). Only answers whose transaction is committed are noted here: one that is committed is never
 * lost by a service that keeps its word.
 */
import type { TxId } from '../base/ids.ts';

export class SeenTransactions {
  #newest: TxId | undefined;
  #seqno: number | undefined;

  /** What any node that answers must hold. */
  get newest(): TxId | undefined {
    return this.#newest;
  }

  /** The highest committed position that is known; undefined as long as nothing is. */
  get seqno(): number | undefined {
    return this.#seqno;
  }

  /**
   * Notes a transaction. False, and nothing noted, when it cannot lie in one history with what was
   * seen before: views never fall as positions rise (Raft's log), nor do two share a position.
   */
  note(txId: TxId): boolean {
    const newest = this.#newest;
    if (newest !== undefined) {
      const views = Math.sign(txId.view - newest.view);
      const seqnos = Math.sign(txId.seqno - newest.seqno);
      if (views !== 0 && views !== seqnos) return false;
      if (seqnos > 0) this.#newest = txId;
    } else this.#newest = txId;
    this.notePosition(txId.seqno);
    return true;
  }

  /** Notes how far the service has committed, without asking for as much of each node. */
  notePosition(seqno: number): void {
    this.#seqno = Math.max(seqno, this.#seqno ?? 0);
  }
}
