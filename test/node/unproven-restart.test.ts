// The first transaction after a restart that nobody could prove: who is told the fresh secret, and
// what becomes of the node's own row.

import { beforeAll, describe, expect, test } from 'vitest';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import { seqnoOf, viewOf } from '../../src/base/ids.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import type { NodeDescription } from '../../src/governance/opening.ts';
import {
  ENCRYPTED_SECRETS,
  HISTORICAL_SECRET,
  jsonRow,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  NODE_INFO,
  RESTARTS,
  SERVICE_CONFIG,
  SINGLETON,
} from '../../src/governance/tables.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import { writeUnprovenRestart } from '../../src/node/unproven-restart.ts';
import { newJoiner } from '../governance/small-service.ts';

let own: NodeDescription;
const OTHER = 'b'.repeat(64);
const THIRD = 'c'.repeat(64);
const FOURTH = 'd'.repeat(64);

beforeAll(async () => {
  const { node } = await newJoiner(8101);
  own = {
    nodeId: node.nodeId,
    publicKeyPem: 'its key',
    encryptionPublicKeyPem: 'own encryption key',
    certificateRequestPem: 'its request',
    certificatePem: 'its certificate',
    evidence: node.evidence,
    codeDigest: node.codeDigest,
    nodeAddress: '127.0.0.1:9999',
    serviceAddress: '127.0.0.1:9998',
  };
});

/** The rows that a restart writes into a service with these nodes. */
function rowsAfter(nodes: Readonly<Record<string, string>>): {
  row(table: string, key?: Uint8Array): unknown;
  readonly wrappedFor: readonly string[];
} {
  const store = new Store([]);
  const before = new StoreTransaction(store, 'service');
  before.table(SERVICE_CONFIG).put(SINGLETON, jsonRow({ recovery_threshold: 1 }));
  before.table(MEMBER_INFO).put(utf8('a member'), jsonRow({ status: 'Active' }));
  before.table(MEMBER_ENCRYPTION_KEYS).put(utf8('a member'), utf8('key of the member'));
  for (const [nodeId, status] of Object.entries(nodes)) {
    const row = { status, encryption_pub_key: `key of ${nodeId}`, node_data: 'rack 7' };
    before.table(NODE_INFO).put(utf8(nodeId), jsonRow(row));
  }
  store.apply(seqnoOf(1), before.writeSet());
  const wrappedFor: string[] = [];
  const transaction = new StoreTransaction(store, 'service');
  writeUnprovenRestart(
    transaction,
    {
      node: own,
      txId: { view: viewOf(9), seqno: seqnoOf(2) },
      continues: { view: viewOf(7), seqno: seqnoOf(1) },
      secret: { from: seqnoOf(2), view: viewOf(9), bytes: sha256Text('fresh') },
      previous: { from: seqnoOf(1), view: viewOf(2), bytes: sha256Text('old') },
    },
    systemRandom,
    (publicKeyPem) => {
      wrappedFor.push(publicKeyPem);
      return utf8('wrapped');
    },
  );
  store.apply(seqnoOf(2), transaction.writeSet());
  return {
    row: (table, key = SINGLETON) => {
      const value = store.current.table(table).get(key);
      return value === undefined ? undefined : JSON.parse(textOf(value));
    },
    wrappedFor,
  };
}

describe('an unproven restart', () => {
  test('is told for ever, and leads back to the old secret', () => {
    const { row } = rowsAfter({ [own.nodeId]: 'Trusted' });
    expect(row(RESTARTS, utf8('9.2'))).toEqual({
      node_id: own.nodeId,
      continues: '7.1',
      proven: false,
    });
    expect(row(HISTORICAL_SECRET)).toMatchObject({
      next_version: 2,
      previous_ledger_secret: { version: 1 },
    });
  });

  test('gives the secret to all who take part, those on their way out among them', () => {
    const { row, wrappedFor } = rowsAfter({
      [own.nodeId]: 'Trusted',
      [OTHER]: 'Trusted',
      [THIRD]: 'Pending',
      [FOURTH]: 'Retired',
    });
    expect(Object.keys(row(ENCRYPTED_SECRETS) as object).sort()).toEqual(
      [own.nodeId, OTHER, FOURTH].sort(),
    );
    const others = [`key of ${OTHER}`, `key of ${FOURTH}`, 'key of the member'];
    expect([...wrappedFor].sort()).toEqual([`key of ${own.nodeId}`, ...others].sort());
  });

  test('says where its primary is reached now, and leaves the rest of its row', () => {
    const { row } = rowsAfter({ [own.nodeId]: 'Trusted' });
    expect(row(NODE_INFO, utf8(own.nodeId))).toMatchObject({
      status: 'Trusted',
      node_to_node_interface: { published_address: '127.0.0.1:9999' },
      node_data: 'rack 7',
    });
  });

  test('does not bring a primary back that is being retired', () => {
    const { row } = rowsAfter({ [own.nodeId]: 'Retired', [OTHER]: 'Trusted' });
    expect(row(NODE_INFO, utf8(own.nodeId))).toMatchObject({ status: 'Retired' });
    expect(Object.keys(row(ENCRYPTED_SECRETS) as object)).toContain(own.nodeId);
  });
});
