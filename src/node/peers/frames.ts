/**
 * Frames on a connection between nodes: a length of four bytes (big-endian), then as many bytes. A
 * frame of length zero is a beat: whoever sends it hears the other end, or wants to be heard.
 */

import { NO_BYTES } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';

export const FRAME_HEADER_BYTES = 4;
/** A frame that is not all there gets so much at first, and more only as its bytes arrive. */
const PARTIAL_BYTES_MIN = 1024 * 1024;

/** What goes before a frame of `length` bytes. */
export function frameHeader(length: number): Buffer {
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  header.writeUInt32BE(length, 0);
  return header;
}

export const BEAT: Uint8Array = Buffer.alloc(FRAME_HEADER_BYTES);

/**
 * Cuts a stream into frames. `push` a chunk, then call `next` until it gives no more. A frame that
 * lies in one chunk is a view of it; what is held never exceeds twice what has arrived of a frame.
 */
export class FrameReader {
  readonly #lengthMax: number;
  #chunk: Uint8Array = NO_BYTES;
  #at = 0;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  /** The frame of which some has arrived; none between frames. */
  #partial: Buffer | undefined;
  #partialFilled = 0;
  #length = 0;

  /** Frames longer than `lengthMax` are refused by their header. */
  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }

  /** Bytes set aside for a frame that is not complete. */
  get heldBytes(): number {
    return this.#partial?.length ?? 0;
  }

  /** Gives the next chunk; the one before must have been used up. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** The next complete frame, or undefined when it has not arrived. Throws `FrameTooLong`. */
  next(): Uint8Array | undefined {
    if (this.#partial !== undefined) return this.#continue(this.#partial);
    if (!this.#readHeader()) return undefined;
    const from = this.#at;
    if (this.#chunk.length - from >= this.#length) {
      this.#headerFilled = 0;
      this.#at = from + this.#length;
      return this.#chunk.subarray(from, this.#at);
    }
    this.#partial = Buffer.allocUnsafe(Math.min(this.#length, PARTIAL_BYTES_MIN));
    this.#partialFilled = 0;
    return this.#continue(this.#partial);
  }

  #readHeader(): boolean {
    while (this.#headerFilled < FRAME_HEADER_BYTES) {
      const byte = this.#chunk[this.#at];
      if (byte === undefined) return false;
      this.#header[this.#headerFilled] = byte;
      this.#headerFilled += 1;
      this.#at += 1;
    }
    this.#length = this.#header.readUInt32BE(0);
    if (this.#length > this.#lengthMax) {
      throw new CodedError(
        'FrameTooLong',
        `a frame of ${this.#length} bytes is announced where at most ${this.#lengthMax} may come`,
      );
    }
    return true;
  }

  #continue(partial: Buffer): Uint8Array | undefined {
    const more = Math.min(this.#chunk.length - this.#at, this.#length - this.#partialFilled);
    const filled = this.#partialFilled + more;
    let target = partial;
    if (filled > target.length) {
      target = Buffer.allocUnsafe(Math.min(this.#length, Math.max(2 * target.length, filled)));
      partial.copy(target, 0, 0, this.#partialFilled);
      this.#partial = target;
    }
    target.set(this.#chunk.subarray(this.#at, this.#at + more), this.#partialFilled);
    this.#at += more;
    this.#partialFilled = filled;
    if (filled < this.#length) return undefined;
    this.#partial = undefined;
    this.#headerFilled = 0;
    return target;
  }
}
