/**
 * The fields of Tessera's oldest encoding: each length and each count is a 64-bit number,
 * big-endian (transaction-manager.md §C). The reader checks every one of them against what is
 * there, so that a few bytes from outside cannot ask for much memory.
 */
import { concatBytes, textOf, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { readU64BE, writeU64BE } from '../base/words.ts';

const LENGTH_BYTES = 8;

export class FieldWriter {
  readonly #parts: Uint8Array[] = [];

  count(value: number): this {
    const word = Buffer.allocUnsafe(LENGTH_BYTES);
    writeU64BE(word, value, 0);
    this.#parts.push(word);
    return this;
  }

  field(bytes: Uint8Array): this {
    this.count(bytes.length);
    this.#parts.push(bytes);
    return this;
  }

  text(value: string): this {
    return this.field(utf8(value));
  }

  list(items: readonly Uint8Array[]): this {
    this.count(items.length);
    for (const item of items) this.field(item);
    return this;
  }

  finish(): Uint8Array {
    return concatBytes(...this.#parts);
  }
}

export class FieldReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at = 0;

  /** `what` names in errors what is being read. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get hasMore(): boolean {
    return this.#at < this.#bytes.length;
  }

  /** A count of fields that follow: none is shorter than its own length. */
  count(name: string): number {
    const count = this.#word(name);
    const most = Math.floor((this.#bytes.length - this.#at) / LENGTH_BYTES);
    if (count > most) throw this.#broken(`counts ${count} ${name}, there is room for ${most}`);
    return count;
  }

  field(name: string): Uint8Array {
    const length = this.#word(name);
    const left = this.#bytes.length - this.#at;
    if (length > left) throw this.#broken(`has ${name} of ${length} bytes, ${left} are left`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(name: string): string {
    const bytes = this.field(name);
    try {
      return textOf(bytes);
    } catch {
      throw this.#broken(`has ${name} that is no text`);
    }
  }

  list(name: string): readonly Uint8Array[] {
    return Array.from({ length: this.count(name) }, () => this.field(name));
  }

  /** The end: nothing may follow. */
  finish(): void {
    if (this.hasMore) throw this.#broken(`goes on after byte ${this.#at}`);
  }

  #word(name: string): number {
    if (this.#bytes.length - this.#at < LENGTH_BYTES) {
      throw this.#broken(`ends at byte ${this.#at}, before ${name}`);
    }
    this.#at += LENGTH_BYTES;
    return readU64BE(this.#bytes, this.#at - LENGTH_BYTES);
  }

  #broken(how: string): CodedError {
    const length = this.#bytes.length;
    const sentence = `${this.#what} of ${length} bytes ${how}`;
    return new CodedError('BadEncoding', sentence, { status: 400 });
  }
}
