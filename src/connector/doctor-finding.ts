/** What a doctor's visit finds: one sentence a step, and what to do where something is wrong. */

export interface Finding {
  /** What was looked at: a file, the socket, a port, a node's address. */
  readonly about: string;
  /** What of it, in a few words: `certificate chain`. */
  readonly step: string;
  /**
   * `note`: works, and somebody should know of it. `skipped`: could not be looked at, because of a
   * step before it.
   */
  readonly outcome: 'good' | 'note' | 'bad' | 'skipped';
  readonly message: string;
  /** What to do about it. */
  readonly fix?: string;
}

/** Told of each finding as it is made. */
export type Tell = (finding: Finding) => void;
