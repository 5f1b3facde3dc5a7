// `POST /node/join`: the order of its checks, who is told what, and that a row is written once.

import { X509Certificate } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { VIRTUAL_MEASUREMENT } from '../../src/attestation/virtual.ts';
import { base64Of, utf8 } from '../../src/base/bytes.ts';
import { certificatePublicKeyDer } from '../../src/crypto/certificates.ts';
import { removeNode, transitionNodeToTrusted } from '../../src/governance/nodes-actions.ts';
import { writePendingNode, writeTrustedNode } from '../../src/governance/nodes-joining.ts';
import {
  deleteRetiredNode,
  markRetiredCommitted,
} from '../../src/governance/nodes-retirement.ts';
import {
  NODE_CERTIFICATES,
  SERVICE_INFO,
  SINGLETON,
  SNP_TCB_VERSIONS,
  VIRTUAL_MEASUREMENTS,
} from '../../src/governance/tables.ts';
import type { JoinRequestBody } from '../../src/http/join-wire.ts';
import { type Joiner, newJoiner } from '../governance/small-service.ts';
import { bodyOf, type DeskRig, deskRig, errorOf, jsonOf, SECRETS } from './join-desk.ts';

let rig: DeskRig;
let joiner: Joiner;
beforeEach(async () => {
  rig = await deskRig();
  joiner = await newJoiner(9001);
});

type Changes = { -readonly [Name in keyof JoinRequestBody]?: unknown };

interface Check {
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly message: RegExp;
  /** Makes the check fail, by changing the node, the tables or the request. */
  readonly fault: (body: Changes) => Promise<void> | void;
}

const CHECKS: readonly Check[] = [
  {
    title: 'the node is part of the network',
    status: 500,
    code: 'InternalError',
    message: /part of network/,
    fault: () => {
      rig.turns.state = 'Pending';
    },
  },
  {
    title: "the joiner's state is as new as the node's own beginning",
    status: 400,
    code: 'StartupSeqnoIsOld',
    message: /from seqno 0 .* startup seqno 50/,
    fault: () => {
      rig.turns.startupSeqno = 50;
    },
  },
  {
    title: 'there is a service',
    status: 500,
    code: 'InternalError',
    message: /No service/,
    fault: () => rig.service.run((tx) => tx.table(SERVICE_INFO).remove(SINGLETON)),
  },
  {
    title: 'the node is the primary',
    status: 308,
    code: 'NodeCannotHandleRequest',
    message: /not primary/,
    fault: () => {
      rig.turns.isPrimary = false;
      rig.turns.primaryId = rig.other.node.nodeId;
    },
  },
  {
    title: 'the joiner was not retired',
    status: 400,
    code: 'InvalidNodeState',
    message: /Retired/,
    fault: () => {
      // At an address of its own, so that nothing else is wrong with it.
      const { node } = joiner;
      rig.service.run((tx) => writeTrustedNode(tx, node, undefined));
      rig.service.run((tx) => removeNode(tx, node.nodeId));
    },
  },
  {
    title: 'the certificate is asked for the key of the session',
    status: 400,
    code: 'CSRPublicKeyInvalid',
    message: /does not match/,
    fault: async (body) => {
      body.certificate_signing_request = (await newJoiner()).requestPem;
    },
  },
  {
    title: 'no live node has the address',
    status: 400,
    code: 'NodeAlreadyExists',
    message: /node.example:8102 already exists/,
    fault: (body) => {
      body.node_info_network = rig.other.node.network;
    },
  },
  {
    title: 'the evidence is admitted',
    status: 401,
    code: 'InvalidQuote',
    message: /public key hash/,
    fault: (body) => {
      body.quote_info = rig.other.node.evidence;
    },
  },
];

test.each(CHECKS.map((check, at) => [check.title, at] as const))(
  'check: %s, before those that come later',
  async (_title, at) => {
    const [check] = CHECKS.slice(at);
    for (const faults of [CHECKS.slice(at, at + 1), CHECKS.slice(at)]) {
      rig = await deskRig();
      const body: Changes = bodyOf(joiner);
      for (const { fault } of faults) await fault(body);
      const { newest } = rig.service.store;
      const response = await rig.post(body, joiner.certificatePem);
      expect(response.status).toBe(check?.status);
      expect(errorOf(response).code).toBe(check?.code);
      expect(errorOf(response).message).toMatch(check?.message ?? /^$/);
      expect(rig.service.store.newest).toBe(newest);
    }
  },
);

