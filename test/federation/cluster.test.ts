/**
 * Stories of federation on several nodes: whoever is primary delivers what the one before has
 * committed, and peers may speak with any node.
 */
import { afterEach, expect, test } from 'vitest';
import { eventually, primaryOf } from '../support/cluster-rig.ts';
import { jsonIn } from '../support/quorum-client.ts';
import { FederatedService } from './federated-service.ts';

let service: FederatedService | undefined;

afterEach(async () => {
  await service?.end();
  service = undefined;
});

test('what a primary committed before it died, the next one delivers', async () => {
  const on = await FederatedService.of(3);
  service = on;
  const primary = await primaryOf(on.members);
  const peer = await on.meet({}, primary);
  await peer.stop();
  const to = [peer.key.publicKey.toString('base64')];
  const keys: string[] = [];
  for (let n = 0; n < 3; n += 1) keys.push(await on.send({ to }));
  await primary.crash('lost');
  const others = on.members.filter((member) => member !== primary);
  const next = await primaryOf(others);
  expect(peer.pushes).toEqual([]);
  await peer.start();
  await eventually('all delivered', () => keys.every((key) => peer.stored.has(key)));
  await eventually('the outbox empty', () => on.outbox(next) === 0);
  expect(peer.pushes).toEqual(keys);
  on.members.splice(on.members.indexOf(primary), 1);
}, 60_000);

test('a receipt that died with its primary is asked for again, and changes nothing', async () => {
  const on = await FederatedService.of(3);
  service = on;
  const primary = await primaryOf(on.members);
  const peer = await on.meet({}, primary);
  // The push arrives; its receipt does not, because the primary is cut off from the others first.
  peer.beforeAnswer = () => {
    primary.isCut = true;
  };
  const to = [peer.key.publicKey.toString('base64')];
  const key = await on.send({ to });
  await eventually('pushed', () => peer.pushes.length > 0);
  peer.beforeAnswer = undefined;
  const others = on.members.filter((member) => member !== primary);
  const next = await primaryOf(others);
  await eventually('pushed again', () => peer.pushes.length > 1);
  await eventually('the outbox empty', () => on.outbox(next) === 0);
  expect(new Set(peer.pushes)).toEqual(new Set([key]));
  primary.isCut = false;
}, 60_000);

test('a peer may speak with a backup: the primary answers', async () => {
  const on = await FederatedService.of(2);
  service = on;
  const primary = await primaryOf(on.members);
  const backup = on.members.find((member) => member !== primary);
  const peer = await on.meet({ validates: true }, backup);
  const inside = on.keys[0]?.publicKey ?? peer.key.publicKey;
  peer.known.set(inside.toString('base64'), on.url(backup));
  const { made, answers } = await peer.send([inside]);
  expect(answers.map(({ status, body }) => [status, body.toString()])).toEqual([
    [201, made.key],
  ]);
  expect(jsonIn(await on.received(made.key, 1, primary)).senderKey).toBe(
    peer.key.publicKey.toString('base64'),
  );
}, 60_000);
