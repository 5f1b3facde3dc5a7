// That the front door lets nodes ask to join where it was given what that takes, and keeps such
// requests to itself; and that members' signed orders go to the primary. What they are told is in
// test/joining and test/governance.

import { expect, test } from 'vitest';
import { seqnoOf } from '../../src/base/ids.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import type { JoinDesk } from '../../src/http/join-desk.ts';
import { askOnce, codeOf } from './client.ts';
import { openHouse, openPair } from './house.ts';

const desk: JoinDesk = {
  startupSeqno: seqnoOf(0),
  secrets: () => [],
  serviceKey: () => new Uint8Array(),
  wrapTo: (_publicKeyPem, secret) => secret,
  coseSignatures: { issuer: 'issuer', subject: 'subject' },
  judge: async () => ({ accepted: false, atMs: 0, checks: [] }),
  endorse: () => Promise.reject(new Error('nobody is endorsed here')),
};

const BODY = JSON.stringify({
  node_info_network: {
    node_to_node_interface: { bind_address: '127.0.0.1:1', published_address: '127.0.0.1:1' },
    rpc_interfaces: { one: { bind_address: '127.0.0.1:2' } },
  },
  quote_info: { format: 'Insecure_Virtual', quote: '', endorsements: '' },
  public_encryption_key: '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n',
  startup_seqno: 0,
});

test('without what it takes there is no such endpoint', async () => {
  const house = await openHouse();
  const reply = await askOnce(house, house.stranger, 'POST', '/node/join', { body: BODY });
  expect([reply.status, codeOf(reply)]).toEqual([404, 'ResourceNotFound']);
  await house.close();
});

test('a backup sends its joiners on itself: nothing is forwarded, nothing redirected', async () => {
  for (const redirections of [undefined, {}]) {
    const options = { join: desk, ...(redirections === undefined ? {} : { redirections }) };
    const pair = await openPair({ primary: options, backup: options });
    const { backup, primary } = pair;
    const nobody = await askOnce(backup, undefined, 'POST', '/node/join', { body: BODY });
    expect([nobody.status, codeOf(nobody)]).toEqual([401, 'InvalidAuthenticationInfo']);
    const sent = await askOnce(backup, backup.stranger, 'POST', '/node/join', { body: BODY });
    expect([sent.status, codeOf(sent)]).toEqual([308, 'NodeCannotHandleRequest']);
    expect(sent.headers.get('location')).toBe('https://127.0.0.1:8000/node/join');
    expect(backup.service.forwarded).toHaveLength(0);
    const judged = await askOnce(primary, primary.stranger, 'POST', '/node/join', {
      body: BODY,
    });
    expect([judged.status, codeOf(judged)]).toEqual([401, 'InvalidQuote']);
    await pair.close();
  }
});

test('a member’s order is carried out by the primary, whichever node it came to', async () => {
  const path = '/node/concordat/operator-actions';
  const without = await openPair();
  expect((await askOnce(without.backup, undefined, 'POST', path, { body: 'x' })).status).toBe(
    404,
  );
  await without.close();
  const actions = { verifier: nodeVerifier, endorse: desk.endorse };
  const { primary, backup, close } = await openPair({
    primary: { actions },
    backup: { actions },
  });
  const reply = await askOnce(backup, undefined, 'POST', path, { body: 'not signed at all' });
  expect([reply.status, codeOf(reply)]).toEqual([400, 'InvalidInput']);
  expect(primary.service.runs).toHaveLength(1);
  expect(backup.service.runs).toHaveLength(0);
  await close();
});
