/**
 * Who takes part in a sandbox: organisations with their party keys, as files or chance give them.
 */
import { readFileSync } from 'node:fs';
import {
  ORGANISATION_CERTIFICATES,
  ORGANISATIONS,
  type OrganisationRow,
  PARTY_KEYS,
  PARTY_PRIVATE_KEYS,
  QUORUM_SETTINGS,
  type ResidentRow,
} from '../../apps/organisations.ts';
import { base64Of, bytesOfBase64, equalBytes, utf8 } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import {
  generatePartyKey,
  PARTY_KEY_BYTES,
  type PartyKeyPair,
  partyKeyOf,
} from '../../crypto/party-keys.ts';
import { systemRandom } from '../../crypto/random.ts';
import { jsonRow, SINGLETON } from '../../governance/tables.ts';
import type { ReadView, Transaction } from '../../kv/tables.ts';

export interface Organisation {
  readonly number: number;
  readonly name: string;
  readonly userId: string;
  readonly certificatePem: string;
  readonly partyKeys: readonly PartyKeyPair[];
  readonly residents: readonly ResidentRow[];
}

/** Party keys by organisation number, from `--party-keys FILE`. */
export type PartyKeysByOrganisation = ReadonlyMap<number, readonly PartyKeyPair[]>;

/**
 * Reads a JSON list of `{node, publicKey, privateKey}`; what is for organisations beyond `count` is
 * ignored. Throws `BadPartyKeys`.
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

/**
 * Reads `{organisation: [{privacyGroupId, name, description, members}]}`. Throws
 * `BadResidents`.
 */
export function readResidents(path: string): ReadonlyMap<number, readonly ResidentRow[]> {
  const bad = (why: string): CodedError =>
    new CodedError('BadResidents', `${path}: ${why}`, { path });
  const object = readJson(path, bad);
  if (typeof object !== 'object' || object === null || Array.isArray(object)) {
    throw bad('an object of organisation numbers is expected');
  }
  const residents = new Map<number, ResidentRow[]>();
  for (const [organisation, rows] of Object.entries(object)) {
    const number = Number(organisation);
    if (!Number.isInteger(number) || number < 1 || !Array.isArray(rows)) {
      throw bad(`${JSON.stringify(organisation)} is not an organisation's number with a list`);
    }
    residents.set(
      number,
      rows.map((row: unknown, index) => residentOf(row, `${organisation}, ${index + 1}`, bad)),
    );
  }
  return residents;
}

/** Party keys for an organisation that was given none. */
export function newPartyKeys(): readonly PartyKeyPair[] {
  return [generatePartyKey(systemRandom)];
}

/** Writes the rows by which the service knows its organisations. */
export function writeOrganisations(
  transaction: Transaction,
  organisations: readonly Organisation[],
  multiplePrivateStates: boolean,
): void {
  for (const organisation of organisations) {
    const id = utf8(String(organisation.number));
    const row: OrganisationRow = {
      name: organisation.name,
      party_keys: organisation.partyKeys.map((pair) => base64Of(pair.publicKey)),
      residents: organisation.residents,
    };
    transaction.table(ORGANISATIONS).put(id, jsonRow(row));
    transaction.table(ORGANISATION_CERTIFICATES).put(utf8(organisation.userId), id);
    for (const { publicKey, privateKey } of organisation.partyKeys) {
      transaction.table(PARTY_KEYS).put(utf8(base64Of(publicKey)), id);
      transaction.table(PARTY_PRIVATE_KEYS).put(publicKey, privateKey);
    }
  }
  const settings = { multiple_private_states: multiplePrivateStates };
  transaction.table(QUORUM_SETTINGS).put(SINGLETON, jsonRow(settings));
}

/** An organisation as the ledger knows it. */
export function organisationRow(view: ReadView, number: number): OrganisationRow {
  const row = view.table(ORGANISATIONS).get(utf8(String(number)));
  if (row === undefined) {
    throw new CodedError('NoOrganisation', `the ledger knows no organisation ${number}`, {
      number,
    });
  }
  return JSON.parse(Buffer.from(row).toString()) as OrganisationRow;
}

function residentOf(
  row: unknown,
  place: string,
  bad: (why: string) => CodedError,
): ResidentRow {
  const { privacyGroupId, name, description, members } = (row ?? {}) as Record<string, unknown>;
  if (typeof privacyGroupId !== 'string' || typeof name !== 'string') {
    throw bad(`resident ${place}: privacyGroupId and name are texts`);
  }
  if (!Array.isArray(members) || !members.every((each) => typeof each === 'string')) {
    throw bad(`resident ${place}: members is a list of party keys in base64`);
  }
  for (const member of members) keyBytes(member, `resident ${place}: member`, bad);
  const text = typeof description === 'string' ? description : '';
  return { privacyGroupId, name, description: text, members };
}

function keyBytes(value: unknown, what: string, bad: (why: string) => CodedError): Uint8Array {
  const bytes = typeof value === 'string' ? bytesOfBase64(value) : undefined;
  if (bytes?.length === PARTY_KEY_BYTES) return bytes;
  throw bad(`${what} is ${JSON.stringify(value)}, not ${PARTY_KEY_BYTES} bytes in base64`);
}

function readJson(path: string, bad: (why: string) => CodedError): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown;
  } catch (error) {
    throw bad(messageOf(error));
  }
}
