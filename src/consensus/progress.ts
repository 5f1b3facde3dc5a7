/**
 * What a leader knows of one other node. `match` is a promise that was given and never goes back on
 * a refusal; `sent` is a guess that a refusal corrects (node-lifecycle.md §6, fast backtracking).
 */

import { invariant } from '../base/assert.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { higher, lower } from './positions.ts';

export class Progress {
  /** The logs agree up to here, and the other has it on stable storage. */
  #match: Seqno = seqnoOf(0);
  /** The highest entry sent on the guess that all before it arrived. */
  #sent: Seqno;
  /** Until an answer tells where the logs agree, one message at a time. */
  #isProbing = true;
  /** Which life of the other node has spoken in this view. */
  #incarnation: number | undefined;
  /** Of that life, if it began by asking. */
  #nonce: number | undefined;
  /** Whether that one message is on its way. */
  hasProbed = false;
  /** What the other said it knows to be committed. */
  commit: Seqno = seqnoOf(0);
  /** The newest round of confirming leadership that it answered. */
  round = 0;
  /** Milliseconds since it was last heard. */
  silentMs = 0;

  constructor(last: Seqno) {
    this.#sent = last;
  }

  get match(): Seqno {
    return this.#match;
  }

  get sent(): Seqno {
    return this.#sent;
  }

  get isProbing(): boolean {
    return this.#isProbing;
  }

  /**
   * Whether a message of this life counts: late ones of a former life do not. What a former life
   * promised is not counted any more once a new one has spoken.
   */
  isPresentLife(incarnation: number, last: Seqno): boolean {
    const known = this.#incarnation ?? incarnation;
    if (incarnation < known) return false;
    this.#incarnation = incarnation;
    if (incarnation === known) return true;
    this.#nonce = undefined;
    this.#match = seqnoOf(0);
    this.#sent = last;
    this.#isProbing = true;
    this.hasProbed = false;
    this.round = 0;
    return true;
  }

  /**
   * Whether a restarting node asks in a life that counts. One whose disk and clock went back may
   * come under the incarnation of a former life: it must not inherit what that one promised.
   */
  isPresentLifeAsking(incarnation: number, nonce: number, last: Seqno): boolean {
    if (this.#incarnation === incarnation && this.#nonce !== nonce) return false;
    if (!this.isPresentLife(incarnation, last)) return false;
    this.#nonce = nonce;
    return true;
  }

  /** For a life that is not to be taken for one that has spoken in this view. */
  get nextIncarnation(): number {
    return (this.#incarnation ?? 0) + 1;
  }

  noteSent(seqno: Seqno): void {
    invariant(seqno >= this.#match, 'nothing is sent below what is known to match');
    this.#sent = seqno;
  }

  accept(seqno: Seqno): void {
    this.#match = higher(this.#match, seqno);
    this.#sent = higher(this.#sent, this.#match);
    this.#isProbing = false;
  }

  /**
   * A refusal moves the guess back, never the promise. One that teaches nothing new starts no new
   * probe before the next heartbeat, or duplicates on the network would answer each other for ever.
   */
  refuse(estimate: Seqno): void {
    const guess = higher(lower(estimate, this.#sent), this.#match);
    if (!this.#isProbing || guess < this.#sent) this.hasProbed = false;
    this.#sent = guess;
    this.#isProbing = true;
  }
}
