// The host's table of certificates is the host's word: it is read with care.

import { expect, test } from 'vitest';
import { parseCertTable } from '../../../src/attestation/sources/cert-table.ts';
import { certTable } from './cert-tables.ts';

const ONE = Uint8Array.of(1, 2, 3);
const TWO = Uint8Array.of(4, 5);

test('certificates are found by their names, in whatever order; others are passed over', () => {
  const table = parseCertTable(certTable({ ARK: ONE, CRL: TWO, VCEK: TWO }));
  expect([...table.keys()]).toEqual(['ARK', 'VCEK']);
  expect(table.get('ARK')).toEqual(Buffer.from(ONE));
  expect(table.get('VCEK')).toEqual(Buffer.from(TWO));
});

test('a host may have nothing to give', () => {
  expect(parseCertTable(new Uint8Array(0)).size).toBe(0);
  expect(parseCertTable(new Uint8Array(4096)).size).toBe(0);
});

const GOOD = Buffer.from(certTable({ VCEK: ONE }));

function changed(change: (table: Buffer) => void): Uint8Array {
  const table = Buffer.from(GOOD);
  change(table);
  return table;
}

test.each<[string, Uint8Array, RegExp]>([
  ['cut off in a row', GOOD.subarray(0, 20), /no zero row/],
  ['without an end', GOOD.subarray(0, 24), /beyond its end/],
  ['rows to the end', Buffer.concat([GOOD.subarray(0, 24), ONE]), /no zero row|beyond/],
  ['an offset beyond', changed((table) => table.writeUInt32LE(5000, 16)), /beyond its end/],
  ['a length beyond', changed((table) => table.writeUInt32LE(4, 20)), /beyond its end/],
  ['a length that wraps', changed((table) => table.writeUInt32LE(0xffff_ffff, 20)), /beyond/],
  [
    'two of one name',
    Buffer.concat([GOOD.subarray(0, 24), GOOD.subarray(0, 24), Buffer.alloc(27)]),
    /two of VCEK/,
  ],
])('refused: %s', (_what, table, message) => {
  expect(() => parseCertTable(table)).toThrow(message);
});

test('no cut and no changed byte makes it do anything but read or refuse', () => {
  for (let at = 0; at < GOOD.length; at += 1) {
    for (const table of [
      GOOD.subarray(0, at),
      changed((each) => each.fill(0xff, at, at + 1)),
    ]) {
      try {
        parseCertTable(table);
      } catch (error) {
        expect(error).toMatchObject({ code: 'BadCertTable' });
      }
    }
  }
});
