/** Stories of privacy groups and of residents. */
import { describe, expect, test } from 'vitest';
import type { AppResponse } from '../../src/apps/interface.ts';
import {
  jsonIn,
  plainKeys,
  QuorumClient,
  textIn,
  transactionPath,
} from '../support/quorum-client.ts';
import { type PartyKeyPair, quorumInMemory } from '../support/quorum-network.ts';

const JSON_TYPE = 'application/json';

function network(keys: readonly PartyKeyPair[] = plainKeys(3)) {
  const runtime = quorumInMemory(keys, 3);
  const [one, two, three] = keys.map(({ publicKey }) => publicKey);
  const clients = [1, 2, 3].map((number) => new QuorumClient(runtime, number));
  const [first, second, third] = clients as [QuorumClient, QuorumClient, QuorumClient];
  return { one, two, three, first, second, third };
}

function create(client: QuorumClient, body: Readonly<Record<string, unknown>>): AppResponse {
  return client.post('/createPrivacyGroup', body, JSON_TYPE);
}

describe('a privacy group', () => {
  test('is seen by its members, found by its members, and deleted by any of them', () => {
    const { first, second, third, one, two } = network();
    const made = jsonIn(create(first, { name: 'n', description: 'd', addresses: [one, two] }));
    expect(made).toMatchObject({ name: 'n', description: 'd', type: 'PANTHEON' });
    const { privacyGroupId } = made;
    const retrieve = (client: QuorumClient): AppResponse =>
      client.post('/retrievePrivacyGroup', { privacyGroupId }, JSON_TYPE);
    expect(jsonIn(retrieve(second))).toEqual(made);
    expect(retrieve(third).status).toBe(404);

    const find = (addresses: readonly unknown[]): unknown =>
      JSON.parse(textIn(second.post('/findPrivacyGroup', { addresses }, JSON_TYPE)));
    expect(find([two, one])).toEqual([made]);
    expect(find([two])).toEqual([]);
    expect(JSON.parse(textIn(second.get('/groups/pantheon', JSON_TYPE)))).toEqual([made]);
    expect(JSON.parse(textIn(third.get('/groups/PANTHEON', JSON_TYPE)))).toEqual([]);

    const deleted = second.post('/deletePrivacyGroup', { privacyGroupId }, JSON_TYPE);
    expect(textIn(deleted)).toBe(JSON.stringify(privacyGroupId));
    expect(retrieve(first).status).toBe(404);
    expect(find([two, one])).toEqual([]);
  });

  test('of the same members is another one, unless the seed is the same', () => {
    const { first, one } = network();
    const id = (seed?: string): unknown =>
      jsonIn(create(first, { addresses: [one], seed })).privacyGroupId;
    expect(id()).not.toBe(id());
    expect(id('AAAA')).toBe(id('AAAA'));
  });

  test('names the recipients of a payload, which tells its group', () => {
    const { first, second, third, one, two } = network();
    const { privacyGroupId } = jsonIn(create(first, { addresses: [one, two] }));
    const key = first.send({ privacyGroupId });
    expect(second.received(key).privacyGroupId).toBe(privacyGroupId);
    expect(third.get(transactionPath(key)).status).toBe(404);
  });

  test.each([
    ['without its maker', (k: Keys) => ({ addresses: [k.two] }), 403, 'should include self'],
    ['made as another', (k: Keys) => ({ from: k.two, addresses: [k.two] }), 404, 'Public key'],
    ['with a stranger', (k: Keys) => ({ addresses: [k.one, STRANGER] }), 404, 'Recipient not'],
    ['without members', () => ({}), 400, 'addresses is missing'],
  ])('is not made %s', (_, body, status, sentence) => {
    const { first, one, two } = network();
    const response = create(first, body({ one, two }));
    expect(response.status).toBe(status);
    expect(textIn(response)).toContain(sentence);
  });

  test.each([
    ['a stranger', (_: Keys) => STRANGER, 403, 'does not belong to this privacy group'],
    ['another organisation', (k: Keys) => k.two, 404, 'Public key'],
  ])('is not deleted in the name of %s', (_, from, status, sentence) => {
    const { first, one, two } = network();
    const { privacyGroupId } = jsonIn(create(first, { addresses: [one, two] }));
    const body = { privacyGroupId, from: from({ one, two }) };
    const response = first.post('/deletePrivacyGroup', body, JSON_TYPE);
    expect(response.status).toBe(status);
    expect(textIn(response)).toContain(sentence);
  });

  test.each([
    ['/groups/nonsense', 400],
    ['/groups/legacy', 200],
    ['/groups/resident', 503],
  ])('GET %s is %d', (path, status) => {
    expect(network().first.get(path, JSON_TYPE).status).toBe(status);
  });
});

interface Keys {
  readonly one: string | undefined;
  readonly two: string | undefined;
}

const STRANGER = Buffer.alloc(32, 7).toString('base64');

describe('residents', () => {
  const keys = plainKeys(3);
  const resident = {
    privacyGroupId: 'UFMx',
    name: 'PS1',
    description: 'Private state 1',
    members: [String(keys[0]?.publicKey)],
  };
  const runtime = quorumInMemory(keys, 3, { 1: [resident] });

  test('are listed to their organisation alone', () => {
    const listed = [1, 2].map((number) =>
      JSON.parse(textIn(new QuorumClient(runtime, number).get('/groups/resident', JSON_TYPE))),
    );
    expect(listed).toEqual([[{ ...resident, type: 'RESIDENT' }], []]);
  });

  test('are groups that can be looked up, sent to, but not deleted', () => {
    const owner = new QuorumClient(runtime, 1);
    const body = { privacyGroupId: 'UFMx' };
    expect(owner.post('/retrievePrivacyGroup', body, JSON_TYPE).status).toBe(200);
    expect(owner.received(owner.send(body)).privacyGroupId).toBe('UFMx');
    expect(owner.post('/deletePrivacyGroup', body, JSON_TYPE).status).toBe(404);
    const other = new QuorumClient(runtime, 2);
    expect(other.post('/retrievePrivacyGroup', body, JSON_TYPE).status).toBe(404);
  });
});
