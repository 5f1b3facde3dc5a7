// Nodes come, are trusted, retire and go: which rows that writes, and what is refused.

import { expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import {
  latestLedgerSecretSeqno,
  nodesThatAre,
  serviceInfo,
} from '../../src/governance/nodes.ts';
import {
  endorsementWanted,
  removeNode,
  transitionNodeToTrusted,
} from '../../src/governance/nodes-actions.ts';
import {
  isFormerNode,
  nodeInTheWay,
  writePendingNode,
  writeTrustedNode,
} from '../../src/governance/nodes-joining.ts';
import {
  deleteRetiredNode,
  markRetiredCommitted,
  mustBeRemovable,
  removableNodes,
} from '../../src/governance/nodes-retirement.ts';
import {
  HISTORICAL_SECRET,
  jsonRow,
  NODE_CERTIFICATES,
  NODE_INFO,
  SERVICE_CONFIG,
  SINGLETON,
} from '../../src/governance/tables.ts';
import { codeOf } from '../support/crashing-disk.ts';
import { newJoiner, SmallService } from './small-service.ts';

const CERTIFICATE = '-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n';

/** A service with trusted nodes. */
async function serviceWith(count: number): Promise<{ service: SmallService; ids: string[] }> {
  const service = await SmallService.create();
  const ids: string[] = [];
  for (let number = 0; number < count; number += 1) {
    const { node } = await newJoiner(9001 + number);
    service.run((tx) => writeTrustedNode(tx, node, CERTIFICATE));
    ids.push(node.nodeId);
  }
  return { service, ids };
}

function thrownBy(action: () => unknown): string {
  try {
    action();
  } catch (thrown) {
    return codeOf(thrown);
  }
  return 'nothing';
}

test('a node that asks is written once, waits, and is trusted with its certificate', async () => {
  const service = await SmallService.create();
  const { node, requestPem } = await newJoiner();
  service.run((tx) => writePendingNode(tx, node));

  const pending = service.row(NODE_INFO, node.nodeId);
  expect(Object.keys(service.node(node.nodeId) ?? {})).toEqual([
    'certificate_signing_request',
    'code_digest',
    'encryption_pub_key',
    'node_to_node_interface',
    'nodehost',
    'nodeport',
    'pubhost',
    'public_key',
    'pubport',
    'quote_info',
    'rpc_interfaces',
    'rpchost',
    'rpcport',
    'status',
  ]);
  expect(service.node(node.nodeId)).toMatchObject({
    status: 'Pending',
    nodehost: '0.0.0.0',
    nodeport: '9001',
    // Of the interface that comes first in the alphabet.
    rpchost: '0.0.0.0',
    rpcport: '10001',
    pubhost: 'node.example',
    pubport: '10001',
  });
  expect(service.row(NODE_CERTIFICATES, node.nodeId)).toBeUndefined();

  const args = { node_id: node.nodeId, valid_from: '261121120000Z' };
  const wanted = endorsementWanted(service.store.current, args);
  expect(wanted).toEqual({ requestPem, validFrom: '261121120000Z', days: 365 });
  service.run((tx) => transitionNodeToTrusted(tx, node.nodeId, CERTIFICATE));
  // CCF's action parses the row, changes it and writes it back: the new member comes last.
  const trusted = pending
    ?.replace('"status":"Pending"', '"status":"Trusted"')
    .replace(/}$/, ',"ledger_secret_seqno":1}');
  expect(service.row(NODE_INFO, node.nodeId)).toBe(trusted);
  expect(service.row(NODE_CERTIFICATES, node.nodeId)).toBe(CERTIFICATE);
});

