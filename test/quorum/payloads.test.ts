/** Stories of payloads: how they are kept, who sees what of them, what happens on a second try. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { decodePayload } from '../../src/apps/quorum/payload-record.ts';
import { PAYLOADS } from '../../src/apps/quorum/tables.ts';
import { openPayload, payloadKeyOf } from '../../src/crypto/payload.ts';
import {
  jsonIn,
  plainKeys,
  QuorumClient,
  textIn,
  transactionPath,
} from '../support/quorum-client.ts';
import { quorumInMemory } from '../support/quorum-network.ts';

function network() {
  const keys = plainKeys(3);
  const runtime = quorumInMemory(keys, 3);
  const [one, two, three] = keys.map(({ publicKey }) => publicKey) as [string, string, string];
  const clients = [1, 2, 3].map((number) => new QuorumClient(runtime, number));
  const [first, second, third] = clients as [QuorumClient, QuorumClient, QuorumClient];
  return { runtime, one, two, three, first, second, third };
}

describe('a payload', () => {
  test('is stored as Tessera stores it: secretbox, key SHA3-512 of the ciphertext', () => {
    const { runtime, first, two } = network();
    const key = Buffer.from(first.send({ to: [two] }), 'base64');
    const archived = runtime.archivedValue(PAYLOADS, key);
    const record = decodePayload(key, archived ?? Buffer.alloc(0));
    expect(payloadKeyOf(record.ciphertext)).toEqual(key);
    const opened = openPayload(record.masterKey, record.nonce, record.ciphertext);
    expect(Buffer.from(opened ?? []).toString()).toBe('a payload');
  });

  test('is given to its parties only', () => {
    const { first, second, third, two } = network();
    const key = first.send({ to: [two] });
    const statuses = [first, second, third].map((one) => one.get(transactionPath(key)).status);
    expect(statuses).toEqual([200, 200, 404]);
  });

  test('shows a recipient only the affected transactions that it is a party to', () => {
    const { first, second, third, two, three } = network();
    const base = first.send({ to: [two], privacyFlag: 1 });
    const next = first.send({
      to: [two, three],
      privacyFlag: 1,
      affectedContractTransactions: [base],
    });
    const seen = [first, second, third].map(
      (one) => one.received(next).affectedContractTransactions,
    );
    expect(seen).toEqual([[base], [base], []]);
  });

  test('whose record is damaged or cannot be read is an error, never absent', () => {
    const { runtime, first } = network();
    const key = first.send({});
    runtime.fetchesFail = true;
    expect(() => first.get(transactionPath(key))).toThrow('a chunk cannot be read');
    runtime.fetchesFail = false;
    runtime.damage(PAYLOADS, Buffer.from(key, 'base64'), (bytes) => {
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    });
    expect(() => first.get(transactionPath(key))).toThrow('has another key');
  });

  test('that is not committed yet is not there', () => {
    const { runtime, first } = network();
    runtime.commitsAtOnce = false;
    const key = first.send({});
    expect(first.get(transactionPath(key)).status).toBe(404);
    runtime.commitAll();
    expect(first.get(transactionPath(key)).status).toBe(200);
  });

  test('is found beside another whose key begins alike', () => {
    const { runtime, first } = network();
    const key = first.send({});
    const twin = Buffer.from(key, 'base64');
    twin[40] = (twin[40] ?? 0) ^ 1;
    expect(first.get(transactionPath(twin.toString('base64'))).status).toBe(404);
    expect(runtime.last.fetched).toBe(1);
  });
});

describe('deleting', () => {
  test("ends the caller's access, and nobody else's", () => {
    const { first, second, two } = network();
    const key = first.send({ to: [two] });
    expect(first.ask('DELETE', transactionPath(key)).status).toBe(204);
    expect(first.get(transactionPath(key)).status).toBe(404);
    expect(second.received(key).payload).toBe(Buffer.from('a payload').toString('base64'));
    expect(first.ask('DELETE', transactionPath(key)).status).toBe(404);
  });

  test('leaves a recipient what it knew of the sender', () => {
    const { first, second, one, two } = network();
    const key = first.send({ to: [two] });
    first.ask('DELETE', transactionPath(key));
    expect(second.received(key).senderKey).toBe(one);
    expect(textIn(second.get(`${transactionPath(key)}/isSender`, 'text/plain'))).toBe('false');
  });

  test('makes an affected transaction unknown to its former party', () => {
    const { first } = network();
    const key = first.send({});
    first.ask('DELETE', transactionPath(key));
    const payload = Buffer.from('x').toString('base64');
    const response = first.post('/send', { payload, affectedContractTransactions: [key] });
    expect(response.status).toBe(403);
  });
});

describe('a raw payload', () => {
  test('is its sender’s alone until it is sent, and stays when it is', () => {
    const { first, second, two } = network();
    const key = first.storeRaw();
    expect(second.post('/sendsignedtx', { hash: key, to: [] }).status).toBe(404);
    expect(first.post('/sendsignedtx', { hash: key, to: [two] }).status).toBe(201);
    expect(second.received(key).payload).toBe(Buffer.from('a raw payload').toString('base64'));
    expect(first.get(`${transactionPath(key)}?isRaw=true`).status).toBe(200);
  });

  test('that is sent again gets the first answer', () => {
    const { runtime, first, two } = network();
    const hash = first.storeRaw();
    const answers = [1, 2].map(() => first.post('/sendsignedtx', { hash, to: [two] }));
    expect(answers[1]).toEqual(answers[0]);
    expect(runtime.last.wrote).toBe(false);
  });

  test('that is sent again to more parties reaches them too', () => {
    const { first, third, two, three } = network();
    const hash = first.storeRaw();
    first.post('/sendsignedtx', { hash, to: [two] });
    expect(third.get(transactionPath(hash)).status).toBe(404);
    expect(first.post('/sendsignedtx', { hash, to: [three] }).status).toBe(201);
    expect(third.get(transactionPath(hash)).status).toBe(200);
    const participants = first.get(`${transactionPath(hash)}/participants`, 'text/plain');
    expect(textIn(participants).split(',')).toContain(three);
  });

  test('that was refused for an unknown recipient can be sent again', () => {
    const { first, two } = network();
    const hash = first.storeRaw();
    const stranger = Buffer.alloc(32, 9).toString('base64');
    expect(first.post('/sendsignedtx', { hash, to: [stranger] }).status).toBe(404);
    expect(first.post('/sendsignedtx', { hash, to: [two] }).status).toBe(201);
  });

  test('that two requests send at the same time is stored once', () => {
    const { runtime, first, second, two } = network();
    const hash = first.storeRaw();
    runtime.commitsAtOnce = false;
    const answers = [1, 2].map(() => first.post('/sendsignedtx', { hash, to: [two] }));
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    runtime.commitAll();
    expect(second.get(transactionPath(hash)).status).toBe(200);
    expect(runtime.store.committedView.archive(PAYLOADS).size).toBe(1);
  });

  test('that another request is sending to others is not taken for sent', () => {
    const { runtime, first, two, three } = network();
    const hash = first.storeRaw();
    runtime.commitsAtOnce = false;
    expect(first.post('/sendsignedtx', { hash, to: [two] }).status).toBe(201);
    const raced = first.post('/sendsignedtx', { hash, to: [three] });
    expect([raced.status, raced.headers?.['retry-after']]).toEqual([503, '1']);
    runtime.commitAll();
    expect(first.post('/sendsignedtx', { hash, to: [three] }).status).toBe(201);
  });

  test('whose sending was rolled back is as it was before', () => {
    const { runtime, first, two } = network();
    const hash = first.storeRaw();
    runtime.commitsAtOnce = false;
    first.post('/sendsignedtx', { hash, to: [two] });
    runtime.rollBack();
    runtime.commitsAtOnce = true;
    expect(first.get(transactionPath(hash)).status).toBe(404);
    expect(first.post('/sendsignedtx', { hash, to: [two] }).status).toBe(201);
    expect(first.get(transactionPath(hash)).status).toBe(200);
  });
});

describe('the receipt of a payload', () => {
  test('opens its claims digest with key, salt and payload', () => {
    const { first, second, two } = network();
    const key = first.send({ to: [two] });
    const answer = jsonIn(second.get(`${transactionPath(key)}/receipt`, 'application/json'));
    const { receipt, opening } = answer as {
      receipt: { leaf_components: { claims_digest: string } };
      opening: { key: string; salt: string };
    };
    expect(opening.key).toBe(key);
    const expected = createHash('sha256')
      .update('concordat.payload.v1')
      .update(Buffer.from(opening.key, 'base64'))
      .update(Buffer.from(opening.salt, 'base64'))
      .update(createHash('sha256').update('a payload').digest())
      .digest('hex');
    expect(receipt.leaf_components.claims_digest).toBe(expected);
  });

  test('tells nothing of equal payloads: their digests and salts differ', () => {
    const { first } = network();
    const answers = [first.send({}), first.send({})].map((key) =>
      jsonIn(first.get(`${transactionPath(key)}/receipt`, 'application/json')),
    );
    expect(JSON.stringify(answers[0]?.receipt)).not.toBe(JSON.stringify(answers[1]?.receipt));
    expect(answers[0]?.opening).not.toEqual(answers[1]?.opening);
  });

  test('comes as COSE when asked for, with its opening beside it', () => {
    const { runtime, first } = network();
    const path = `${transactionPath(first.send({}))}/receipt`;
    const answer = first.get(path, 'application/cose');
    expect(answer.headers?.['content-type']).toBe('application/cose');
    expect(answer.headers?.['x-concordat-opening-salt']).toHaveLength(44);
    const inJson = jsonIn(first.get(`${path}?form=cose`, 'application/json'));
    expect(Buffer.from(String(inJson.receipt), 'base64')).toEqual(
      Buffer.from(answer.body ?? ''),
    );
    runtime.coseReceipts = 'pending';
    const pending = first.get(path, 'application/cose');
    expect([pending.status, pending.headers?.['retry-after']]).toEqual([202, '1']);
    runtime.coseReceipts = 'unavailable';
    expect(first.get(path, 'application/cose').status).toBe(404);
  });
});
