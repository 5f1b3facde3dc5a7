// Chunk files: every form of name, the layout of the reference ledger, torn and damaged chunks.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  decodePositions,
  encodePositions,
  formatChunkName,
  layoutOf,
  parseChunkName,
  scanEntries,
  tableOffset,
} from '../../src/ledger/chunk.ts';
import { parseEntry } from '../../src/ledger/entry.ts';
import { REFERENCE } from '../support/ledger-vectors.ts';

const LEDGER = join(REFERENCE, 'ledger');
const FIRST = readFileSync(join(LEDGER, 'ledger_1-4.committed'));
const LAST = readFileSync(join(LEDGER, 'ledger_11'));
const plain = { committed: false, recovery: false, ignored: false, committedPrefix: false };

test.each([
  ['ledger_1', { ...plain, start: 1 }],
  ['ledger_5-10', { ...plain, start: 5, end: 10 }],
  ['ledger_5-10.committed', { ...plain, start: 5, end: 10, committed: true }],
  ['ledger_7.recovery', { ...plain, start: 7, recovery: true }],
  [
    'ledger_7-9.committed.recovery',
    { ...plain, start: 7, end: 9, committed: true, recovery: true },
  ],
  ['ledger_7.ignored', { ...plain, start: 7, ignored: true }],
  ['ledger_7-9.committed_prefix', { ...plain, start: 7, end: 9, committedPrefix: true }],
])('the name %s is read and written', (name, parts) => {
  expect(parseChunkName(name)).toEqual(parts);
  expect(formatChunkName(parts)).toBe(name);
});

test.each([
  'ledger_0',
  'ledger_01',
  'ledger_',
  'ledger_-5',
  'ledger_5-4',
  'ledger_5.committed',
  'ledger_5-10.committed.tmp',
  'ledger_5-10.committed_prefix.recovery',
  'ledger_99999999999999999999',
  'Ledger_1',
  'ledger_1 ',
  'xledger_1',
])('%s is no chunk', (name) => {
  expect(parseChunkName(name)).toBeUndefined();
});

test('the reference ledger lies in its files as its names say', () => {
  for (const name of readdirSync(LEDGER)) {
    const { start, end = 12 } = parseChunkName(name) ?? { start: 0 };
    const bytes = readFileSync(join(LEDGER, name));
    const layout = layoutOf(bytes);
    const seqnos = layout.positions.map((at) => parseEntry(bytes, at).seqno);
    expect(seqnos).toEqual(Array.from({ length: end - start + 1 }, (_, i) => start + i));
    expect(layout.complete).toBe(true);
    expect(encodePositions(layout.positions).equals(bytes.subarray(layout.end))).toBe(true);
  }
});

test('an open chunk cut at any byte keeps its whole entries, and says where it is torn', () => {
  const { positions, end } = layoutOf(LAST);
  const open = Buffer.concat([Buffer.alloc(8), LAST.subarray(8, end)]);
  const ends = [...positions.slice(1), end];
  for (let length = 8; length <= open.length; length += 1) {
    const layout = layoutOf(open.subarray(0, length));
    const whole = ends.filter((at) => at <= length).length;
    expect(layout.positions).toHaveLength(whole);
    const wholeEnd = ends[whole - 1] ?? 8;
    expect(layout.end).toBe(wholeEnd);
    if (length === wholeEnd) expect(layout.stop).toBeUndefined();
    else expect(layout.stop).toMatchObject({ kind: 'torn', offset: wholeEnd });
  }
});

test('what follows the last whole entry is told apart: zeros, or no entry at all', () => {
  const { end } = layoutOf(LAST);
  const open = Buffer.concat([Buffer.alloc(8), LAST.subarray(8, end)]);
  const zeros = layoutOf(Buffer.concat([open, Buffer.alloc(100)]));
  expect(zeros.stop).toMatchObject({ kind: 'zeros', offset: end });
  const foreign = scanEntries(Buffer.concat([open, Buffer.alloc(100, 7)]));
  expect(foreign.stop).toMatchObject({ kind: 'bad', offset: end });
  expect(foreign.stop?.message).toMatch(/version is 7/);
  expect(foreign.end).toBe(end);
});

const TABLE_AT = tableOffset(FIRST, FIRST.length);
const changed = (at: number, value: number): Buffer => {
  const copy = Buffer.from(FIRST);
  copy.writeUInt32LE(value, at);
  return copy;
};

test.each([
  ['a header word beyond the file', changed(0, FIRST.length + 1), /table is 5924/],
  ['a header word inside itself', changed(0, 4), /table is 4/],
  ['a table of no entries', changed(0, FIRST.length), /tableLength is 0/],
  ['a table that is no multiple of four', FIRST.subarray(0, -1), /tableLength is 15/],
  ['a first entry that is not at 8', changed(TABLE_AT, 9), /position is 9/],
  ['offsets that do not rise', changed(TABLE_AT + 8, 8), /position is 8/],
  ['an offset behind the table', changed(TABLE_AT + 12, TABLE_AT), /lies before it/],
  ['an offset beside its entry', changed(TABLE_AT + 4, 1909), /entry 1 begins at 1908/],
  ['a table that is one entry short', FIRST.subarray(0, -4), /position is -1/],
  ['an entry cut by the table', Buffer.from(FIRST.subarray(0, 4)), /begins with eight bytes/],
])('a complete chunk with %s is refused', (_, bytes, sentence) => {
  expect(() => layoutOf(bytes)).toThrow(sentence);
});

test('a positions table survives its encoding, up to the last offset that fits', () => {
  const positions = [8, 52, 0xffff_fff0];
  expect(decodePositions(encodePositions(positions), 0xffff_ffff)).toEqual(positions);
});
