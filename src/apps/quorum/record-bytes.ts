/** Writing and reading length-prefixed fields of a stored record. Lengths are u32, big-endian. */
import { CodedError } from '../../base/errors.ts';

export class RecordWriter {
  readonly #parts: Uint8Array[] = [];

  /** A field of fixed length. */
  fixed(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }

  byte(value: number): this {
    return this.fixed(Buffer.from([value]));
  }

  count(value: number): this {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(value);
    return this.fixed(bytes);
  }

  sized(bytes: Uint8Array): this {
    return this.count(bytes.length).fixed(bytes);
  }

  list(items: readonly Uint8Array[]): this {
    this.count(items.length);
    for (const item of items) this.fixed(item);
    return this;
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

export class RecordReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  fixed(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length)
      throw this.broken(`ends before ${length} bytes at ${this.#at}`);
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  byte(): number {
    return this.fixed(1).readUInt8();
  }

  count(): number {
    return this.fixed(4).readUInt32BE();
  }

  sized(): Buffer {
    return this.fixed(this.count());
  }

  list(itemLength: number): readonly Buffer[] {
    const count = this.count();
    const bytes = this.fixed(count * itemLength);
    return Array.from({ length: count }, (_, i) =>
      bytes.subarray(i * itemLength, (i + 1) * itemLength),
    );
  }

  /** The end: nothing may follow. */
  finish(): void {
    if (this.#at !== this.#bytes.length) throw this.broken(`goes on after byte ${this.#at}`);
  }

  broken(what: string): CodedError {
    return new CodedError(
      'BadRecord',
      `a stored record of ${this.#bytes.length} bytes ${what}`,
    );
  }
}
