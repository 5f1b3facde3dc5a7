/** `concordat quorum keygen`: files that Tessera accepts, and what is refused. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { base64Of } from '../../../src/base/bytes.ts';
import { partyKeyOf } from '../../../src/crypto/party-keys.ts';
import { openTesseraKey, readTesseraKey } from '../../../src/crypto/tessera-key.ts';
import { runProgram } from '../../support/program.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'keygen-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const keygen = (...args: string[]) => runProgram(['quorum', 'keygen', ...args]);
const CHEAP = ['--argon-memory', '64', '--argon-iterations', '1', '--argon-parallelism', '1'];

async function publicKeyOf(path: string, password?: string): Promise<string> {
  const key = readTesseraKey(JSON.parse(readFileSync(path, 'utf8')));
  return base64Of(partyKeyOf(await openTesseraKey(key, password)));
}

test('keys in the clear lie in two files, the private one for its owner alone', async () => {
  const name = join(folder, 'plain');
  const { code, stdout } = await keygen(name);
  expect(code).toBe(0);
  const publicKey = readFileSync(`${name}.pub`, 'utf8');
  expect(publicKey).toMatch(/^[A-Za-z0-9+/]{43}=$/);
  expect(stdout).toContain(publicKey);
  expect(await publicKeyOf(`${name}.key`)).toBe(publicKey);
  expect(JSON.parse(readFileSync(`${name}.key`, 'utf8'))).toEqual({
    type: 'unlocked',
    data: { bytes: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/) },
  });
  expect(statSync(`${name}.key`).mode & 0o777).toBe(0o600);
  // The private key is in its file and nowhere else.
  const { bytes } = JSON.parse(readFileSync(`${name}.key`, 'utf8')).data;
  expect(stdout).not.toContain(bytes);
});

test('locked keys take a password each, or one for all', async () => {
  const passwords = join(folder, 'passwords');
  writeFileSync(passwords, 'one\ntwo\n');
  const names = ['a', 'b'].map((name) => join(folder, name));
  const args = ['--password-file', passwords, '--argon-variant', 'id', ...CHEAP, '--json'];
  const { code, stdout } = await keygen(...names, ...args);
  expect(code).toBe(0);
  const { ok, keys } = JSON.parse(stdout);
  expect(ok).toBe(true);
  for (const [index, password] of ['one', 'two'].entries()) {
    expect(keys[index]).toMatchObject({ locked: true, keyFile: `${names[index]}.key` });
    expect(await publicKeyOf(keys[index].keyFile, password)).toBe(keys[index].publicKey);
  }
  await expect(publicKeyOf(keys[1].keyFile, 'one')).rejects.toThrow('does not open');
});

test('nothing is written over, and what is wrong is said', async () => {
  const name = join(folder, 'once');
  await keygen(name);
  const before = readFileSync(`${name}.key`, 'utf8');
  const again = await keygen(name);
  expect(again).toMatchObject({ code: 3, stderr: expect.stringContaining('once.key exists') });
  expect(readFileSync(`${name}.key`, 'utf8')).toBe(before);

  const three = join(folder, 'three');
  writeFileSync(three, 'x\ny\nz\n');
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [[], 2, 'name at least one key'],
    [[join(folder, 'n1'), '--argon-memory', 'much'], 2, '--argon-memory is "much"'],
    [[join(folder, 'n2'), '--nonsense'], 2, 'nonsense'],
    [[join(folder, 'n3'), 'n4', '--password-file', three], 2, '3 passwords for 2 keys'],
    [[join(folder, 'n5'), '--password-file', join(folder, 'none')], 3, 'cannot be read'],
    [
      [join(folder, 'n6'), '--password-file', three.replace('three', 'passwords'), ...CHEAP],
      2,
      '2 passwords for 1 keys',
    ],
  ];
  for (const [args, code, sentence] of cases) {
    expect(await keygen(...args)).toMatchObject({
      code,
      stderr: expect.stringContaining(sentence),
    });
  }
  expect(await keygen('--help')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('NAME'),
  });
});
