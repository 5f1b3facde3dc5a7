/**
 * To show: a payload that an organisation is no party to is unknown to it. Whatever it asks, an
 * absent hash and a foreign one get the same status, headers and body but for the echoed hash, and
 * cost the same: no entry of the ledger is touched, and nothing is written.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { AppResponse } from '../../src/apps/interface.ts';
import type { MemoryRuntime } from '../support/memory-runtime.ts';
import {
  plainKeys,
  QuorumClient,
  textIn,
  transactionPath,
  VENDOR_2_1,
} from '../support/quorum-client.ts';
import { quorumInMemory } from '../support/quorum-network.ts';

type Kind = 'payload' | 'raw' | 'group';

interface Question {
  readonly name: string;
  readonly about: Kind;
  readonly status: number;
  readonly ask: (client: QuorumClient, name: string, ownKey: string) => AppResponse;
}

const payload = Buffer.from('x').toString('base64');
const JSON_TYPE = 'application/json';

function gets(name: string, suffix: string, accept: string): Question {
  return {
    name,
    about: 'payload',
    status: 404,
    ask: (client, hash) => client.get(transactionPath(hash) + suffix, accept),
  };
}

const QUESTIONS: readonly Question[] = [
  gets('receive as JSON', '', JSON_TYPE),
  gets('receive as 2.1', '?isRaw=false', VENDOR_2_1),
  gets('isSender', '/isSender', 'text/plain'),
  gets('participants', '/participants', 'text/plain'),
  gets('mandatory', '/mandatory', 'text/plain'),
  gets('receipt', '/receipt', JSON_TYPE),
  gets('receipt as COSE', '/receipt', 'application/cose'),
  {
    name: 'receive with one of its own keys',
    about: 'payload',
    status: 404,
    ask: (client, hash, own) =>
      client.get(`${transactionPath(hash)}?to=${encodeURIComponent(own)}`),
  },
  {
    name: 'receiveraw',
    about: 'payload',
    status: 404,
    ask: (client, hash) => client.ask('GET', '/receiveraw', [['c11n-key', hash]]),
  },
  {
    name: 'receive with a body',
    about: 'payload',
    status: 404,
    ask: (client, key) => client.post('/receive', { key }, VENDOR_2_1),
  },
  {
    name: 'receive as Besu does',
    about: 'payload',
    status: 404,
    ask: (client, key) =>
      client.ask(
        'POST',
        '/receive',
        [['content-type', 'application/vnd.orion.v1+json']],
        JSON.stringify({ key }),
      ),
  },
  {
    name: 'DELETE',
    about: 'payload',
    status: 404,
    ask: (client, hash) => client.ask('DELETE', transactionPath(hash)),
  },
  {
    name: 'delete',
    about: 'payload',
    status: 404,
    ask: (client, key) =>
      client.ask('POST', '/delete', [['content-type', JSON_TYPE]], JSON.stringify({ key })),
  },
  {
    name: 'send, naming it as affected',
    about: 'payload',
    status: 403,
    ask: (client, hash) =>
      client.post('/send', { payload, affectedContractTransactions: [hash] }),
  },
  {
    name: 'encodedpayload/create, naming it as affected',
    about: 'payload',
    status: 403,
    ask: (client, hash) => {
      const body = { payload, affectedContractTransactions: [hash] };
      return client.post('/encodedpayload/create', body, VENDOR_2_1);
    },
  },
  {
    name: 'receive a raw payload',
    about: 'raw',
    status: 404,
    ask: (client, hash) => client.get(`${transactionPath(hash)}?isRaw=true`),
  },
  {
    name: 'sendsignedtx',
    about: 'raw',
    status: 404,
    ask: (client, hash) => client.post('/sendsignedtx', { hash }),
  },
  {
    name: 'sendsignedtx as octets',
    about: 'raw',
    status: 404,
    ask: (client, hash) =>
      client.ask(
        'POST',
        '/sendsignedtx',
        [['content-type', 'application/octet-stream']],
        Buffer.from(hash, 'base64'),
      ),
  },
  {
    name: 'retrievePrivacyGroup',
    about: 'group',
    status: 404,
    ask: (client, privacyGroupId) =>
      client.post('/retrievePrivacyGroup', { privacyGroupId }, JSON_TYPE),
  },
  {
    name: 'deletePrivacyGroup',
    about: 'group',
    status: 404,
    ask: (client, privacyGroupId) =>
      client.post('/deletePrivacyGroup', { privacyGroupId }, JSON_TYPE),
  },
  {
    name: 'send to a group',
    about: 'group',
    status: 404,
    ask: (client, privacyGroupId) => client.post('/send', { payload, privacyGroupId }),
  },
  {
    name: 'sendsignedtx to a group',
    about: 'group',
    status: 404,
    ask: (client, privacyGroupId) =>
      client.post('/sendsignedtx', {
        hash: randomBytes(64).toString('base64'),
        privacyGroupId,
      }),
  },
];

describe('what an organisation is no party to', () => {
  const keys = plainKeys(3);
  const runtime = quorumInMemory(keys, 3);
  const [first, second, third] = keys.map((key) => key.publicKey);
  const owner = new QuorumClient(runtime, 1);
  const outsider = new QuorumClient(runtime, 3);
  const foreign: Readonly<Record<Kind, string>> = {
    payload: owner.send({ to: [second], privacyFlag: 2, mandatoryRecipients: [second] }),
    raw: owner.storeRaw(),
    group: madeGroup(owner, [first, second]),
  };

  test.each(QUESTIONS)('$name: foreign is as absent', ({ ask, about, status }) => {
    const bytes = about === 'group' ? 32 : 64;
    const absent = randomBytes(bytes).toString('base64');
    const ofAbsent = observed(runtime, () => ask(outsider, absent, String(third)), absent);
    const ofForeign = observed(
      runtime,
      () => ask(outsider, foreign[about], String(third)),
      foreign[about],
    );
    expect(ofForeign).toEqual(ofAbsent);
    expect(ofAbsent).toMatchObject({ status, fetched: 0, wrote: false, absence: true });
  });

  test.each(QUESTIONS.filter(({ about }) => about === 'payload'))(
    '$name: a party gets another answer',
    ({ ask }) => {
      const hash = owner.send({
        to: [second],
        privacyFlag: 2,
        mandatoryRecipients: [second],
      });
      const ofParty = observed(runtime, () => ask(owner, hash, String(first)), hash);
      expect(ofParty.fetched).toBe(1);
      expect(ofParty.absence).toBe(false);
    },
  );
});

function observed(runtime: MemoryRuntime, ask: () => AppResponse, name: string) {
  const response = ask();
  const body = textIn(response).replaceAll(name, '<name>');
  return { status: response.status, headers: response.headers, body, ...runtime.last };
}

function madeGroup(client: QuorumClient, addresses: readonly (string | undefined)[]): string {
  const response = client.post('/createPrivacyGroup', { name: 'g', addresses }, JSON_TYPE);
  return String((JSON.parse(textIn(response)) as { privacyGroupId: string }).privacyGroupId);
}

test.each<readonly [string, (runtime: MemoryRuntime) => AppResponse]>([
  [
    'an organisation with this certificate',
    (runtime) => new QuorumClient(runtime, 9).get(transactionPath('AAAA')),
  ],
  [
    'a group with just these members',
    (runtime) => {
      const addresses = [randomBytes(32).toString('base64')];
      return new QuorumClient(runtime, 1).post('/findPrivacyGroup', { addresses }, JSON_TYPE);
    },
  ],
  [
    'a key that opens an encoded payload',
    (runtime) => {
      const some = Buffer.alloc(32, 1).toString('base64');
      const names = ['senderKey', 'cipherText', 'cipherTextNonce', 'recipientNonce'];
      const encoded = Object.fromEntries(names.map((name) => [name, some]));
      const body = { ...encoded, recipientBoxes: [some], recipientKeys: [some] };
      return new QuorumClient(runtime, 1).post('/encodedpayload/decrypt', body, VENDOR_2_1);
    },
  ],
])('%s is said not to be there only when that is proven', (_what, ask) => {
  const runtime = quorumInMemory(plainKeys(1), 1);
  ask(runtime);
  expect(runtime.last.absence).toBe(true);
});
