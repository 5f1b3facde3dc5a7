// A node joins: from an empty folder to one that can be started, whatever interrupts it.

import { expect, test } from 'vitest';
import { textOf } from '../../src/base/bytes.ts';
import { certificateOfPem } from '../../src/crypto/x509.ts';
import { loadIdentity } from '../../src/node/identity.ts';
import type { JoinReply } from '../../src/node/joining/join-source.ts';
import { firstPeers } from '../../src/node/joining/joined-service.ts';
import { OPENED_MARK } from '../../src/node/new-service.ts';
import { SERVICE_CERTIFICATE } from '../../src/node/restart.ts';
import { codeOf } from '../support/crashing-disk.ts';
import { answer, type FakeNode, nodeIdOf } from './fake-service.ts';
import {
  byName,
  CHUNKS,
  JoinerRig,
  KEYS,
  LEDGER,
  NAMES,
  PARTS,
  STRANGER,
} from './joiner-rig.ts';

/** A service of one node that lets joiners in. */
function rigWith(...replies: FakeNode['replies']): { rig: JoinerRig; node: FakeNode } {
  const rig = new JoinerRig();
  const node = rig.service.node('a:1', CHUNKS);
  node.replies = replies.length === 0 ? [rig.service.trusted] : replies;
  return { rig, node };
}

test('a joiner fetches the ledger, waits, is let in, and has all that a node has', async () => {
  const { rig, node } = rigWith();
  const { service } = rig;
  node.replies = [service.pending, service.pending, service.trusted];
  const joined = await rig.join();

  expect(byName(rig.files(LEDGER))).toEqual(byName(CHUNKS));
  expect(rig.files(PARTS).size).toBe(0);
  expect(joined.ledgerEnd).toEqual({ view: 2, seqno: 19 });
  expect(joined.peers).toEqual([{ nodeId: 'ab'.repeat(32), address: '127.0.0.1:7001' }]);
  expect(joined.coseSignatures).toEqual({ issuer: 'us', subject: 'ledger' });
  const { nodeKey, serviceKey, indexKey } = joined.identity;
  const endorsed = certificateOfPem(joined.nodeCertificatePem ?? '');
  expect(Buffer.from(endorsed.publicKeyDer).equals(nodeKey.publicKeyDer)).toBe(true);

  // A restart in place finds it like that of a node which founded its service.
  const sealed = await rig.sealed();
  const identity = await loadIdentity(sealed);
  expect(identity.nodeKey.fingerprint).toBe(nodeKey.fingerprint);
  expect(identity.serviceKey.fingerprint).toBe(serviceKey.fingerprint);
  expect(identity.serviceKey.fingerprint).toBe(KEYS.serviceKey.fingerprint);
  expect(identity.encryptionKey.publicKeyPem).toBe(joined.identity.encryptionKey.publicKeyPem);
  expect(identity.indexKey).toEqual(indexKey);
  expect(await sealed.ledgerSecrets()).toEqual(joined.secrets);
  expect(textOf(await sealed.get(SERVICE_CERTIFICATE))).toBe(KEYS.serviceCert);
  expect(await sealed.has(OPENED_MARK)).toBe(true);
  expect(await firstPeers(sealed)).toEqual(joined.peers);
  expect(service.isClosed).toBe(true);
  expect(rig.warnings).toEqual([]);

  // The ledger came before the question: a node that is trusted holds nobody up.
  expect(node.calls.indexOf('join')).toBeGreaterThan(node.calls.indexOf(`chunk with 20`));
  expect(node.calls.filter((call) => call === 'join')).toHaveLength(3);
  expect(rig.progress).toContain(`waiting to be trusted as node ${nodeKey.fingerprint}`);
});

