/**
 * Two services of ours as each other's peers, over TLS with certificates on both sides: what one
 * says the other must understand, without a double between.
 */

import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createPeerClient } from '../../src/federation/peer-client.ts';
import { testIdentity } from '../http/certificates.ts';
import { eventually } from '../support/cluster-rig.ts';
import { jsonIn } from '../support/quorum-client.ts';
import { FederatedService } from './federated-service.ts';

const services: FederatedService[] = [];

afterEach(async () => {
  for (const service of services.splice(0)) await service.end();
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

test('two services send to each other over mutual TLS, and nobody else gets in', async () => {
  const [here, there, stranger] = await Promise.all(
    ['One', 'Two', 'Three'].map((name) => testIdentity(`localhost, O=${name}`)),
  );
  if (here === undefined || there === undefined || stranger === undefined) return;
  const ca = [here.cert, there.cert].join('\n');
  const ports = [await freePort(), await freePort()];
  const urls = ports.map((port) => `https://localhost:${port}/`);
  for (const [at, own] of [here, there].entries()) {
    const tls = { ...own, ca, demandsCertificates: true };
    const server = { host: '127.0.0.1', port: ports[at] ?? 0, whitelist: [], tls };
    const peers = urls.filter((_, index) => index !== at);
    const url = urls[at] ?? '';
    services.push(await FederatedService.of(1, { server, url, peers, discovery: false }));
  }
  const [one, two] = services;
  if (one === undefined || two === undefined) return;
  const keysKnownTo = (on: FederatedService): number =>
    on
      .federation()
      .status()
      .peers.flatMap(({ keys }) => keys).length;
  await eventually('each knows the keys of the other', () =>
    services.every((on) => keysKnownTo(on) === 2),
  );
  const to = two.keys.map(({ publicKey }) => publicKey.toString('base64'));
  const key = await one.send({ to, privacyFlag: 3, execHash: 'a state' });
  await eventually('delivered to both', () => one.outbox() === 0);
  for (const organisation of [1, 2]) {
    expect(jsonIn(await two.received(key, organisation))).toMatchObject({
      payload: Buffer.from('a payload from inside').toString('base64'),
      privacyFlag: 3,
      execHash: 'a state',
    });
  }
  const answer = await two.send({
    to: [one.keys[0]?.publicKey.toString('base64') ?? ''],
    privacyFlag: 3,
    execHash: 'the next',
  });
  await eventually('delivered back', () => two.outbox() === 0);
  expect((await one.received(answer)).status).toBe(200);
  expect((await one.received(answer, 2)).status).toBe(404);
  const client = createPeerClient({ ...stranger, ca });
  const question = {
    method: 'GET',
    url: urls[0] ?? '',
    path: 'upcheck',
    timeoutMs: 5_000,
  } as const;
  await expect(client.ask(question)).rejects.toThrow('cannot be reached');
  client.close();
  const known = createPeerClient({ ...there, ca });
  expect((await known.ask(question)).status).toBe(200);
  known.close();
}, 60_000);
