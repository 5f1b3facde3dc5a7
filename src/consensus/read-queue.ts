/**
 * Reads that wait for their seqno (design decision 10). Those that arrive while one confirmation is
 * under way wait for the next and share it, so their number costs no messages.
 */

import { invariant } from '../base/assert.ts';
import type { NodeId, Seqno } from '../base/ids.ts';

/** Who waits: a reader of this node, or a batch of readers of another. */
export type Reader =
  | { readonly kind: 'here'; readonly id: number }
  | {
      readonly kind: 'there';
      readonly node: NodeId;
      readonly batch: number;
      readonly incarnation: number;
    };

/** Readers waiting for one confirmation. */
interface Round {
  /** The leader's round number, or the number of the batch sent to the leader. */
  readonly number: number;
  /** What was committed when the round began. */
  readonly seqno: Seqno;
  readonly readers: readonly Reader[];
}

export class ReadQueue {
  readonly #max: number;
  /** Not asked for yet. */
  #waiting: Reader[] = [];
  /** Asked for, not answered. */
  #round: Round | undefined;
  /** Fresh from a seqno on that is not committed here yet. */
  #answered: { readonly seqno: Seqno; readonly id: number }[] = [];
  #rounds = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** The number of the newest round. */
  get rounds(): number {
    return this.#rounds;
  }

  get round(): Round | undefined {
    return this.#round;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  get count(): number {
    const asked = this.#round?.readers.length ?? 0;
    return this.#waiting.length + asked + this.#answered.length;
  }

  /** False when there are too many. A batch that is asked for once more waits once. */
  add(reader: Reader): boolean {
    const isKnown =
      reader.kind === 'there' &&
      [...this.#waiting, ...(this.#round?.readers ?? [])].some(
        (known) =>
          known.kind === 'there' &&
          known.node === reader.node &&
          known.batch === reader.batch &&
          known.incarnation === reader.incarnation,
      );
    if (isKnown) return true;
    if (this.count >= this.#max) return false;
    this.#waiting.push(reader);
    return true;
  }

  forget(id: number): void {
    const isOther = (reader: Reader): boolean => reader.kind !== 'here' || reader.id !== id;
    this.#waiting = this.#waiting.filter(isOther);
    if (this.#round !== undefined) {
      this.#round = { ...this.#round, readers: this.#round.readers.filter(isOther) };
    }
    this.#answered = this.#answered.filter((answered) => answered.id !== id);
  }

  /** All who wait share a new round. */
  begin(seqno: Seqno): void {
    invariant(this.#round === undefined, 'one round of reads at a time');
    this.#rounds += 1;
    this.#round = { number: this.#rounds, seqno, readers: this.#waiting };
    this.#waiting = [];
  }

  /** The round was confirmed: its readers leave the queue. */
  end(): readonly Reader[] {
    const readers = this.#round?.readers ?? [];
    this.#round = undefined;
    return readers;
  }

  /** What was asked is void, because the leader changed: this node's readers wait again. */
  abandon(): void {
    const again = [...this.end(), ...this.#waiting];
    this.#waiting = again.filter(({ kind }) => kind === 'here');
  }

  /** A read of this node is fresh from `seqno` on. */
  answer(id: number, seqno: Seqno): void {
    this.#answered.push({ id, seqno });
  }

  /** Takes the answered reads that this node can serve now. */
  takeReady(commit: Seqno): readonly { readonly id: number; readonly seqno: Seqno }[] {
    const ready = this.#answered.filter(({ seqno }) => seqno <= commit);
    this.#answered = this.#answered.filter(({ seqno }) => seqno > commit);
    return ready;
  }
}
