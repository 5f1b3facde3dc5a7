/**
 * What a new service begins and opens with, from a node's configuration: its first members, and
 * organisations with their party keys. Until governance is built, only an opening brings them in.
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
import { base64Of, textOf, utf8 } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import type { OpeningSettings, StartSettings } from '../../config/node-config.ts';
import { certificateIdOf } from '../../crypto/certificates.ts';
import { generatePartyKey, type PartyKeyPair } from '../../crypto/party-keys.ts';
import { systemRandom } from '../../crypto/random.ts';
import type { MemberAtCreation } from '../../governance/opening.ts';
import { jsonRow, SINGLETON } from '../../governance/tables.ts';
import type { ReadView, Transaction } from '../../kv/tables.ts';
import type { OrganisationLine } from './node-ready.ts';
import { type PartyKeysByOrganisation, readPartyKeys } from './party-keys-file.ts';

interface Organisation {
  /** From 1, in the order of the configuration; its id in the ledger. */
  readonly number: number;
  readonly name: string;
  readonly userId: string;
  readonly certificatePem: string;
  readonly partyKeys: readonly PartyKeyPair[];
  readonly residents: readonly ResidentRow[];
}

/** What a service opens with, read and judged. */
export interface ServiceOpening {
  readonly users: readonly { readonly userId: string; readonly certificatePem: string }[];
  /** Writes the rows by which the service knows its organisations. */
  readonly writeAlso: (transaction: Transaction) => void;
}

const NO_KEYS: PartyKeysByOrganisation = new Map();

/** The first members, from their files. */
export function readMembers(start: StartSettings): readonly MemberAtCreation[] {
  return start.members.map(({ certificate_file, encryption_public_key_file }) => {
    const certificatePem = readPem(certificate_file);
    const memberId = certificateId(certificatePem, certificate_file);
    return {
      memberId,
      certificatePem,
      encryptionPublicKeyPem: readPem(encryption_public_key_file),
    };
  });
}

/** What the service opens with, from its files; who has no party key gets a new one. */
export function readOpening(opens: OpeningSettings): ServiceOpening {
  const { organisations: listed, party_keys_file, multiple_private_states } = opens;
  const keys =
    party_keys_file === undefined ? NO_KEYS : readPartyKeys(party_keys_file, listed.length);
  const organisations = listed.map(({ name, certificate_file, residents }, index) => {
    const certificatePem = readPem(certificate_file);
    return {
      number: index + 1,
      name,
      userId: certificateId(certificatePem, certificate_file),
      certificatePem,
      partyKeys: keys.get(index + 1) ?? [generatePartyKey(systemRandom)],
      residents,
    };
  });
  return {
    users: organisations.map(({ userId, certificatePem }) => ({ userId, certificatePem })),
    writeAlso: (transaction) =>
      writeOrganisations(transaction, organisations, multiple_private_states),
  };
}

/** All organisations that the ledger knows, in order of their numbers. */
export function organisationsIn(view: ReadView): readonly OrganisationLine[] {
  const lines: OrganisationLine[] = [];
  for (let number = 1; ; number += 1) {
    const row = view.table(ORGANISATIONS).get(utf8(String(number)));
    if (row === undefined) return lines;
    const { name, party_keys, residents } = JSON.parse(textOf(row)) as OrganisationRow;
    lines.push({ name, partyKeys: party_keys, residents });
  }
}

function writeOrganisations(
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

function certificateId(pem: string, path: string): string {
  try {
    return certificateIdOf(pem);
  } catch (cause) {
    throw new CodedError(
      'BadCertificate',
      `${path} holds no certificate (${messageOf(cause)})`,
      { path },
      { cause },
    );
  }
}

function readPem(path: string): string {
  const text = readFileSync(path, 'utf8');
  if (text.includes('-----BEGIN ')) return text;
  throw new CodedError('BadPem', `${path} holds no PEM (it does not say -----BEGIN)`, { path });
}
