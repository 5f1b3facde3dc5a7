// `POST /node/concordat/operator-actions`: a member's order is carried out with a certificate made
// for it, and a refusal changes nothing.

import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import type { AppRequest, AppResponse, Step } from '../../src/apps/interface.ts';
import { endorseRequest } from '../../src/crypto/endorsement.ts';
import { systemKeys } from '../../src/crypto/key-source.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { writePendingNode } from '../../src/governance/nodes-joining.ts';
import { signOperatorAction } from '../../src/governance/operator-actions.ts';
import { NODE_CERTIFICATES } from '../../src/governance/tables.ts';
import { operatorActionEndpoint } from '../../src/http/operator-action-endpoint.ts';
import { codeOf } from '../support/crashing-disk.ts';
import { NOW_MS, newJoiner, newMember, SmallService } from './small-service.ts';

const member = await newMember();

async function serviceWithOneWaiting(): Promise<{ service: SmallService; nodeId: string }> {
  const service = await SmallService.create();
  const { node } = await newJoiner();
  service.run((tx) => writePendingNode(tx, node));
  service.addMember(member);
  return { service, nodeId: node.nodeId };
}

async function post(
  service: SmallService,
  body: Uint8Array,
  type = 'application/cose',
): Promise<AppResponse> {
  const issuer = { key: service.serviceKey, certificatePem: service.certificatePem };
  const endpoint = operatorActionEndpoint({
    verifier: nodeVerifier,
    endorse: (requestPem, validity) => endorseRequest(systemKeys, requestPem, validity, issuer),
  });
  const request: AppRequest = {
    verb: 'POST',
    path: endpoint.path,
    params: {},
    query: '',
    header: (name) => (name === 'content-type' ? type : undefined),
    body,
    caller: { policy: 'no_auth' },
  };
  let step: Step = endpoint.handle(request, service.store.current);
  while (step.kind === 'ask') step = await step.ask();
  if (step.kind === 'answer') return step.response;
  if (step.kind === 'write') return service.run(step.apply);
  throw new Error(`no step ${step.kind} is taken`);
}

const trust = (nodeId: string, valid_from: string): Promise<Uint8Array> =>
  signOperatorAction(
    'transition_node_to_trusted',
    { node_id: nodeId, valid_from, validity_period_days: 30 },
    member,
    NOW_MS,
  );

test('a node is trusted, with a certificate for as long as was ordered', async () => {
  const { service, nodeId } = await serviceWithOneWaiting();
  const { status, body } = await post(service, await trust(nodeId, '2026-11-21T12:00:00Z'));
  expect([status, JSON.parse(String(body))]).toEqual([
    200,
    { action: 'transition_node_to_trusted', node_id: nodeId, node_status: 'Trusted' },
  ]);
  const certificate = new X509Certificate(service.row(NODE_CERTIFICATES, nodeId) ?? '');
  expect(certificate.validFromDate.toISOString()).toBe('2026-11-21T12:00:00.000Z');
  expect(certificate.validToDate.toISOString()).toBe('2026-12-21T11:59:59.000Z');
  expect(certificate.verify(new X509Certificate(service.certificatePem).publicKey)).toBe(true);
  expect(certificate.subject).toBe('CN=Concordat Node');
});

test('a node that waits is forgotten', async () => {
  const { service, nodeId } = await serviceWithOneWaiting();
  const order = await signOperatorAction('remove_node', { node_id: nodeId }, member, NOW_MS);
  const { body } = await post(service, order);
  expect(JSON.parse(String(body)).node_status).toBe('Forgotten');
  expect(service.node(nodeId)).toBeUndefined();
});

test.each(['tomorrow', '261321120000Z', '2026-11-21', '20261121'])(
  'a certificate from %s on is refused',
  async (validFrom) => {
    const { service, nodeId } = await serviceWithOneWaiting();
    const refused = await post(service, await trust(nodeId, validFrom)).catch(
      (thrown: unknown) => thrown,
    );
    expect(codeOf(refused)).toBe('InvalidInput');
    expect(String(refused)).toContain(JSON.stringify(validFrom));
    expect(service.node(nodeId)?.status).toBe('Pending');
  },
);

test('what is not said to be a signed request is not read', async () => {
  const { service, nodeId } = await serviceWithOneWaiting();
  const order = await trust(nodeId, '261121120000Z');
  expect((await post(service, order, 'text/plain')).status).toBe(415);
  expect(await post(service, new Uint8Array(3)).catch(codeOf)).toBe('InvalidInput');
});
