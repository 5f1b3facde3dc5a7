/** `/sendraw`, `/receiveraw` and `/sendsignedtx` with octets: bytes and headers instead of JSON. */
import { describe, expect, test } from 'vitest';
import type { AppResponse } from '../../src/apps/interface.ts';
import {
  type Headers,
  plainKeys,
  QuorumClient,
  textIn,
  transactionPath,
} from '../support/quorum-client.ts';
import { quorumInMemory } from '../support/quorum-network.ts';

const keys = plainKeys(3);
const runtime = quorumInMemory(keys, 3);
const [K1, K2, K3] = keys.map(({ publicKey }) => publicKey) as [string, string, string];
const [first, second, third] = [1, 2, 3].map((one) => new QuorumClient(runtime, one)) as [
  QuorumClient,
  QuorumClient,
  QuorumClient,
];
const OCTETS: Headers = [['content-type', 'application/octet-stream']];
const BYTES = Buffer.from([0, 255, 1, 2]);

function sendRaw(headers: Headers, body: Buffer = BYTES): AppResponse {
  return first.ask('POST', '/sendraw', [...OCTETS, ...headers], body);
}

function receiveRaw(client: QuorumClient, headers: Headers): AppResponse {
  return client.ask('GET', '/receiveraw', headers);
}

describe('/sendraw', () => {
  test('answers with the key as text, where it can be read, and the bytes come back', () => {
    const sent = sendRaw([
      ['c11n-from', K1],
      ['c11n-to', K2],
    ]);
    const key = textIn(sent);
    expect(sent.status).toBe(200);
    expect(sent.headers).toEqual({
      'content-type': 'text/plain',
      location: transactionPath(key),
    });
    const received = receiveRaw(second, [['c11n-key', key]]);
    expect([received.status, received.headers?.['content-type']]).toEqual([
      200,
      'application/octet-stream',
    ]);
    expect(Buffer.from(received.body ?? '')).toEqual(BYTES);
    expect(receiveRaw(third, [['c11n-key', key]]).status).toBe(404);
  });

  test.each([
    ['no recipients', [], [K1]],
    ['an empty list', [['c11n-to', '']], [K1]],
    ['two recipients', [['c11n-to', `${K2},${K3}`]], [K2, K3, K1]],
    ['blanks after commas', [['c11n-to', `${K2}, ${K3}`]], [K2, K3, K1]],
    ['a comma at the end', [['c11n-to', `${K2},`]], [K2, K1]],
    [
      'a repeated header: the first counts',
      [
        ['c11n-to', K2],
        ['c11n-to', K3],
      ],
      [K2, K1],
    ],
  ] as const)('%s', (_, headers, expected) => {
    const key = textIn(sendRaw(headers));
    const participants = first.get(`${transactionPath(key)}/participants`, 'text/plain');
    expect(textIn(participants)).toBe(expected.join(','));
  });

  test.each([
    ['a foreign sender', [['c11n-from', K2]], 404, `Public key ${K2} not found`],
    ['a sender that is no base64', [['c11n-from', '*']], 400, '{ValidBase64.message}'],
    ['a recipient that is no base64', [['c11n-to', '*']], 400, 'Illegal base64 character 2a'],
    ['an unknown recipient', [['c11n-to', 'A'.repeat(43)]], 404, 'Recipient not found'],
    ['an empty recipient', [['c11n-to', `,${K2}`]], 400, 'has 0 bytes'],
  ] as const)('%s', (_, headers, status, sentence) => {
    const response = sendRaw(headers);
    expect([response.status, textIn(response)]).toEqual([
      status,
      expect.stringContaining(sentence),
    ]);
  });

  test('no bytes are refused, and so is another media type', () => {
    expect(sendRaw([], Buffer.alloc(0)).status).toBe(400);
    const json: Headers = [['content-type', 'application/json']];
    expect(first.ask('POST', '/sendraw', json, BYTES).status).toBe(415);
  });
});

describe('/receiveraw', () => {
  const key = first.send({ to: [K2] });

  test.each([
    ['without a key', [], 400, 'may not be null'],
    ['with nonsense for a key', [['c11n-key', '*']], 400, '{ValidBase64.message}'],
    [
      'with one of its keys',
      [
        ['c11n-key', key],
        ['c11n-to', K1],
      ],
      200,
      'a payload',
    ],
    [
      'with a foreign key',
      [
        ['c11n-key', key],
        ['c11n-to', K2],
      ],
      404,
      'Public key',
    ],
    [
      'with half a key',
      [
        ['c11n-key', key],
        ['c11n-to', 'zz'],
      ],
      400,
      'not found in listed',
    ],
    [
      'with a JSON type',
      [
        ['c11n-key', key],
        ['content-type', 'application/json'],
      ],
      415,
      '415',
    ],
    [
      'asking for text',
      [
        ['c11n-key', key],
        ['accept', 'text/plain'],
      ],
      406,
      '406',
    ],
  ] as const)('%s', (_, headers, status, sentence) => {
    const response = receiveRaw(first, headers);
    expect([response.status, textIn(response)]).toEqual([
      status,
      expect.stringContaining(sentence),
    ]);
  });
});

describe('/sendsignedtx with octets', () => {
  const send = (hash: string): AppResponse =>
    first.ask(
      'POST',
      '/sendsignedtx',
      [...OCTETS, ['c11n-to', K2]],
      Buffer.from(hash, 'base64'),
    );

  test('answers 200 with the key as text, twice the same', () => {
    const hash = first.storeRaw();
    const answers = [send(hash), send(hash)];
    expect(answers[0]).toEqual({
      status: 200,
      headers: { 'content-type': 'text/plain', location: transactionPath(hash) },
      body: hash,
    });
    expect(answers[1]).toEqual(answers[0]);
    expect(second.get(transactionPath(hash)).status).toBe(200);
  });

  test.each([
    ['', 400],
    ['AAAA', 404],
  ])('the hash "%s" is %d', (hash, status) => {
    expect(send(hash).status).toBe(status);
  });
});
