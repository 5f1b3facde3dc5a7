/**
 * Stories of a service among Tessera nodes, on a real node with real connections: what goes out,
 * what comes in, who is believed, and what happens when a peer is down, refuses or lost its data.
 */
import { afterEach, describe, expect, test } from 'vitest';
import type { FederationOptions } from '../../src/federation/federation.ts';
import { decodeLegacy, encodeLegacy } from '../../src/federation/legacy-codec.ts';
import { writeResend } from '../../src/federation/resend-requests.ts';
import { eventually } from '../support/cluster-rig.ts';
import { jsonIn, textIn } from '../support/quorum-client.ts';
import { FederatedService } from './federated-service.ts';
import { noHash, TesseraDouble } from './tessera-double.ts';
import { type KeyPair, madePayload, newKeyPair, opened } from './tessera-payloads.ts';

let service: FederatedService | undefined;

async function begin(federation: Partial<FederationOptions> = {}): Promise<FederatedService> {
  service = await FederatedService.of(1, federation);
  return service;
}

afterEach(async () => {
  await service?.end();
  service = undefined;
});

const CBOR = '2.1,3.0,4.0,5.0,v1,v2';
const LEGACY = '2.1,3.0,4.0,v1,v2';

function base64({ publicKey }: KeyPair): string {
  return publicKey.toString('base64');
}

function wishOf(privacyFlag: 0 | 1 | 2 | 3, to: readonly Buffer[]) {
  return {
    privacyFlag,
    ...(privacyFlag === 3 ? { execHash: 'a state' } : {}),
    ...(privacyFlag === 2 ? { mandatory: to } : {}),
  };
}

describe.each([
  ['CBOR', CBOR],
  ['the legacy encoding', LEGACY],
])('with a peer that speaks %s', (_, versions) => {
  test('payloads of every flag go out, and are opened there', async () => {
    const on = await begin();
    const peer = await on.meet({ versions, validates: true });
    const to = [base64(peer.key)];
    for (const privacyFlag of [0, 1, 2, 3]) {
      const extra = {
        ...(privacyFlag === 3 ? { execHash: 'a state' } : {}),
        ...(privacyFlag === 2 ? { mandatoryRecipients: to } : {}),
      };
      const key = await on.send({ to, privacyFlag, ...extra });
      await eventually('it delivered', () => peer.textOf(key) === 'a payload from inside');
      expect(peer.stored.get(key)?.[0]?.privacyFlag).toBe(privacyFlag);
    }
    await eventually('the outbox empty', () => on.outbox() === 0);
    expect(on.federation().status().counters.delivered).toBe(4);
  });

  test('payloads of every flag come in, and are read here', async () => {
    const on = await begin();
    const peer = await on.meet({ versions });
    const to = [on.keys[0]?.publicKey ?? peer.key.publicKey];
    for (const privacyFlag of [0, 1, 2, 3] as const) {
      const { made, answers } = await peer.send(to, wishOf(privacyFlag, to));
      expect(answers.map(({ status, body }) => [status, body.toString()])).toEqual([
        [201, made.key],
      ]);
      const received = await on.received(made.key);
      expect(jsonIn(received)).toMatchObject({ privacyFlag, senderKey: base64(peer.key) });
      expect((await on.received(made.key, 2)).status).toBe(404);
    }
  });

  test('a contract is touched from both sides', async () => {
    const on = await begin();
    const peer = await on.meet({ versions });
    const inside = on.keys[0]?.publicKey ?? peer.key.publicKey;
    const { made } = await peer.send([inside], { privacyFlag: 1 });
    const affectedContractTransactions = [made.key];
    const to = [base64(peer.key)];
    const key = await on.send({ to, privacyFlag: 1, affectedContractTransactions });
    await eventually('it delivered', () => peer.stored.has(key));
    const arrived = peer.stored.get(key)?.[0];
    const again = madePayload(peer.key, [inside], { affected: [made] });
    expect(arrived?.affected.map(({ hash }) => Buffer.from(hash))).toEqual(
      again.encoded.affected.map(({ hash }) => Buffer.from(hash)),
    );
    const next = await peer.send([inside], { privacyFlag: 1, affected: [made] });
    expect(jsonIn(await on.received(next.made.key)).affectedContractTransactions).toEqual([
      made.key,
    ]);
  });
});