test('a node without a request for a certificate is trusted without one', async () => {
  const service = await SmallService.create();
  const { node } = await newJoiner();
  const { certificateRequestPem: _without, ...bare } = node;
  service.run((tx) => writePendingNode(tx, bare));
  const args = { node_id: node.nodeId, valid_from: '261121120000Z' };
  expect(endorsementWanted(service.store.current, args)).toBeUndefined();
  service.run((tx) => transitionNodeToTrusted(tx, node.nodeId, undefined));
  expect(service.node(node.nodeId)?.status).toBe('Trusted');
  expect(service.row(NODE_CERTIFICATES, node.nodeId)).toBeUndefined();
});

test('the seqno of the newest ledger secret is that of the last row about it', async () => {
  const service = await SmallService.create();
  expect(latestLedgerSecretSeqno(service.store.current)).toBe(1);
  const put = (row: unknown): void =>
    service.run((tx) => tx.table(HISTORICAL_SECRET).put(SINGLETON, jsonRow(row)));
  put({ next_version: 1 });
  expect(latestLedgerSecretSeqno(service.store.current)).toBe(1);
  put({ next_version: 17, previous_ledger_secret: {} });
  expect(latestLedgerSecretSeqno(service.store.current)).toBe(17);
  // A rekey writes no `next_version`: its secret seals from the entry behind its own.
  put({ previous_ledger_secret: {} });
  expect(latestLedgerSecretSeqno(service.store.current)).toBe(service.store.newest + 1);
});

test('a trusted node retires, is marked, and only then may go; it never comes back', async () => {
  const { service, ids } = await serviceWith(3);
  const [, , id = ''] = ids;
  const before = service.row(NODE_INFO, id);
  expect(service.run((tx) => removeNode(tx, id))).toBe('Retired');
  expect(service.row(NODE_INFO, id)).toBe(before?.replace('"Trusted"', '"Retired"'));
  expect(thrownBy(() => mustBeRemovable(service.store.committedView, id))).toBe(
    'NodeNotRetiredCommitted',
  );

  expect(service.draft((tx) => markRetiredCommitted(tx, [id]))).toBe(1);
  expect(service.node(id)?.retired_committed).toBe(true);
  // The mark counts from its own commit on.
  expect(removableNodes(service.store.committedView)).toEqual([]);
  service.commit();
  expect(removableNodes(service.store.committedView).map((node) => node.nodeId)).toEqual([id]);
  mustBeRemovable(service.store.committedView, id);

  service.run((tx) => deleteRetiredNode(tx, id));
  expect(service.node(id)).toBeUndefined();
  expect(service.row(NODE_CERTIFICATES, id)).toBeUndefined();
  expect(service.draft((tx) => isFormerNode(tx, id))).toBe(true);
  expect(thrownBy(() => mustBeRemovable(service.store.committedView, id))).toBe(
    'ResourceNotFound',
  );
  expect(thrownBy(() => service.run((tx) => deleteRetiredNode(tx, id)))).toBe(
    'ResourceNotFound',
  );
  // A new leader may mark it once more: there is nothing left to mark.
  expect(service.run((tx) => markRetiredCommitted(tx, [id]))).toBe(0);
});

test('marking is done once, and never to a node that is not retired', async () => {
  const { service, ids } = await serviceWith(2);
  const [id = '', other = ''] = ids;
  service.run((tx) => removeNode(tx, id));
  expect(service.run((tx) => markRetiredCommitted(tx, [id]))).toBe(1);
  expect(service.run((tx) => markRetiredCommitted(tx, [id]))).toBe(0);
  expect(() => service.run((tx) => markRetiredCommitted(tx, [other]))).toThrow('is Retired');
});

test('a Pending node that is removed is forgotten and may ask again', async () => {
  const { service } = await serviceWith(1);
  const { node } = await newJoiner(9050);
  service.run((tx) => writePendingNode(tx, node));
  expect(service.run((tx) => removeNode(tx, node.nodeId))).toBe('Forgotten');
  expect(service.node(node.nodeId)).toBeUndefined();
  expect(service.draft((tx) => isFormerNode(tx, node.nodeId))).toBe(false);
});

