/**
 * Stories of the transaction manager's part in federation, without a network: what it takes in from
 * outside and under which rules, what it queues for outside, what it gives again.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ORGANISATIONS, PARTY_KEYS } from '../../src/apps/organisations.ts';
import {
  challengeEndpoint,
  type DueDelivery,
  deliveredEndpoint,
  deliveriesEndpoint,
  outboxOf,
  ownPayloadsEndpoint,
  peerEndpoint,
  pushEndpoint,
  resendAllEndpoint,
  resendEndpoint,
} from '../../src/apps/quorum/outside/endpoints.ts';
import type { TravellingPayload } from '../../src/apps/quorum/outside/opening.ts';
import { utf8 } from '../../src/base/bytes.ts';
import type { Seqno } from '../../src/base/ids.ts';
import { ERROR_CODE_HEADER } from '../../src/base/own-headers.ts';
import { payloadKeyOf } from '../../src/crypto/payload.ts';
import {
  decodePushed,
  VERSIONS_HEADER,
  versionsOf,
} from '../../src/federation/api-versions.ts';
import { type EncodedPayload, forRecipient } from '../../src/federation/encoded-payload.ts';
import type { MemoryRuntime } from '../support/memory-runtime.ts';
import { QuorumClient, textIn, transactionPath } from '../support/quorum-client.ts';
import { layOrganisations, quorumInMemory } from '../support/quorum-network.ts';
import { headerIn, recordedExchanges, recordedPartyKeys } from './recordings.ts';
import { type KeyPair, madePayload, newKeyPair, opened } from './tessera-payloads.ts';

const random = { bytes: (count: number) => randomBytes(count) };
const URL_OUTSIDE = 'http://outside.example:9000/';

/** Two organisations inside, and two keys outside, of which one peer told. */
function network() {
  const [one, two, ann, bob] = [newKeyPair(), newKeyPair(), newKeyPair(), newKeyPair()];
  const runtime = quorumInMemory(
    [one, two].map((pair, index) => ({
      node: index + 1,
      publicKey: base64(pair.publicKey),
      privateKey: base64(pair.privateKey),
    })),
    2,
  );
  tell(runtime, [ann.publicKey, bob.publicKey]);
  const [first, second] = [new QuorumClient(runtime, 1), new QuorumClient(runtime, 2)];
  return { runtime, one, two, ann, bob, first, second };
}