test('what it asks with is what the service wants to know', async () => {
  const { rig, node } = rigWith();
  let asked: Parameters<FakeNode['replies'][number]>[0] | undefined;
  node.replies = [
    (body) => {
      asked = body;
      return rig.service.trusted(body);
    },
  ];
  const joined = await rig.join({
    nodeData: { rack: 7 },
    addresses: {
      host: '127.0.0.1',
      port: 8009,
      nodeToNode: { host: '127.0.0.1', port: 7009, publishedAddress: 'node.example:7009' },
    },
  });
  expect(asked).toMatchObject({
    node_info_network: {
      node_to_node_interface: { published_address: 'node.example:7009' },
      rpc_interfaces: { primary_rpc_interface: { published_address: '127.0.0.1:8009' } },
    },
    quote_info: { format: 'Insecure_Virtual' },
    public_encryption_key: joined.identity.encryptionKey.publicKeyPem,
    startup_seqno: 19,
    node_data: { rack: 7 },
  });
});

test('chunks that are closed while it waits are fetched meanwhile', async () => {
  const { rig, node } = rigWith();
  const [first = ''] = NAMES;
  node.files = new Map([...CHUNKS].slice(0, 1));
  const { pending, trusted } = rig.service;
  node.replies = [
    (body) => {
      node.files = new Map([...CHUNKS].slice(0, 3));
      return pending(body);
    },
    (body) => {
      expect(rig.files(LEDGER).size).toBe(3);
      node.files = new Map(CHUNKS);
      return trusted(body);
    },
  ];
  const { ledgerEnd } = await rig.join();
  expect(ledgerEnd?.seqno).toBe(19);
  expect(byName(rig.files(LEDGER))).toEqual(byName(CHUNKS));
  expect(node.calls.filter((call) => call.startsWith(`${first} `))).toHaveLength(1);
});

test('a young service has closed no chunk: there is nothing to fetch', async () => {
  const { rig, node } = rigWith();
  node.files = new Map();
  expect(await rig.join({ fetchSnapshot: true })).toMatchObject({ ledgerEnd: undefined });
  expect(rig.files(LEDGER).size).toBe(0);
});

test('a joiner is sent on to the primary, and asks there from then on', async () => {
  const { rig, node } = rigWith(() => ({ kind: 'elsewhere', address: 'b:2' }));
  const primary = rig.service.node('b:2', CHUNKS);
  primary.replies = [rig.service.pending, rig.service.trusted];
  await rig.join();
  expect(node.calls.filter((call) => call === 'join')).toHaveLength(1);
  expect(primary.calls.filter((call) => call === 'join')).toHaveLength(2);
});

test('nodes that send a joiner round in circles are left for another one', async () => {
  const { rig } = rigWith(() => ({ kind: 'elsewhere', address: 'b:2' }));
  const back = rig.service.node('b:2', CHUNKS);
  back.replies = [() => ({ kind: 'elsewhere', address: 'a:1' })];
  const third = rig.service.node('c:3', CHUNKS);
  third.replies = [rig.service.trusted];
  await rig.join({ targets: ['a:1', 'c:3'] });
  expect(rig.progress.some((text) => text.includes('in a circle'))).toBe(true);
});

test('what may be different in a moment is tried again, at the next target', async () => {
  const busy: JoinReply = { kind: 'refused', status: 503, code: 'Busy', message: 'later' };
  const { rig, node } = rigWith(() => busy);
  const silent = rig.service.node('b:2', CHUNKS);
  silent.replies = [];
  const third = rig.service.node('c:3', CHUNKS);
  third.replies = [() => busy, rig.service.trusted];
  await rig.join({ targets: ['a:1', 'b:2', 'c:3', 'nobody:4'] });
  expect(node.calls).toContain('join');
  expect(silent.calls).toContain('join');
  expect(rig.progress).toContain('a:1 cannot let it in yet: 503 Busy: later');
});

