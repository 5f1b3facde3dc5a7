/**
 * Organisations for tests of the transaction manager: their certificates, keys and residents, laid
 * into the tables as the opening of a service lays them.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Caller } from '../../src/apps/interface.ts';
import {
  ORGANISATION_CERTIFICATES,
  ORGANISATIONS,
  type OrganisationRow,
  PARTY_KEYS,
  PARTY_PRIVATE_KEYS,
  QUORUM_SETTINGS,
  type QuorumSettingsRow,
  type ResidentRow,
} from '../../src/apps/organisations.ts';
import { createQuorumApplication } from '../../src/apps/quorum/application.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { Random } from '../../src/base/environment.ts';
import type { Transaction } from '../../src/kv/tables.ts';
import { MemoryRuntime } from './memory-runtime.ts';

export interface PartyKeyPair {
  /** The organisation's number, from 1. */
  readonly node: number;
  readonly publicKey: string;
  readonly privateKey: string;
}

export type Residents = Readonly<Record<string, readonly ResidentRow[]>>;

const secureRandom: Random = { bytes: (count) => randomBytes(count) };

/** The caller that an organisation's certificate makes. */
export function callerOfOrganisation(organisation: number): Caller {
  const id = createHash('sha256').update(`certificate ${organisation}`).digest('hex');
  return { policy: 'user_cert', id, certificatePem: '' };
}

/** A transaction manager in memory with as many organisations as are asked for. */
export function quorumInMemory(
  keys: readonly PartyKeyPair[],
  organisations: number,
  residents?: Residents,
  requestIdsKept?: number,
): MemoryRuntime {
  const limits = requestIdsKept === undefined ? {} : { requestIdsKept };
  const application = createQuorumApplication({ random: secureRandom, ...limits });
  const runtime = new MemoryRuntime([application]);
  runtime.setUp((tx) => layOrganisations(tx, keys, organisations, residents));
  return runtime;
}

/** Writes as many organisations as are asked for, and the settings. */
export function layOrganisations(
  tx: Transaction,
  keys: readonly PartyKeyPair[],
  organisations: number,
  residents?: Residents,
): void {
  for (let node = 1; node <= organisations; node += 1) {
    addOrganisation(
      tx,
      node,
      keys.filter((key) => key.node === node),
      residents?.[node] ?? [],
    );
  }
  const settings: QuorumSettingsRow = { multiple_private_states: residents !== undefined };
  tx.table(QUORUM_SETTINGS).put(new Uint8Array(8), utf8(JSON.stringify(settings)));
}

function addOrganisation(
  tx: Transaction,
  node: number,
  keys: readonly PartyKeyPair[],
  residents: readonly ResidentRow[],
): void {
  const id = utf8(`organisation${node}`);
  const row: OrganisationRow = {
    name: `Organisation ${node}`,
    party_keys: keys.map((key) => key.publicKey),
    residents,
  };
  tx.table(ORGANISATIONS).put(id, utf8(JSON.stringify(row)));
  const caller = callerOfOrganisation(node);
  if ('certificatePem' in caller) {
    tx.table(ORGANISATION_CERTIFICATES).put(utf8(caller.id), id);
  }
  for (const { publicKey, privateKey } of keys) {
    tx.table(PARTY_KEYS).put(Buffer.from(publicKey), id);
    tx.table(PARTY_PRIVATE_KEYS).put(
      Buffer.from(publicKey, 'base64'),
      Buffer.from(privateKey, 'base64'),
    );
  }
}
