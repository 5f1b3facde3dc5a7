/**
 * Stories of request ids (design decision 13): whoever got no answer asks again under the same id,
 * and it is as if there had been one attempt.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { AppResponse } from '../../src/apps/interface.ts';
import { createQuorumApplication } from '../../src/apps/quorum/application.ts';
import { decodeOutcome, encodeOutcome } from '../../src/apps/quorum/outcome.ts';
import { requestIdOf } from '../../src/apps/quorum/request-ids.ts';
import { PAYLOADS, REQUESTS } from '../../src/apps/quorum/tables.ts';
import { REQUEST_IDS_KEPT } from '../../src/base/limits.ts';
import { decodeArchivedValue } from '../../src/kv/archived-value.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import type { MemoryRuntime } from '../support/memory-runtime.ts';
import {
  jsonIn,
  plainKeys,
  QuorumClient,
  textIn,
  transactionPath,
} from '../support/quorum-client.ts';
import { callerOfOrganisation, quorumInMemory } from '../support/quorum-network.ts';

const JSON_TYPE = 'application/json';
const payload = Buffer.from('a payload').toString('base64');

function network(requestIdsKept?: number) {
  const keys = plainKeys(2);
  const runtime = quorumInMemory(keys, 2, undefined, requestIdsKept);
  const [one, two] = keys.map(({ publicKey }) => publicKey) as [string, string];
  const [first, second] = [1, 2].map((number) => new QuorumClient(runtime, number)) as [
    QuorumClient,
    QuorumClient,
  ];
  return { runtime, one, two, first, second };
}

/** An id as a connector makes it: after what is committed, before its effect. */
function newId(runtime: MemoryRuntime, seen: number = runtime.store.committed): string {
  return `${seen}.${randomBytes(16).toString('hex')}`;
}

function payloadsIn(runtime: MemoryRuntime): number {
  return runtime.store.current.archive(PAYLOADS).size;
}

function send(client: QuorumClient, order: object = {}): AppResponse {
  return client.post('/send', { payload, ...order });
}

describe('under one id', () => {
  test('a payload that is sent twice is stored once, and both get its key', () => {
    const { runtime, first } = network();
    const client = first.under(newId(runtime));
    const answers = [send(client), send(client)];
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(answers[1]).toEqual(answers[0]);
    expect(payloadsIn(runtime)).toBe(1);
    expect(first.received(String(jsonIn(answers[1] as AppResponse).key)).payload).toBe(payload);
  });

  test('without it, it is stored twice', () => {
    const { runtime, first } = network();
    expect(textIn(send(first))).not.toBe(textIn(send(first)));
    expect(payloadsIn(runtime)).toBe(2);
    expect(runtime.store.current.archive(REQUESTS).size).toBe(0);
  });

  test('the first answer is given whatever is asked for then', () => {
    const { runtime, first } = network();
    const client = first.under(newId(runtime));
    const answer = send(client);
    const before = runtime.store.newest;
    expect(send(client, { payload: Buffer.from('another').toString('base64') })).toEqual(
      answer,
    );
    expect(client.post('/storeraw', { payload }, JSON_TYPE)).toEqual(answer);
    expect(client.ask('DELETE', transactionPath(String(jsonIn(answer).key)))).toEqual(answer);
    expect(runtime.store.newest).toBe(before);
  });

  test('a payload is stored with its id in one transaction', () => {
    const { runtime, first } = network();
    const before = runtime.store.newest;
    send(first.under(newId(runtime)));
    expect(runtime.store.newest).toBe(before + 1);
  });

  test('another organisation asks for itself', () => {
    const { runtime, first, second } = network();
    const id = newId(runtime);
    const keys = [first, second].map((client) => jsonIn(send(client.under(id))).key);
    expect(keys[0]).not.toBe(keys[1]);
    expect(payloadsIn(runtime)).toBe(2);
    expect(jsonIn(send(first.under(id))).key).toBe(keys[0]);
    expect(jsonIn(send(second.under(id))).key).toBe(keys[1]);
  });

  test('a certificate of no organisation gets nowhere', () => {
    const { runtime } = network();
    const stranger = new QuorumClient(runtime, 9).under(newId(runtime));
    expect(send(stranger).status).toBe(403);
  });

  test('what was refused is looked at anew', () => {
    const { runtime, first, one } = network();
    const client = first.under(newId(runtime));
    const group = { addresses: [one], name: 'g', seed: Buffer.alloc(20, 1).toString('base64') };
    const made = jsonIn(first.post('/createPrivacyGroup', group, JSON_TYPE));
    const id = { privacyGroupId: made.privacyGroupId };
    first.post('/deletePrivacyGroup', id, JSON_TYPE);
    const before = runtime.store.newest;
    const refused = send(client, id);
    expect([refused.status, runtime.last.absence]).toEqual([404, true]);
    expect(runtime.store.newest).toBe(before);
    first.post('/createPrivacyGroup', group, JSON_TYPE);
    expect(send(client, id).status).toBe(201);
  });

  test('a payload stays deleted, and whoever deleted it hears so', () => {
    const { runtime, first } = network();
    const path = transactionPath(first.send({}));
    const client = first.under(newId(runtime));
    const statuses = [client, client, first].map((one) => one.ask('DELETE', path).status);
    expect(statuses).toEqual([204, 204, 404]);
  });

  test('an answer that cannot be read back is an error, and nothing is done again', () => {
    const { runtime, first } = network();
    const client = first.under(newId(runtime));
    send(client);
    runtime.fetchesFail = true;
    expect(() => send(client)).toThrow('a chunk cannot be read');
    expect(payloadsIn(runtime)).toBe(1);
  });

  test('whose digest begins like that of another id, a request is its own', () => {
    const { runtime, first } = network();
    const id = newId(runtime);
    const twin = Buffer.from(requestIdOf(id).key);
    twin[31] = (twin[31] ?? 0) ^ 1;
    runtime.setUp((tx) => {
      const outcome = encodeOutcome({ status: 201, body: 'of another request' });
      tx.archive(REQUESTS).store(twin, Buffer.from('organisation1'), outcome, 100);
    });
    const answers = [send(first.under(id)), send(first.under(id))];
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(answers[1]).toEqual(answers[0]);
    expect(payloadsIn(runtime)).toBe(1);
  });
});

