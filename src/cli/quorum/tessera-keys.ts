/**
 * The key pairs of a Tessera configuration: inline, in files, plain or locked. Passwords come from
 * its password file or its list, in the order of the keys.
 */
import { dirname, resolve } from 'node:path';
import { base64Of } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import type { PartyKeyPair } from '../../crypto/party-keys.ts';
import { pairOf, readNamed } from './key-files.ts';
import { passwordLines } from './keygen.ts';
import { type Fields, isFields, textOf, textsOf } from './tessera-config.ts';
import type { SettingNote } from './tessera-settings.ts';

/** A key as the configuration gives it: its public half, and `{type, data}` of the private one. */
interface FoundKey {
  readonly place: string;
  readonly publicKey: string;
  readonly privateKey: unknown;
  readonly password: string | undefined;
}

export interface KeysRead {
  readonly pairs: readonly PartyKeyPair[];
  readonly notes: readonly SettingNote[];
}

/** Reads and opens all keys; relative paths start from the configuration's folder. */
export async function readKeys(
  config: Fields,
  path: string,
  passwordFile: string | undefined,
  progress: (text: string) => void,
): Promise<KeysRead> {
  const keys = isFields(config.keys) ? config.keys : {};
  const folder = dirname(resolve(path));
  const listed = Array.isArray(keys.keyData) ? (keys.keyData as readonly unknown[]) : [];
  const found: FoundKey[] = [];
  const notes: SettingNote[] = [];
  for (const [index, entry] of listed.entries()) {
    const place = `keys.keyData[${index}]`;
    const key = isFields(entry) ? foundKey(entry, place, folder) : undefined;
    if (key !== undefined) found.push(key);
    else notes.push({ setting: place, kind: 'warning', text: notTaken(entry) });
  }
  const passwords = passwordsOf(keys, folder, passwordFile, listed.length, found);
  const pairs: PartyKeyPair[] = [];
  for (const key of found) {
    if (isLocked(key)) progress(`opening ${key.place} …`);
    const password = key.password ?? passwords.get(key.place);
    const pair = await pairOf(key.privateKey, key.publicKey, password, key.place);
    pairs.push(pair);
    const text = `party key ${base64Of(pair.publicKey)}`;
    notes.push({ setting: key.place, kind: 'taken', text });
  }
  return { pairs, notes };
}

function foundKey(entry: Fields, place: string, folder: string): FoundKey | undefined {
  const inFile = (name: string): string | undefined => {
    const named = textOf(entry[name]);
    return named === undefined
      ? undefined
      : readNamed(resolve(folder, named), `${place}.${name}`);
  };
  const publicKey = textOf(entry.publicKey) ?? inFile('publicKeyPath');
  const privateKey = privateKeyIn(entry, place, inFile('privateKeyPath'));
  if (publicKey === undefined || privateKey === undefined) return undefined;
  const inline = isFields(privateKey) && isFields(privateKey.data) ? privateKey.data : {};
  // Old files and old inline configurations may carry the password themselves.
  const password = textOf(entry.password) ?? textOf(inline.password);
  return { place, publicKey, privateKey, password };
}

function privateKeyIn(entry: Fields, place: string, file: string | undefined): unknown {
  const plain = textOf(entry.privateKey);
  if (plain !== undefined) return { type: 'unlocked', data: { bytes: plain } };
  if (isFields(entry.config)) return entry.config;
  if (file === undefined) return undefined;
  try {
    return JSON.parse(file) as unknown;
  } catch (thrown) {
    throw new CodedError(
      'BadKey',
      `${place}.privateKeyPath holds no JSON: ${messageOf(thrown)}`,
    );
  }
}

function notTaken(entry: unknown): string {
  const names = isFields(entry) ? Object.keys(entry) : [];
  if (names.some((name) => /vault|secretsmanager/i.test(name))) {
    return 'this key is in a vault and is not taken; put it into files and name them here';
  }
  return 'this key is not whole and is not taken; it needs its public and its private half';
}

function passwordsOf(
  keys: Fields,
  folder: string,
  given: string | undefined,
  listed: number,
  found: readonly FoundKey[],
): ReadonlyMap<string, string> {
  const named = textOf(keys.passwordFile);
  const path = given ?? (named === undefined ? undefined : resolve(folder, named));
  const setting = given === undefined ? 'keys.passwordFile' : '--password-file';
  const lines =
    path === undefined ? textsOf(keys.passwords) : passwordLines(readNamed(path, setting));
  const locked = found.filter(isLocked);
  // One for each key, unlocked ones too, is Tessera's way; one for each locked key is as clear.
  const byKey = lines.length === listed;
  if (!byKey && lines.length < locked.length) {
    const source = path ?? 'keys.passwords';
    throw new CodedError(
      'PasswordNeeded',
      `${locked.length} keys are locked, and ${source} has ${lines.length} passwords; ` +
        'give a file with one for each in --password-file',
    );
  }
  return new Map(
    locked.map((key, index) => {
      const at = byKey ? Number(/\[(\d+)\]/.exec(key.place)?.[1]) : index;
      return [key.place, lines[at] ?? ''] as const;
    }),
  );
}

function isLocked({ privateKey, password }: FoundKey): boolean {
  return isFields(privateKey) && privateKey.type === 'argon2sbox' && password === undefined;
}