test('a backup sends a joiner to the same interface of the primary', async () => {
  rig.turns.isPrimary = false;
  rig.turns.primaryId = rig.other.node.nodeId;
  const response = await rig.post(bodyOf(joiner), joiner.certificatePem);
  expect(response.headers?.location).toBe('https://node.example:9102/node/join');
});

test.each([undefined, 'ff'.repeat(32), 'own'])('no primary to be sent to: %s', async (id) => {
  rig.turns.isPrimary = false;
  rig.turns.primaryId = id === 'own' ? rig.own.node.nodeId : id;
  const response = await rig.post(bodyOf(joiner), joiner.certificatePem);
  expect([response.status, errorOf(response).message]).toEqual([500, 'Primary unknown']);
});

test.each([
  ['no primary', { isPrimary: false, primaryId: undefined }],
  ['a node that restarts', { state: 'Initialized' }],
] as const)('with %s, a node that is trusted is let in all the same', async (_what, turn) => {
  const { service, post } = rig;
  const { nodeId } = joiner.node;
  Object.assign(rig.turns, turn);
  service.run((tx) => writePendingNode(tx, joiner.node));
  const waiting = await post(bodyOf(joiner), joiner.certificatePem);
  expect(waiting.status).toBe(500);
  service.run((tx) => transitionNodeToTrusted(tx, nodeId, undefined));
  const answer = await post(bodyOf(joiner), joiner.certificatePem);
  expect([answer.status, jsonOf(answer).node_status]).toEqual([200, 'Trusted']);
  expect(jsonOf(answer).network_info).toBeDefined();
  const stranger = await newJoiner(9002);
  expect((await post(bodyOf(stranger), stranger.certificatePem)).status).toBe(500);
});

test('a node waits, asks again, is trusted and only then given the secrets', async () => {
  const { service, post } = rig;
  const { nodeId } = joiner.node;
  const first = await post(bodyOf(joiner), joiner.certificatePem);
  expect(first.status).toBe(200);
  expect(jsonOf(first)).toEqual({ node_id: nodeId, node_status: 'Pending' });
  const { newest } = service.store;
  expect(jsonOf(await post(bodyOf(joiner), joiner.certificatePem)).node_status).toBe('Pending');
  expect(service.store.newest).toBe(newest);
  expect(service.node(nodeId)).toMatchObject({
    status: 'Pending',
    public_key: joiner.node.publicKeyPem,
    certificate_signing_request: joiner.requestPem,
    code_digest: joiner.node.codeDigest,
  });

  service.run((tx) => transitionNodeToTrusted(tx, nodeId, 'endorsed'));
  const answer = jsonOf(await post(bodyOf(joiner), joiner.certificatePem));
  expect(answer).toEqual({
    node_id: nodeId,
    node_status: 'Trusted',
    network_info: {
      public_only: false,
      last_recovered_signed_idx: 0,
      ledger_secrets: {
        1: { raw_key: base64Of(SECRETS[0]?.bytes ?? utf8('')), concordat_view: 2 },
        40: { raw_key: base64Of(SECRETS[1]?.bytes ?? utf8('')), concordat_view: 5 },
      },
      identity: { cert: service.certificatePem, priv_key: service.serviceKey.privateKeyPem() },
      service_status: 'Open',
      endorsed_certificate: 'endorsed',
      cose_signatures_config: { issuer: 'us', subject: 'ledger' },
      concordat_nodes: expect.arrayContaining([
        {
          node_id: nodeId,
          address: 'node.example:9001',
          service_address: 'node.example:10001',
        },
      ]),
    },
  });
  expect(answer.network_info?.concordat_nodes).toHaveLength(3);
});

test('the secrets go to the session of the trusted key, whatever a body says', async () => {
  const { service, post } = rig;
  await post(bodyOf(joiner), joiner.certificatePem);
  service.run((tx) => transitionNodeToTrusted(tx, joiner.node.nodeId, 'endorsed'));
  const thief = await newJoiner(9002);
  const stolen = await post(bodyOf(joiner), thief.certificatePem);
  expect(errorOf(stolen).code).toBe('CSRPublicKeyInvalid');
  const own = await post(bodyOf(thief), thief.certificatePem);
  expect(jsonOf(own)).toEqual({ node_id: thief.node.nodeId, node_status: 'Pending' });
});

