// What clients were told, against the ledger as it is in the end.

import { REQUESTS } from '../../src/apps/quorum/tables.ts';
import { binaryTextOf, utf8 } from '../../src/base/bytes.ts';
import { textOfTxId } from '../../src/base/ids.ts';
import { decodeArchivedValue } from '../../src/kv/archived-value.ts';
import { type OpenedEntry, writtenText } from './audit.ts';
import type { ClientHistory, LogRead } from './client-history.ts';
import { require as mustHold } from './violation.ts';

const RECORDS = 'records';

export class HistoryCheck {
  readonly #entries: readonly OpenedEntry[];
  readonly #history: ClientHistory;

  constructor(entries: readonly OpenedEntry[], history: ClientHistory) {
    this.#entries = entries;
    this.#history = history;
  }

  judge(): void {
    this.#judgeStatuses();
    this.#judgeLogWrites();
    for (const read of this.#history.logReads) this.#judgeRead(read);
    this.#judgeRequestIds();
  }

  #isCommitted(view: number, seqno: number): boolean {
    return this.#entries[seqno - 1]?.view === view;
  }

  /** What was told is so, for ever. */
  #judgeStatuses(): void {
    for (const [view, seqno] of this.#history.committedTxIds()) {
      mustHold(
        this.#isCommitted(view, seqno),
        'CommittedIsKept',
        () => `a client was told that ${view}.${seqno} is committed, and it is not there`,
      );
    }
    for (const [view, seqno] of this.#history.invalidTxIds()) {
      mustHold(
        !this.#isCommitted(view, seqno),
        'InvalidIsNeverThere',
        () => `a client was told that ${view}.${seqno} is invalid, and it is there`,
      );
    }
  }

  /** A write is in the entry whose TxID it was given, and nowhere else. */
  #judgeLogWrites(): void {
    const places = new Map<string, number[]>();
    for (const entry of this.#entries) {
      const map = entry.maps.find(({ name }) => name === RECORDS);
      for (const value of map?.writes.values() ?? []) {
        const message = JSON.parse(Buffer.from(value).toString()) as string;
        places.set(message, [...(places.get(message) ?? []), entry.seqno]);
      }
    }
    for (const { message, txId } of this.#history.logWrites) {
      const found = places.get(message) ?? [];
      mustHold(
        found.length <= 1,
        'DoneOnce',
        () => `${message} was written at ${found.join()}`,
      );
      if (txId === undefined) continue;
      const isThere = this.#isCommitted(txId.view, txId.seqno);
      mustHold(
        isThere ? found[0] === txId.seqno : found.length === 0,
        'WritesAreWhereTold',
        () => `${message} was to be at ${textOfTxId(txId)}, it is at ${found.join() || 'none'}`,
      );
    }
  }

  /** A read shows just what was written last up to the transaction that it names. */
  #judgeRead({ id, message, txId }: LogRead): void {
    if (txId.seqno > 0 && !this.#isCommitted(txId.view, txId.seqno)) return;
    const key = binaryTextOf(utf8(String(id)));
    const written = this.#entries
      .slice(0, txId.seqno)
      .findLast((entry) => writtenText(entry, RECORDS, key) !== undefined);
    const text = written === undefined ? undefined : writtenText(written, RECORDS, key);
    const expected = text === undefined ? undefined : (JSON.parse(text) as string);
    mustHold(
      message === expected,
      'ReadsAreSerializable',
      () => `a read of ${id} at ${textOfTxId(txId)} gave ${message}, there is ${expected}`,
    );
  }

  /** Under one request id there is one effect. */
  #judgeRequestIds(): void {
    const seen = new Map<string, number>();
    for (const { seqno, maps } of this.#entries) {
      const map = maps.find(({ name }) => name === REQUESTS);
      for (const [key, value] of map?.writes ?? []) {
        if (decodeArchivedValue(value).kind !== 'store') continue;
        const other = seen.get(key);
        mustHold(
          other === undefined,
          'DoneOnce',
          () => `one request had its effect at ${other} and at ${seqno}`,
        );
        seen.set(key, seqno);
      }
    }
  }
}
