// Entries: sealed to the byte as the vectors say, parsed strictly, opened only by their own key.

import { expect, test } from 'vitest';
import { isCoded } from '../../src/base/errors.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import {
  encodePublicDomain,
  leafDigest,
  NO_CLAIMS,
  openEntry,
  parseEntry,
  sealEntry,
  sealTransaction,
  writeSetDigest,
} from '../../src/ledger/entry.ts';
import { commitSecretOf, evidenceDigestOf } from '../../src/ledger/evidence.ts';
import { ledgerSecretOf } from '../../src/ledger/secret.ts';
import { fromHex, mapOf, toHex, VECTORS } from '../support/ledger-vectors.ts';

const secret = ledgerSecretOf(fromHex(VECTORS.ledger_secret));
const PUBLIC_AND_PRIVATE = fromHex(VECTORS['entry_pub_and_private_2.7']);
const PUBLIC_ONLY = fromHex(VECTORS['entry_public_only_2.7']);

test('commit evidence is derived as in the vectors', () => {
  expect(toHex(commitSecretOf(fromHex(VECTORS.ledger_secret)))).toBe(VECTORS.commit_secret);
  expect(secret.evidence.textOf(2, 7)).toBe(VECTORS['evidence_2.7']);
  expect(toHex(secret.evidence.digestOf(2, 7))).toBe(VECTORS['ce_digest_2.7']);
  expect(toHex(evidenceDigestOf(VECTORS['evidence_2.7']))).toBe(VECTORS['ce_digest_2.7']);
  // The largest TxID there can be still fits, and a shorter one after it is not tainted by it.
  expect(secret.evidence.textOf(0x7fff_ffff, Number.MAX_SAFE_INTEGER)).toHaveLength(
    3 + 27 + 65,
  );
  expect(secret.evidence.textOf(2, 7)).toBe(VECTORS['evidence_2.7']);
});

test('the vector entry with public and private data is sealed and opened to the byte', () => {
  const parsed = parseEntry(PUBLIC_AND_PRIVATE);
  expect([parsed.view, parsed.seqno, parsed.flags, parsed.type]).toEqual([2, 7, 0, 4]);
  const privateMaps = openEntry(parsed, secret);
  const again = sealTransaction({
    secret,
    view: 2,
    seqno: 7,
    flags: 0,
    claimsDigest: parsed.claimsDigest ?? NO_CLAIMS,
    publicMaps: [mapOf('public:t', { a: '1', b: '2' }, ['c'])],
    privateMaps,
  });
  expect(toHex(again.bytes)).toBe(toHex(PUBLIC_AND_PRIVATE));
  expect(toHex(again.leaf)).toBe(VECTORS['leaf_2.7']);
  expect(toHex(again.writeSetDigest)).toBe(VECTORS['write_set_digest_2.7']);
  expect(toHex(writeSetDigest(PUBLIC_AND_PRIVATE))).toBe(VECTORS['write_set_digest_2.7']);
  expect(toHex(parsed.leaf())).toBe(VECTORS['leaf_2.7']);
  const { evidenceDigest = NO_CLAIMS, claimsDigest = NO_CLAIMS } = parsed;
  const leaf = leafDigest(PUBLIC_AND_PRIVATE, evidenceDigest, claimsDigest);
  expect(toHex(leaf)).toBe(VECTORS['leaf_2.7']);
});

test('the vector entry without private data is sealed to the byte', () => {
  const publicDomain = encodePublicDomain({
    seqno: 7,
    claimsDigest: NO_CLAIMS,
    evidenceDigest: secret.evidence.digestOf(2, 7),
    maps: [mapOf('public:t', { a: '1' })],
  });
  const entry = sealEntry({
    secret,
    view: 2,
    seqno: 7,
    flags: 0,
    publicDomain,
    privateMaps: [],
  });
  expect(toHex(entry)).toBe(toHex(PUBLIC_ONLY));
  expect(openEntry(parseEntry(entry), secret)).toEqual([]);
});

test('an entry is found at its offset, whatever lies around it', () => {
  const around = Buffer.concat([Buffer.alloc(13, 9), PUBLIC_AND_PRIVATE, Buffer.alloc(5, 9)]);
  const parsed = parseEntry(around, 13);
  expect(toHex(parsed.bytes)).toBe(toHex(PUBLIC_AND_PRIVATE));
  expect(parsed.firstPublicMapName()).toBe('public:t');
  expect(parsed.isSignature()).toBe(false);
});

