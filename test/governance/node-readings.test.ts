// What `GET /gov/service/join-policy` shows: as CCF shows it, and of confidential VMs, which CCF
// does not know, only where members let some in.

import { expect, test } from 'vitest';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import {
  AZURE_CVM_MEASUREMENTS,
  AZURE_CVM_PCRS,
  jsonRow,
  VIRTUAL_MEASUREMENTS,
} from '../../src/governance/tables.ts';
import { NODE_READINGS } from '../../src/http/gov/node-readings.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';

const ALLOWED = jsonRow('AllowedToJoin');

function shown(write: (tx: StoreTransaction) => void): unknown {
  const tx = new StoreTransaction(new Store([]), 'service');
  write(tx);
  const endpoint = NODE_READINGS.find(({ path }) => path === '/service/join-policy');
  const step = endpoint?.handle(
    {
      ...{ verb: 'GET', path: '', params: {}, query: 'api-version=2024-07-01' },
      ...{ header: () => undefined, body: new Uint8Array(), caller: { policy: 'no_auth' } },
    },
    tx,
  );
  if (step?.kind !== 'answer') throw new Error('it answers');
  const { body = '' } = step.response;
  return JSON.parse(typeof body === 'string' ? body : textOf(body));
}

test('a service without confidential VMs shows what CCF shows', () => {
  const policy = shown((tx) => tx.table(VIRTUAL_MEASUREMENTS).put(utf8('v1'), ALLOWED));
  expect(policy).toEqual({
    sgx: { measurements: [] },
    virtual: { measurements: ['v1'], hostData: [] },
    snp: { measurements: [], hostData: {}, uvmEndorsements: {}, tcbVersions: {} },
  });
});

test('one that has them shows measurements and registers', () => {
  const [measurement, register] = ['ab'.repeat(48), 'cd'.repeat(32)];
  const policy = shown((tx) => {
    tx.table(AZURE_CVM_MEASUREMENTS).put(utf8(measurement), ALLOWED);
    tx.table(AZURE_CVM_PCRS).put(utf8('11'), jsonRow([register]));
  });
  expect(policy).toMatchObject({
    concordatAzureCvm: { measurements: [measurement], pcrs: { 11: [register] } },
  });
});
