/** What an organisation brings over from its Tessera node: who sees it, and what is refused. */
import { describe, expect, test } from 'vitest';
import type { AppResponse } from '../../../src/apps/interface.ts';
import { PARTY_PRIVATE_KEYS } from '../../../src/apps/organisations.ts';
import { groupIdOf } from '../../../src/apps/quorum/group-id.ts';
import { ownPayloadsEndpoint } from '../../../src/apps/quorum/outside/endpoints.ts';
import { decodePayload } from '../../../src/apps/quorum/payload-record.ts';
import { claimsDigestOf } from '../../../src/apps/quorum/sending.ts';
import { PAYLOADS } from '../../../src/apps/quorum/tables.ts';
import {
  groupTransfer,
  payloadTransfer,
  rawTransfer,
  type Transfer,
} from '../../../src/cli/quorum/transfer-body.ts';
import { boxSecretOf, payloadKeyOf, sealPayload } from '../../../src/crypto/payload.ts';
import type { EncodedPayload } from '../../../src/federation/encoded-payload.ts';
import type { ArchiveStretch } from '../../../src/kv/tables.ts';
import { jsonIn, QuorumClient, textIn, transactionPath } from '../../support/quorum-client.ts';
import {
  callerOfOrganisation,
  type PartyKeyPair,
  quorumInMemory,
} from '../../support/quorum-network.ts';
import {
  bytesOf,
  realKeys,
  type SealedByTessera,
  sealedByTessera,
} from './tessera-payloads.ts';

type Keys = [PartyKeyPair, PartyKeyPair, PartyKeyPair, PartyKeyPair];

/** Three organisations inside; the fourth key belongs to nobody here. */
function network() {
  const keys = realKeys(4) as Keys;
  const runtime = quorumInMemory(keys, 3);
  const clients = [1, 2, 3].map((number) => new QuorumClient(runtime, number));
  const bring = (
    organisation: number,
    transfer: Pick<Transfer, 'path' | 'body'>,
  ): AppResponse =>
    runtime.request({
      verb: 'POST',
      target: `/app/quorum/import${transfer.path}`,
      headers: [['content-type', 'application/json']],
      body: JSON.stringify(transfer.body),
      caller: callerOfOrganisation(organisation),
    });
  const payload = (organisation: number, sealed: SealedByTessera, encoded: EncodedPayload) =>
    said(bring(organisation, payloadTransfer(sealed.hash, encoded)));
  const [first, second, third] = clients as [QuorumClient, QuorumClient, QuorumClient];
  const sees = (hash: Buffer) =>
    clients.map((client) => client.get(transactionPath(hash.toString('base64'))).status);
  return { keys, runtime, bring, payload, first, second, third, sees };
}

function said(response: AppResponse): string {
  const text = textIn(response);
  return response.status === 200
    ? String(JSON.parse(text).outcome)
    : `${response.status} ${text}`;
}

const key = (sealed: SealedByTessera) => sealed.hash.toString('base64');

