/**
 * Frames on their way to one peer. What waits is bounded: a peer that reads slowly is refused more,
 * at no cost to the others. All that was sent in one turn of the event loop goes to the socket as
 * one write.
 */

import type { Writable } from 'node:stream';
import { BEAT, FRAME_HEADER_BYTES, frameHeader } from './frames.ts';

export class SendQueue {
  readonly #socket: Writable;
  readonly #bytesMax: number;
  readonly #soon: (action: () => void) => void;
  #waiting: Uint8Array[] = [];
  /** Bytes of `#waiting`, with their headers. */
  #waitingBytes = 0;
  #isDue = false;
  #isFull = false;
  /** Whether anything was given to the socket since the last beat. */
  #wrote = false;

  constructor(socket: Writable, bytesMax: number, soon: (action: () => void) => void) {
    this.#socket = socket;
    this.#bytesMax = bytesMax;
    this.#soon = soon;
    socket.on('drain', () => {
      this.#isFull = false;
      this.#flush();
    });
  }

  /** Bytes that the operating system has not taken yet. */
  get bytes(): number {
    return this.#waitingBytes + this.#socket.writableLength;
  }

  /** False, and nothing queued, when the frame has no room. An empty queue has room for any. */
  push(frame: Uint8Array): boolean {
    const size = FRAME_HEADER_BYTES + frame.length;
    const queued = this.bytes;
    if (queued > 0 && queued + size > this.#bytesMax) return false;
    this.#waiting.push(frame);
    this.#waitingBytes += size;
    this.#flushSoon();
    return true;
  }

  /** Makes the other end hear something, unless it will anyway. */
  beat(): void {
    const isBusy = this.#wrote || this.bytes > 0;
    this.#wrote = false;
    if (!isBusy) this.#isFull = !this.#socket.write(BEAT);
  }

  #flushSoon(): void {
    if (this.#isDue || this.#isFull) return;
    this.#isDue = true;
    this.#soon(() => {
      this.#isDue = false;
      this.#flush();
    });
  }

  /** Gives the socket frames until it has enough; the rest waits for `drain`. */
  #flush(): void {
    const socket = this.#socket;
    if (this.#isFull || socket.destroyed || this.#waiting.length === 0) return;
    let next = 0;
    socket.cork();
    for (const frame of this.#waiting) {
      if (this.#isFull) break;
      socket.write(frameHeader(frame.length));
      this.#isFull = !socket.write(frame);
      this.#waitingBytes -= FRAME_HEADER_BYTES + frame.length;
      next += 1;
    }
    this.#waiting = next === this.#waiting.length ? [] : this.#waiting.slice(next);
    socket.uncork();
    this.#wrote = true;
  }
}