test('any byte that is changed in tag, nonce, public domain or ciphertext breaks the seal', () => {
  const header = 8;
  for (let at = header; at < PUBLIC_AND_PRIVATE.length; at += 1) {
    const changed = Buffer.from(PUBLIC_AND_PRIVATE);
    changed[at] = (changed[at] ?? 0) ^ 0x01;
    expect(() => openEntry(parseEntry(changed), secret), `byte ${at}`).toThrow(
      /not an entry|seal does not open/,
    );
  }
  const other = ledgerSecretOf(Buffer.alloc(32, 1));
  expect(() => openEntry(parseEntry(PUBLIC_AND_PRIVATE), other)).toThrow(/seal does not open/);
});

test('the snapshot vector parses as one, and has no write set', () => {
  const entry = fromHex(VECTORS.snapshot_entry_seqno8);
  const parsed = parseEntry(entry);
  expect([parsed.isSnapshot, parsed.seqno, parsed.type]).toEqual([true, 8, 1]);
  expect(toHex(writeSetDigest(parsed.bytes))).toBe(VECTORS.snapshot_digest);
  expect(() => parsed.publicMaps).toThrow(/snapshot/);
});

const changes: readonly [string, string, (bytes: Buffer) => void][] = [
  ['version', 'version', (bytes) => bytes.writeUInt8(0, 0)],
  ['an unknown flag', 'flags', (bytes) => bytes.writeUInt8(4, 1)],
  ['a size below the smallest', 'size', (bytes) => bytes.writeUIntLE(35, 2, 6)],
  ['a size beyond the limit', 'size', (bytes) => bytes.writeUIntLE(2 ** 40, 2, 6)],
  ['a size beyond the bytes', 'size', (bytes) => bytes.writeUIntLE(bytes.length - 7, 2, 6)],
  ['seqno 0', 'seqno', (bytes) => bytes.fill(0, 24, 32)],
  ['a snapshot bit', 'view', (bytes) => bytes.writeUInt8(0x80, 35)],
  ['another seqno inside', 'publicSeqno', (bytes) => bytes.writeUInt8(8, 45)],
  ['a public length too large', 'publicLength', (bytes) => bytes.writeUInt32LE(5000, 36)],
  ['a public length of 2^63', 'publicLength', (bytes) => bytes.writeUInt8(0x80, 43)],
  ['a public length too small', 'publicLength', (bytes) => bytes.writeUInt32LE(80, 36)],
  ['an unknown type', 'type', (bytes) => bytes.writeUInt8(5, 44)],
  ['the type of a snapshot', 'type', (bytes) => bytes.writeUInt8(1, 44)],
  ['a conflict version', 'maxConflictVersion', (bytes) => bytes.writeUInt8(1, 44 + 73)],
];

test.each(changes)('%s is refused, naming the field %s', (_, field, change) => {
  const bytes = Buffer.from(PUBLIC_AND_PRIVATE);
  change(bytes);
  try {
    parseEntry(bytes);
  } catch (thrown) {
    if (!isCoded(thrown, 'BadEntry')) throw thrown;
    // A type that contradicts the nonce shows as whichever of its fields is out of place first.
    const fields = field === 'type' ? ['type', 'maxConflictVersion'] : [field];
    expect(fields).toContain(thrown.fields.field);
    expect(thrown.fields.offset).toBeTypeOf('number');
    return;
  }
  throw new Error('parsing should have refused this');
});

test('an entry cut at any byte is refused', () => {
  for (let length = 0; length < PUBLIC_ONLY.length; length += 1) {
    expect(() => parseEntry(PUBLIC_ONLY.subarray(0, length))).toThrow(/not an entry/);
  }
});

test('what cannot be an entry is not sealed', () => {
  const make = (view: number, seqno: number, flags: number): unknown =>
    sealTransaction({
      secret,
      view,
      seqno,
      flags,
      claimsDigest: sha256Text('claims'),
      publicMaps: [],
      privateMaps: [],
    });
  expect(() => make(2 ** 31, 1, 0)).toThrow(/view/);
  expect(() => make(2, 0, 0)).toThrow(/seqno/);
  expect(() => make(2, 1, 4)).toThrow(/flags/);
});