describe('a peer that is down', () => {
  test('gets what was sent meanwhile when it is back, in order and once', async () => {
    const on = await begin();
    const peer = await on.meet();
    await peer.stop();
    const keys = [];
    for (let n = 0; n < 5; n += 1) keys.push(await on.send({ to: [base64(peer.key)] }));
    expect(on.outbox()).toBe(5);
    await eventually('the failure noticed', () => on.federation().status().counters.failed > 0);
    await peer.start();
    await eventually('the outbox empty', () => on.outbox() === 0);
    expect(peer.pushes).toEqual(keys);
  });

  test('holds up nobody else', async () => {
    const on = await begin();
    const [down, up] = [await on.meet(), await on.meet()];
    await down.stop();
    const key = await on.send({ to: [base64(down.key), base64(up.key)] });
    await eventually('it delivered to the other', () => up.stored.has(key));
    await eventually('one left', () => on.outbox() === 1);
    const shown = on
      .federation()
      .status()
      .peers.find(({ url }) => url === down.url);
    expect(shown).toMatchObject({ waiting: 1, keys: [base64(down.key)] });
    expect(shown?.error).toContain('cannot be reached');
  });

  test('that refuses one payload gets the next ones', async () => {
    const on = await begin();
    const peer = await on.meet();
    peer.refusesWith = 403;
    const first = await on.send({ to: [base64(peer.key)] });
    await eventually('it refused', () => on.federation().status().counters.refusedByPeers > 0);
    peer.refusesWith = undefined;
    const second = await on.send({ to: [base64(peer.key)] });
    await eventually('both there', () => peer.stored.has(first) && peer.stored.has(second));
    expect(on.allWarnings).toContain(`refuses payload ${first} for ${base64(peer.key)}`);
    expect(on.allWarnings).not.toContain('a payload from inside');
  });
});

describe('a strict send', () => {
  test('is answered 201 when every recipient outside has it', async () => {
    const on = await begin({ send: 'strict' });
    const [ann, bob] = [await on.meet(), await on.meet()];
    const key = await on.send({ to: [base64(ann.key), base64(bob.key)] });
    expect([ann, bob].map((peer) => peer.textOf(key))).toEqual([
      'a payload from inside',
      'a payload from inside',
    ]);
    expect(on.outbox()).toBe(0);
  });

  test('to a peer that is down is 410, and nothing is stored', async () => {
    const on = await begin({ send: 'strict' });
    const peer = await on.meet();
    await peer.stop();
    const before = on.members[0]?.node.committed().seqno;
    const payload = Buffer.from('x').toString('base64');
    const response = await on.post('/send', { payload, to: [base64(peer.key)] });
    expect([response.status, textIn(response)]).toEqual([410, '']);
    expect(on.outbox()).toBe(0);
    expect(on.members[0]?.node.current().table('concordat.quorum.outbox').size).toBe(0);
    expect(before).toBeDefined();
    expect(on.allWarnings).toContain('a send is answered 410: http');
  });

  test('that a peer refuses is 410, and the log names who has it', async () => {
    const on = await begin({ send: 'strict' });
    const [ann, bob] = [await on.meet(), await on.meet()];
    bob.refusesWith = 403;
    const payload = Buffer.from('a secret text').toString('base64');
    const to = [base64(ann.key), base64(bob.key)];
    const response = await on.post('/send', { payload, to });
    expect(response.status).toBe(410);
    const line = on.allWarnings.split('\n').find((one) => one.includes('is answered 410'));
    expect(line).toContain(`${base64(ann.key)} has it, not ${base64(bob.key)} (status 403`);
    expect(on.allWarnings).not.toContain('a secret text');
  });

  test('that a peer never answers is 410 after four seconds', async () => {
    const on = await begin({ send: 'strict' });
    const peer = await on.meet();
    peer.hangs = true;
    const payload = Buffer.from('x').toString('base64');
    const fromMs = performance.now();
    const response = await on.post('/send', { payload, to: [base64(peer.key)] });
    const tookMs = performance.now() - fromMs;
    expect(response.status).toBe(410);
    expect(tookMs).toBeGreaterThan(3_500);
    expect(tookMs).toBeLessThan(5_000);
    expect(on.allWarnings).toContain('nobody outside has it');
  }, 20_000);
});

