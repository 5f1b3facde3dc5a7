// Frames come out as they went in, however the stream was cut; what they announce costs nothing.

import { describe, expect, test } from 'vitest';
import { FrameReader, frameHeader } from '../../src/node/peers/frames.ts';
import { type SeededRandom, withSeeds } from '../support/seeded-random.ts';

const MIB = 1024 * 1024;

function readAll(reader: FrameReader, chunks: readonly Uint8Array[]): readonly Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      frames.push(Buffer.from(frame));
    }
  }
  return frames;
}

function cut(stream: Buffer, random: SeededRandom, pieceMax: number): readonly Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < stream.length; ) {
    const end = at + 1 + random.below(pieceMax);
    chunks.push(stream.subarray(at, end));
    at = end;
  }
  return chunks;
}

const streamOf = (frames: readonly Buffer[]): Buffer =>
  Buffer.concat(frames.flatMap((frame) => [frameHeader(frame.length), frame]));

test('frames of any length come out of a stream that was cut anywhere', async () => {
  await withSeeds(200, (random) => {
    const frames = Array.from({ length: random.below(20) }, () =>
      random.bytes(random.oneIn(3) ? 0 : random.below(random.oneIn(5) ? 20_000 : 50)),
    );
    const chunks = cut(streamOf(frames), random, random.pick([1, 3, 100, 16_384]));
    expect(readAll(new FrameReader(20_000), chunks)).toEqual(frames);
  });
});

test('a frame of many chunks is put together without holding twice its length', async () => {
  await withSeeds(3, (random) => {
    const frame = Buffer.alloc(9 * MIB + random.below(MIB), random.below(256));
    const reader = new FrameReader(64 * MIB);
    let arrived = 0;
    let found = 0;
    for (const chunk of cut(streamOf([frame]), random, 200_000)) {
      reader.push(chunk);
      const next = reader.next();
      arrived += chunk.length;
      if (next === undefined) {
        expect(reader.heldBytes).toBeLessThanOrEqual(Math.max(MIB, 2 * arrived));
      } else {
        expect(frame.equals(next)).toBe(true);
        found += 1;
      }
    }
    expect(found).toBe(1);
    expect(reader.heldBytes).toBe(0);
  });
});

describe('a length', () => {
  test('beyond the bound is refused from the header alone', () => {
    const reader = new FrameReader(100);
    reader.push(frameHeader(101));
    expect(() => reader.next()).toThrow('a frame of 101 bytes');
    expect(reader.heldBytes).toBe(0);
  });

  test('at the bound is not, and sets little aside before the bytes come', () => {
    const reader = new FrameReader(0xffff_ffff);
    reader.push(frameHeader(0xffff_ffff));
    expect(reader.next()).toBeUndefined();
    expect(reader.heldBytes).toBe(MIB);
  });
});

test('random bytes give frames or a refusal, and end', async () => {
  await withSeeds(500, (random) => {
    const reader = new FrameReader(1_000);
    try {
      const frames = readAll(reader, cut(random.bytes(random.below(3_000)), random, 400));
      expect(frames.every((frame) => frame.length <= 1_000)).toBe(true);
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'FrameTooLong' });
    }
    expect(reader.heldBytes).toBeLessThanOrEqual(1_000);
  });
});