function tell(
  runtime: MemoryRuntime,
  keys: readonly Uint8Array[],
  url = URL_OUTSIDE,
  isProven = true,
) {
  return runtime.run(peerEndpoint({ url, versions: ['5.0'], keys, isProven }));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function push(runtime: MemoryRuntime, payload: EncodedPayload) {
  return runtime.run(pushEndpoint(random, payload));
}

/** The payload that is due first. */
function duePayload(runtime: MemoryRuntime): TravellingPayload | undefined {
  const first = due(runtime)[0]?.due;
  return first !== undefined && 'payload' in first ? first.payload : undefined;
}

/** What is due of the outbox, as its worker would send it. */
function due(runtime: MemoryRuntime): readonly DueDelivery[] {
  let found: readonly DueDelivery[] = [];
  const deliveries = outboxOf(runtime.store.committedView);
  runtime.run(
    deliveriesEndpoint(deliveries, (given) => {
      found = given;
    }),
  );
  return found;
}

function resent(runtime: MemoryRuntime, key: string, party: Uint8Array) {
  let found: TravellingPayload | undefined;
  const hash = Buffer.from(key, 'base64');
  const response = runtime.run(
    resendEndpoint(hash, party, (given) => {
      found = given;
    }),
  );
  return { response, found };
}

/** All that a party outside is given again, in its order. */
function resentAll(runtime: MemoryRuntime, party: Uint8Array): readonly TravellingPayload[] {
  const seqnos: Seqno[] = [];
  const found: TravellingPayload[] = [];
  runtime.run(ownPayloadsEndpoint(party, undefined, (own) => seqnos.push(...own.seqnos)));
  seqnos.sort((left, right) => left - right);
  runtime.run(resendAllEndpoint(party, seqnos, (payloads) => found.push(...payloads)));
  return found;
}

/** What arrives at one recipient. */
function pieceFor(payload: EncodedPayload, { publicKey }: KeyPair): EncodedPayload {
  return forRecipient(payload, publicKey);
}

describe('a payload from outside', () => {
  test('is given to the recipient whose box opened, and to nobody else', () => {
    const { runtime, first, second, one, ann } = network();
    const made = madePayload(ann, [one.publicKey]);
    const answer = push(runtime, pieceFor(made.encoded, one));
    expect([answer.status, textIn(answer)]).toEqual([201, made.key]);
    expect(first.received(made.key)).toMatchObject({
      payload: base64(Buffer.from('a payload from outside')),
      senderKey: base64(ann.publicKey),
      managedParties: [base64(one.publicKey)],
      privacyFlag: 0,
    });
    expect(second.get(transactionPath(made.key)).status).toBe(404);
    expect(textIn(first.get(`${transactionPath(made.key)}/isSender`, 'text/plain'))).toBe(
      'false',
    );
    expect(textIn(first.get(`${transactionPath(made.key)}/participants`, 'text/plain'))).toBe(
      base64(one.publicKey),
    );
  });

  test('that comes again changes nothing', () => {
    const { runtime, one, ann } = network();
    const made = madePayload(ann, [one.publicKey]);
    push(runtime, pieceFor(made.encoded, one));
    const again = push(runtime, pieceFor(made.encoded, one));
    expect([again.status, runtime.last.wrote]).toEqual([201, false]);
  });

  test('comes once for each recipient, who then are parties each', () => {
    const { runtime, first, second, one, two, ann } = network();
    const base = madePayload(ann, [two.publicKey], { privacyFlag: 1 });
    push(runtime, pieceFor(base.encoded, two));
    const made = madePayload(ann, [one.publicKey, two.publicKey], {
      privacyFlag: 1,
      affected: [base],
    });
    push(runtime, pieceFor(made.encoded, one));
    expect(second.get(transactionPath(made.key)).status).toBe(404);
    push(runtime, pieceFor(made.encoded, two));
    // Each learns of the affected transaction only if it is a party to that.
    expect(first.received(made.key).affectedContractTransactions).toEqual([]);
    expect(second.received(made.key).affectedContractTransactions).toEqual([base.key]);
  });

  test('that no key here opens is refused, whoever it is for', () => {
    const { runtime, one, ann, bob } = network();
    const forBob = madePayload(ann, [bob.publicKey]);
    expect(textIn(push(runtime, pieceFor(forBob.encoded, bob)))).toContain('opens with no key');
    const spoilt = pieceFor(madePayload(ann, [one.publicKey]).encoded, one);
    const cipherText = Buffer.from(spoilt.cipherText);
    cipherText[20] = (cipherText[20] ?? 0) ^ 1;
    expect(push(runtime, { ...spoilt, cipherText }).status).toBe(400);
    const stranger = { ...spoilt, senderKey: bob.publicKey };
    expect(push(runtime, stranger).status).toBe(400);
  });

  test('in the name of an organisation inside is refused', () => {
    const { runtime, one, two } = network();
    const forged = madePayload(two, [one.publicKey]);
    const answer = push(runtime, pieceFor(forged.encoded, one));
    expect([answer.status, textIn(answer)]).toEqual([
      403,
      `the sender ${base64(two.publicKey)} is an organisation of this service: it sends from here`,
    ]);
  });

  test('that is known otherwise is refused', () => {
    const { runtime, one, ann } = network();
    const made = madePayload(ann, [one.publicKey]);
    push(runtime, pieceFor(made.encoded, one));
    const other = { ...pieceFor(made.encoded, one), privacyFlag: 1 as const };
    expect(push(runtime, other).status).toBe(409);
  });

  test.each([
    ['a key of 31 bytes', { recipientKeys: [Buffer.alloc(31)] }, 'a party key has 31 bytes'],
    ['a short nonce', { recipientNonce: Buffer.alloc(23) }, 'a nonce has 23 bytes'],
    [
      'a short affected hash',
      { affected: [{ hash: Buffer.alloc(63), securityHash: Buffer.alloc(64) }] },
      'not 64 bytes',
    ],
  ])('with %s is refused', (_, change, sentence) => {
    const { runtime, one, ann } = network();
    const made = madePayload(ann, [one.publicKey]);
    const answer = push(runtime, { ...pieceFor(made.encoded, one), ...change });
    expect([answer.status, textIn(answer)]).toEqual([400, expect.stringContaining(sentence)]);
  });

  test('whose affected transaction its sender does not hold is stored without it', () => {
    const { runtime, first, one, ann, bob } = network();
    const base = madePayload(ann, [one.publicKey], { privacyFlag: 1 });
    push(runtime, pieceFor(base.encoded, one));
    const guessed = { ...base, masterKey: randomBytes(32) };
    const made = madePayload(bob, [one.publicKey], { privacyFlag: 1, affected: [guessed] });
    expect(push(runtime, pieceFor(made.encoded, one)).status).toBe(201);
    expect(first.received(made.key).affectedContractTransactions).toEqual([]);
  });

  test('whose affected transaction has another flag is answered and not stored', () => {
    const { runtime, first, one, ann } = network();
    const base = madePayload(ann, [one.publicKey]);
    push(runtime, pieceFor(base.encoded, one));
    const made = madePayload(ann, [one.publicKey], { privacyFlag: 1, affected: [base] });
    const answer = push(runtime, pieceFor(made.encoded, one));
    expect([answer.status, answer.headers?.[ERROR_CODE_HEADER]]).toEqual([201, 'PushIgnored']);
    expect(first.get(transactionPath(made.key)).status).toBe(404);
  });
});

describe('private state validation from outside', () => {
  const flag = { privacyFlag: 3, execHash: 'a hash of the state' } as const;

  function withBase() {
    const world = network();
    const { runtime, one, ann } = world;
    const base = madePayload(ann, [one.publicKey], flag);
    push(runtime, pieceFor(base.encoded, one));
    return { ...world, base };
  }

  test('names all parties to each', () => {
    const { first, one, ann, base } = withBase();
    const all = textIn(first.get(`${transactionPath(base.key)}/participants`, 'text/plain'));
    expect(all).toBe([one, ann].map(({ publicKey }) => base64(publicKey)).join(','));
    expect(first.received(base.key).execHash).toBe('a hash of the state');
  });

  test('takes the next transaction of the same parties', () => {
    const { runtime, first, one, ann, base } = withBase();
    const made = madePayload(ann, [one.publicKey], { ...flag, affected: [base] });
    expect(push(runtime, pieceFor(made.encoded, one)).status).toBe(201);
    expect(first.received(made.key).affectedContractTransactions).toEqual([base.key]);
  });

  test.each([
    ['other parties', 403, 'Recipients mismatched for Affected Txn'],
    ['a security hash that is guessed', 403, 'Invalid security hashes'],
    ['an unknown affected transaction', 201, ''],
    ['a sender that was no party', 201, ''],
  ])('with %s is not stored (%d)', (what, status, sentence) => {
    const { runtime, first, one, ann, bob, base } = withBase();
    const sender = what.startsWith('a sender') ? bob : ann;
    const to = what === 'other parties' ? [one.publicKey, bob.publicKey] : [one.publicKey];
    const guessed = { ...base, masterKey: randomBytes(32) };
    const unknown = madePayload(ann, [one.publicKey], flag);
    const affected = what.startsWith('a security')
      ? guessed
      : what.startsWith('an unknown')
        ? unknown
        : base;
    const made = madePayload(sender, to, { ...flag, affected: [affected] });
    const answer = push(runtime, pieceFor(made.encoded, one));
    expect([answer.status, textIn(answer)]).toEqual([
      status,
      expect.stringContaining(sentence),
    ]);
    expect(first.get(transactionPath(made.key)).status).toBe(404);
  });
});

describe('a payload for outside', () => {
  test('is queued in the transaction that stores it, once for each recipient outside', () => {
    const { runtime, first, two, ann, bob } = network();
    const before = runtime.store.newest;
    const to = [two, ann, bob].map(({ publicKey }) => base64(publicKey));
    const key = first.send({ to });
    expect(runtime.store.newest).toBe(before + 1);
    const rows = outboxOf(runtime.store.committedView).map(({ subject, recipient }) => [
      base64(subject),
      base64(recipient),
    ]);
    expect(rows.sort()).toEqual([ann, bob].map((one) => [key, base64(one.publicKey)]).sort());
  });

  test.each([0, 1, 2, 3] as const)('opens at its recipient under flag %d', (privacyFlag) => {
    const { runtime, first, one, ann } = network();
    const to = [base64(ann.publicKey)];
    const extra = {
      ...(privacyFlag === 3 ? { execHash: 'state' } : {}),
      ...(privacyFlag === 2 ? { mandatoryRecipients: to } : {}),
    };
    const key = first.send({ to, privacyFlag, ...extra });
    const [delivery] = due(runtime);
    const payload = duePayload(runtime);
    if (payload === undefined) throw new Error('nothing is due');
    expect(opened(payload, ann)?.text).toBe('a payload');
    expect(opened(payload, one)?.text).toBe('a payload');
    expect(delivery?.due?.to).toEqual({ url: URL_OUTSIDE, versions: ['5.0'] });
    expect(payload.recipientKeys.map(base64)).toEqual(
      privacyFlag === 3 ? [base64(ann.publicKey), base64(one.publicKey)] : to,
    );
    expect(payload.mandatory.map(base64)).toEqual(privacyFlag === 2 ? to : []);
    expect([payload.privacyFlag, key]).toEqual([
      privacyFlag,
      base64(delivery?.subject ?? one.publicKey),
    ]);
  });

  test('carries what shows that its sender holds the affected transaction', () => {
    const { runtime, first, one, ann } = network();
    const base = madePayload(ann, [one.publicKey], { privacyFlag: 1 });
    push(runtime, pieceFor(base.encoded, one));
    first.send({
      to: [base64(ann.publicKey)],
      privacyFlag: 1,
      affectedContractTransactions: [base.key],
    });
    const payload = duePayload(runtime);
    const again = madePayload(ann, [one.publicKey], { affected: [base] });
    expect(payload?.affected).toHaveLength(1);
    expect(base64(payload?.affected[0]?.hash ?? ann.publicKey)).toBe(
      base64(again.encoded.affected[0]?.hash ?? one.publicKey),
    );
  });

  test('is the same bytes each time it is readied', () => {
    const { runtime, first, ann } = network();
    first.send({ to: [base64(ann.publicKey)] });
    expect(due(runtime)).toEqual(due(runtime));
  });

  test('leaves the outbox when it is delivered, and is not due when it was deleted', () => {
    const { runtime, first, ann } = network();
    first.send({ to: [base64(ann.publicKey)] });
    const [delivery] = due(runtime);
    if (delivery === undefined) throw new Error('nothing is due');
    runtime.run(deliveredEndpoint([delivery]));
    expect(outboxOf(runtime.store.committedView)).toEqual([]);
    expect(runtime.run(deliveredEndpoint([delivery])).status).toBe(200);
    expect(runtime.last.wrote).toBe(false);
  });

  test('goes to nobody whom no peer has told of', () => {
    const { first } = network();
    const stranger = base64(newKeyPair().publicKey);
    const payload = base64(Buffer.from('x'));
    const answer = first.post('/send', { payload, to: [stranger] });
    expect([answer.status, textIn(answer)]).toEqual([
      404,
      `Recipient not found for key: ${stranger}`,
    ]);
  });

  test('of an externally signed transaction is queued when it is sent', () => {
    const { runtime, first, ann } = network();
    const hash = first.storeRaw();
    expect(outboxOf(runtime.store.committedView)).toEqual([]);
    first.post('/sendsignedtx', { hash, to: [base64(ann.publicKey)] });
    const payload = duePayload(runtime);
    expect(payload === undefined ? '' : opened(payload, ann)?.text).toBe('a raw payload');
  });
});

describe('keys outside', () => {
  test('of an organisation inside are refused by name', () => {
    const { runtime, two } = network();
    const answer = tell(runtime, [two.publicKey]);
    expect([answer.status, textIn(answer)]).toEqual([
      403,
      `the key ${base64(two.publicKey)} is that of organisation2 inside, not of ${URL_OUTSIDE}`,
    ]);
  });

  test('of another peer are refused by name unless the claim is proven', () => {
    const { runtime, first, ann } = network();
    const elsewhere = 'http://elsewhere.example/';
    const answer = tell(runtime, [ann.publicKey], elsewhere, false);
    expect([answer.status, textIn(answer)]).toEqual([
      403,
      `the key ${base64(ann.publicKey)} is that of ${URL_OUTSIDE}, not of ${elsewhere}`,
    ]);
    expect(tell(runtime, [ann.publicKey], elsewhere).status).toBe(200);
    first.send({ to: [base64(ann.publicKey)] });
    expect(due(runtime)[0]?.due?.to.url).toBe(elsewhere);
  });

  test('that are known already are not written again', () => {
    const { runtime, ann } = network();
    tell(runtime, [ann.publicKey]);
    expect(runtime.last.wrote).toBe(false);
  });
});

describe('an organisation that comes inside', () => {
  test('reads what was sent to it before, and nothing more goes out', () => {
    const { runtime, first, one, two, ann, bob } = network();
    const key = first.send({ to: [base64(ann.publicKey), base64(bob.publicKey)] });
    const keyOf = (pair: KeyPair, node: number) => ({
      node,
      publicKey: base64(pair.publicKey),
      privateKey: base64(pair.privateKey),
    });
    const all = [keyOf(one, 1), keyOf(two, 2), keyOf(ann, 3)];
    runtime.setUp((tx) => layOrganisations(tx, all, 3));
    const third = new QuorumClient(runtime, 3);
    expect(third.received(key).managedParties).toEqual([base64(ann.publicKey)]);
    const left = due(runtime).filter((delivery) => delivery.due !== undefined);
    expect(left.map(({ recipient }) => base64(recipient))).toEqual([base64(bob.publicKey)]);
    third.send({ to: [base64(one.publicKey)] });
    expect(due(runtime)).toHaveLength(2);
    // Its old node may still run and say that the key is its own.
    expect(tell(runtime, [ann.publicKey]).status).toBe(403);
  });
});

describe('what a peer asks for again', () => {
  test('is given to a recipient outside, and to its sender', () => {
    const { runtime, first, one, ann, bob } = network();
    const key = first.send({ to: [base64(ann.publicKey)] });
    const sent = resent(runtime, key, ann.publicKey).found;
    expect(sent === undefined ? '' : opened(sent, ann)?.text).toBe('a payload');
    const made = madePayload(bob, [one.publicKey]);
    push(runtime, pieceFor(made.encoded, one));
    const back = resent(runtime, made.key, bob.publicKey).found;
    expect(back === undefined ? '' : opened(back, bob)?.text).toBe('a payload from outside');
    // The box is the very one that the sender made.
    expect(
      Buffer.from(back?.recipientBoxes[0] ?? []).equals(
        made.encoded.recipientBoxes[0] ?? one.publicKey,
      ),
    ).toBe(true);
  });

  test('is not found for those who have no part in it, nor for keys inside', () => {
    const { runtime, first, two, ann, bob } = network();
    const key = first.send({ to: [base64(ann.publicKey), base64(two.publicKey)] });
    const foreign = resent(runtime, key, bob.publicKey).response;
    const absent = resent(runtime, base64(randomBytes(64)), bob.publicKey).response;
    expect([foreign.status, absent.status]).toEqual([404, 404]);
    expect(resent(runtime, key, two.publicKey).response.status).toBe(400);
  });

  test('is all of its own, oldest first', () => {
    const { runtime, first, one, ann, bob } = network();
    const keys = [1, 2, 3].map(() => first.send({ to: [base64(ann.publicKey)] }));
    first.send({ to: [base64(bob.publicKey)] });
    const made = madePayload(ann, [one.publicKey]);
    push(runtime, pieceFor(made.encoded, one));
    const found = resentAll(runtime, ann.publicKey);
    expect(found.map(keyIn)).toEqual([...keys, made.key]);
    expect(found.map((payload) => opened(payload, ann)?.text)).toEqual([
      'a payload',
      'a payload',
      'a payload',
      'a payload from outside',
    ]);
  });

  test('is nothing for a key inside, or for one that nobody has', () => {
    const { runtime, first, one, two, ann } = network();
    first.send({ to: [base64(two.publicKey), base64(ann.publicKey)] });
    expect(resentAll(runtime, one.publicKey)).toEqual([]);
    expect(resentAll(runtime, newKeyPair().publicKey)).toEqual([]);
  });
});

describe('an organisation that goes back outside', () => {
  test('is given all that it sent and was sent while it was inside', () => {
    const { runtime, first, second, one, two, ann } = network();
    const to = (...pairs: readonly KeyPair[]) => ({
      to: pairs.map(({ publicKey }) => base64(publicKey)),
    });
    const received = first.send(to(two));
    const sent = second.send(to(one));
    const forItself = second.send(to());
    const foreign = first.send(to(ann));
    leave(runtime, 2, two);
    tell(runtime, [two.publicKey]);
    const found = resentAll(runtime, two.publicKey);
    expect(found.map(keyIn)).toEqual([received, sent, forItself]);
    expect(found.map((payload) => opened(payload, two)?.text)).toEqual(
      found.map(() => 'a payload'),
    );
    expect(resent(runtime, foreign, two.publicKey).response.status).toBe(404);
    // Nothing is sent to it inside any more.
    const later = first.send(to(two));
    expect(due(runtime).map(({ subject }) => base64(subject))).toContain(later);
    expect(second.get(transactionPath(received)).status).toBe(404);
  });

  test('is given what it shares with another that went back before it', () => {
    const { runtime, first, one, two } = network();
    const key = first.send({ to: [base64(two.publicKey)] });
    for (const [node, pair] of [one, two].entries()) {
      leave(runtime, node + 1, pair);
      tell(runtime, [pair.publicKey], `http://tessera${node}.example:9000/`);
    }
    for (const pair of [one, two]) {
      const [found] = resentAll(runtime, pair.publicKey);
      expect(found === undefined ? '' : keyIn(found)).toBe(key);
      expect(found === undefined ? '' : opened(found, pair)?.text).toBe('a payload');
    }
  });

  test('is not given what it deleted', () => {
    const { runtime, first, second, two } = network();
    const key = first.send({ to: [base64(two.publicKey)] });
    expect(second.ask('DELETE', transactionPath(key)).status).toBe(204);
    leave(runtime, 2, two);
    tell(runtime, [two.publicKey]);
    expect(resentAll(runtime, two.publicKey)).toEqual([]);
  });

  test('has nothing new opened with the key that is still kept for what is old', () => {
    const { runtime, one, two, ann } = network();
    leave(runtime, 2, two);
    const { encoded } = madePayload(ann, [two.publicKey]);
    const response = push(runtime, pieceFor(encoded, two));
    expect([response.status, textIn(response)]).toEqual([
      400,
      expect.stringContaining('opens with no key that is held here'),
    ]);
    const challenge = madePayload(ann, [two.publicKey], { text: 'a name' }).encoded;
    expect(runtime.run(challengeEndpoint(challenge, () => undefined)).status).toBe(400);
    const inside = madePayload(ann, [one.publicKey], { text: 'a name' }).encoded;
    expect(runtime.run(challengeEndpoint(inside, () => undefined)).status).toBe(200);
  });
});

/** What governance does when members remove a party key. */
function leave(runtime: MemoryRuntime, node: number, { publicKey }: KeyPair): void {
  runtime.setUp((tx) => {
    const id = utf8(`organisation${node}`);
    const row = { name: `Organisation ${node}`, party_keys: [], residents: [] };
    tx.table(PARTY_KEYS).remove(utf8(base64(publicKey)));
    tx.table(ORGANISATIONS).put(id, utf8(JSON.stringify(row)));
  });
}

function keyIn({ cipherText }: EncodedPayload): string {
  return base64(payloadKeyOf(cipherText));
}

test('recorded pushes are taken in as the recorded node took them', () => {
  const keys = recordedPartyKeys();
  // Each organisation inside alone, the others outside: all that was pushed to it.
  for (const node of [1, 2, 3]) {
    const runtime = quorumInMemory(
      keys.filter((one) => one.node === node),
      node,
    );
    const client = new QuorumClient(runtime, node);
    const pushes = recordedExchanges().filter(
      ({ peer, request, response }) =>
        peer === node && request.path === '/push' && response.status === 201,
    );
    expect(pushes.length).toBeGreaterThan(5);
    for (const { request, response } of pushes) {
      const versions = versionsOf(headerIn(request, VERSIONS_HEADER));
      const payload = decodePushed(Buffer.from(request.body, 'base64'), versions);
      const answer = push(runtime, payload);
      const key = Buffer.from(response.body, 'base64').toString();
      expect([answer.status, textIn(answer)]).toEqual([201, key]);
      if (answer.headers?.[ERROR_CODE_HEADER] !== undefined) continue;
      expect(client.received(key).senderKey).toBe(base64(payload.senderKey));
    }
  }
});