describe('party information', () => {
  test('with keys that the peer cannot open a challenge with is refused by name', async () => {
    const on = await begin();
    const victim = await on.meet();
    const thief = await new TesseraDouble().start();
    on.doubles.push(thief);
    const { url } = thief;
    const stolen = { key: victim.key.publicKey, url };
    const answer = await thief.tell(on.url(), { keys: [stolen] });
    expect(answer.status).toBe(403);
    expect(answer.body.toString()).toContain(
      `has not shown that it holds ${base64(victim.key)}`,
    );
    const key = await on.send({ to: [base64(victim.key)] });
    await eventually('it at its owner', () => victim.stored.has(key));
    expect(thief.stored.size).toBe(0);
    expect(on.federation().status().counters.poisoned).toBe(1);
  });

  test('with the key of an organisation inside is refused by name, even proven', async () => {
    const on = await begin();
    const inside = on.keys[1] ?? newKeyPair();
    const old = await new TesseraDouble({ keys: [inside] }).start();
    on.doubles.push(old);
    const answer = await old.tell(on.url());
    expect(answer.status).toBe(403);
    expect(answer.body.toString()).toContain(
      `the key ${base64(inside)} is that of organisation2 inside, not of ${old.url}`,
    );
    const key = await on.send({ to: [base64(inside)] });
    expect((await on.received(key, 2)).status).toBe(200);
    expect([on.outbox(), old.stored.size]).toEqual([0, 0]);
  });

  test('in the name of another does not change how that one is spoken with', async () => {
    const on = await begin();
    const peer = await on.meet();
    const liar = await new TesseraDouble({ versions: '2.1' }).start();
    on.doubles.push(liar);
    const { url } = peer;
    const keys = [{ key: peer.key.publicKey, url }];
    expect((await liar.tell(on.url(), { url, keys })).status).toBe(200);
    expect(on.allWarnings).toContain(`${url} itself does not say that it speaks 2.1`);
    const to = [base64(peer.key)];
    const wish = { to, privacyFlag: 2, mandatoryRecipients: to };
    const first = await on.send(wish);
    await eventually('it delivered', () => peer.textOf(first) !== undefined);
    // It is another matter when the peer itself has become another.
    peer.versions = LEGACY;
    expect((await peer.tell(on.url())).status).toBe(200);
    const second = await on.send(wish);
    await eventually('it delivered too', () => peer.textOf(second) !== undefined);
    expect(on.federation().status().counters.failed).toBe(0);
  });

  test('of what others hold is not believed', async () => {
    const on = await begin();
    const peer = await new TesseraDouble().start();
    on.doubles.push(peer);
    const other = newKeyPair();
    const keys = [
      { key: peer.key.publicKey, url: peer.url },
      { key: other.publicKey, url: 'http://127.0.0.1:1/' },
    ];
    expect((await peer.tell(on.url(), { keys })).status).toBe(200);
    const known = on
      .federation()
      .status()
      .peers.flatMap((one) => one.keys);
    expect(known).toEqual([base64(peer.key)]);
  });

  test('without validation still gives nobody the key of another peer', async () => {
    const on = await begin({ validatesKeys: false });
    const victim = await on.meet();
    const thief = await new TesseraDouble().start();
    on.doubles.push(thief);
    const stolen = { key: victim.key.publicKey, url: thief.url };
    const answer = await thief.tell(on.url(), { keys: [stolen] });
    expect([answer.status, answer.body.toString()]).toEqual([
      403,
      expect.stringContaining(
        `${base64(victim.key)} is that of ${victim.url}, not of ${thief.url}`,
      ),
    ]);
  });

  test('of a peer that is not configured is refused when discovery is off', async () => {
    const on = await begin({ discovery: false });
    const peer = await new TesseraDouble().start();
    on.doubles.push(peer);
    const answer = await peer.tell(on.url());
    expect([answer.status, answer.body.toString()]).toEqual([
      403,
      `the peer ${peer.url} is not one of federation.peers, and discovery is off`,
    ]);
  });
});

