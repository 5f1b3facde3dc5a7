/**
 * Keccak-256 as Ethereum has it: the sponge of FIPS 202 with the padding from before it became a
 * standard, which `node:crypto` does not offer. Only short inputs go through it, and seldom, so it
 * is written to be read: lanes are BigInts.
 */

const RATE_BYTES = 136;
const DIGEST_BYTES = 32;
const MASK = (1n << 64n) - 1n;
const ROUNDS = 24;

/** Rotations of the lanes, FIPS 202 §3.2.2, at x + 5y. */
const ROTATIONS: readonly number[] = [
  0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14,
];

export function keccak256(message: Uint8Array): Buffer {
  const blocks = Math.floor(message.length / RATE_BYTES) + 1;
  const padded = Buffer.alloc(blocks * RATE_BYTES);
  padded.set(message);
  padded[message.length] = 0x01;
  padded[padded.length - 1] = (padded[padded.length - 1] ?? 0) | 0x80;
  let lanes: bigint[] = Array.from({ length: 25 }, () => 0n);
  for (let at = 0; at < padded.length; at += RATE_BYTES) {
    for (let lane = 0; lane < RATE_BYTES / 8; lane += 1) {
      lanes[lane] = (lanes[lane] ?? 0n) ^ padded.readBigUInt64LE(at + 8 * lane);
    }
    lanes = permuted(lanes);
  }
  const digest = Buffer.alloc(DIGEST_BYTES);
  for (let lane = 0; lane < DIGEST_BYTES / 8; lane += 1) {
    digest.writeBigUInt64LE(lanes[lane] ?? 0n, 8 * lane);
  }
  return digest;
}

/** Keccak-f[1600], FIPS 202 §3.3. */
function permuted(lanes: readonly bigint[]): bigint[] {
  let state = [...lanes];
  for (let round = 0; round < ROUNDS; round += 1) {
    state = chi(rhoPi(theta(state)));
    state[0] = (state[0] ?? 0n) ^ (ROUND_CONSTANTS[round] ?? 0n);
  }
  return state;
}

function theta(state: readonly bigint[]): bigint[] {
  const lane = (at: number): bigint => state[at] ?? 0n;
  const columns = [0, 1, 2, 3, 4].map(
    (x) => lane(x) ^ lane(x + 5) ^ lane(x + 10) ^ lane(x + 15) ^ lane(x + 20),
  );
  const column = (x: number): bigint => columns[x % 5] ?? 0n;
  return state.map((value, at) => value ^ column(at + 4) ^ rotated(column(at + 1), 1));
}

function rhoPi(state: readonly bigint[]): bigint[] {
  const moved = Array.from({ length: 25 }, () => 0n);
  state.forEach((value, at) => {
    const [x, y] = [at % 5, Math.floor(at / 5)];
    moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotated(value, ROTATIONS[at] ?? 0);
  });
  return moved;
}

function chi(state: readonly bigint[]): bigint[] {
  return state.map((value, at) => {
    const row = at - (at % 5);
    const next = state[row + ((at + 1) % 5)] ?? 0n;
    const afterNext = state[row + ((at + 2) % 5)] ?? 0n;
    return value ^ (~next & MASK & afterNext);
  });
}

function rotated(value: bigint, by: number): bigint {
  if (by === 0) return value;
  return ((value << BigInt(by)) | (value >> BigInt(64 - by))) & MASK;
}

/** Of the linear feedback shift register of FIPS 202 §3.2.5. */
const ROUND_CONSTANTS: readonly bigint[] = roundConstants();

function roundConstants(): readonly bigint[] {
  let register = 1;
  const nextBit = (): number => {
    const bit = register & 1;
    register = (register << 1) ^ ((register >> 7) * 0x171);
    return bit;
  };
  return Array.from({ length: ROUNDS }, () => {
    let constant = 0n;
    for (let j = 0; j < 7; j += 1) {
      if (nextBit() === 1) constant |= 1n << BigInt(2 ** j - 1);
    }
    return constant;
  });
}