test('a service that is Opening trusts at once, as long as the node signed itself', async () => {
  rig = await deskRig('Opening');
  const { service, post } = rig;
  const response = await post(bodyOf(joiner), joiner.certificatePem);
  const { node_status, network_info } = jsonOf(response);
  expect(node_status).toBe('Trusted');
  const endorsed = new X509Certificate(network_info?.endorsed_certificate ?? '');
  const self = new X509Certificate(joiner.certificatePem);
  expect([endorsed.validFrom, endorsed.validTo]).toEqual([self.validFrom, self.validTo]);
  expect(endorsed.verify(new X509Certificate(service.certificatePem).publicKey)).toBe(true);
  expect(endorsed.subjectAltName).toBe('IP Address:127.0.0.1');
  expect(Buffer.from(certificatePublicKeyDer(endorsed.toString()))).toEqual(
    Buffer.from(joiner.key.publicKeyDer),
  );
  const { nodeId } = joiner.node;
  expect(service.node(nodeId)).toMatchObject({ status: 'Trusted', ledger_secret_seqno: 1 });
  expect(service.row(NODE_CERTIFICATES, nodeId)).toBe(network_info?.endorsed_certificate);
  const { newest } = service.store;
  const again = jsonOf(await post(bodyOf(joiner), joiner.certificatePem));
  expect(again.network_info?.endorsed_certificate).toBe(network_info?.endorsed_certificate);
  expect(service.store.newest).toBe(newest);
});

test('what happens while the evidence is read is seen', async () => {
  const { service, post, turns } = rig;
  turns.meanwhile = () => {
    turns.meanwhile = () => undefined;
    service.run((tx) => writePendingNode(tx, { ...joiner.node, nodeId: 'aa'.repeat(32) }));
  };
  const taken = await post(bodyOf(joiner), joiner.certificatePem);
  expect(errorOf(taken).code).toBe('NodeAlreadyExists');

  const twice = await newJoiner(9003);
  const both = [1, 2].map(() => post(bodyOf(twice), twice.certificatePem));
  const statuses = (await Promise.all(both)).map((each) => jsonOf(each).node_status);
  expect(statuses).toEqual(['Pending', 'Pending']);

  turns.meanwhile = () => {
    turns.isPrimary = false;
    turns.primaryId = undefined;
  };
  const late = await newJoiner(9004);
  const response = await post(bodyOf(late), late.certificatePem);
  expect(errorOf(response).message).toBe('Primary unknown');
  expect(service.node(late.node.nodeId)).toBeUndefined();
});

test('a verdict holds for the policy that it was drawn by, and for no other', async () => {
  const { service, post, turns } = rig;
  turns.meanwhile = () => {
    turns.meanwhile = () => undefined;
    const measurement = utf8(VIRTUAL_MEASUREMENT);
    service.run((tx) => tx.table(VIRTUAL_MEASUREMENTS).remove(measurement));
  };
  const { newest } = service.store;
  const changed = await post(bodyOf(joiner), joiner.certificatePem);
  expect([changed.status, errorOf(changed).message]).toEqual([
    503,
    'The join policy has changed: ask again.',
  ]);
  const again = await post(bodyOf(joiner), joiner.certificatePem);
  expect([again.status, errorOf(again).code]).toEqual([401, 'InvalidQuote']);
  expect(errorOf(again).message).toContain('known enclave measurement');
  expect(service.store.newest).toBe(newest + 1);
});

test('a policy that cannot be read admits nobody', async () => {
  const { service, post } = rig;
  service.run((tx) => tx.table(SNP_TCB_VERSIONS).put(utf8('00a00f11'), utf8('[]')));
  const response = await post(bodyOf(joiner), joiner.certificatePem);
  expect(response.status).toBe(500);
  expect(errorOf(response).message).toContain('nodes.snp.tcb_versions');
});

test('an identity that was removed for good is not taken in again', async () => {
  const { service, post } = rig;
  const { nodeId } = joiner.node;
  service.run((tx) => writeTrustedNode(tx, joiner.node, undefined));
  service.run((tx) => removeNode(tx, nodeId));
  service.run((tx) => markRetiredCommitted(tx, [nodeId]));
  service.run((tx) => deleteRetiredNode(tx, nodeId));
  const response = await post(bodyOf(joiner), joiner.certificatePem);
  expect([response.status, errorOf(response).code]).toEqual([400, 'InvalidNodeState']);
  expect(errorOf(response).message).toContain('empty folder');
});

test('a row of another key under this id is never answered with secrets', async () => {
  const { service, post } = rig;
  const other = await newJoiner();
  const node = { ...joiner.node, publicKeyPem: other.node.publicKeyPem };
  service.run((tx) => writeTrustedNode(tx, node, undefined));
  const response = await post(bodyOf(joiner), joiner.certificatePem);
  expect(errorOf(response).code).toBe('InvalidNodeState');
});

