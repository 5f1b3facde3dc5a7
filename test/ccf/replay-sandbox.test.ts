// CCF's recorded exchanges, played to a sandbox: the whole service, with its ledger and receipts.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { askOnce, jsonOf } from '../http/client.ts';
import { recordings } from './recordings.ts';
import { replay, tableOf, unseenDeviations } from './replay.ts';
import { type CcfSandbox, startCcfSandbox } from './sandbox.ts';

let sandbox: CcfSandbox;

beforeAll(async () => {
  sandbox = await startCcfSandbox();
});

afterAll(() => sandbox.stop());

/** What is committed ends with a signature, so the last committed transaction is one. */
async function lastCommitted(): Promise<string> {
  const reply = await askOnce(sandbox, undefined, 'GET', '/node/commit');
  const { transaction_id } = jsonOf(reply) as { readonly transaction_id: string };
  return transaction_id;
}

test('every counted exchange is answered as CCF answered it', async () => {
  const { host, port, user, member } = sandbox;
  const outcomes = await replay(recordings(), {
    host,
    port,
    identities: { user0: user, member0: member },
    signatureTxId: lastCommitted,
  });
  console.log(`CCF's recorded exchanges, over a sandbox:\n${tableOf(outcomes)}`);
  expect(outcomes.filter(({ result }) => result === 'differs')).toEqual([]);
  expect(unseenDeviations(outcomes)).toEqual([]);
});
