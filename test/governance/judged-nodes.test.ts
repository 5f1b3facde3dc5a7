// A ledger in which nodes come, are trusted, retire and go is accepted by our audit and by PyPI
// `ccf`; one in which a row is removed twice is not, which is why deleting looks first.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifyLedger } from '../../src/audit/ledger.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import { endorseRequest } from '../../src/crypto/endorsement.ts';
import { systemKeys } from '../../src/crypto/key-source.ts';
import { removeNode, transitionNodeToTrusted } from '../../src/governance/nodes-actions.ts';
import { writePendingNode } from '../../src/governance/nodes-joining.ts';
import {
  deleteRetiredNode,
  markRetiredCommitted,
} from '../../src/governance/nodes-retirement.ts';
import { NODE_INFO } from '../../src/governance/tables.ts';
import { Store } from '../../src/kv/store.ts';
import type { Transaction } from '../../src/kv/tables.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import { judgeLedgers } from '../support/judge-ledgers.ts';
import { testWithCcf } from '../support/judges.ts';
import { LedgerWriter, makeService } from '../support/ledger-writer.ts';
import { newJoiner, VALIDITY } from './small-service.ts';

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'nodes-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Writes such a ledger; `also` is one more transaction at its end. */
async function written(
  name: string,
  also?: (tx: Transaction, id: string) => void,
): Promise<string> {
  const keys = await makeService();
  const writer = await new LedgerWriter(keys).open();
  const store = new Store([]);
  // The tables after 2.4, as the writer wrote them: the service, and its first node.
  for (let seqno = 1; seqno <= 4; seqno += 1) {
    store.apply(seqnoOf(seqno), seqno === 1 ? writer.genesis() : []);
  }
  const run = async (write: (tx: Transaction) => void): Promise<void> => {
    const tx = new StoreTransaction(store, 'service');
    write(tx);
    const maps = tx.writeSet().toSorted((left, right) => (left.name < right.name ? -1 : 1));
    store.apply(seqnoOf(writer.next), maps);
    writer.transaction(maps);
    await writer.sign();
    store.apply(seqnoOf(writer.next - 1), []);
  };
  const { node, requestPem } = await newJoiner();
  const { nodeId } = node;
  const refused = { ...node, nodeId: 'ee'.repeat(32) };
  const issuer = { key: keys.serviceKey, certificatePem: keys.serviceCert };
  const certificate = await endorseRequest(systemKeys, requestPem, VALIDITY, issuer);
  await run((tx) => writePendingNode(tx, node));
  await run((tx) => writePendingNode(tx, refused));
  await run((tx) => void removeNode(tx, refused.nodeId));
  await run((tx) => transitionNodeToTrusted(tx, nodeId, certificate));
  await run((tx) => void removeNode(tx, nodeId));
  await run((tx) => void markRetiredCommitted(tx, [nodeId]));
  await run((tx) => deleteRetiredNode(tx, nodeId));
  if (also !== undefined) await run((tx) => also(tx, nodeId));
  return writer.write(join(scratch, name));
}

const removedTwice = (tx: Transaction, id: string): void =>
  tx.table(NODE_INFO).remove(Buffer.from(id));

test('our audit accepts it, and not one in which a row is removed twice', async () => {
  expect(await verifyLedger(await written('good'))).toMatchObject({ ok: true });
  const bad = await verifyLedger(await written('bad', removedTwice));
  expect(bad.fault?.reason).toBe('NodeUnknown');
});

testWithCcf('PyPI ccf says the same', async () => {
  const folders = [await written('one'), await written('two', removedTwice)];
  expect((await judgeLedgers(folders)).map(({ ok }) => ok)).toEqual([true, false]);
});
