/**
 * Moves things one by one into the service: what the journal has is passed over, what the service
 * acknowledges is noted, what it refuses is kept with the reason.
 */
import { hexOf } from '../../base/bytes.ts';
import { sha256Text } from '../../crypto/hash.ts';
import type { ImportJournal } from './import-journal.ts';
import type { ImportService, Verdict } from './import-service.ts';
import type { Transfer } from './transfer-body.ts';

/** What a source gives: a thing to move, or why one cannot be. */
export type Sourced =
  | { readonly kind: 'transfer'; readonly transfer: Transfer }
  | { readonly kind: 'refused' | 'skipped'; readonly name: string; readonly why: string };

export interface ImportCounts {
  readonly read: number;
  readonly stored: number;
  /** The service had it before, or the journal says so. */
  readonly known: number;
  readonly skipped: number;
  readonly refused: number;
}

/** One thing that was not moved. */
export interface NotMoved {
  readonly kind: 'refused' | 'skipped';
  readonly name: string;
  readonly why: string;
}

/** So many that were not moved are kept to be shown; all are counted. */
const NOT_MOVED_KEPT = 1_000;

export class Importer {
  readonly #service: Pick<ImportService, 'send'>;
  readonly #journal: Pick<ImportJournal, 'has' | 'note'>;
  readonly #progress: (text: string) => void;
  readonly #counts = { read: 0, stored: 0, known: 0, skipped: 0, refused: 0 };
  readonly #notMoved: NotMoved[] = [];

  constructor(
    service: Pick<ImportService, 'send'>,
    journal: Pick<ImportJournal, 'has' | 'note'>,
    progress: (text: string) => void,
  ) {
    this.#service = service;
    this.#journal = journal;
    this.#progress = progress;
  }

  get counts(): ImportCounts {
    return { ...this.#counts };
  }

  get notMoved(): readonly NotMoved[] {
    return this.#notMoved;
  }

  /** Moves one thing; rejects when the service can do nothing at all. */
  async take(item: Sourced): Promise<Verdict> {
    this.#counts.read += 1;
    if (item.kind !== 'transfer') {
      this.#note(item);
      return { kind: 'refused', why: item.why };
    }
    const verdict = await this.#move(item.transfer);
    this.#progress(lineOf(this.#counts));
    return verdict;
  }

  /** Moves all that a source gives, so many at once. */
  async takeAll(source: AsyncIterable<Sourced>, atOnce: number): Promise<void> {
    const underWay = new Set<Promise<unknown>>();
    let failed: { readonly error: unknown } | undefined;
    for await (const item of source) {
      // What it touches should be there first, so that who knows of that is known.
      const touches = item.kind === 'transfer' && item.transfer.affected.length > 0;
      while (underWay.size > 0 && (touches || underWay.size >= atOnce)) {
        await Promise.race(underWay);
      }
      if (failed !== undefined) break;
      const moving: Promise<unknown> = this.take(item)
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => underWay.delete(moving));
      underWay.add(moving);
    }
    await Promise.all(underWay);
    if (failed !== undefined) throw failed.error;
  }

  async #move(transfer: Transfer): Promise<Verdict> {
    const name = journalName(transfer);
    if (this.#journal.has(name)) {
      this.#counts.known += 1;
      return { kind: 'known' };
    }
    const verdict = await this.#service.send(transfer);
    if (verdict.kind === 'refused') {
      this.#note({ kind: 'refused', name: transfer.name, why: verdict.why });
      return verdict;
    }
    this.#counts[verdict.kind] += 1;
    this.#journal.note(name);
    return verdict;
  }

  #note(item: NotMoved): void {
    this.#counts[item.kind] += 1;
    if (this.#notMoved.length < NOT_MOVED_KEPT) this.#notMoved.push(item);
  }
}

/** A thing by what it says, too: another of our keys may come with another box of one payload. */
function journalName({ path, name, body }: Transfer): string {
  return `${path} ${name} ${hexOf(sha256Text(JSON.stringify(body)).subarray(0, 8))}`;
}

/** The counts in one line. */
export function lineOf({ read, stored, known, skipped, refused }: ImportCounts): string {
  const counted = [`${read} read`, `${stored} stored`, `${known} known before`];
  if (skipped > 0) counted.push(`${skipped} left out`);
  counted.push(`${refused} refused`);
  return counted.join(', ');
}
