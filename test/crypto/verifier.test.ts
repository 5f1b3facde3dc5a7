// The two verifiers agree: on every good signature, every bad one, and every key they cannot use.

import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { expect, test } from 'vitest';
import { isCoded } from '../../src/base/errors.ts';
import { fixedSizeSignature } from '../../src/crypto/der.ts';
import type { HashName, Verifier } from '../../src/crypto/verifier.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { webVerifier } from '../../src/crypto/verifier-web.ts';
import { toHex } from '../support/ledger-vectors.ts';

const MESSAGE = Buffer.from('a message of some length');
const HASHES: readonly HashName[] = ['SHA-256', 'SHA-384', 'SHA-512'];
const CURVES = ['P-256', 'P-384', 'P-521'] as const;

/** What both say; fails when they differ. */
async function both(ask: (verifier: Verifier) => Promise<boolean>): Promise<boolean | string> {
  const [node, web] = await Promise.all(
    [nodeVerifier, webVerifier].map(async (verifier) => {
      try {
        return await ask(verifier);
      } catch (thrown) {
        if (isCoded(thrown)) return thrown.code;
        throw thrown;
      }
    }),
  );
  if (node === undefined || node !== web) throw new Error(`node says ${node}, web ${web}`);
  return node;
}

function ecPair(curve: string): { readonly privateKey: KeyObject; readonly der: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
  return { privateKey, der: publicKey.export({ type: 'spki', format: 'der' }) };
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const rsaDer = rsa.publicKey.export({ type: 'spki', format: 'der' });
const flip = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};

test.each(HASHES)('both hash with %s alike', async (name) => {
  const expected = createHash(name.replace('-', '')).update(MESSAGE).digest('hex');
  for (const verifier of [nodeVerifier, webVerifier]) {
    expect(toHex(await verifier.hash(name, MESSAGE))).toBe(expected);
  }
});

for (const curve of CURVES) {
  for (const hash of HASHES) {
    test(`ECDSA on ${curve} with ${hash}: good, changed, misencoded, prehashed`, async () => {
      const { privateKey, der: publicKeyDer } = ecPair(curve);
      const digest = createHash(hash.replace('-', '')).update(MESSAGE).digest();
      for (let round = 0; round < 5; round += 1) {
        const der = sign(hash, MESSAGE, privateKey);
        const size = { 'P-256': 32, 'P-384': 48, 'P-521': 66 }[curve];
        const raw = fixedSizeSignature(der, size) ?? new Uint8Array(0);
        const base = { publicKeyDer, hash, message: MESSAGE } as const;
        const cases = [
          [{ ...base, encoding: 'der', signature: der }, true],
          [{ ...base, encoding: 'raw', signature: raw }, true],
          [{ ...base, encoding: 'raw', signature: der }, false],
          [{ ...base, encoding: 'der', signature: raw }, false],
          [{ ...base, encoding: 'raw', signature: flip(raw, raw.length - 1) }, false],
          [{ ...base, encoding: 'raw', signature: new Uint8Array(2 * size) }, false],
          [{ ...base, encoding: 'der', signature: Buffer.concat([der, Buffer.of(0)]) }, false],
          [{ ...base, encoding: 'der', signature: new Uint8Array(0) }, false],
          [{ ...base, encoding: 'der', signature: der, message: flip(MESSAGE, 0) }, false],
        ] as const;
        for (const [check, good] of cases) {
          expect(await both((verifier) => verifier.ecdsa(check))).toBe(good);
          if (check.message !== MESSAGE) continue;
          const ofDigest = { ...check, digest };
          expect(await both((verifier) => verifier.ecdsaDigest(ofDigest))).toBe(good);
        }
        const other = {
          ...base,
          encoding: 'der',
          signature: der,
          digest: flip(digest, 0),
        } as const;
        expect(await both((verifier) => verifier.ecdsaDigest(other))).toBe(false);
      }
    });
  }
}

test.each(HASHES)('RSA with %s: both paddings, changed ones, other salts', async (hash) => {
  const base = { publicKeyDer: rsaDer, hash, message: MESSAGE } as const;
  const pkcs1 = sign(hash, MESSAGE, rsa.privateKey);
  const saltLength = 48;
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  const pss = sign(hash, MESSAGE, { key: rsa.privateKey, padding, saltLength });
  const cut = pkcs1.subarray(1);
  for (const [signature, good] of [
    [pkcs1, true],
    [pss, false],
    [flip(pkcs1, 9), false],
    [cut, false],
  ] as const) {
    expect(await both((verifier) => verifier.rsaPkcs1({ ...base, signature }))).toBe(good);
  }
  for (const [signature, salt, good] of [
    [pss, saltLength, true],
    [pss, 32, false],
    [pkcs1, saltLength, false],
    [flip(pss, 100), saltLength, false],
    [new Uint8Array(0), saltLength, false],
  ] as const) {
    const check = { ...base, signature, saltLength: salt };
    expect(await both((verifier) => verifier.rsaPss(check))).toBe(good);
  }
});

const p256 = ecPair('P-256').der;
const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
const compressed = Buffer.concat([
  Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'),
  Buffer.of(2 + ((p256.at(-1) ?? 0) & 1)),
  p256.subarray(27, 59),
]);

test.each([
  ['nothing', new Uint8Array(0)],
  ['noise', Buffer.alloc(91, 0x30)],
  ['a cut key', p256.subarray(0, -1)],
  ['a trailing byte', Buffer.concat([p256, Buffer.of(0)])],
  ['a point off the curve', flip(p256, 90)],
  ['a compressed point', compressed],
  ['another curve', ecPair('secp256k1').der],
  [
    'another kind of key',
    generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }),
  ],
  ['an RSA key where a curve is wanted', rsaDer],
])('%s is no key for ECDSA', async (_, publicKeyDer) => {
  const signature = new Uint8Array(64).fill(1);
  const base = { publicKeyDer, signature, encoding: 'raw' } as const;
  const check = { ...base, hash: 'SHA-256', message: MESSAGE } as const;
  expect(await both((verifier) => verifier.ecdsa(check))).toBe('BadKey');
  const digest = { ...base, digest: new Uint8Array(32) };
  expect(await both((verifier) => verifier.ecdsaDigest(digest))).toBe('BadKey');
});

test.each([
  ['a curve key', p256],
  ['a key of 1024 bits', small.export({ type: 'spki', format: 'der' })],
  ['noise', Buffer.alloc(300, 0x30)],
])('%s is no key for RSA', async (_, publicKeyDer) => {
  const check = { publicKeyDer, signature: new Uint8Array(256), message: MESSAGE } as const;
  const pkcs1 = { ...check, hash: 'SHA-256' } as const;
  expect(await both((verifier) => verifier.rsaPkcs1(pkcs1))).toBe('BadKey');
  const pss = { ...pkcs1, saltLength: 32 };
  expect(await both((verifier) => verifier.rsaPss(pss))).toBe('BadKey');
});
