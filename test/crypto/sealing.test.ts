// Digests and sealing: published answers, and seals that open only as they were closed.

import { createHash, createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { aeadKeyOf, openGcm, sealGcm, sealGcmInPlace } from '../../src/crypto/aead.ts';
import {
  hmacSha256,
  sha3_512,
  sha256,
  sha256Hex,
  sha256Into,
  sha256Of,
  sha256Pair,
  sha256Text,
} from '../../src/crypto/hash.ts';
import { fromHex, toHex } from '../support/ledger-vectors.ts';

test('digests are those that FIPS 180-4 and FIPS 202 print for "abc"', () => {
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  expect(toHex(sha256(Buffer.from('abc')))).toBe(abc);
  expect(sha256Hex(Buffer.from('abc'))).toBe(abc);
  expect(toHex(sha256Text('abc'))).toBe(abc);
  expect(toHex(sha3_512(Buffer.from('abc')))).toMatch(/^b751850b1a57168a5693cd924b6b096e/);
});

test('every byte value survives in a digest that is written in place', () => {
  for (let i = 0; i < 300; i += 1) {
    const input = Buffer.from(`input ${i}`);
    const target = Buffer.alloc(34, 0xee);
    sha256Into(input, target, 1);
    const expected = createHash('sha256').update(input).digest();
    expect(Buffer.compare(target.subarray(1, 33), expected)).toBe(0);
    expect([target[0], target[33]]).toEqual([0xee, 0xee]);
  }
});

test('a parent, a concatenation and an HMAC agree with the streaming interface', () => {
  const [left, right] = [sha256Text('left'), sha256Text('right')];
  const parent = createHash('sha256').update(left).update(right).digest('hex');
  expect(toHex(sha256Pair(left, right))).toBe(parent);
  expect(toHex(sha256Of(left, right))).toBe(parent);
  expect(toHex(hmacSha256(left, right))).toBe(
    createHmac('sha256', left).update(right).digest('hex'),
  );
});

test('sealing gives the answer of test case 16 of the GCM specification', () => {
  const key = fromHex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308');
  const iv = fromHex('cafebabefacedbaddecaf888');
  const aad = fromHex('feedfacedeadbeeffeedfacedeadbeefabaddad2');
  const plaintext = fromHex(
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
  );
  const sealed = sealGcm(aeadKeyOf(key), iv, aad, plaintext);
  expect(toHex(sealed.tag)).toBe('76fc6ece0f4e1768cddf8853bb2d551b');
  expect(toHex(sealed.ciphertext)).toMatch(/^522dc1f099567d07f47f37a32a84427d/);
  expect(openGcm(aeadKeyOf(key), iv, aad, sealed).equals(plaintext)).toBe(true);

  const target = Buffer.concat([Buffer.alloc(16), plaintext]);
  sealGcmInPlace(aeadKeyOf(key), iv, aad, target, 16, 0);
  expect(target.equals(Buffer.concat([sealed.tag, sealed.ciphertext]))).toBe(true);
});

test('a seal opens neither under another key, nonce or context, nor changed in one bit', () => {
  const key = aeadKeyOf(sha256Text('key'));
  const iv = Buffer.alloc(12, 1);
  const aad = Buffer.from('context');
  const sealed = sealGcm(key, iv, aad, Buffer.from('text'));
  const changed = (bytes: Buffer): Buffer => {
    const copy = Buffer.from(bytes);
    copy[0] = (copy[0] ?? 0) ^ 1;
    return copy;
  };
  const broken = /does not open/;
  expect(() => openGcm(aeadKeyOf(sha256Text('other')), iv, aad, sealed)).toThrow(broken);
  expect(() => openGcm(key, changed(iv), aad, sealed)).toThrow(broken);
  expect(() => openGcm(key, iv, changed(aad), sealed)).toThrow(broken);
  expect(() => openGcm(key, iv, aad, { ...sealed, tag: changed(sealed.tag) })).toThrow(broken);
  expect(() => openGcm(key, iv, aad, { ...sealed, tag: sealed.tag.subarray(4) })).toThrow(
    broken,
  );
  const text = { ...sealed, ciphertext: changed(sealed.ciphertext) };
  expect(() => openGcm(key, iv, aad, text)).toThrow(broken);
  expect(() => aeadKeyOf(Buffer.alloc(16))).toThrow(/32 bytes, not 16/);
});
