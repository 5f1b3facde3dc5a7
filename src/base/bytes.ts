/**
 * Bytes: comparison, text forms, strict decoding.
 *
 * The text decoders refuse what they cannot give back unchanged: `Buffer.from(text, 'base64')` and
 * its hexadecimal twin skip junk silently, and a key that was silently shortened is another key.
 */

/** The empty byte string. */
export const NO_BYTES: Uint8Array = new Uint8Array(0);

/** A view of `bytes` as a Buffer, without a copy. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The concatenation of `parts`. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** Whether two byte strings are equal; not constant-time. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0;
}

/** Byte-lexicographic order: negative, zero or positive. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  return Buffer.compare(left, right);
}

/** UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}

/** The text of UTF-8 bytes; throws on bytes that are not UTF-8. */
export function textOf(bytes: Uint8Array): string {
  return strictDecoder.decode(bytes);
}

const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Lowercase hexadecimal text. */
export function hexOf(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('hex');
}

/** Bytes of hexadecimal text, or undefined if it is not hexadecimal of even length. */
export function bytesOfHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Buffer.from(text, 'hex');
}

/** Standard padded base64 (RFC 4648 §4). */
export function base64Of(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('base64');
}

/**
 * Bytes of standard base64, with or without padding, or undefined if the text holds anything else.
 * Bits beyond the last whole byte must be zero, so that each byte string has one text.
 */
export function bytesOfBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  const canonical = bytes.toString('base64');
  if (canonical === text || canonical.replace(/=+$/, '') === text) return bytes;
  return undefined;
}

/**
 * The text with one UTF-16 unit per byte. Such texts compare and hash like the bytes they stand
 * for, which makes them the keys of in-memory tables.
 */
export function binaryTextOf(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('latin1');
}

/** The bytes of a text made by `binaryTextOf`. */
export function bytesOfBinaryText(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}
