/**
 * Party keys of organisations from a file: a JSON list of `{node, publicKey, privateKey}`, `node`
 * being the organisation's number.
 */
import { readFileSync } from 'node:fs';
import { base64Of, bytesOfBase64, equalBytes } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { PARTY_KEY_BYTES, type PartyKeyPair, partyKeyOf } from '../../crypto/party-keys.ts';

/** Party keys by organisation number. */
export type PartyKeysByOrganisation = ReadonlyMap<number, readonly PartyKeyPair[]>;

/**
 * Reads such a file; what is for organisations beyond `count` is ignored. Throws
 * `BadPartyKeys`.
 */
export function readPartyKeys(path: string, count: number): PartyKeysByOrganisation {
  const bad = (why: string): CodedError =>
    new CodedError('BadPartyKeys', `${path}: ${why}`, { path });
  const list = readJson(path, bad);
  if (!Array.isArray(list)) throw bad('a list of {node, publicKey, privateKey} is expected');
  const keys = new Map<number, PartyKeyPair[]>();
  const owners = new Map<string, number>();
  list.forEach((entry: unknown, index) => {
    const place = `entry ${index + 1}`;
    if (typeof entry !== 'object' || entry === null) throw bad(`${place} is not an object`);
    const { node, publicKey, privateKey } = entry as Record<string, unknown>;
    if (typeof node !== 'number' || !Number.isInteger(node) || node < 1) {
      throw bad(`${place}: node is ${JSON.stringify(node)}, not an organisation's number`);
    }
    if (node > count) return;
    const pair = {
      publicKey: keyBytes(publicKey, `${place}: publicKey`, bad),
      privateKey: keyBytes(privateKey, `${place}: privateKey`, bad),
    };
    if (!equalBytes(partyKeyOf(pair.privateKey), pair.publicKey)) {
      throw bad(`${place}: publicKey ${String(publicKey)} is not that of its privateKey`);
    }
    const text = base64Of(pair.publicKey);
    const owner = owners.get(text);
    if (owner !== undefined) {
      throw bad(`${place}: publicKey ${text} was given to organisation ${owner} before`);
    }
    owners.set(text, node);
    keys.set(node, [...(keys.get(node) ?? []), pair]);
  });
  return keys;
}

/** The bytes of a party key in base64. */
export function keyBytes(
  value: unknown,
  what: string,
  bad: (why: string) => CodedError,
): Uint8Array {
  const bytes = typeof value === 'string' ? bytesOfBase64(value) : undefined;
  if (bytes?.length === PARTY_KEY_BYTES) return bytes;
  throw bad(`${what} is ${JSON.stringify(value)}, not ${PARTY_KEY_BYTES} bytes in base64`);
}

/** What a file of JSON holds. */
export function readJson(path: string, bad: (why: string) => CodedError): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown;
  } catch (error) {
    throw bad(messageOf(error));
  }
}
