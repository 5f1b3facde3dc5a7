/**
 * The bytes of the newest entries, as they were written: who is sent a payload asks for it at once,
 * and copying it back from the operating system costs more than opening it.
 */
import type { Seqno } from '../base/ids.ts';
import { RECENT_ENTRIES_BYTES_MAX } from '../base/limits.ts';

export class RecentEntries {
  readonly #entries = new Map<Seqno, Buffer>();
  #bytes = 0;

  get(seqno: Seqno): Buffer | undefined {
    return this.#entries.get(seqno);
  }

  /** Keeps an entry, and lets go of the oldest beyond the bound. */
  add(seqno: Seqno, entry: Uint8Array): void {
    this.#entries.set(seqno, Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength));
    this.#bytes += entry.length;
    for (const [oldest, bytes] of this.#entries) {
      if (this.#bytes <= RECENT_ENTRIES_BYTES_MAX) return;
      this.#entries.delete(oldest);
      this.#bytes -= bytes.length;
    }
  }

  /** Forgets the entries after `seqno`. */
  truncate(seqno: Seqno): void {
    for (const [each, bytes] of this.#entries) {
      if (each <= seqno) continue;
      this.#entries.delete(each);
      this.#bytes -= bytes.length;
    }
  }

  get bytes(): number {
    return this.#bytes;
  }
}
