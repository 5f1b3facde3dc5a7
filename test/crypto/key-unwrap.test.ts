// Unwrapping what an HSM wrapped: the known answers of RFC 5649, every algorithm of Key Vault's
// release, and no hint of what was wrong with what does not unwrap.

import {
  constants,
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  generateKeyPairSync,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { expect, test } from 'vitest';
import { openWhole, sealWhole } from '../../src/crypto/aead.ts';
import {
  KEY_WRAP_NAMES,
  type KeyWrapName,
  sealingKeyOf,
  UnwrappingKey,
} from '../../src/crypto/key-unwrap.ts';

const KWP = Buffer.from('A65959A6', 'hex');
const HASHES = {
  CKM_RSA_AES_KEY_WRAP: 'sha1',
  RSA_AES_KEY_WRAP_256: 'sha256',
  RSA_AES_KEY_WRAP_384: 'sha384',
} as const;

const key = await UnwrappingKey.generate(2048);

function wrap(name: KeyWrapName, secret: Uint8Array, kek = randomBytes(32)): Buffer {
  const publicKey = createPublicKey({
    key: Buffer.from(key.publicKeyDer),
    format: 'der',
    type: 'spki',
  });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const wrappedKek = publicEncrypt({ key: publicKey, padding, oaepHash: HASHES[name] }, kek);
  const cipher = createCipheriv('id-aes256-wrap-pad', kek, KWP);
  return Buffer.concat([wrappedKek, cipher.update(secret), cipher.final()]);
}

test.each([
  [
    'c37b7e6492584340bed12207808941155068f738',
    '138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a',
  ],
  ['466f7250617369', 'afbeb0f07dfbf5419200f2ccb50bb24f'],
])('the padding is that of RFC 5649 §6: %s', (plain, wrapped) => {
  const kek = Buffer.from('5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8', 'hex');
  const cipher = createDecipheriv('id-aes192-wrap-pad', kek, KWP);
  const bytes = Buffer.concat([cipher.update(Buffer.from(wrapped, 'hex')), cipher.final()]);
  expect(bytes.toString('hex')).toBe(plain);
});

test.each(KEY_WRAP_NAMES)('%s gives back secrets of every length', (name) => {
  for (const length of [1, 7, 8, 31, 32, 33, 1217]) {
    const secret = randomBytes(length);
    expect(Buffer.from(key.unwrap(name, wrap(name, secret)))).toEqual(secret);
  }
});

test('whatever is wrong, the refusal is the same', () => {
  const good = wrap('RSA_AES_KEY_WRAP_256', randomBytes(32));
  const flipped = (at: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };
  const wrong: readonly (readonly [KeyWrapName, Uint8Array])[] = [
    ['CKM_RSA_AES_KEY_WRAP', good],
    ['RSA_AES_KEY_WRAP_384', good],
    ['RSA_AES_KEY_WRAP_256', flipped(5)],
    ['RSA_AES_KEY_WRAP_256', flipped(260)],
    ['RSA_AES_KEY_WRAP_256', flipped(good.length - 1)],
    ['RSA_AES_KEY_WRAP_256', good.subarray(0, -1)],
    ['RSA_AES_KEY_WRAP_256', good.subarray(0, 256)],
    ['RSA_AES_KEY_WRAP_256', Buffer.alloc(0)],
    ['RSA_AES_KEY_WRAP_256', Buffer.concat([good, Buffer.alloc(20_000)])],
  ];
  const messages = wrong.map(([name, bytes]) => {
    try {
      return String(key.unwrap(name, bytes));
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'UnwrapFailed' });
      return thrown instanceof Error ? thrown.message : '';
    }
  });
  expect(new Set(messages).size).toBe(1);
});

test('a sealing key follows from the released key and from its use, and from nothing else', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const pkcs8 = (one: typeof rsa): Buffer => one.export({ format: 'der', type: 'pkcs8' });
  const released = [
    ['oct', Buffer.alloc(32, 7)],
    ['RSA', pkcs8(rsa)],
    ['EC', pkcs8(ec)],
  ] as const;
  for (const [kind, bytes] of released) {
    const sealed = sealWhole(sealingKeyOf(kind, bytes, 'a'), Buffer.alloc(12), KWP, KWP);
    expect(openWhole(sealingKeyOf(kind, bytes, 'a'), KWP, sealed)).toEqual(KWP);
    expect(() => openWhole(sealingKeyOf(kind, bytes, 'b'), KWP, sealed)).toThrow(
      /does not open/,
    );
  }
});

test.each([
  ['oct', Buffer.alloc(16), /16 bytes/],
  ['RSA', Buffer.alloc(64), /not PKCS#8/],
  [
    'EC',
    generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
      format: 'der',
      type: 'pkcs8',
    }),
    /not a private EC key/,
  ],
] as const)('a released key that cannot seal is refused: %s', (kind, bytes, says) => {
  expect(() => sealingKeyOf(kind, bytes, 'a')).toThrow(says);
});