describe('a whitelist', () => {
  const server = { host: '127.0.0.1', port: 0 };

  test('turns away whoever is not on it', async () => {
    const on = await begin({ server: { ...server, whitelist: ['10.9.8.7'] } });
    const peer = await new TesseraDouble().start();
    on.doubles.push(peer);
    const told = await peer.tell(on.url());
    const upcheck = await fetch(new URL('upcheck', on.url()));
    expect([told.status, upcheck.status]).toEqual([401, 401]);
    expect(on.allWarnings).toContain('a peer at 127.0.0.1 is turned away');
  });

  test('admits who is, and no peer at another host', async () => {
    const on = await begin({ server: { ...server, whitelist: ['127.0.0.1'] } });
    const peer = await on.meet();
    const url = 'http://elsewhere.example:9000/';
    const keys = [{ key: peer.key.publicKey, url }];
    const answer = await peer.tell(on.url(), { url, keys });
    expect([answer.status, answer.body.toString()]).toEqual([
      403,
      'the host elsewhere.example is not on the whitelist',
    ]);
  });
});

describe('what comes in', () => {
  test('twice is stored once', async () => {
    const on = await begin();
    const peer = await on.meet();
    const inside = on.keys[0]?.publicKey ?? peer.key.publicKey;
    const { made } = await peer.send([inside]);
    const before = on.members[0]?.node.committed().seqno;
    const piece = { ...made.encoded, recipientKeys: [inside] };
    const again = await peer.push(on.url(), {
      ...piece,
      recipientBoxes: made.encoded.recipientBoxes.slice(0, 1),
    });
    expect([again.status, again.body.toString()]).toEqual([201, made.key]);
    expect(on.members[0]?.node.committed().seqno).toBe(before);
  });

  test('for two organisations at once reaches both', async () => {
    const on = await begin();
    const peer = await on.meet();
    const made = madePayload(
      peer.key,
      on.keys.map(({ publicKey }) => publicKey),
    );
    const pieces = on.keys.map(({ publicKey }, at) => ({
      ...made.encoded,
      recipientKeys: [publicKey],
      recipientBoxes: made.encoded.recipientBoxes.slice(at, at + 1),
    }));
    const answers = await Promise.all(pieces.map((piece) => peer.push(on.url(), piece)));
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    const read = await Promise.all([1, 2].map((one) => on.received(made.key, one)));
    expect(read.map(({ status }) => status)).toEqual([200, 200]);
  });

  test('spoilt is refused with a sentence, and no payload is in the log', async () => {
    const on = await begin();
    const peer = await on.meet();
    const strange = await peer.ask(on.url(), 'push', 'garbage');
    const foreign = madePayload(peer.key, [newKeyPair().publicKey]);
    const unopened = await peer.push(on.url(), foreign.encoded);
    expect([strange.status, unopened.status]).toEqual([400, 400]);
    expect(strange.body.toString()).toContain('Invalid payload data');
    expect(unopened.body.toString()).toContain('opens with no key that is held here');
    expect(on.federation().status().counters.refused).toBe(2);
  });
});