test('two live nodes have not one address; a retired one gives its own free', async () => {
  const { service, ids } = await serviceWith(2);
  const { node } = await newJoiner(9001);
  expect(service.draft((tx) => nodeInTheWay(tx, node)?.nodeId)).toBe(ids[0]);
  service.run((tx) => removeNode(tx, ids[0] ?? ''));
  expect(service.draft((tx) => nodeInTheWay(tx, node))).toBeUndefined();
});

test('so many nodes may wait, and no more', async () => {
  const service = await SmallService.create();
  const { node } = await newJoiner();
  const numbered = (number: number): string => String(number).padStart(64, '0');
  for (let number = 0; number < 100; number += 1) {
    service.run((tx) => writePendingNode(tx, { ...node, nodeId: numbered(number) }));
  }
  const oneMore = (): void => service.run((tx) => writePendingNode(tx, node));
  expect(thrownBy(oneMore)).toBe('TooManyPendingNodes');
  service.run((tx) => removeNode(tx, numbered(7)));
  oneMore();
  expect(nodesThatAre(service.store.current, 'Pending')).toHaveLength(100);
});

const NOBODY = 'ab'.repeat(32);

test.each<[string, string, (service: SmallService, ids: readonly string[]) => unknown]>([
  [
    'trusting nobody',
    'ResourceNotFound',
    (service) => service.run((tx) => transitionNodeToTrusted(tx, NOBODY, undefined)),
  ],
  [
    'trusting twice',
    'InvalidNodeState',
    (service, [id = '']) => service.run((tx) => transitionNodeToTrusted(tx, id, undefined)),
  ],
  [
    'trusting a retired node',
    'InvalidNodeState',
    (service, [id = '']) => {
      service.run((tx) => removeNode(tx, id));
      service.run((tx) => transitionNodeToTrusted(tx, id, undefined));
    },
  ],
  [
    'removing nobody',
    'ResourceNotFound',
    (service) => service.run((tx) => removeNode(tx, NOBODY)),
  ],
  [
    'removing twice',
    'InvalidNodeState',
    (service, [id = '']) => {
      service.run((tx) => removeNode(tx, id));
      service.run((tx) => removeNode(tx, id));
    },
  ],
  [
    'removing the last one',
    'LastTrustedNode',
    (service, [id = '', other = '']) => {
      service.run((tx) => removeNode(tx, id));
      service.run((tx) => removeNode(tx, other));
    },
  ],
  [
    'a row that is no JSON',
    'LedgerDamaged',
    (service) => {
      service.run((tx) => tx.table(NODE_INFO).put(utf8(NOBODY), utf8('{')));
      nodesThatAre(service.store.current, 'Trusted');
    },
  ],
  [
    'a status that is none',
    'LedgerDamaged',
    (service) => {
      service.run((tx) => tx.table(NODE_INFO).put(utf8(NOBODY), jsonRow({ status: 'Fine' })));
      nodesThatAre(service.store.current, 'Trusted');
    },
  ],
])('refused: %s (%s)', async (_title, code, act) => {
  const { service, ids } = await serviceWith(2);
  expect(thrownBy(() => act(service, ids))).toBe(code);
});

test('a certificate is valid no longer than the service allows', async () => {
  const service = await SmallService.create();
  const { node } = await newJoiner();
  service.run((tx) => writePendingNode(tx, node));
  const { current } = service.store;
  const args = { node_id: node.nodeId, valid_from: '261121120000Z' };
  const wanted = { ...args, validity_period_days: 366 };
  expect(() => endorsementWanted(current, wanted)).toThrow('max allowed is 365');
  const month = endorsementWanted(current, { ...args, validity_period_days: 30 });
  expect(month?.days).toBe(30);
  service.run((tx) => tx.table(SERVICE_CONFIG).put(SINGLETON, jsonRow({})));
  expect(endorsementWanted(service.store.current, args)?.days).toBe(365);
  expect(serviceInfo(current)?.status).toBe('Open');
});
