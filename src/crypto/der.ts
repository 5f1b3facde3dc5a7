/**
 * A strict reader of DER (ITU-T X.690): definite lengths in their shortest form, nothing beyond the
 * end. It reads what certificates, public keys and ECDSA signatures need, and runs in a browser.
 */
import { CodedError } from '../base/errors.ts';

export const DER_BOOLEAN = 0x01;
export const DER_INTEGER = 0x02;
export const DER_BIT_STRING = 0x03;
export const DER_OCTET_STRING = 0x04;
export const DER_OID = 0x06;
export const DER_UTC_TIME = 0x17;
export const DER_GENERALIZED_TIME = 0x18;
export const DER_SEQUENCE = 0x30;

export interface DerItem {
  readonly tag: number;
  /** With tag and length. */
  readonly whole: Uint8Array;
  readonly content: Uint8Array;
}

/** Walks over the items of one level. Throws `BadDer`. */
export class DerReader {
  private at = 0;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.at === this.bytes.length;
  }

  /** The tag of the next item, or undefined at the end. */
  peek(): number | undefined {
    return this.bytes[this.at];
  }

  next(): DerItem {
    const start = this.at;
    const tag = this.byte();
    if ((tag & 0x1f) === 0x1f) throw bad(start, 'tags of several bytes are not used here');
    const length = this.length();
    const from = this.at;
    if (length > this.bytes.length - from) throw bad(start, 'an item reaches beyond the end');
    this.at = from + length;
    return {
      tag,
      whole: this.bytes.subarray(start, this.at),
      content: this.bytes.subarray(from, this.at),
    };
  }

  /** The next item, which must have this tag. */
  expect(tag: number): DerItem {
    const start = this.at;
    const item = this.next();
    if (item.tag !== tag) throw bad(start, `expected tag ${tag}, got ${item.tag}`);
    return item;
  }

  /** A reader over the next item, which must have this tag. */
  enter(tag: number = DER_SEQUENCE): DerReader {
    return new DerReader(this.expect(tag).content);
  }

  end(): void {
    if (!this.done) throw bad(this.at, 'something trails');
  }

  private byte(): number {
    const value = this.bytes[this.at];
    if (value === undefined) throw bad(this.at, 'it is cut off');
    this.at += 1;
    return value;
  }

  private length(): number {
    const start = this.at;
    const first = this.byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 4) throw bad(start, 'a length is indefinite or too long');
    let length = 0;
    for (let i = 0; i < count; i += 1) length = length * 256 + this.byte();
    if (length < 0x80 || length < 256 ** (count - 1))
      throw bad(start, 'a length is not shortest');
    return length;
  }
}

/** Dotted text of an object identifier's content. */
export function oidText(content: Uint8Array): string {
  const arcs: number[] = [];
  let value = 0;
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(value);
      value = 0;
    }
  }
  const [first = 0, ...rest] = arcs;
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - 40 * top, ...rest].join('.');
}

/** The bytes of a bit string without unused bits. */
export function bitStringBytes(content: Uint8Array): Uint8Array {
  if (content[0] !== 0) throw bad(0, 'a bit string has unused bits');
  return content.subarray(1);
}

/** A non-negative integer's bytes without the sign byte; refuses negative and padded ones. */
export function unsignedBytes(content: Uint8Array): Uint8Array {
  const [first = 0x80, second = 0] = content;
  if (first >= 0x80) throw bad(0, 'an integer is negative or empty');
  if (first !== 0) return content;
  if (content.length > 1 && second < 0x80) throw bad(0, 'an integer is padded');
  return content.subarray(1);
}

/** An ECDSA signature in DER as r ‖ s, `size` bytes each; undefined when it is not one. */
export function fixedSizeSignature(der: Uint8Array, size: number): Uint8Array | undefined {
  try {
    const outer = new DerReader(der);
    const inner = outer.enter();
    outer.end();
    const r = unsignedBytes(inner.expect(DER_INTEGER).content);
    const s = unsignedBytes(inner.expect(DER_INTEGER).content);
    inner.end();
    if (r.length > size || s.length > size) return undefined;
    const fixed = new Uint8Array(2 * size);
    fixed.set(r, size - r.length);
    fixed.set(s, 2 * size - s.length);
    return fixed;
  } catch (thrown) {
    if (thrown instanceof CodedError) return undefined;
    throw thrown;
  }
}

function bad(offset: number, why: string): CodedError {
  return new CodedError('BadDer', `not DER as expected: ${why} (at byte ${offset})`, {
    offset,
  });
}