describe('after a loss', () => {
  test('a peer is pushed all of its own again', async () => {
    const on = await begin();
    const [ann, bob] = [await on.meet(), await on.meet()];
    const keys = [];
    for (let n = 0; n < 3; n += 1) keys.push(await on.send({ to: [base64(ann.key)] }));
    await on.send({ to: [base64(bob.key)] });
    await eventually('the outbox empty', () => on.outbox() === 0);
    ann.lose();
    const body = writeResend({ type: 'ALL', publicKey: ann.key.publicKey });
    const answer = await ann.ask(on.url(), 'resend', body, 'application/json');
    expect([answer.status, answer.body.length]).toEqual([200, 0]);
    expect(keys.map((key) => ann.textOf(key))).toEqual(keys.map(() => 'a payload from inside'));
    expect(ann.stored.size).toBe(3);
  });

  test('a peer in recovery is sent batches', async () => {
    const on = await begin();
    const peer = await on.meet();
    for (let n = 0; n < 3; n += 1) await on.send({ to: [base64(peer.key)] });
    await eventually('the outbox empty', () => on.outbox() === 0);
    peer.lose();
    peer.recovers = true;
    const body = JSON.stringify({ publicKey: base64(peer.key), batchSize: 2 });
    const answer = await peer.ask(on.url(), 'resendBatch', body, 'application/json');
    expect([answer.status, answer.body.toString()]).toEqual([200, '{"total":3}']);
    expect(peer.stored.size).toBe(3);
  });

  test('one payload is given again, to its sender and to its recipient', async () => {
    const on = await begin();
    const peer = await on.meet();
    const inside = on.keys[0]?.publicKey ?? peer.key.publicKey;
    const sent = await on.send({ to: [base64(peer.key)] });
    const { made } = await peer.send([inside]);
    const ask = async (key: string, { publicKey }: KeyPair) => {
      const hash = Buffer.from(key, 'base64');
      const body = writeResend({ type: 'INDIVIDUAL', publicKey, key: hash });
      return await peer.ask(on.url(), 'resend', body, 'application/json');
    };
    const texts = [];
    for (const key of [sent, made.key]) {
      const { status, body } = await ask(key, peer.key);
      texts.push([status, opened(decodeLegacy(body), peer.key)?.text]);
    }
    expect(texts).toEqual([
      [200, 'a payload from inside'],
      [200, 'a payload from outside'],
    ]);
    const statuses = [await ask(sent, newKeyPair()), await ask(noHash(), peer.key)];
    expect(statuses.map(({ status }) => status)).toEqual([404, 404]);
  });
});

describe('the other questions of a peer', () => {
  test.each([
    ['GET', '/', 200, ''],
    ['GET', '/upcheck', 200, "I'm up!"],
    ['HEAD', '/upcheck', 200, ''],
    ['GET', '/version/api', 200, '["1.0","2.0","2.1","3.0","4.0","5.0"]'],
    ['GET', '/nonsense', 404, 'HTTP 404 Not Found'],
    ['GET', '/transaction/AAAA', 404, 'HTTP 404 Not Found'],
    ['PUT', '/push', 405, 'HTTP 405 Method Not Allowed'],
    ['DELETE', '/partyinfo', 405, 'HTTP 405 Method Not Allowed'],
    ['POST', '/push', 415, 'HTTP 415 Unsupported Media Type'],
  ])('%s %s is %d', async (method, path, status, body) => {
    const on = await begin();
    const response = await fetch(new URL(path, on.url()), { method });
    expect([response.status, await response.text()]).toEqual([status, body]);
  });

  test('who holds which key', async () => {
    const on = await begin();
    const peer = await on.meet();
    const response = await fetch(new URL('partyinfo', on.url()));
    const { url, keys } = (await response.json()) as { url: string; keys: unknown };
    expect(keys).toEqual(
      expect.arrayContaining([
        ...on.keys.map((pair) => ({ key: base64(pair), url })),
        { key: base64(peer.key), url: peer.url },
      ]),
    );
  });

  test('a challenge that is no name is not opened for anybody', async () => {
    const on = await begin();
    const inside = on.keys[0]?.publicKey ?? newKeyPair().publicKey;
    const { encoded } = madePayload(newKeyPair(), [inside], {
      text: 'what somebody once sent',
    });
    const response = await fetch(new URL('partyinfo/validate', on.url()), {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: Buffer.from(encodeLegacy(encoded)),
    });
    expect([response.status, await response.text()]).toEqual([400, 'the challenge is no UUID']);
  });
});
