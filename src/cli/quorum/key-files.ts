/**
 * Key pairs on disk under Tessera's names: `NAME.key` holds `{type, data}`, `NAME.pub` the public
 * key in base64. A private key's file is its owner's alone.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { base64Of, equalBytes } from '../../base/bytes.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { type PartyKeyPair, partyKeyOf } from '../../crypto/party-keys.ts';
import { openTesseraKey, readTesseraKey, type TesseraKey } from '../../crypto/tessera-key.ts';
import { keyBytes } from '../node/party-keys-file.ts';

export interface WrittenKey {
  readonly publicKey: string;
  readonly keyFile: string;
  readonly publicKeyFile: string;
  readonly locked: boolean;
}

/** Writes a pair; neither file may be there already. */
export function writeKeyPair(name: string, publicKey: Uint8Array, key: TesseraKey): WrittenKey {
  const keyFile = `${name}.key`;
  const publicKeyFile = `${name}.pub`;
  writeNew(keyFile, `${JSON.stringify(key, undefined, 2)}\n`, 0o600);
  // Without a newline, as Tessera writes it: older readers take one for a part of the key.
  writeNew(publicKeyFile, base64Of(publicKey), 0o644);
  const locked = key.type === 'argon2sbox';
  return { publicKey: base64Of(publicKey), keyFile, publicKeyFile, locked };
}

/** Writes a file that must not exist. */
export function writeNew(path: string, text: string, mode: number): void {
  try {
    writeFileSync(path, text, { flag: 'wx', mode });
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST') {
      throw new CodedError('FileExists', `${path} exists; nothing is written over`, { path });
    }
    throw thrown;
  }
}

/** The text of a file, in a sentence that says which setting named it. */
export function readNamed(path: string, setting: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (thrown) {
    const why = `${setting} names ${path}, which cannot be read: ${messageOf(thrown)}`;
    throw new CodedError('UnreadableFile', why, { path });
  }
}

/** A pair from its parts; `place` says where they come from. */
export async function pairOf(
  given: unknown,
  publicKeyText: string,
  password: string | undefined,
  place: string,
): Promise<PartyKeyPair> {
  const bad = (why: string): CodedError => new CodedError('BadKey', `${place}: ${why}`);
  const publicKey = keyBytes(publicKeyText.trim(), 'the public key', bad);
  const privateKey = await opened(given, password, place);
  if (!equalBytes(partyKeyOf(privateKey), publicKey)) {
    throw bad(`the private key is not that of ${base64Of(publicKey)}`);
  }
  return { publicKey, privateKey };
}

async function opened(
  given: unknown,
  password: string | undefined,
  place: string,
): Promise<Uint8Array> {
  try {
    return await openTesseraKey(readTesseraKey(given), password);
  } catch (thrown) {
    if (!isCoded(thrown)) throw thrown;
    throw new CodedError(thrown.code, `${place}: ${thrown.message}`, thrown.fields);
  }
}