describe('a payload', () => {
  test('brought by its sender resolves for all its parties, and for nobody else', () => {
    const { keys, payload, sees, first, second } = network();
    const [one, two] = keys;
    const sealed = sealedByTessera({ from: one, to: [two], payload: 'hello' });
    expect(payload(1, sealed, sealed.whole)).toBe('stored');
    expect(sees(sealed.hash)).toEqual([200, 200, 404]);
    for (const client of [first, second]) {
      expect(client.received(key(sealed))).toMatchObject({
        payload: Buffer.from('hello').toString('base64'),
        senderKey: one.publicKey,
        privacyFlag: 0,
      });
    }
    const participants = (client: QuorumClient) =>
      textIn(client.get(`${transactionPath(key(sealed))}/participants`, 'text/plain'));
    expect(participants(first)).toBe(`${two.publicKey},${one.publicKey}`);
    expect(participants(second)).toBe(two.publicKey);
  });

  test('brought by a recipient is its own alone, until the others bring theirs', () => {
    const { keys, payload, sees, runtime } = network();
    const [one, two, three] = keys;
    const sealed = sealedByTessera({ from: one, to: [two, three] });
    expect(payload(2, sealed, sealed.for(two))).toBe('stored');
    expect(sees(sealed.hash)).toEqual([404, 200, 404]);
    expect(payload(3, sealed, sealed.for(three))).toBe('stored');
    expect(sees(sealed.hash)).toEqual([404, 200, 200]);
    expect(payload(1, sealed, sealed.whole)).toBe('stored');
    expect(sees(sealed.hash)).toEqual([200, 200, 200]);
    // All of it lies under one row.
    expect(runtime.store.current.archive(PAYLOADS).find(sealed.hash)).toHaveLength(1);
  });

  test('brought again changes nothing, whoever brings it and however often', () => {
    const { keys, payload, runtime } = network();
    const [one, two] = keys;
    const sealed = sealedByTessera({ from: one, to: [two] });
    const brought = [1, 2, 1, 2].map((number) =>
      payload(number, sealed, number === 1 ? sealed.whole : sealed.for(two)),
    );
    expect(brought).toEqual(['stored', 'known', 'known', 'known']);
    const newest = runtime.store.newest;
    payload(2, sealed, sealed.for(two));
    expect(runtime.store.newest).toBe(newest);
  });

  test('of the oldest kind names no recipient, and still finds its own', () => {
    const { keys, payload, sees } = network();
    const sealed = sealedByTessera({ from: keys[3], to: [keys[1]] });
    const oldest = { ...sealed.for(keys[1]), recipientKeys: [] };
    expect(payload(1, sealed, oldest)).toMatch(/^400 payload .* none of the caller's keys/);
    expect(payload(2, sealed, oldest)).toBe('stored');
    expect(sees(sealed.hash)).toEqual([404, 200, 404]);
  });

  test('has a receipt that opens', () => {
    const { keys, payload, first } = network();
    const sealed = sealedByTessera({ from: keys[0], to: [] });
    payload(1, sealed, sealed.whole);
    const response = first.get(`${transactionPath(key(sealed))}/receipt`, 'application/json');
    const { receipt, opening } = jsonIn(response) as {
      receipt: { leaf_components: { claims_digest: string } };
      opening: { key: string; salt: string };
    };
    const [opened, salt] = [opening.key, opening.salt].map(bytesOf) as [Buffer, Buffer];
    const claims = claimsDigestOf(opened, salt, Buffer.from('a payload'));
    expect(receipt.leaf_components.claims_digest).toBe(Buffer.from(claims).toString('hex'));
  });

  test('that its party has deleted comes back when it is brought again', () => {
    const { keys, payload, sees, second, first } = network();
    const sealed = sealedByTessera({ from: keys[0], to: [keys[1]] });
    payload(1, sealed, sealed.whole);
    payload(2, sealed, sealed.for(keys[1]));
    expect(second.ask('DELETE', transactionPath(key(sealed))).status).toBe(204);
    expect(first.ask('DELETE', transactionPath(key(sealed))).status).toBe(204);
    expect(sees(sealed.hash)).toEqual([404, 404, 404]);
    expect(payload(2, sealed, sealed.for(keys[1]))).toBe('stored');
    expect(sees(sealed.hash)).toEqual([404, 200, 404]);
  });

  test('keeps the nonce of its boxes, for peers that are sent it again', () => {
    const { keys, payload, runtime } = network();
    const sealed = sealedByTessera({ from: keys[0], to: [keys[3]] });
    payload(1, sealed, sealed.whole);
    const bytes = runtime.archivedValue(PAYLOADS, sealed.hash) ?? new Uint8Array(0);
    const record = decodePayload(sealed.hash, bytes);
    expect(record.recipientNonce).toEqual(sealed.whole.recipientNonce);
    expect(Buffer.from(record.masterKey)).toEqual(sealed.masterKey);
    // The fourth is outside: it may ask for the payload again.
    const fourth = bytesOf(keys[3].publicKey);
    const give = ({ seqnos }: ArchiveStretch): void => expect(seqnos).toHaveLength(1);
    expect(runtime.run(ownPayloadsEndpoint(fourth, undefined, give)).status).toBe(200);
  });
});

describe('contracts', () => {
  test('keep what touches them, in whatever order the organisations come', () => {
    for (const order of [
      [1, 2, 3],
      [3, 2, 1],
      [2, 1, 3],
    ]) {
      const { keys, payload, first, second, third } = network();
      const [one, two, three] = keys;
      const base = sealedByTessera({ from: one, to: [two], privacyFlag: 1 });
      const next = sealedByTessera({
        from: one,
        to: [two, three],
        privacyFlag: 1,
        affected: [base],
      });
      // As Tessera leaves it: the third never was a party to the first, so it dropped that.
      const kept = { ...next.for(three), affected: [] };
      for (const number of order) {
        if (number === 1) payload(1, base, base.whole);
        if (number === 2) payload(2, base, base.for(two));
        const mine = number === 1 ? next.whole : number === 2 ? next.for(two) : kept;
        expect(payload(number, next, mine)).toMatch(/^(stored|known)$/);
      }
      const seen = [first, second, third].map(
        (client) => client.received(key(next)).affectedContractTransactions,
      );
      expect(seen).toEqual([[key(base)], [key(base)], []]);
    }
  });

  test('go on: what was brought can be affected by what is sent from here', () => {
    const { keys, payload, first, second } = network();
    const [one, two] = keys;
    const base = sealedByTessera({ from: one, to: [two], privacyFlag: 1 });
    payload(1, base, base.whole);
    const order = { to: [two.publicKey], affectedContractTransactions: [key(base)] };
    const next = first.send({ ...order, privacyFlag: 1 });
    expect(second.received(next).affectedContractTransactions).toEqual([key(base)]);
  });

  test('under private state validation name all parties to each, and keep their hash', () => {
    const { keys, payload, second } = network();
    const [one, two, three] = keys;
    const sealed = sealedByTessera({
      from: one,
      to: [two, three],
      privacyFlag: 3,
      execHash: '0xabc',
    });
    expect(payload(2, sealed, sealed.for(two))).toBe('stored');
    expect(second.received(key(sealed))).toMatchObject({ privacyFlag: 3, execHash: '0xabc' });
    const participants = second.get(
      `${transactionPath(key(sealed))}/participants`,
      'text/plain',
    );
    expect(textIn(participants).split(',')).toHaveLength(3);
    expect(payload(1, sealed, sealed.whole)).toBe('stored');
  });

  test('with mandatory recipients keep their list', () => {
    const { keys, payload, second } = network();
    const [one, two] = keys;
    const sealed = sealedByTessera({ from: one, to: [two], privacyFlag: 2, mandatory: [two] });
    payload(2, sealed, sealed.for(two));
    const path = `${transactionPath(key(sealed))}/mandatory`;
    expect(textIn(second.get(path, 'text/plain'))).toBe(two.publicKey);
  });
});

describe('is refused', () => {
  test('a hash that is not its ciphertext’s, by name', () => {
    const { keys, payload } = network();
    const sealed = sealedByTessera({ from: keys[0], to: [] });
    const other = sealedByTessera({ from: keys[0], to: [] });
    const swapped = { ...sealed, hash: other.hash };
    expect(payload(1, swapped, sealed.whole)).toBe(
      `400 hash ${key(other)} is not that of its ciphertext, which is ${key(sealed)}`,
    );
  });

  test('a payload that a stranger brings, although it holds every byte', () => {
    const { keys, payload, sees } = network();
    const sealed = sealedByTessera({ from: keys[0], to: [keys[1]] });
    expect(payload(3, sealed, sealed.whole)).toMatch(/^400 .*none of the caller's keys$/);
    payload(1, sealed, sealed.whole);
    expect(payload(3, sealed, sealed.whole)).toMatch(/^400 .*none of the caller's keys$/);
    expect(sees(sealed.hash)).toEqual([200, 200, 404]);
  });

  test('a box for somebody that is not of this payload: it makes no party', () => {
    const { keys, payload, sees } = network();
    const [one, two, three] = keys;
    const sealed = sealedByTessera({ from: one, to: [two, three] });
    const alien = sealedByTessera({ from: one, to: [three] });
    const [box, , own] = sealed.whole.recipientBoxes;
    const [foreign] = alien.whole.recipientBoxes;
    if (box === undefined || own === undefined || foreign === undefined)
      throw new Error('boxes');
    const mixed = { ...sealed.whole, recipientBoxes: [box, foreign, own] };
    expect(payload(1, sealed, mixed)).toBe('stored');
    expect(sees(sealed.hash)).toEqual([200, 200, 404]);
  });

  test.each([
    ['privacy flag', { privacyFlag: 1 as const }],
    ['privacy group', { privacyGroupId: Buffer.from('G') }],
    ['execution hash', { execHash: Buffer.from('0x1') }],
  ])('a recipient’s word against what is known: another %s', (what, change) => {
    const { keys, payload } = network();
    const [one, two] = keys;
    const sealed = sealedByTessera({ from: one, to: [two] });
    payload(1, sealed, sealed.whole);
    const told = { ...sealed.for(two), ...change };
    expect(payload(2, sealed, told)).toBe(
      `409 payload ${key(sealed)} is known with another ${what}`,
    );
  });

  test('but the sender’s own word stands against what a recipient said first', () => {
    const { keys, payload, first, second } = network();
    const [one, two] = keys;
    const sealed = sealedByTessera({ from: one, to: [two], privacyFlag: 1 });
    expect(payload(2, sealed, { ...sealed.for(two), privacyFlag: 0 })).toBe('stored');
    expect(payload(1, sealed, sealed.whole)).toBe('stored');
    for (const client of [first, second]) {
      expect(client.received(key(sealed)).privacyFlag).toBe(1);
    }
    expect(payload(2, sealed, { ...sealed.for(two), privacyFlag: 0 })).toMatch(/^409/);
  });

  test.each([
    ['no hash', { hash: undefined }, 'hash is missing'],
    ['a short key', { senderKey: 'AAAA' }, 'senderKey has 3 bytes, not 32'],
    ['a short nonce', { cipherTextNonce: 'AAAA' }, 'cipherTextNonce has 3 bytes, not 24'],
    ['a recipient that is no key', { recipientKeys: ['AAAA'] }, 'a key of recipientKeys has 3'],
    ['an unknown flag', { privacyMode: 9 }, 'privacyFlag 9 is not known'],
    ['a bad affected', { affectedContractTransactions: { AAAA: 'AAAA' } }, 'an affected'],
    ['boxes beyond number', { recipientBoxes: Array(1001).fill('AAAA') }, 'at most 1000'],
    ['no base64', { cipherText: '*' }, 'Illegal base64'],
  ])('a body with %s', (_what, change, sentence) => {
    const { keys, bring } = network();
    const sealed = sealedByTessera({ from: keys[0], to: [] });
    const { path, body } = payloadTransfer(sealed.hash, sealed.whole);
    const answer = said(bring(1, { path, body: { ...body, ...change } }));
    expect(answer).toContain('400');
    expect(answer).toContain(sentence);
  });

  test('whoever is nobody', () => {
    const { runtime } = network();
    const target = '/app/quorum/import/transaction';
    const headers = [['content-type', 'application/json']] as const;
    expect(runtime.request({ verb: 'POST', target, headers, body: '{}' }).status).toBe(401);
    const caller = callerOfOrganisation(9);
    expect(runtime.request({ verb: 'POST', target, headers, body: '{}', caller }).status).toBe(
      403,
    );
  });
});

describe('a raw payload', () => {
  function raw(owner: PartyKeyPair, text = 'ahead') {
    const [masterKey, nonce] = [Buffer.alloc(32, 5), Buffer.alloc(24, 6)];
    const encryptedPayload = sealPayload(masterKey, nonce, Buffer.from(text));
    const secret = boxSecretOf(bytesOf(owner.privateKey), bytesOf(owner.publicKey));
    if (secret === undefined) throw new Error('a key of the test is no curve point');
    const encryptedKey = sealPayload(secret, nonce, masterKey);
    const sender = bytesOf(owner.publicKey);
    return {
      hash: payloadKeyOf(encryptedPayload),
      encryptedPayload,
      encryptedKey,
      nonce,
      sender,
    };
  }

  test('can be sent once it was brought, by its owner alone', () => {
    const { keys, bring, first, second } = network();
    const row = raw(keys[0]);
    expect(said(bring(1, rawTransfer(row)))).toBe('stored');
    expect(said(bring(1, rawTransfer(row)))).toBe('known');
    const order = { hash: row.hash.toString('base64'), to: [keys[1].publicKey] };
    expect(second.post('/sendsignedtx', order).status).toBe(404);
    expect(first.post('/sendsignedtx', order).status).toBe(201);
    expect(second.received(order.hash).payload).toBe(Buffer.from('ahead').toString('base64'));
  });

  test('of another, one that does not open, and one of another hash are refused', () => {
    const { keys, bring } = network();
    const row = raw(keys[0]);
    expect(said(bring(2, rawTransfer(row)))).toMatch(/^404 Public key/);
    const broken = { ...row, encryptedKey: Buffer.alloc(48) };
    expect(said(bring(1, rawTransfer(broken)))).toMatch(/^400 raw payload .* opens with none/);
    const swapped = { ...row, hash: Buffer.alloc(64, 1) };
    expect(said(bring(1, rawTransfer(swapped)))).toMatch(/^400 hash .* is not that/);
  });

  test('whose transaction came before repeats that answer instead of sending again', () => {
    const { keys, bring, payload, first } = network();
    const sealed = sealedByTessera({ from: keys[0], to: [keys[1]] });
    payload(1, sealed, sealed.whole);
    const secret = boxSecretOf(bytesOf(keys[0].privateKey), bytesOf(keys[0].publicKey));
    if (secret === undefined) throw new Error('a key of the test is no curve point');
    const nonce = sealed.whole.cipherTextNonce;
    const row = {
      hash: sealed.hash,
      encryptedPayload: sealed.whole.cipherText,
      encryptedKey: sealPayload(secret, nonce, sealed.masterKey),
      nonce,
      sender: bytesOf(keys[0].publicKey),
    };
    expect(said(bring(1, rawTransfer(row)))).toBe('stored');
    const response = first.post('/sendsignedtx', {
      hash: key(sealed),
      to: [keys[1].publicKey],
    });
    expect(response.status).toBe(201);
    expect(jsonIn(response).key).toBe(key(sealed));
  });
});

describe('the private half of a party key', () => {
  const half = (publicKey: string, privateKey: string) => ({
    path: '/key' as '/raw',
    body: { publicKey, privateKey },
  });

  test('is taken from its owner alone, and then what it sealed opens', () => {
    const { keys, runtime, bring, payload } = network();
    const [one, two] = keys;
    // As governance leaves it: the key is the organisation's, and nobody has its other half.
    runtime.setUp((tx) => tx.table(PARTY_PRIVATE_KEYS).remove(bytesOf(one.publicKey)));
    const sealed = sealedByTessera({ from: one, to: [two] });
    expect(payload(1, sealed, sealed.whole)).toMatch(/^400 .*none of the caller's keys$/);
    expect(said(bring(2, half(one.publicKey, one.privateKey)))).toMatch(/^404 Public key/);
    expect(said(bring(1, half(one.publicKey, two.privateKey)))).toMatch(/^400 the private key/);
    expect(said(bring(1, half(one.publicKey, 'AAAA')))).toMatch(/^400 privateKey has 3 bytes/);
    expect(said(bring(1, half(one.publicKey, one.privateKey)))).toBe('stored');
    expect(said(bring(1, half(one.publicKey, one.privateKey)))).toBe('known');
    expect(payload(1, sealed, sealed.whole)).toBe('stored');
  });
});

describe('a privacy group', () => {
  const group = (members: readonly PartyKeyPair[]) => ({
    name: 'a group',
    description: 'of old',
    members: members.map(({ publicKey }) => bytesOf(publicKey)),
    seed: Buffer.alloc(20),
    type: 'PANTHEON' as const,
    state: 'ACTIVE' as const,
  });
  const moved = (members: readonly PartyKeyPair[]) => {
    const made = group(members);
    return groupTransfer(groupIdOf(made.members, made.seed), made);
  };

  test('keeps its id, and is seen by its members', () => {
    const { keys, bring, first, second, third } = network();
    const transfer = moved([keys[0], keys[1], keys[3]]);
    expect(said(bring(1, transfer))).toBe('stored');
    expect(said(bring(2, transfer))).toBe('known');
    const asked = { privacyGroupId: transfer.name };
    const statuses = [first, second, third].map(
      (client) => client.post('/retrievePrivacyGroup', asked, 'application/json').status,
    );
    expect(statuses).toEqual([200, 200, 404]);
    const removed = { ...asked, from: keys[0].publicKey };
    expect(first.post('/deletePrivacyGroup', removed, 'application/json').status).toBe(200);
    expect(said(bring(1, transfer))).toBe('known');
    expect(second.post('/retrievePrivacyGroup', asked, 'application/json').status).toBe(404);
  });

  test('of others, or whose id is not that of its members, is refused', () => {
    const { keys, bring } = network();
    const transfer = moved([keys[0], keys[1]]);
    expect(said(bring(3, transfer))).toMatch(/^403/);
    const other = groupTransfer(bytesOf(transfer.name), group([keys[0]]));
    expect(said(bring(1, other))).toContain(`400 id ${transfer.name.slice(0, 8)}`);
  });
});