describe('writes that no recording has', () => {
  const octets = [['content-type', 'application/octet-stream']] as const;
  const { runtime, first, one, two } = network();
  const groupId = (): unknown => {
    const body = { addresses: [one, two], name: 'g' };
    return jsonIn(first.post('/createPrivacyGroup', body, JSON_TYPE)).privacyGroupId;
  };

  test.each<readonly [string, number, () => (client: QuorumClient) => AppResponse]>([
    ['sendraw', 200, () => (client) => client.ask('POST', '/sendraw', octets, 'some bytes')],
    [
      'sendsignedtx as octets',
      200,
      () => {
        const hash = Buffer.from(first.storeRaw(), 'base64');
        return (client) => client.ask('POST', '/sendsignedtx', octets, hash);
      },
    ],
    [
      'sendsignedtx to more parties',
      201,
      () => {
        const hash = first.storeRaw();
        first.post('/sendsignedtx', { hash, to: [] });
        return (client) => client.post('/sendsignedtx', { hash, to: [two] });
      },
    ],
    [
      'createPrivacyGroup',
      200,
      () => {
        const body = { addresses: [one, two], name: 'g' };
        return (client) => client.post('/createPrivacyGroup', body, JSON_TYPE);
      },
    ],
    [
      'createPrivacyGroup that is there',
      200,
      () => {
        const seed = Buffer.alloc(20, 1).toString('base64');
        const body = { addresses: [one, two], name: 'g', seed };
        first.post('/createPrivacyGroup', body, JSON_TYPE);
        return (client) => client.post('/createPrivacyGroup', body, JSON_TYPE);
      },
    ],
    [
      'deletePrivacyGroup',
      200,
      () => {
        const body = { privacyGroupId: groupId(), from: one };
        return (client) => client.post('/deletePrivacyGroup', body, JSON_TYPE);
      },
    ],
  ])('%s is answered twice and done once', (_name, status, prepare) => {
    const ask = prepare();
    const client = first.under(newId(runtime));
    const before = runtime.store.newest;
    const answer = ask(client);
    expect(answer.status, textIn(answer)).toBe(status);
    expect(runtime.store.newest).toBe(before + 1);
    expect(ask(client)).toEqual(answer);
    expect(runtime.store.newest).toBe(before + 1);
  });

  test('a raw payload that was sent before is sent again without an entry', () => {
    const hash = first.storeRaw();
    const sent = first.post('/sendsignedtx', { hash, to: [two] });
    const before = runtime.store.newest;
    const client = first.under(newId(runtime));
    for (let times = 0; times < 2; times += 1) {
      expect(client.post('/sendsignedtx', { hash, to: [two] })).toEqual(sent);
    }
    expect(runtime.store.newest).toBe(before);
  });
});

