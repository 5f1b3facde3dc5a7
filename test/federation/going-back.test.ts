/**
 * To show: an organisation that goes back to Tessera finds there what it sent and was sent while it
 * was inside. Its key is taken out by the members' vote, its node asks as it asks any peer.
 */
import { afterEach, expect, test } from 'vitest';
import { ORGANISATIONS, PARTY_KEYS } from '../../src/apps/organisations.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { writeResend } from '../../src/federation/resend-requests.ts';
import { eventually, onPrimary } from '../support/cluster-rig.ts';
import { FederatedService } from './federated-service.ts';
import { type Answer, TesseraDouble } from './tessera-double.ts';
import type { KeyPair } from './tessera-payloads.ts';

let service: FederatedService | undefined;

afterEach(async () => {
  await service?.end();
  service = undefined;
});

function base64({ publicKey }: KeyPair): string {
  return publicKey.toString('base64');
}

/** Two organisations inside that sent to each other, of which the second has left. */
async function left(): Promise<{
  readonly on: FederatedService;
  readonly node: TesseraDouble;
  readonly one: KeyPair;
  readonly own: readonly string[];
}> {
  service = await FederatedService.of(1);
  const on = service;
  const [one, two] = on.keys;
  if (one === undefined || two === undefined) throw new Error('there are two organisations');
  const own: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    own.push(await on.send({ to: [base64(two)] }));
    own.push(await on.send({ to: [base64(one)] }, 2));
  }
  await on.send({ to: [] });
  const node = await new TesseraDouble({ keys: [two], validates: true }).start();
  on.doubles.push(node);
  // While its key is inside, its node is not believed.
  expect((await node.tell(on.url())).status).toBe(403);
  await onPrimary(on.members, ({ node: primary }) =>
    primary.commitService((tx) => {
      const row = { name: 'Organisation 2', party_keys: [], residents: [] };
      tx.table(PARTY_KEYS).remove(utf8(base64(two)));
      tx.table(ORGANISATIONS).put(utf8('organisation2'), utf8(JSON.stringify(row)));
    }),
  );
  expect((await node.tell(on.url())).status).toBe(200);
  return { on, node, one, own };
}

test('it is pushed all of it, oldest first, and goes on sending to those inside', async () => {
  const { on, node, one, own } = await left();
  const body = writeResend({ type: 'ALL', publicKey: node.key.publicKey });
  const answer = await node.ask(on.url(), 'resend', body, 'application/json');
  expect([answer.status, answer.body.toString()]).toEqual([200, '']);
  expect(node.pushes).toEqual(own);
  expect(own.map((key) => node.textOf(key))).toEqual(own.map(() => 'a payload from inside'));
  await eventually('the node told of the key inside', () => node.known.has(base64(one)));
  const { made } = await node.send([one.publicKey], { text: 'from outside again' });
  expect((await on.received(made.key)).status).toBe(200);
  const later = await on.send({ to: [base64(node.key)] });
  await eventually('it delivered', () => node.textOf(later) === 'a payload from inside');
});

test('its node in recovery gets the same in batches', async () => {
  const { on, node, own } = await left();
  node.recovers = true;
  const body = JSON.stringify({ publicKey: base64(node.key), batchSize: 4 });
  const answer = await node.ask(on.url(), 'resendBatch', body, 'application/json');
  expect([answer.status, answer.body.toString()]).toEqual([200, '{"total":6}']);
  expect(node.pushes).toEqual(own);
});

test('it is sent all once at a time, however often it asks', async () => {
  const { on, node, own } = await left();
  let again: Promise<Answer> | undefined;
  const body = writeResend({ type: 'ALL', publicKey: node.key.publicKey });
  const ask = (): Promise<Answer> => node.ask(on.url(), 'resend', body, 'application/json');
  node.beforeAnswer = () => {
    again ??= ask();
  };
  const first = await ask();
  expect([first.status, node.pushes]).toEqual([200, own]);
  const second = await again;
  expect(second?.status).toBe(503);
  expect(second?.body.toString()).toContain('are being sent to');
  expect((await ask()).status).toBe(200);
});