// Found by a simulated service (seed 80): the only target had left the service, and the node that
// was to let the joiner in waited for the joiner's own word, unasked.
test('nodes that a target hears of later are asked as well', async () => {
  const gone: JoinReply = {
    kind: 'refused',
    status: 500,
    code: 'InternalError',
    message: 'no',
  };
  const { rig, node } = rigWith(() => {
    node.others = ['b:2'];
    return gone;
  });
  const other = rig.service.node('b:2', CHUNKS);
  other.replies = [rig.service.trusted];
  await rig.join({ targets: ['a:1'] });
  expect(other.calls).toContain('join');
});

test('a refusal is final, and says what the service said', async () => {
  const { rig } = rigWith(() => ({
    kind: 'refused',
    status: 401,
    code: 'InvalidQuote',
    message: 'Quote does not contain known enclave measurement',
  }));
  const refused = await rig.join().catch((thrown: unknown) => thrown);
  expect(codeOf(refused)).toBe('JoinRefused');
  expect(String(refused)).toContain('a:1: 401 InvalidQuote: Quote does not contain known');
  expect(await (await rig.sealed()).has(OPENED_MARK)).toBe(false);
});

test('an attempt that was interrupted is gone on with as the same node', async () => {
  const { rig, node } = rigWith();
  const ids: string[] = [];
  const seen: FakeNode['replies'][number] = (body) => {
    ids.push(nodeIdOf(body));
    rig.stop.abort();
    return rig.service.pending(body);
  };
  node.replies = [seen];
  expect(await rig.join().catch(codeOf)).toBe('JoinStopped');
  expect(rig.files(LEDGER).size).toBe(4);

  // The machine dies: what was not synced is gone.
  const next = new JoinerRig();
  next.disk = rig.disk.survivor('lost');
  const again = next.service.node('a:1', CHUNKS);
  again.replies = [next.service.trusted];
  const joined = await next.join();
  expect(joined.identity.nodeKey.fingerprint).toBe(ids[0]);
  expect(joined.ledgerEnd?.seqno).toBe(19);
  // Nothing was fetched twice; what lay there was verified, and asked about.
  expect(again.calls.filter((call) => call.startsWith('ledger_'))).toEqual([]);
  expect(again.calls).toContain('status of 2.19');
});

test('a joiner that has joined does not join again', async () => {
  const { rig } = rigWith();
  await rig.join();
  expect(await rig.join().catch(codeOf)).toBe('AlreadyJoined');
});

test('a crash after the secrets came loses nothing and changes nobody', async () => {
  const { rig } = rigWith();
  const sealing = rig.join({}, {});
  await sealing;
  // As if the mark had not been written yet.
  rig.disk.tamper(`/joiner/sealed/${OPENED_MARK}.sealed`, undefined);
  const first = (await rig.sealed()).get('node-key');
  const joined = await rig.join();
  expect(joined.identity.nodeKey.pkcs8()).toEqual(await first);
});

test('a service that has changed its key since is noticed', async () => {
  const { rig, node } = rigWith();
  await rig.join();
  rig.disk.tamper(`/joiner/sealed/${OPENED_MARK}.sealed`, undefined);
  node.replies = [async (body) => answer(await rig.service.welcome(body, Buffer.alloc(32, 9)))];
  expect(await rig.join().catch(codeOf)).toBe('ServiceChanged');
});

test('a folder of another beginning is left alone', async () => {
  const { rig } = rigWith();
  await rig.disk.makeFolder('/joiner/sealed');
  const sealed = await rig.sealed();
  await sealed.put('node-key', new Uint8Array(3));
  const refused = await rig.join().catch((thrown: unknown) => thrown);
  expect(codeOf(refused)).toBe('ForeignFolder');
  expect(String(refused)).toContain('was to found a service');

  const other = rigWith();
  other.node.replies = [() => ({ kind: 'refused', status: 400, code: 'No', message: 'no' })];
  expect(await other.rig.join().catch(codeOf)).toBe('JoinRefused');
  const elsewhere = other.rig.join({ serviceCertificatePem: STRANGER.serviceCert });
  expect(await elsewhere.catch(codeOf)).toBe('ForeignFolder');
});