describe('of two attempts at the same time', () => {
  test('the later one waits until the answer of the other is committed', () => {
    const { runtime, first } = network();
    const client = first.under(newId(runtime));
    runtime.commitsAtOnce = false;
    const answer = send(client);
    const early = send(client);
    expect([early.status, early.headers?.['retry-after']]).toEqual([503, '1']);
    expect(early.headers?.['x-concordat-error']).toBe('TransactionPendingOrUnknown');
    expect(runtime.last.absence, 'so that it is run again').toBe(true);
    runtime.commitAll();
    expect(send(client)).toEqual(answer);
    expect(payloadsIn(runtime)).toBe(1);
  });

  test('the later one is not refused for what the other did', () => {
    const { runtime, first } = network();
    const client = first.under(newId(runtime));
    runtime.commitsAtOnce = false;
    send(client);
    const malformed = client.post('/send', { payload: '' });
    expect(malformed.status).toBe(503);
    runtime.commitAll();
    expect(client.post('/send', { payload: '' }).status).toBe(201);
  });

  test('one whose effect was undone leaves nothing: the other is the first', () => {
    const { runtime, first } = network();
    const client = first.under(newId(runtime));
    runtime.commitsAtOnce = false;
    const lost = send(client);
    runtime.rollBack();
    runtime.commitsAtOnce = true;
    const answer = send(client);
    expect(answer.status).toBe(201);
    expect(textIn(answer)).not.toBe(textIn(lost));
    expect(send(client)).toEqual(answer);
    expect(payloadsIn(runtime)).toBe(1);
  });
});

describe('ids that are kept no more', () => {
  /** Three are kept, and five payloads were sent, each under an id of its own. */
  function afterFive() {
    const { runtime, first, second } = network(3);
    const sent = Array.from({ length: 5 }, () => {
      const client = first.under(newId(runtime));
      return { client, answer: send(client), seqno: runtime.store.newest };
    });
    // The second payload's id is the last that made way.
    return { runtime, first, second, sent, horizon: sent[1]?.seqno ?? 0 };
  }

  test('are refused, and those that are kept get their answers', () => {
    const { runtime, sent } = afterFive();
    const again = sent.map(({ client }) => send(client));
    expect(again.map(({ status }) => status)).toEqual([409, 409, 201, 201, 201]);
    expect(again.slice(2)).toEqual(sent.slice(2).map(({ answer }) => answer));
    expect(payloadsIn(runtime)).toBe(5);
    expect(again[0]?.headers?.['x-concordat-error']).toBe('RequestIdTooOld');
    expect(textIn(again[0] as AppResponse)).toContain('Ask under a new id');
  });

  test('are refused before anything else is said of the request', () => {
    const { runtime, first, sent } = afterFive();
    const key = String(jsonIn(sent[4]?.answer as AppResponse).key);
    const deleting = first.under(newId(runtime));
    expect(deleting.ask('DELETE', transactionPath(key)).status).toBe(204);
    for (let times = 0; times < 3; times += 1) send(first.under(newId(runtime)));
    // Whether it was the one that deleted it is not known, so that it is gone must not be said.
    expect(deleting.ask('DELETE', transactionPath(key)).status).toBe(409);
  });

  test('are those from before the horizon, and no others', () => {
    const { runtime, first, horizon } = afterFive();
    const before = runtime.store.newest;
    expect(send(first.under(newId(runtime, horizon - 1))).status).toBe(409);
    expect(runtime.store.newest).toBe(before);
    expect(send(first.under(newId(runtime, horizon))).status).toBe(201);
  });

  test('are one organisation’s affair', () => {
    const { runtime, second } = afterFive();
    expect(send(second.under(newId(runtime, 0))).status).toBe(201);
  });

  test('do not come from requests without an id', () => {
    const { runtime, first } = network(3);
    const client = first.under(newId(runtime));
    const answer = send(client);
    for (let times = 0; times < 10; times += 1) send(first);
    expect(send(client)).toEqual(answer);
  });

  test('are as many as the limit says beyond those', () => {
    const { runtime } = network();
    const application = createQuorumApplication({ random: { bytes: randomBytes } });
    const endpoint = application.endpoints.find(({ path }) => path.endsWith('/storeraw'));
    const headers: Readonly<Record<string, string>> = {
      'content-type': JSON_TYPE,
      'x-concordat-request-id': newId(runtime),
    };
    const request = {
      verb: 'POST',
      path: '/quorum/q2t/storeraw',
      params: {},
      query: '',
      header: (name: string) => headers[name],
      body: Buffer.from(JSON.stringify({ payload })),
      caller: callerOfOrganisation(1),
    } as const;
    const step = endpoint?.handle(request, runtime.store.committedView);
    const tx = new StoreTransaction(runtime.store, 'application');
    if (step?.kind === 'write') step.apply(tx);
    const [row] =
      tx
        .writeSet()
        .find(({ name }) => name === REQUESTS)
        ?.writes.values() ?? [];
    expect(decodeArchivedValue(row ?? Buffer.alloc(0))).toMatchObject({
      keep: REQUEST_IDS_KEPT,
    });
  });
});

