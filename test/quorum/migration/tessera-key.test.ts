/** Private keys as Tessera keeps them: plain, and locked with a password under Argon2. */
import { describe, expect, test } from 'vitest';
import { base64Of } from '../../../src/base/bytes.ts';
import { systemRandom } from '../../../src/crypto/random.ts';
import {
  lockKey,
  openTesseraKey,
  readTesseraKey,
  unlockedKey,
} from '../../../src/crypto/tessera-key.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { recordedKeys } from '../replay/setting.ts';

const CHEAP = { variant: 'id', memory: 64, iterations: 1, parallelism: 1 };

// Locked by another implementation of Argon2 and of secretbox than the one that ships, with a
// password that is not ASCII: one for each variant, over the recorded keys.
const FOREIGN = [
  ['i', 'BwcH', 'AQEB', 'BrdjLmDwN5CI481E0daxKekj0BbUpF3yIAcubeB7YsMykuIKGY5MsDKM3nMfVZLM'],
  ['d', 'CAgI', 'AgIC', 'Q9/CZlUFGwU28pwRzokxnPajq9mrdgZkXrkjJ9AUGNTCJhxWpC52Cf9weEnDdiOZ'],
  ['id', 'CQkJ', 'AwMD', 'YEzwJmgO7dW6YM/wdWdXpF0tvPPY+/o4drBacbMeDSyxxk9GR2nUJXBjuh3ZkRoG'],
] as const;

function foreignKey([variant, nonce, salt, sbox]: (typeof FOREIGN)[number]) {
  const aopts = { variant, memory: 64, iterations: 2, parallelism: 2 };
  const asalt = `${salt.repeat(5)}${salt.slice(0, 2)}==`.replace(/..==$/, LAST[variant]);
  return { type: 'argon2sbox', data: { aopts, snonce: nonce.repeat(8), asalt, sbox } };
}
const LAST = { i: 'AQ==', d: 'Ag==', id: 'Aw==' } as const;

describe('a locked key', () => {
  test.each(FOREIGN.map((row, index) => [row[0], row, index] as const))(
    'of variant %s that another program locked opens',
    async (variant, row, index) => {
      const opened = await openTesseraKey(
        readTesseraKey(foreignKey(row)),
        `pässword ${variant}`,
      );
      expect(base64Of(opened)).toBe(recordedKeys(false)[index]?.privateKey);
    },
  );

  test.each(recordedKeys(false).map(({ node, privateKey }) => [node, privateKey] as const))(
    'of organisation %i survives being locked, written and read',
    async (_node, privateKey) => {
      const bytes = Buffer.from(privateKey, 'base64');
      const locked = await lockKey(systemRandom, bytes, 'a password', CHEAP);
      expect(locked.data.sbox).not.toContain(privateKey.slice(0, 8));
      const again = readTesseraKey(JSON.parse(JSON.stringify(locked)));
      expect(base64Of(await openTesseraKey(again, 'a password'))).toBe(privateKey);
      await expect(openTesseraKey(again, 'a Password')).rejects.toMatchObject({
        code: 'WrongPassword',
      });
      await expect(openTesseraKey(again, undefined)).rejects.toMatchObject({
        code: 'PasswordNeeded',
      });
    },
  );

  test('has the members of Tessera, in its order', async () => {
    const { type, data } = await lockKey(systemRandom, Buffer.alloc(32, 1), 'p', CHEAP);
    expect(type).toBe('argon2sbox');
    expect(Object.keys(data)).toEqual(['aopts', 'snonce', 'asalt', 'sbox']);
    expect(data.aopts).toEqual(CHEAP);
    const lengths = [data.snonce, data.asalt, data.sbox].map(
      (text) => Buffer.from(text, 'base64').length,
    );
    expect(lengths).toEqual([24, 16, 48]);
  });

  test('that was changed anywhere does not open', async () => {
    const locked = await lockKey(systemRandom, Buffer.alloc(32, 7), 'p', CHEAP);
    for (const name of ['snonce', 'asalt', 'sbox'] as const) {
      const bytes = Buffer.from(locked.data[name], 'base64');
      bytes[3] = (bytes[3] ?? 0) ^ 1;
      const changed = { ...locked, data: { ...locked.data, [name]: bytes.toString('base64') } };
      await expect(openTesseraKey(readTesseraKey(changed), 'p')).rejects.toMatchObject({
        code: 'WrongPassword',
      });
    }
  });
});

describe('what is no key is refused by name', () => {
  const aopts = { variant: 'id', memory: 64, iterations: 1, parallelism: 1 };
  const data = {
    aopts,
    snonce: Buffer.alloc(24).toString('base64'),
    asalt: Buffer.alloc(16).toString('base64'),
    sbox: Buffer.alloc(48).toString('base64'),
  };
  const locked = (change: object) => ({ type: 'argon2sbox', data: { ...data, ...change } });
  test.each([
    ['nothing', null, 'a key is no object'],
    ['a list', [], 'a key is no object'],
    ['no data', { type: 'unlocked' }, 'data is no object'],
    ['an unknown type', { type: 'pgp', data }, 'type is "pgp"'],
    ['no bytes', { type: 'unlocked', data: {} }, 'data.bytes is not base64'],
    ['short bytes', { type: 'unlocked', data: { bytes: 'AAAA' } }, 'data.bytes has 3 bytes'],
    ['no options', locked({ aopts: undefined }), 'data.aopts is no object'],
    ['another variant', locked({ aopts: { ...aopts, variant: 'x' } }), 'data.aopts.variant is'],
    ['no work', locked({ aopts: { ...aopts, iterations: 0 } }), 'data.aopts.iterations is 0'],
    [
      'a year of work',
      locked({ aopts: { ...aopts, iterations: 1e9 } }),
      'data.aopts.iterations',
    ],
    ['all memory', locked({ aopts: { ...aopts, memory: 2 ** 31 } }), 'data.aopts.memory is'],
    ['too little memory', locked({ aopts: { ...aopts, memory: 7 } }), 'data.aopts.memory is 7'],
    [
      'half a lane',
      locked({ aopts: { ...aopts, parallelism: 0.5 } }),
      'data.aopts.parallelism',
    ],
    ['a short nonce', locked({ snonce: 'AAAA' }), 'data.snonce has 3 bytes'],
    ['a short box', locked({ sbox: 'AAAA' }), 'data.sbox has 3 bytes'],
    ['a salt that is none', locked({ asalt: 7 }), 'data.asalt is not base64'],
  ])('%s', (_what, given, sentence) => {
    expect(() => readTesseraKey(given)).toThrow(sentence);
  });

  test('a salt that is too short', async () => {
    const key = readTesseraKey(locked({ asalt: 'AAAA' }));
    await expect(openTesseraKey(key, 'p')).rejects.toThrow('data.asalt has 3 bytes');
  });

  test('random nonsense: always a coded error, never another one, never a key', () => {
    const random = new SeededRandom(7);
    for (let round = 0; round < 500; round += 1) {
      const text = JSON.stringify(unlockedKey(Buffer.alloc(32, round)));
      const bytes = Buffer.from(text);
      const [at = 0, value = 0] = random.bytes(2);
      bytes[at % bytes.length] = value;
      let given: unknown;
      try {
        given = JSON.parse(bytes.toString('utf8'));
      } catch {
        continue;
      }
      try {
        expect(readTesseraKey(given).data).toBeDefined();
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'BadTesseraKey' });
      }
    }
  });
});
