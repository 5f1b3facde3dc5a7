/**
 * Who is asking. The connection names the organisation: the client certificate's id is looked up,
 * never a claim of the request (transaction-manager.md part 1, decision 4). Every look-up is then
 * made with that organisation's party keys.
 */
import { base64Of, equalBytes, textOf, utf8 } from '../../base/bytes.ts';
import type { ReadView } from '../../kv/tables.ts';
import type { AppRequest } from '../interface.ts';
import {
  ORGANISATION_CERTIFICATES,
  ORGANISATIONS,
  type OrganisationRow,
  PARTY_KEYS,
  PARTY_PRIVATE_KEYS,
  QUORUM_SETTINGS,
  type QuorumSettingsRow,
  type ResidentRow,
} from '../organisations.ts';
import { PARTY_KEY_BYTES } from './parties.ts';
import { OUTSIDE_PARTIES } from './tables.ts';
import { refuseAbsent, refuseWith } from './wire/answers.ts';
import { bytesOfText } from './wire/body.ts';

export interface Organisation {
  readonly id: string;
  /** Its party keys; the first is its default sender. */
  readonly keys: readonly Buffer[];
  readonly residents: readonly ResidentRow[];
}

/** The organisation whose certificate the caller presented. */
export function callerOf(request: AppRequest, view: ReadView): Organisation {
  const { caller } = request;
  if (!('certificatePem' in caller)) {
    throw refuseWith(401, 'a client certificate of an organisation is needed');
  }
  const idBytes = view.table(ORGANISATION_CERTIFICATES).get(utf8(caller.id));
  const row = idBytes === undefined ? undefined : view.table(ORGANISATIONS).get(idBytes);
  if (idBytes === undefined || row === undefined) {
    throw refuseAbsent(403, `the client certificate ${caller.id} belongs to no organisation`);
  }
  return organisationOf(textOf(idBytes), row);
}

// A row's bytes are one object for as long as the row stands, so they carry what was read of them.
const read = new WeakMap<Uint8Array, Organisation>();

function organisationOf(id: string, row: Uint8Array): Organisation {
  const known = read.get(row);
  if (known !== undefined && known.id === id) return known;
  const { party_keys: keys, residents } = JSON.parse(textOf(row)) as OrganisationRow;
  const organisation = { id, keys: keys.map((key) => Buffer.from(key, 'base64')), residents };
  read.set(row, organisation);
  return organisation;
}

/** Whether a party key is one of the organisation's. */
export function owns(organisation: Organisation, key: Uint8Array): boolean {
  return organisation.keys.some((own) => equalBytes(own, key));
}

/** The id of the organisation that owns a party key, or undefined. */
export function ownerOf(view: ReadView, key: Uint8Array): string | undefined {
  if (key.length !== PARTY_KEY_BYTES) return undefined;
  const id = view.table(PARTY_KEYS).get(utf8(base64Of(key)));
  return id === undefined ? undefined : textOf(id);
}

/** The sender a request names, or the organisation's default; it must be one of its keys. */
export function senderOf(organisation: Organisation, named: Buffer | undefined): Buffer {
  if (named !== undefined && owns(organisation, named)) return named;
  const first = organisation.keys[0];
  if (named === undefined && first !== undefined) return first;
  throw refuseForeignKey(named ?? Buffer.alloc(0));
}

export function refuseForeignKey(key: Uint8Array): Error {
  const shown = Buffer.from(key).toString('base64');
  return refuseAbsent(404, `Public key ${shown} not found when searching for private key`);
}

/** Recipients in base64; a key that is too short to be one is the client's mistake. */
export function recipientsOf(texts: readonly string[]): readonly Buffer[] {
  return texts.map((shown) => {
    const key = bytesOfText(shown);
    if (key.length < PARTY_KEY_BYTES) {
      throw refuseWith(400, `the public key "${shown}" has ${key.length} bytes, 32 are needed`);
    }
    return key;
  });
}

/** Refuses when a recipient is no party known to the service, inside or outside. */
export function requireKnown(view: ReadView, recipients: readonly Uint8Array[]): void {
  for (const key of recipients) {
    if (ownerOf(view, key) === undefined && !view.table(OUTSIDE_PARTIES).has(key)) {
      const shown = Buffer.from(key).toString('base64');
      throw refuseAbsent(404, `Recipient not found for key: ${shown}`);
    }
  }
}

/** The private key of one of the caller's own party keys. */
export function privateKeyOf(view: ReadView, key: Uint8Array): Uint8Array | undefined {
  return view.table(PARTY_PRIVATE_KEYS).get(key);
}

/** Whether multiple private states are on. */
export function hasResidents(view: ReadView): boolean {
  const row = view.table(QUORUM_SETTINGS).get(SETTINGS_KEY);
  if (row === undefined) return false;
  return (JSON.parse(textOf(row)) as QuorumSettingsRow).multiple_private_states;
}

const SETTINGS_KEY = new Uint8Array(8);