test('when too many wait already, a joiner is asked to come back', async () => {
  const { service, post } = rig;
  for (let number = 0; number < 100; number += 1) {
    const nodeId = String(number).padStart(64, '0');
    service.run((tx) => writePendingNode(tx, { ...rig.other.node, nodeId }));
  }
  const response = await post(bodyOf(joiner), joiner.certificatePem);
  expect([response.status, errorOf(response).code]).toEqual([503, 'TooManyPendingNodes']);
});

/** One more than a node may name. */
function seventeen(): Readonly<Record<string, unknown>> {
  const names = Array.from({ length: 17 }, (_, number) => `i${number}`);
  return Object.fromEntries(names.map((name) => [name, { bind_address: 'a:1' }]));
}

test.each<[string, unknown]>([
  ['#', 'no JSON'],
  ['#', '[]'],
  ['#/node_info_network', { node_info_network: 1 }],
  ['#/node_info_network/rpc_interfaces', { network: { rpc_interfaces: {} } }],
  ['#/node_info_network/rpc_interfaces', { network: { rpc_interfaces: seventeen() } }],
  [
    '#/node_info_network/rpc_interfaces/a b',
    { network: { rpc_interfaces: { 'a b': { bind_address: 'a:1' } } } },
  ],
  [
    '#/node_info_network/rpc_interfaces/p/bind_address',
    { network: { rpc_interfaces: { p: { bind_address: 'nowhere' } } } },
  ],
  [
    '#/node_info_network/rpc_interfaces/p/endorsement',
    { network: { rpc_interfaces: { p: { bind_address: 'a:1', endorsement: 'Service' } } } },
  ],
  [
    '#/node_info_network/node_to_node_interface/published_address',
    {
      network: {
        node_to_node_interface: { bind_address: 'a:1', published_address: 'a:70000' },
      },
    },
  ],
  ['#/quote_info/format', { quote_info: { format: 'OE_SGX_v1' } }],
  ['#/quote_info/quote', { quote: '*' }],
  ['#/quote_info/endorsed_tcb', { endorsed_tcb: 'xy' }],
  ['#/public_encryption_key', { public_encryption_key: 'key' }],
  ['#/startup_seqno', { startup_seqno: undefined }],
  ['#/startup_seqno', { startup_seqno: -1 }],
  ['#/certificate_signing_request', { certificate_signing_request: 7 }],
])('a body is refused at %s', async (at, change) => {
  const body = bodyOf(joiner);
  const { network, quote, endorsed_tcb, ...plain } = (
    typeof change === 'object' ? change : {}
  ) as Record<string, unknown>;
  const evidence = { ...body.quote_info, ...(quote === undefined ? {} : { quote }) };
  const changed = {
    ...body,
    node_info_network: { ...body.node_info_network, ...(network as object | undefined) },
    quote_info: endorsed_tcb === undefined ? evidence : { ...evidence, endorsed_tcb },
    ...plain,
  };
  const response = await rig.post(
    typeof change === 'string' ? change : changed,
    joiner.certificatePem,
  );
  expect([response.status, errorOf(response).code]).toEqual([400, 'InvalidInput']);
  expect(errorOf(response).message).toContain(`At ${at}: `);
});

test('a key for secrets that is no RSA key, and a certificate request that is none', async () => {
  const curve = (await newJoiner()).node.publicKeyPem;
  const key = { ...bodyOf(joiner), public_encryption_key: curve };
  expect(errorOf(await rig.post(key, joiner.certificatePem)).message).toContain('RSA');
  const request = { ...bodyOf(joiner), certificate_signing_request: 'mine' };
  const refused = errorOf(await rig.post(request, joiner.certificatePem));
  expect(refused.code).toBe('CSRPublicKeyInvalid');
});

test('what nobody knows of an interface does not go into the ledger', async () => {
  const body = bodyOf(joiner);
  const p = { bind_address: '10.0.0.1:80', protocol: 'tcp', junk: 'x'.repeat(100) };
  const network = { ...body.node_info_network, rpc_interfaces: { p } };
  await rig.post({ ...body, node_info_network: network }, joiner.certificatePem);
  expect(rig.service.node(joiner.node.nodeId)?.rpc_interfaces).toEqual({
    p: { bind_address: '10.0.0.1:80', protocol: 'tcp', published_address: '10.0.0.1:80' },
  });
});
