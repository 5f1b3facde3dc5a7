/**
 * One line for each refusal: who asked, for what, and why not. Never a query or a body, for these
 * may be payloads. Whoever is refused again and again for the same is written of once a minute,
 * with how often, so that nobody can fill a disk by asking.
 */
import type { Timers } from './environment.ts';

const AGAIN_MS = 60_000;
/** Different refusals that are remembered; beyond them the oldest is forgotten. */
const REMEMBERED_MAX = 256;
const PATH_CHARS_MAX = 120;
const REASON_CHARS_MAX = 300;

interface Remembered {
  readonly sinceMs: number;
  unsaid: number;
}

export class RefusalLog {
  readonly #log: (line: string) => void;
  readonly #timers: Timers;
  readonly #remembered = new Map<string, Remembered>();
  /** Refusals so far, said or not. */
  count = 0;

  constructor(log: (line: string) => void, timers: Timers) {
    this.#log = log;
    this.#timers = timers;
  }

  note(who: string, what: string, why: string): void {
    this.count += 1;
    const line = `refused ${who}: ${what}: ${printable(why, REASON_CHARS_MAX)}`;
    const nowMs = this.#timers.elapsedMs();
    const before = this.#remembered.get(line);
    if (before !== undefined && nowMs - before.sinceMs < AGAIN_MS) {
      before.unsaid += 1;
      return;
    }
    const unsaid = before?.unsaid ?? 0;
    this.#remembered.delete(line);
    this.#remembered.set(line, { sinceMs: nowMs, unsaid: 0 });
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size <= REMEMBERED_MAX) break;
      this.#remembered.delete(oldest);
    }
    this.#log(unsaid === 0 ? line : `${line} (and ${unsaid} times more since it was said)`);
  }
}

/** Method and path of a request, without what follows a question mark. */
export function askedFor(method: string, url: string): string {
  const mark = url.indexOf('?');
  return printable(`${method} ${mark < 0 ? url : url.slice(0, mark)}`, PATH_CHARS_MAX);
}

/** In one line of visible characters, so that nobody writes lines of the log for us. */
function printable(text: string, charsMax: number): string {
  const visible = text.replace(/[^\x20-\x7e]+/g, ' ').trim();
  return visible.length <= charsMax ? visible : `${visible.slice(0, charsMax)}…`;
}
