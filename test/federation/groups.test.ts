/**
 * Stories of privacy groups with members on both sides: told to the members' peers, known under the
 * same id everywhere, ended once for all.
 */
import { encodeRlp, keccak256 as keccakOfEthers } from 'ethers';
import { afterEach, describe, expect, test } from 'vitest';
import { groupIdOf } from '../../src/apps/quorum/group-id.ts';
import { keccak256 } from '../../src/crypto/keccak.ts';
import {
  decodePrivacyGroup,
  encodePrivacyGroup,
  type PushedGroup,
} from '../../src/federation/privacy-group.ts';
import { eventually } from '../support/cluster-rig.ts';
import { jsonIn } from '../support/quorum-client.ts';
import { FederatedService } from './federated-service.ts';
import { recordedBodies } from './recordings.ts';
import type { TesseraDouble } from './tessera-double.ts';
import { newKeyPair } from './tessera-payloads.ts';

let service: FederatedService | undefined;

async function begin(): Promise<{ on: FederatedService; peer: TesseraDouble }> {
  const on = await FederatedService.of(1);
  service = on;
  return { on, peer: await on.meet() };
}

afterEach(async () => {
  await service?.end();
  service = undefined;
});

function base64(key: Uint8Array): string {
  return Buffer.from(key).toString('base64');
}

describe('the id of a group', () => {
  test('rests on Keccak-256 as Ethereum has it', () => {
    for (const length of [0, 1, 135, 136, 137, 500]) {
      const bytes = Buffer.alloc(length, 0xa3);
      expect(`0x${keccak256(bytes).toString('hex')}`).toBe(keccakOfEthers(bytes));
    }
  });

  test('is that of an RLP list of its members and its seed, whatever their order', () => {
    const [low, high] = [Buffer.alloc(32, 1), Buffer.alloc(32, 0x7f)];
    const seed = Buffer.from('a seed');
    // Java's hash of bytes orders these two: 31 to the power of 32 overflows as it does there.
    const orders = [
      [low, high],
      [high, low],
    ].map((keys) => keccakOfEthers(encodeRlp([...keys, seed])));
    const id = `0x${groupIdOf([low, high], seed).toString('hex')}`;
    expect(orders).toContain(id);
    expect(groupIdOf([high, low, high], seed)).toEqual(groupIdOf([low, high], seed));
    expect(groupIdOf([low, high], Buffer.from('other'))).not.toEqual(
      groupIdOf([low, high], seed),
    );
  });
});

describe('a group made inside', () => {
  test('is told to its members outside, and so is its end', async () => {
    const { on, peer } = await begin();
    const addresses = [on.keys[0]?.publicKey ?? peer.key.publicKey, peer.key.publicKey].map(
      base64,
    );
    const wish = { addresses, name: 'g', description: 'of both sides' };
    const made = jsonIn(await on.postJson('/createPrivacyGroup', wish));
    await eventually('told', () => peer.groups.length === 1);
    const told = peer.groups[0];
    if (told === undefined) throw new Error('no group was told');
    expect(told).toMatchObject({ name: 'g', type: 'PANTHEON', state: 'ACTIVE' });
    expect(told.members.map(base64)).toEqual(addresses);
    expect(base64(groupIdOf(told.members, told.seed))).toBe(made.privacyGroupId);
    const end = { privacyGroupId: made.privacyGroupId, from: addresses[0] };
    expect((await on.postJson('/deletePrivacyGroup', end)).status).toBe(200);
    await eventually('told of its end', () => peer.groups.length === 2);
    expect(peer.groups[1]?.state).toBe('DELETED');
    await eventually('the outbox empty', () => on.outbox() === 0);
  });

  test('is a recipient outside too', async () => {
    const { on, peer } = await begin();
    const addresses = [on.keys[0]?.publicKey ?? peer.key.publicKey, peer.key.publicKey].map(
      base64,
    );
    const { privacyGroupId } = jsonIn(await on.postJson('/createPrivacyGroup', { addresses }));
    const key = await on.send({ privacyGroupId });
    await eventually('it delivered', () => peer.textOf(key) === 'a payload from inside');
    expect(base64(peer.stored.get(key)?.[0]?.privacyGroupId ?? peer.key.publicKey)).toBe(
      privacyGroupId,
    );
  });
});

describe('a group made outside', () => {
  async function tell(on: FederatedService, peer: TesseraDouble, change: Partial<PushedGroup>) {
    const group: PushedGroup = {
      name: 'theirs',
      description: '',
      members: [on.keys[0]?.publicKey ?? peer.key.publicKey, peer.key.publicKey],
      seed: Buffer.from('seed'),
      type: 'PANTHEON',
      state: 'ACTIVE',
      ...change,
    };
    const answer = await peer.ask(on.url(), 'pushPrivacyGroup', encodePrivacyGroup(group));
    return { answer, id: base64(groupIdOf(group.members, group.seed)) };
  }

  test('is known inside until it is ended, and does not come back', async () => {
    const { on, peer } = await begin();
    const { answer, id } = await tell(on, peer, {});
    expect([answer.status, answer.body.length]).toEqual([200, 0]);
    const found = async (organisation: number): Promise<number> =>
      (await on.postJson('/retrievePrivacyGroup', { privacyGroupId: id }, organisation)).status;
    expect([await found(1), await found(2)]).toEqual([200, 404]);
    await tell(on, peer, { state: 'DELETED' });
    await tell(on, peer, {});
    expect(await found(1)).toBe(404);
  });

  test('has members on both sides, or is refused', async () => {
    const { on, peer } = await begin();
    const inside = on.keys.map(({ publicKey }) => publicKey);
    const outside = [peer.key.publicKey, newKeyPair().publicKey];
    for (const members of [inside, outside]) {
      const { answer } = await tell(on, peer, { members });
      expect([answer.status, answer.body.toString()]).toEqual([
        400,
        expect.stringContaining('must have members on both sides'),
      ]);
    }
    const { answer } = await tell(on, peer, { type: 'RESIDENT' });
    expect(answer.status).toBe(400);
  });

  test('recorded ones are read', () => {
    const states = recordedBodies('/pushPrivacyGroup', 200).map(
      (body) => decodePrivacyGroup(body).state,
    );
    expect(states).toEqual(['ACTIVE', 'ACTIVE', 'ACTIVE', 'ACTIVE', 'DELETED']);
  });
});