describe('a header', () => {
  const hex = 'ab'.repeat(16);

  test.each([
    ['without a seqno', `.${hex}`],
    ['without random bytes', '7'],
    ['with too few of them', `7.${hex.slice(2)}`],
    ['with too many', `7.${hex}ab`],
    ['in capitals', `7.${hex.toUpperCase()}`],
    ['with a leading zero', `07.${hex}`],
    ['with a seqno that is none', `-1.${hex}`],
    ['with a seqno beyond all', `9999999999999999.${hex}`],
    ['with a blank', `7.${hex} `],
    ['of many bytes', 'x'.repeat(5000)],
    ['that is empty', ''],
  ])('%s is refused, and what was wrong is named', (_what, value) => {
    const { runtime, first } = network();
    const before = runtime.store.newest;
    const response = send(first.under(value));
    expect(response.status).toBe(400);
    expect(textIn(response)).toContain(JSON.stringify(value.slice(0, 80)));
    expect(textIn(response)).toContain('<committed seqno>.<32 lowercase hexadecimal digits>');
    expect(response.headers?.['x-concordat-error']).toBe('InvalidHeaderValue');
    expect(runtime.store.newest).toBe(before);
  });

  test('is told of where it counts: at the endpoints that write', () => {
    const { endpoints } = createQuorumApplication({ random: { bytes: randomBytes } });
    for (const { effect, openApi, path } of endpoints) {
      const named = JSON.stringify(openApi ?? {}).includes('x-concordat-request-id');
      expect(named, path).toBe(effect === 'write');
    }
  });

  test('is no concern of a read', () => {
    const { first } = network();
    const path = transactionPath(first.send({}));
    expect(first.under('nonsense').get(path)).toEqual(first.get(path));
  });
});

describe('answers in the ledger', () => {
  test.each<readonly [string, AppResponse]>([
    ['a status alone', { status: 204 }],
    ['text', { status: 200, headers: { 'content-type': 'text/plain' }, body: 'Grüße' }],
    ['an empty text', { status: 200, headers: {}, body: '' }],
    ['some headers', { status: 201, headers: { a: 'b', vary: 'Accept' }, body: '{"a":"b"}' }],
  ])('come back whole: %s', (_what, response) => {
    expect(decodeOutcome(encodeOutcome(response))).toEqual(response);
  });

  test.each([
    ['that are no text', Buffer.from([0xff, 0xfe])],
    ['that are cut off', encodeOutcome({ status: 200, body: 'abc' }).subarray(0, 20)],
    ['without a status', Buffer.from('{"body":"abc"}')],
    ['of nothing', Buffer.from('null')],
  ])('%s are damage', (_what, bytes) => {
    expect(() => decodeOutcome(bytes)).toThrow(`a stored answer of ${bytes.length} bytes`);
  });

  test('of bytes cannot be', () => {
    expect(() => encodeOutcome({ status: 200, body: Buffer.alloc(1) })).toThrow('with text');
  });
});
