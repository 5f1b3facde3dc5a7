// What clients were told, held against each other at once and against the ledger in the end: what
// was acknowledged is there for ever, absence is never said of what was committed, fresh reads are
// fresh, and a transaction's status only ever settles.

import type { TxId } from '../../src/base/ids.ts';
import { textOfTxId } from '../../src/base/ids.ts';
import type { TxStatus } from '../../src/ledger/view-history.ts';
import { require as mustHold } from './violation.ts';

/** One payload that an organisation wanted to store, with all its attempts. */
export interface Sending {
  readonly from: number;
  readonly to: readonly number[];
  /** Base64. */
  readonly payload: string;
  /** What it is stored under, once somebody was told. */
  hash?: string;
  /** When that was. */
  ackedMs?: number;
}

/** One message that was put into the log under a number. */
export interface LogWrite {
  readonly id: number;
  readonly message: string;
  txId?: TxId;
}

export interface LogRead {
  readonly id: number;
  readonly message: string | undefined;
  readonly txId: TxId;
  readonly isLinearizable: boolean;
  /** The highest seqno that anybody had been told to be committed when it began. */
  readonly bound: number;
}

export class ClientHistory {
  readonly sendings: Sending[] = [];
  readonly logWrites: LogWrite[] = [];
  readonly logReads: LogRead[] = [];
  readonly #final = new Map<string, 'Committed' | 'Invalid'>();
  /** The highest seqno that any client was told to be committed. */
  committedBound = 0;
  receipts = 0;
  absences = 0;
  repeats = 0;

  /** A client is told what became of a transaction. */
  toldStatus(who: string, txId: TxId, status: TxStatus): void {
    const name = textOfTxId(txId);
    // A node that is behind knows less; what it says is no contradiction.
    if (status !== 'Committed' && status !== 'Invalid') return;
    const known = this.#final.get(name);
    mustHold(
      known === undefined || known === status,
      'StatusSettles',
      () => `${who} says that ${name} is ${status}, it was ${known} before`,
    );
    this.#final.set(name, status);
    if (status === 'Committed') this.toldCommitted(txId);
  }

  /** A client is told by an answer that its transaction is committed. */
  toldCommitted(txId: TxId): void {
    const name = textOfTxId(txId);
    mustHold(
      this.#final.get(name) !== 'Invalid',
      'StatusSettles',
      () => `${name} is acknowledged, and was Invalid before`,
    );
    this.#final.set(name, 'Committed');
    this.committedBound = Math.max(this.committedBound, txId.seqno);
  }

  /** Transactions that somebody was told to be committed. */
  *committedTxIds(): Iterable<readonly [view: number, seqno: number]> {
    for (const [name, status] of this.#final) {
      const [view = 0, seqno = 0] = name.split('.').map(Number);
      if (status === 'Committed') yield [view, seqno];
    }
  }

  *invalidTxIds(): Iterable<readonly [view: number, seqno: number]> {
    for (const [name, status] of this.#final) {
      const [view = 0, seqno = 0] = name.split('.').map(Number);
      if (status === 'Invalid') yield [view, seqno];
    }
  }
}
