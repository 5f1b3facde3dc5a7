/**
 * Unsigned 64-bit little-endian words in buffers, as the ledger's framing uses them
 * (ledger-format.md, conventions).
 *
 * They are written as two 32-bit words, which costs a tenth of going through a BigInt. No length
 * and no seqno reaches 2^53, so a number holds each of them exactly; what a reader finds beyond
 * that is given back as Infinity, which fails every comparison with a bound.
 */

const WORD = 0x1_0000_0000;

/** Writes a whole number below 2^53 as u64 LE; gives back the offset behind it. */
export function writeU64(target: Buffer, value: number, offset: number): number {
  target.writeUInt32LE(value >>> 0, offset);
  target.writeUInt32LE(value < WORD ? 0 : Math.floor(value / WORD), offset + 4);
  return offset + 8;
}

/** Reads a u64 LE; Infinity when it is 2^53 or more. The eight bytes must be there. */
export function readU64(source: Buffer, offset: number): number {
  const high = source.readUInt32LE(offset + 4);
  const low = source.readUInt32LE(offset);
  if (high === 0) return low;
  return high < 0x20_0000 ? high * WORD + low : Number.POSITIVE_INFINITY;
}

/** Writes a whole number below 2^53 as u64 BE; gives back the offset behind it. */
export function writeU64BE(target: Buffer, value: number, offset: number): number {
  target.writeUInt32BE(value < WORD ? 0 : Math.floor(value / WORD), offset);
  target.writeUInt32BE(value >>> 0, offset + 4);
  return offset + 8;
}

/** Reads a u64 BE; Infinity when it is 2^53 or more. The eight bytes must be there. */
export function readU64BE(source: Buffer, offset: number): number {
  const high = source.readUInt32BE(offset);
  const low = source.readUInt32BE(offset + 4);
  if (high === 0) return low;
  return high < 0x20_0000 ? high * WORD + low : Number.POSITIVE_INFINITY;
}
