// Spoils bytes in the ways that decoders trip over: bits, lengths, holes, repetitions, cuts.

import { join, sameBytes } from '../../src/base/portable-bytes.ts';
import type { SeededRandom } from '../support/seeded-random.ts';

const EXTREMES = [0x00, 0x01, 0x7f, 0x80, 0x81, 0x84, 0xff];
const RUN_MAX = 16;

/** Between one and three changes; always different from the original. */
export function mutated(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  let result = bytes;
  const changes = 1 + random.below(3);
  for (let i = 0; i < changes; i += 1) result = changed(result, random);
  return sameBytes(result, bytes) ? mutated(bytes, random) : result;
}

function changed(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const at = random.below(Math.max(1, bytes.length));
  const run = 1 + random.below(RUN_MAX);
  const before = bytes.subarray(0, at);
  const from = (place: number): Uint8Array => bytes.subarray(place);
  const replaced = (byte: number): Uint8Array =>
    join(before, Uint8Array.of(byte), from(at + 1));
  switch (random.below(8)) {
    case 0:
    case 1:
      return replaced((bytes[at] ?? 0) ^ (1 << random.below(8)));
    case 2:
      return replaced(random.below(256));
    case 3:
      return replaced(random.pick(EXTREMES));
    case 4:
      return join(before, from(at + run));
    case 5:
      return join(before, bytes.subarray(at, at + run), from(at));
    case 6:
      return before.slice();
    default:
      return join(
        before,
        Uint8Array.from({ length: run }, () => random.below(256)),
        from(at),
      );
  }
}
