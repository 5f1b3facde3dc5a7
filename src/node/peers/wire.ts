/**
 * The few steps of Protocol Buffers' wire format (protobuf.dev, "Encoding") that the generated code
 * shares, over protobufjs' reader and writer. Strict where those are not: numbers stay below 2^53,
 * texts are UTF-8, lists have a bound, and what an enumeration does not name is refused.
 */

import protobuf from 'protobufjs/minimal.js';
import { invariant } from '../../base/assert.ts';

export type WireReader = protobuf.Reader;
export type WireWriter = protobuf.Writer;

/** Bytes that a field's number and a 64-bit value or a length can take at most. */
export const FIELD_BYTES_MAX = 5 + 10;

const TWO_TO_32 = 0x1_0000_0000;
/** High words from here on make a number that is no safe integer. */
const UNSAFE_HIGH_WORD = 0x20_0000;

export class WireError extends Error {
  override readonly name = 'WireError';
}

/** Reads what a whole message is made of. The bytes it hands out are views of `bytes`. */
export function wireReader(bytes: Uint8Array): WireReader {
  return protobuf.Reader.create(
    Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  );
}

/** A writer with room for `bytesMax`, so that nothing is copied while it grows. */
export function wireWriter(bytesMax: number): WireWriter {
  const writer = protobuf.Writer.create();
  writer.buf = Buffer.allocUnsafe(bytesMax);
  return writer;
}

/** A reader of the message that lies in a length-delimited field; it cannot read beyond it. */
export function readNested(reader: WireReader): WireReader {
  return wireReader(reader.bytes());
}

/** A whole number below 2^53. */
export function readU64(reader: WireReader): number {
  const value = reader.uint64();
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new WireError('a number is 2^53 or more');
    return value;
  }
  const high = value.high >>> 0;
  if (high >= UNSAFE_HIGH_WORD) throw new WireError(`the number ${value} is 2^53 or more`);
  return high * TWO_TO_32 + (value.low >>> 0);
}

// A field without presence is left out when it holds what its absence means.

export function putU64(writer: WireWriter, tag: number, value: number): void {
  invariant(Number.isSafeInteger(value) && value >= 0, `${value} goes into no uint64`);
  if (value !== 0) writer.uint32(tag).uint64(value);
}

export function putU32(writer: WireWriter, tag: number, value: number): void {
  invariant(value >>> 0 === value, `${value} goes into no uint32`);
  if (value !== 0) writer.uint32(tag).uint32(value);
}

export function putBool(writer: WireWriter, tag: number, value: boolean): void {
  if (value) writer.uint32(tag).bool(value);
}

export function putString(writer: WireWriter, tag: number, value: string): void {
  if (value !== '') writer.uint32(tag).string(value);
}

export function putBytes(writer: WireWriter, tag: number, value: Uint8Array): void {
  if (value.length > 0) writer.uint32(tag).bytes(value);
}

export function putOptionalBytes(
  writer: WireWriter,
  tag: number,
  value: Uint8Array | undefined,
): void {
  if (value !== undefined) writer.uint32(tag).bytes(value);
}

export function putMessage<Message>(
  writer: WireWriter,
  tag: number,
  value: Message | undefined,
  write: (writer: WireWriter, message: Message) => void,
): void {
  if (value === undefined) return;
  writer.uint32(tag).fork();
  write(writer, value);
  writer.ldelim();
}

/** Every item of a repeated field, held to the bound that the receiver will apply. */
export function putItems<Item>(
  list: readonly Item[],
  countMax: number,
  name: string,
  put: (item: Item) => void,
): void {
  invariant(list.length <= countMax, `${name} has ${list.length} items, not ${countMax}`);
  for (const item of list) put(item);
}

/** One more item of a repeated field. */
export function appendTo<Item>(list: Item[], item: Item, countMax: number, name: string): void {
  if (list.length >= countMax) throw new WireError(`${name} has more than ${countMax} items`);
  list.push(item);
}

/** The name of an enumeration's value. */
export function readEnum<Name extends string>(
  reader: WireReader,
  names: readonly (Name | undefined)[],
  type: string,
): Name {
  const value = reader.uint32();
  const name = names[value];
  if (name === undefined) throw new WireError(`${value} is no ${type}`);
  return name;
}

/** Refuses a message that lacks an enumeration: none has a default that means something. */
export function required<Value>(value: Value | undefined, name: string): Value {
  if (value === undefined) throw new WireError(`${name} is missing`);
  return value;
}

/** Passes over a field that this version does not know. */
export function skipField(reader: WireReader, tag: number): void {
  reader.skipType(tag & 7, 0, tag >>> 3);
}