test('a ledger folder with anything but closed chunks is not touched', async () => {
  const { rig } = rigWith();
  await rig.disk.makeFolder(LEDGER);
  rig.disk.tamper(`${LEDGER}/ledger_20`, Buffer.alloc(8));
  expect(await rig.join().catch(codeOf)).toBe('ForeignLedger');
  expect(rig.files(LEDGER).size).toBe(1);
});

test('a joiner that is told to stop while nobody answers, stops', async () => {
  const { rig, node } = rigWith();
  node.isSilent = true;
  const joining = rig.join();
  while (node.calls.length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  rig.stop.abort();
  expect(await joining.catch(codeOf)).toBe('JoinStopped');
  expect(rig.progress.some((text) => text.includes('it is silent'))).toBe(true);
});

test.each<[string, (welcome: Welcome) => void, RegExp]>([
  ['another id', (it) => (it.node_id = 'cd'.repeat(32)), /node_id/],
  ['a status that is none', (it) => (it.node_status = 'Retired'), /node_status/],
  ['no secrets at all', (it) => (it.network_info.ledger_secrets = {}), /there is none/],
  [
    'a short secret',
    (it) => (it.network_info.ledger_secrets = { 1: { raw_key: 'AAAA', concordat_view: 2 } }),
    /ledger_secrets\/1\/raw_key/,
  ],
  [
    'a secret of no seqno',
    (it) => (it.network_info.ledger_secrets = { '01': secretOf(it) }),
    /ledger_secrets\/01/,
  ],
  [
    'a secret of no view',
    (it) => (it.network_info.ledger_secrets = { 1: { ...secretOf(it), concordat_view: -1 } }),
    /view/,
  ],
  [
    "another service's certificate",
    (it) => (it.network_info.identity.cert = STRANGER.serviceCert),
    /identity\/cert/,
  ],
  [
    "a key that is not the service's",
    (it) => (it.network_info.identity.priv_key = STRANGER.serviceKey.privateKeyPem()),
    /identity\/priv_key/,
  ],
  ['no key', (it) => (it.network_info.identity.priv_key = 'none'), /no private key in PEM/],
  [
    "another node's certificate",
    (it) => (it.network_info.endorsed_certificate = KEYS.nodeCert),
    /for another key/,
  ],
  [
    'a certificate that is none',
    (it) => (it.network_info.endorsed_certificate = 'none'),
    /endorsed_certificate/,
  ],
  [
    'a peer without an address',
    (it) => (it.network_info.concordat_nodes = [{ node_id: 'ab'.repeat(32) }]),
    /concordat_nodes\/0\/address/,
  ],
  [
    'a peer without an id',
    (it) => (it.network_info.concordat_nodes = [{ node_id: 'ab', address: 'a:1' }]),
    /concordat_nodes\/0\/node_id/,
  ],
  ['a service in recovery', (it) => (it.network_info.public_only = true), /recovered/],
])('an answer with %s is not believed', async (_title, change, message) => {
  const { rig, node } = rigWith();
  node.replies = [
    async (body) => {
      const welcome = (await rig.service.welcome(body)) as Welcome;
      change(welcome);
      return answer(welcome);
    },
  ];
  const refused = await rig.join().catch((thrown: unknown) => thrown);
  expect(codeOf(refused)).toBe('BadJoinAnswer');
  expect(String(refused)).toMatch(message);
  expect(await (await rig.sealed()).has('service-key')).toBe(false);
});

interface Welcome {
  node_id: string;
  node_status: string;
  network_info: {
    public_only: boolean;
    ledger_secrets: Record<string, { raw_key: string; concordat_view: number }>;
    identity: { cert: string; priv_key: string };
    endorsed_certificate: string;
    concordat_nodes: unknown;
  };
}

function secretOf({ network_info }: Welcome): { raw_key: string; concordat_view: number } {
  const [secret] = Object.values(network_info.ledger_secrets);
  if (secret === undefined) throw new Error('there is one');
  return secret;
}
