/**
 * The id of a privacy group, as Tessera makes it so that both sides of a federation name a group
 * alike: Keccak-256 of an RLP list (Ethereum yellow paper, appendix B) of the members and the seed.
 * Members stand in the order of a hash that Java gives to byte arrays.
 */
import { concatBytes } from '../../base/bytes.ts';
import { keccak256 } from '../../crypto/keccak.ts';
import { distinct } from './rules.ts';

/** The id of a group; one without a seed is Besu's legacy kind. */
export function groupIdOf(members: readonly Uint8Array[], seed?: Uint8Array): Buffer {
  const sorted = [...distinct(members)].sort((left, right) => javaHash(left) - javaHash(right));
  const items = (seed === undefined ? sorted : [...sorted, seed]).map(rlpBytes);
  const content = concatBytes(...items);
  return keccak256(concatBytes(rlpHead(0xc0, content.length), content));
}

/** `java.util.Arrays.hashCode(byte[])`: signed bytes, signed 32-bit result. */
function javaHash(bytes: Uint8Array): number {
  let hash = 1;
  for (const byte of bytes) hash = (Math.imul(31, hash) + ((byte << 24) >> 24)) | 0;
  return hash;
}

function rlpBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 1 && (bytes[0] ?? 0) < 0x80) return bytes;
  return concatBytes(rlpHead(0x80, bytes.length), bytes);
}

function rlpHead(base: number, length: number): Uint8Array {
  if (length <= 55) return Buffer.from([base + length]);
  const hex = length.toString(16);
  const digits = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([base + 55 + digits.length]), digits]);
}
