// Signature transactions: those of the reference ledger are read and written to the byte, and any
// liberty with them is refused.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeMaps, type MapWrites } from '../../src/kv/write-set.ts';
import { layoutOf } from '../../src/ledger/chunk.ts';
import { type ParsedEntry, parseEntry, SIGNATURES, TREE } from '../../src/ledger/entry.ts';
import { MerkleTree } from '../../src/ledger/merkle.ts';
import { parseSignature, SINGLETON_KEY, signatureMaps } from '../../src/ledger/signature.ts';
import { REFERENCE } from '../support/ledger-vectors.ts';

const ENTRIES: ParsedEntry[] = ['1-4.committed', '5-10.committed', '11'].flatMap((name) => {
  const bytes = readFileSync(join(REFERENCE, 'ledger', `ledger_${name}`));
  return layoutOf(bytes).positions.map((at) => parseEntry(bytes, at));
});
const entryAt = (seqno: number): ParsedEntry => {
  const entry = ENTRIES[seqno - 1];
  if (entry === undefined) throw new Error(`no entry ${seqno}`);
  return entry;
};

test.each([
  [2, ['raw', 'tree']],
  [4, ['raw', 'cose', 'tree']],
  [10, ['raw', 'cose', 'tree']],
  [12, ['raw', 'cose', 'tree']],
])('signature 2.%i is read and written again to the byte', (seqno, parts) => {
  const entry = entryAt(seqno);
  expect(entry.isSignature()).toBe(true);
  const signature = parseSignature(entry.publicMaps);
  expect(Object.keys(signature ?? {}).sort()).toEqual([...parts].sort());
  const { raw, cose, tree } = signature ?? {};
  if (raw?.cert === undefined || tree === undefined) throw new Error('it holds both');
  expect([raw.view, raw.seqno]).toEqual([2, seqno]);
  const again = signatureMaps({
    raw: { ...raw, cert: raw.cert },
    tree,
    ...(cose === undefined ? {} : { cose }),
  });
  const written = entry.publicDomain.subarray(entry.mapsAt);
  expect(encodeMaps(again).equals(written)).toBe(true);
});

test('the tree row of each signature has the signed root', () => {
  for (const seqno of [2, 4, 10, 12]) {
    const { raw, tree = new Uint8Array(0) } = parseSignature(entryAt(seqno).publicMaps) ?? {};
    const rebuilt = MerkleTree.deserialise(tree);
    expect(rebuilt.size).toBe(seqno);
    expect(Buffer.from(rebuilt.root())).toEqual(Buffer.from(raw?.root ?? []));
  }
});

test('other transactions are no signatures', () => {
  for (const seqno of [1, 3, 5, 11]) {
    expect(entryAt(seqno).isSignature()).toBe(false);
    expect(parseSignature(entryAt(seqno).publicMaps)).toBeUndefined();
  }
});

const good = entryAt(2).publicMaps;
const row = (name: string): Uint8Array => {
  const value = good.find((map) => map.name === name)?.writes.get(SINGLETON_KEY);
  if (value === undefined) throw new Error(`no row in ${name}`);
  return value;
};
const withRow = (name: string, value: Uint8Array, key = SINGLETON_KEY): MapWrites[] => [
  ...good.filter((map) => map.name !== name),
  { name, writes: new Map([[key, value]]), removes: new Set() },
];
const withField = (field: string, value: unknown): MapWrites[] => {
  const json = JSON.parse(Buffer.from(row(SIGNATURES)).toString());
  return withRow(SIGNATURES, Buffer.from(JSON.stringify({ ...json, [field]: value })));
};

test.each([
  ['a foreign table', withRow('public:records', Buffer.from('x')), 'table'],
  ['another key', withRow(SIGNATURES, row(SIGNATURES), ''), 'rows'],
  ['two rows', withRow(TREE, row(TREE), 'other'), 'rows'],
  ['a row that is not JSON', withRow(SIGNATURES, Buffer.from('{')), 'row'],
  ['a row that is null', withRow(SIGNATURES, Buffer.from('null')), 'row'],
  ['a root that is too short', withField('root', 'ab'), 'root'],
  ['a signature that is not base64', withField('sig', '%%'), 'sig'],
  ['a node id in capitals', withField('node', 'A'.repeat(64)), 'node'],
  ['a negative seqno', withField('seqno', -1), 'seqno'],
  ['a view in text', withField('view', '2'), 'view'],
  ['a certificate that is a number', withField('cert', 5), 'cert'],
  [
    'COSE bytes that are not base64 in JSON',
    withRow('public:ccf.internal.cose_signatures', Buffer.from('"***"')),
    'cose',
  ],
])('a signature with %s is refused', (_, maps, field) => {
  try {
    parseSignature(maps);
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'BadSignatureEntry', fields: { field } });
    return;
  }
  throw new Error('parsing should have refused this');
});
