/**
 * Positions of the log: which view wrote which seqno, where signatures are, and what is committed.
 *
 * The log itself (the bytes) stays with the caller; consensus keeps only what its rules need: one
 * run per view, the signatures that are not committed yet, and three numbers. Rules from
 * node-lifecycle.md §6: only a signature can be committed or be the ground of a vote.
 */

import { invariant } from '../base/assert.ts';
import { type Seqno, seqnoAfter, seqnoOf, type TxId, type View, viewOf } from '../base/ids.ts';

/** The place before the first entry. */
export const NOWHERE: TxId = { view: viewOf(0), seqno: seqnoOf(0) };

/** From `first` on, entries were written in `view`. */
export interface ViewStart {
  readonly first: Seqno;
  readonly view: View;
}

/** The smaller of two. */
export function lower<Value extends number>(left: Value, right: Value): Value {
  return left < right ? left : right;
}

/** The larger of two. */
export function higher<Value extends number>(left: Value, right: Value): Value {
  return left > right ? left : right;
}

/** The order of votes: view first, then seqno. */
export function comparePositions(left: TxId, right: TxId): number {
  return left.view === right.view ? left.seqno - right.seqno : left.view - right.view;
}

/** The later of two positions. */
export function laterPosition(left: TxId, right: TxId): TxId {
  return comparePositions(left, right) >= 0 ? left : right;
}

/** What a log starts from: a whole ledger, or the point of a snapshot. */
export interface LogStart {
  /** Entries after this one can be given to others; it is `NOWHERE` for a whole ledger. */
  readonly oldest: TxId;
  /** The views of the entries after `oldest`, in order. */
  readonly views: readonly ViewStart[];
  /** Everything up to here is committed. */
  readonly committed: Seqno;
}

export class LogPositions {
  readonly #oldest: TxId;
  readonly #runs: ViewStart[];
  /** Signatures after the commit position, in order. */
  readonly #signatures: Seqno[] = [];
  #last: Seqno;
  #commit: Seqno;

  constructor(start: LogStart) {
    invariant(
      start.committed >= start.oldest.seqno,
      'a log starts at or after its oldest entry',
    );
    this.#oldest = start.oldest;
    this.#runs = [...start.views];
    this.#last = start.committed;
    this.#commit = start.committed;
  }

  get oldest(): TxId {
    return this.#oldest;
  }

  get last(): Seqno {
    return this.#last;
  }

  get commit(): Seqno {
    return this.#commit;
  }

  get lastPosition(): TxId {
    return this.positionAt(this.#last);
  }

  /** The last position that may be, or become, committed: what votes compare. */
  get lastCommittable(): TxId {
    return this.positionAt(this.#signatures.at(-1) ?? this.#commit);
  }

  /** Signatures that are not committed, in order. */
  get signatures(): readonly Seqno[] {
    return this.#signatures;
  }

  /** The view that wrote `seqno`; undefined where this node has no such entry. */
  viewAt(seqno: Seqno): View | undefined {
    if (seqno === this.#oldest.seqno) return this.#oldest.view;
    if (seqno < this.#oldest.seqno || seqno > this.#last) return undefined;
    const run = this.#runs.findLast(({ first }) => first <= seqno);
    return run === undefined ? this.#oldest.view : run.view;
  }

  /** The position of an entry that this node has. */
  positionAt(seqno: Seqno): TxId {
    const view = this.viewAt(seqno);
    invariant(view !== undefined, `entry ${seqno} lies in the log`);
    return { view, seqno };
  }

  append(position: TxId, isSignature: boolean): void {
    invariant(position.seqno === this.#last + 1, `entry ${position.seqno} is the next one`);
    const newest = this.lastPosition.view;
    invariant(
      position.view >= newest,
      `views grow along the log: ${position.view} ≥ ${newest}`,
    );
    if (position.view > newest) this.#runs.push({ first: position.seqno, view: position.view });
    this.#last = position.seqno;
    if (isSignature) this.#signatures.push(position.seqno);
  }

  /** Forgets the entries after `seqno`. */
  truncate(seqno: Seqno): void {
    invariant(seqno >= this.#commit, `what is committed stays: ${seqno} ≥ ${this.#commit}`);
    invariant(seqno <= this.#last, 'a log is cut inside, not outside');
    this.#last = seqno;
    while ((this.#runs.at(-1)?.first ?? 0) > seqno) this.#runs.pop();
    while ((this.#signatures.at(-1) ?? 0) > seqno) this.#signatures.pop();
  }

  /** Moves the commit position to a signature. */
  commitTo(seqno: Seqno): void {
    invariant(seqno > this.#commit, 'commit only moves forward');
    invariant(this.#signatures.includes(seqno), `commit only at a signature, not at ${seqno}`);
    this.#commit = seqno;
    while ((this.#signatures[0] ?? Number.POSITIVE_INFINITY) <= seqno) this.#signatures.shift();
  }

  /** The highest uncommitted signature at or below `seqno`. */
  signatureAtMost(seqno: Seqno): Seqno | undefined {
    return this.#signatures.findLast((signature) => signature <= seqno);
  }

  /** The first entry of the view that wrote `seqno`, as far as this log goes back. */
  firstOfViewAt(seqno: Seqno): Seqno {
    const run = this.#runs.findLast(({ first }) => first <= seqno);
    return run === undefined ? this.#oldest.seqno : run.first;
  }

  /** The last entry at or after `seqno` that was written in the same view. */
  lastOfViewAt(seqno: Seqno): Seqno {
    const next = this.#runs.find(({ first }) => first > seqno);
    return next === undefined ? this.#last : seqnoAfter(next.first, -1);
  }

  /**
   * The latest position of this log that another log may share, when all that is known of the
   * other is that at `probe.seqno` it has an entry of `probe.view`, or ends there. Views grow along
   * a log, so whole views that are too new are skipped at once.
   */
  highestPossibleMatch(probe: TxId): TxId {
    let seqno = lower(probe.seqno, this.#last);
    while (seqno > this.#oldest.seqno) {
      const here = this.positionAt(seqno);
      if (here.view <= probe.view) return here;
      seqno = seqnoAfter(this.firstOfViewAt(seqno), -1);
    }
    return this.#oldest;
  }

  /** Starts of views after `oldest` and up to `seqno`. */
  viewsUpTo(seqno: Seqno): readonly ViewStart[] {
    return this.#runs.filter(({ first }) => first <= seqno);
  }
}
