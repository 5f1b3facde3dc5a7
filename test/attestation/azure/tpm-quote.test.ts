// Quotes of a TPM: real ones read and verify, and each field that is off is refused.

import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  quotedValues,
  readPcrs,
  readTpmQuote,
  tpmSignatureBytes,
} from '../../../src/attestation/tpm-quote.ts';
import { isCoded } from '../../../src/base/errors.ts';
import { testWithVectors, vectorsFolder } from '../../support/judges.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { Paravisor, somePcrs, tpmtSignature } from './paravisor.ts';

const REAL: readonly (readonly [name: string, nonce: string | undefined])[] = [
  ['azcvm-genoa-v3-trustee', undefined],
  ['azcvm-milan-v3-cleanroom-sign', undefined],
  ['azcvm-milan-v3-trustee-e0', 'challenge'],
];

for (const [name, nonce] of REAL) {
  testWithVectors(`the real quote ${name} reads, and is about its registers`, () => {
    const file = (part: string): Buffer =>
      readFileSync(`${vectorsFolder()}/snp/${name}/${part}`);
    const quote = readTpmQuote(file('tpm-quote.msg'));
    if (nonce !== undefined) expect(Buffer.from(quote.extraData).toString()).toBe(nonce);
    expect(quote.pcrSelection).toEqual(Array.from({ length: 24 }, (_, index) => index));
    const given: unknown = JSON.parse(file('tpm-pcrs.json').toString());
    const values = quotedValues(quote.pcrSelection, readPcrs(Object.assign({}, given)));
    const digest = createHash('sha256')
      .update(values ?? '')
      .digest();
    expect(Buffer.from(quote.pcrDigest)).toEqual(digest);
    const key = createPublicKey(file('hcl-akpub.pem'));
    const signature = tpmSignatureBytes(file('tpm-quote.sig'));
    expect(verify('sha256', file('tpm-quote.msg'), key, signature)).toBe(true);
  });
}

const vtpm = new Paravisor();
const pcrs = somePcrs();
const extraData = Buffer.alloc(32, 9);

test('a quote says what was put into it, in the order of the registers', () => {
  const { message } = vtpm.quote({ extraData, pcrs, selection: [11, 4, 23] });
  const quote = readTpmQuote(message);
  expect(quote).toMatchObject({ pcrSelection: [4, 11, 23], resetCount: 3, restartCount: 0 });
  expect(Buffer.from(quote.extraData)).toEqual(extraData);
  const values = [4, 11, 23].map((index) => pcrs.get(index) ?? Buffer.alloc(0));
  const digest = createHash('sha256').update(Buffer.concat(values)).digest();
  expect(Buffer.from(quote.pcrDigest)).toEqual(digest);
});

test('a signature is read in both forms in which tpm2_quote writes it', () => {
  const { signature } = vtpm.quote({ extraData, pcrs });
  expect(Buffer.from(tpmSignatureBytes(signature))).toEqual(signature);
  expect(Buffer.from(tpmSignatureBytes(tpmtSignature(signature)))).toEqual(signature);
});

const good = vtpm.quote({ extraData, pcrs }).message;
const WRONG: readonly (readonly [what: string, message: Uint8Array, says: RegExp])[] = [
  ['nothing', Buffer.alloc(0), /cut off/],
  ['too much', Buffer.alloc(2000), /2000 bytes/],
  ['another magic', vtpm.quote({ extraData, pcrs, magic: 1 }).message, /magic/],
  ['another statement', vtpm.quote({ extraData, pcrs, type: 0x8017 }).message, /no quote/],
  ['another bank', vtpm.quote({ extraData, pcrs, bank: 0x0c }).message, /bank 12/],
  ['a quote cut off', good.subarray(0, -1), /cut off/],
  ['something behind it', Buffer.concat([good, Buffer.alloc(1)]), /trails/],
];

test.each(WRONG)('%s is refused by name', (_, message, says) => {
  expect(() => readTpmQuote(message)).toThrow(
    expect.objectContaining({ code: 'BadTpmQuote', message: expect.stringMatching(says) }),
  );
});

const SIGNATURES: readonly (readonly [what: string, signature: Uint8Array, says: RegExp])[] = [
  ['nothing', Buffer.alloc(0), /cut off/],
  [
    'PSS',
    Buffer.concat([Buffer.from('0016000b0100', 'hex'), Buffer.alloc(256)]),
    /22 with hash/,
  ],
  ['SHA-1', Buffer.concat([Buffer.from('001400040100', 'hex'), Buffer.alloc(256)]), /hash 4/],
  ['a tail', Buffer.concat([tpmtSignature(Buffer.alloc(256)), Buffer.alloc(1)]), /trails/],
];

test.each(SIGNATURES)('a signature that is %s is refused', (_, signature, says) => {
  expect(() => tpmSignatureBytes(signature)).toThrow(says);
});

test.each([
  ['a list', []],
  ['nothing', null],
  ['register 24', { 24: '00'.repeat(32) }],
  ['register 01', { '01': '00'.repeat(32) }],
  ['register -1', { '-1': '00'.repeat(32) }],
  ['a SHA-1 value', { 4: '00'.repeat(20) }],
  ['a number', { 4: 4 }],
])('register values that are %s are refused', (_, value) => {
  expect(() => readPcrs(value)).toThrow(expect.objectContaining({ code: 'BadTpmQuote' }));
});

test('no mutation of a quote does anything else than read or be refused by code', () => {
  const random = new SeededRandom(6);
  let refused = 0;
  for (let round = 0; round < 10_000; round += 1) {
    const mutated = Buffer.from(random.oneIn(5) ? good.subarray(0, random.below(145)) : good);
    if (mutated.length > 0) mutated[random.below(mutated.length)] = random.below(256);
    for (const read of [readTpmQuote, tpmSignatureBytes]) {
      try {
        read(mutated);
      } catch (thrown) {
        expect(isCoded(thrown, 'BadTpmQuote'), `seed ${random.seed}: ${thrown}`).toBe(true);
        refused += 1;
      }
    }
  }
  expect(refused).toBeGreaterThan(1_000);
});
