// Write sets: the bytes are CCF's, decoding gives back what was encoded, and what is ambiguous or
// cut off is refused with the place where it went wrong.

import { expect, test } from 'vitest';
import { binaryTextOf } from '../../src/base/bytes.ts';
import { isCoded } from '../../src/base/errors.ts';
import {
  decodeMaps,
  encodedMapsSize,
  encodeMaps,
  encodeMapsInto,
  firstMapName,
  type MapWrites,
  tableCategory,
} from '../../src/kv/write-set.ts';
import { fromHex, mapOf, VECTORS } from '../support/ledger-vectors.ts';

test('the public maps of the vector entry are encoded byte by byte', () => {
  const maps = [mapOf('public:t', { b: '2', a: '1' }, ['c'])];
  const entry = fromHex(VECTORS['entry_pub_and_private_2.7']);
  const inEntry = entry.subarray(44 + 81, 44 + 0xae);
  expect(encodeMaps(maps).equals(inEntry)).toBe(true);
});

test('maps and keys come out in byte order whatever order they were written in', () => {
  const keys = ['\xff', 'b', '', '\x00', 'ab', 'a', '\x80'];
  const shuffled: MapWrites[] = [
    mapOf('zebra', Object.fromEntries(keys.map((key) => [key, key]))),
    mapOf('é', {}, ['y', 'x']),
    mapOf('\u{1f600}', { k: 'v' }),
    mapOf('\uffee', { k: 'v' }),
    mapOf('empty', {}),
    mapOf('Zebra', { k: 'v' }),
  ];
  const decoded = decodeMaps(encodeMaps(shuffled));
  // U+1F600 follows U+FFEE in UTF-8 although its surrogates precede it in UTF-16.
  expect(decoded.map((map) => map.name)).toEqual([
    'Zebra',
    'zebra',
    'é',
    '\uffee',
    '\u{1f600}',
  ]);
  const inOrder = ['', '\x00', 'a', 'ab', 'b', '\x80', '\xff'];
  expect([...(decoded[1]?.writes.keys() ?? [])]).toEqual(inOrder);
  expect([...(decoded[2]?.removes ?? [])]).toEqual(['x', 'y']);
});

test('every size of value survives, and is counted before it is written', () => {
  for (const size of [0, 1, 7, 8, 255, 70_000]) {
    const value = Buffer.alloc(size, size % 251);
    const key = binaryTextOf(Buffer.alloc(size % 300, 0xfe));
    const maps = [{ name: 'm', writes: new Map([[key, value]]), removes: new Set<string>() }];
    const target = Buffer.alloc(encodedMapsSize(maps) + 20, 0xaa);
    expect(encodeMapsInto(maps, target, 10)).toBe(target.length - 10);
    expect(target.subarray(-10)).toEqual(Buffer.alloc(10, 0xaa));
    const [map] = decodeMaps(target.subarray(10, -10));
    expect(Buffer.compare(map?.writes.get(key) ?? Buffer.of(1), value)).toBe(0);
  }
});

test('an encoded write set cut at any byte is refused with an offset inside it', () => {
  const whole = encodeMaps([mapOf('m', { a: '1' }, ['z']), mapOf('n', { b: '2' })]);
  const firstMapEnds = encodeMaps([mapOf('m', { a: '1' }, ['z'])]).length;
  for (let length = 1; length < whole.length; length += 1) {
    if (length === firstMapEnds) continue;
    const refusal = refusalOf(whole.subarray(0, length));
    expect(refusal.code).toBe('BadWriteSet');
    expect(refusal.fields.offset as number).toBeLessThanOrEqual(length);
  }
});

const word = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([word(value.length), Buffer.from(value)]);

test.each([
  ['recorded reads', [text('m'), word(0), word(1)], /records 1 reads/],
  ['a count no domain can hold', [text('m'), word(0), word(0), word(2n ** 60n)], /write count/],
  ['a length of 2^64-1', [word(2n ** 64n - 1n)], /table name length Infinity/],
  ['a name that is not UTF-8', [word(1), Buffer.of(0xff), word(0)], /not UTF-8/],
  [
    'a key written twice',
    [text('m'), word(0), word(0), word(2), text('k'), text('1'), text('k'), text('2'), word(0)],
    /written twice/,
  ],
  [
    'a key written and removed',
    [text('m'), word(0), word(0), word(1), text('k'), text('1'), word(1), text('k')],
    /written and removed/,
  ],
  [
    'a key removed twice',
    [text('m'), word(0), word(0), word(0), word(2), text('k'), text('k')],
    /removed twice/,
  ],
  [
    'a table twice',
    [
      text('m'),
      word(0),
      word(0),
      word(0),
      word(0),
      text('m'),
      word(0),
      word(0),
      word(0),
      word(0),
    ],
    /occurs twice/,
  ],
])('%s is refused', (_, parts, sentence) => {
  expect(refusalOf(Buffer.concat(parts)).message).toMatch(sentence);
});

function refusalOf(bytes: Uint8Array): {
  code: string;
  message: string;
  fields: { offset?: unknown };
} {
  try {
    decodeMaps(bytes);
  } catch (thrown) {
    if (isCoded(thrown)) return thrown;
    throw thrown;
  }
  throw new Error('decoding should have refused this');
}

test('the first name is told without decoding the rest', () => {
  const bytes = encodeMaps([mapOf('b', { k: 'v' }), mapOf('a', { k: 'v' })]);
  expect(firstMapName(bytes)).toBe('a');
  expect(firstMapName(new Uint8Array(0))).toBeUndefined();
});

test.each([
  ['public:ccf.internal.signatures', 'internal'],
  ['ccf.internal.x', 'internal'],
  ['public:ccf.gov.members.info', 'governance'],
  ['public:ccf.other', 'reserved'],
  ['public:ccfx', 'application'],
  ['public:CCF.gov.x', 'application'],
  ['records', 'application'],
])('%s is %s', (name, category) => {
  expect(tableCategory(name)).toBe(category);
});
