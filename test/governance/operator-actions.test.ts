// Actions ordered by a member's signed request: carried out once, and only if an active member
// signed them.

import { expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import {
  type CoseLabel,
  encodeHeader,
  encodeSign1,
  signatureStructure,
} from '../../src/crypto/cose.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { writePendingNode, writeTrustedNode } from '../../src/governance/nodes-joining.ts';
import {
  type ActionOutcome,
  applyOperatorAction,
  endorsementForAction,
  signOperatorAction,
  verifyOperatorAction,
} from '../../src/governance/operator-actions.ts';
import { MEMBER_INFO, OPERATOR_ACTIONS } from '../../src/governance/tables.ts';
import { codeOf } from '../support/crashing-disk.ts';
import { type Member, NOW_MS, newJoiner, newMember, SmallService } from './small-service.ts';

const CERTIFICATE = 'a certificate';

interface Rig {
  readonly service: SmallService;
  readonly member: Member;
  readonly nodeId: string;
  readonly trustedId: string;
  readonly carryOut: (bytes: Uint8Array) => Promise<ActionOutcome>;
}

/** A service with one trusted node, one that waits, and a member. */
async function rig(member: Member): Promise<Rig> {
  const service = await SmallService.create();
  const trusted = await newJoiner(9001);
  const waiting = await newJoiner(9002);
  service.run((tx) => writeTrustedNode(tx, trusted.node, CERTIFICATE));
  service.run((tx) => writePendingNode(tx, waiting.node));
  service.addMember(member);
  return {
    service,
    member,
    nodeId: waiting.node.nodeId,
    trustedId: trusted.node.nodeId,
    carryOut: async (bytes) => {
      const action = await verifyOperatorAction(bytes, service.store.current, nodeVerifier);
      const wanted = endorsementForAction(service.store.current, action);
      const pem = wanted === undefined ? undefined : CERTIFICATE;
      return service.run((tx) => applyOperatorAction(tx, action, pem));
    },
  };
}

const trust = (nodeId: string): { node_id: string; valid_from: string } => ({
  node_id: nodeId,
  valid_from: '261121120000Z',
});

test.each(['P-256', 'P-384'] as const)(
  'a member (%s) trusts a node, and removes it',
  async (curve) => {
    const { service, member, nodeId, carryOut } = await rig(await newMember(curve));
    const order = await signOperatorAction(
      'transition_node_to_trusted',
      trust(nodeId),
      member,
      NOW_MS,
    );
    expect(await carryOut(order)).toEqual({
      action: 'transition_node_to_trusted',
      nodeId,
      nodeStatus: 'Trusted',
    });
    expect(service.node(nodeId)?.status).toBe('Trusted');
    const removal = await signOperatorAction(
      'remove_node',
      { node_id: nodeId },
      member,
      NOW_MS,
    );
    expect(await carryOut(removal)).toMatchObject({ nodeStatus: 'Retired' });
    expect(service.node(nodeId)?.status).toBe('Retired');
  },
);

test('a request counts once, even with the twin of its signature', async () => {
  const { service, member, nodeId, carryOut } = await rig(await newMember('P-256'));
  const order = await signOperatorAction('remove_node', { node_id: nodeId }, member, NOW_MS);
  await carryOut(order);
  const again = (await newJoiner(9002)).node;
  service.run((tx) => writePendingNode(tx, { ...again, nodeId }));
  expect(await carryOut(order).catch(codeOf)).toBe('ActionReplay');
  // (r, n − s) is as good a signature as (r, s).
  const twin = Buffer.from(order);
  const s = BigInt(`0x${twin.subarray(-32).toString('hex')}`);
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  Buffer.from((n - s).toString(16).padStart(64, '0'), 'hex').copy(twin, twin.length - 32);
  expect(twin.equals(order)).toBe(false);
  expect(await carryOut(twin).catch(codeOf)).toBe('ActionReplay');
  expect(service.node(nodeId)?.status).toBe('Pending');
});

test('a refused action leaves nothing behind, so that it may be tried again', async () => {
  const { service, member, trustedId, carryOut } = await rig(await newMember());
  const order = await signOperatorAction('remove_node', { node_id: trustedId }, member, NOW_MS);
  expect(await carryOut(order).catch(codeOf)).toBe('LastTrustedNode');
  expect(service.store.current.table(OPERATOR_ACTIONS).size).toBe(0);
  const { node } = await newJoiner(9003);
  service.run((tx) => writeTrustedNode(tx, node, CERTIFICATE));
  expect(await carryOut(order)).toMatchObject({ nodeStatus: 'Retired' });
});

test('a hundred actions are remembered; what is older than half of them is refused', async () => {
  const { service, member, carryOut } = await rig(await newMember('P-256'));
  const forget = async (port: number, atMs: number): Promise<string> => {
    const { node } = await newJoiner(port);
    service.run((tx) => writePendingNode(tx, node));
    const args = { node_id: node.nodeId };
    const order = await signOperatorAction('remove_node', args, member, atMs);
    return carryOut(order).then(({ nodeStatus }) => nodeStatus, codeOf);
  };
  for (let each = 0; each < 103; each += 1) {
    expect(await forget(9100, NOW_MS + each * 1000)).toBe('Forgotten');
  }
  const rows = service.store.current.table(OPERATOR_ACTIONS).page();
  expect(rows).toHaveLength(100);
  const first = String(NOW_MS / 1000 + 3).padStart(10, '0');
  expect(Buffer.from(rows[0]?.key ?? []).toString()).toMatch(
    new RegExp(`^${first}:[0-9a-f]{64}$`),
  );
  expect(await forget(9100, NOW_MS + 52_000)).toBe('ActionCreatedTooLongAgo');
  expect(await forget(9101, NOW_MS + 60_000)).toBe('Forgotten');
});

interface Tampering {
  readonly headers?: readonly (readonly [CoseLabel, unknown])[];
  readonly payload?: unknown;
  readonly key?: SigningKey;
}

/** A request like a member's, but for what is given. */
async function forged(member: Member, nodeId: string, by: Tampering): Promise<Uint8Array> {
  const key = by.key ?? SigningKey.fromPem(member.privateKeyPem);
  const protectedBytes = encodeHeader(
    new Map<CoseLabel, unknown>([
      [1, -35],
      [4, utf8(member.id)],
      ['ccf.gov.msg.type', 'concordat_operator_action'],
      ['ccf.gov.msg.created_at', NOW_MS / 1000],
      ...(by.headers ?? []),
    ]),
  );
  const order = by.payload ?? { action: 'remove_node', args: { node_id: nodeId } };
  const payload = utf8(typeof order === 'string' ? order : JSON.stringify(order));
  const signature = await key.sign(signatureStructure(protectedBytes, payload));
  return encodeSign1({ protectedBytes, unprotected: new Map(), payload, signature });
}

const remove = (node_id: unknown, more: object = {}): unknown => ({
  action: 'remove_node',
  args: { node_id },
  ...more,
});

test.each<[string, (nodeId: string) => Tampering, string, RegExp]>([
  ['nothing changed', () => ({}), 'done', /Forgotten/],
  [
    'a key that is not his',
    () => ({ key: SigningKey.generate('P-384') }),
    'InvalidAuthenticationInfo',
    /not by the key of member/,
  ],
  [
    'an algorithm that is not his',
    () => ({ headers: [[1, -7]] }),
    'InvalidAuthenticationInfo',
    /ES256/,
  ],
  [
    'nobody',
    () => ({ headers: [[4, utf8('00'.repeat(32))]] }),
    'InvalidAuthenticationInfo',
    /no active member/,
  ],
  ['no key id', () => ({ headers: [[4, 'text']] }), 'InvalidInput', /names no key/],
  [
    "a proposal's type",
    () => ({ headers: [['ccf.gov.msg.type', 'proposal']] }),
    'InvalidAuthenticationInfo',
    /proposal/,
  ],
  [
    'no time',
    () => ({ headers: [['ccf.gov.msg.created_at', 'now']] }),
    'InvalidInput',
    /created_at is now/,
  ],
  [
    'a time of eleven digits',
    () => ({ headers: [['ccf.gov.msg.created_at', 10_000_000_000]] }),
    'InvalidInput',
    /10000000000/,
  ],
  ['no JSON', () => ({ payload: '{' }), 'InvalidInput', /not JSON/],
  ['no arguments', () => ({ payload: { action: 'remove_node' } }), 'InvalidInput', /missing/],
  ['a short id', () => ({ payload: remove('abc') }), 'InvalidInput', /"abc"/],
  [
    'another action',
    (id) => ({ payload: remove(id, { action: 'set_member' }) }),
    'InvalidInput',
    /set_member/,
  ],
  [
    'trust without a date',
    (id) => ({ payload: remove(id, { action: 'transition_node_to_trusted' }) }),
    'InvalidInput',
    /valid_from/,
  ],
  [
    'trust for half a day',
    (node_id) => ({
      payload: {
        action: 'transition_node_to_trusted',
        args: { node_id, valid_from: '', validity_period_days: 0.5 },
      },
    }),
    'InvalidInput',
    /0.5/,
  ],
])('a request with %s', async (_title, tampering, code, message) => {
  const { member, nodeId, carryOut } = await rig(await newMember('P-384'));
  const bytes = await forged(member, nodeId, tampering(nodeId));
  const outcome = await carryOut(bytes).then(
    (done) => ({ code: 'done', text: done.nodeStatus as string }),
    (thrown: unknown) => ({ code: codeOf(thrown), text: String(thrown) }),
  );
  expect(outcome.code).toBe(code);
  expect(outcome.text).toMatch(message);
});

test('bytes that are no request, or too many, are refused', async () => {
  const { carryOut } = await rig(await newMember());
  for (const bytes of [new Uint8Array(), utf8('{}'), new Uint8Array(20_000).fill(0xd2)]) {
    expect(await carryOut(bytes).catch(codeOf)).toBe('InvalidInput');
  }
});

test('a member who is not active any more is refused when the action is carried out', async () => {
  const { service, member, nodeId } = await rig(await newMember());
  const order = await signOperatorAction('remove_node', { node_id: nodeId }, member, NOW_MS);
  const action = await verifyOperatorAction(order, service.store.current, nodeVerifier);
  service.run((tx) =>
    tx.table(MEMBER_INFO).put(utf8(member.id), utf8('{"status":"Accepted"}')),
  );
  expect(() => service.run((tx) => applyOperatorAction(tx, action, undefined))).toThrow(
    'no active member',
  );
  const late = verifyOperatorAction(order, service.store.current, nodeVerifier);
  expect(await late.catch(codeOf)).toBe('InvalidAuthenticationInfo');
});
