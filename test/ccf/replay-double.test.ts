// CCF's recorded exchanges, played to the front door and the log over a double of the service.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import {
  jsonRow,
  NODE_CERTIFICATES,
  SINGLETON,
  VIRTUAL_HOST_DATA,
  VIRTUAL_MEASUREMENTS,
} from '../../src/governance/tables.ts';
import { type House, openHouse } from '../http/house.ts';
import { differences } from './compare.ts';
import { idlePatterns } from './expectations.ts';
import { type Recording, recordings } from './recordings.ts';
import { replay, tableOf, unseenDeviations } from './replay.ts';

const all = recordings();
let house: House;

beforeAll(async () => {
  house = await openHouse();
  const { service, server } = house;
  service.write((tx) => {
    tx.table(NODE_CERTIFICATES).put(utf8(service.nodeId), utf8(server.cert));
    tx.table(VIRTUAL_MEASUREMENTS).put(utf8('a measurement'), jsonRow('AllowedToJoin'));
    tx.table(VIRTUAL_HOST_DATA).put(utf8('11'.repeat(32)), SINGLETON);
  });
});

afterAll(() => house.close());

test('every counted exchange is answered as CCF answered it', async () => {
  const { host, port, user, member } = house;
  const outcomes = await replay(all, {
    host,
    port,
    identities: { user0: user, member0: member },
    signatureTxId: () => Promise.resolve(undefined),
  });
  console.log(`CCF's recorded exchanges, over a double:\n${tableOf(outcomes)}`);
  expect(outcomes.filter(({ result }) => result === 'differs')).toEqual([]);
  expect(unseenDeviations(outcomes)).toEqual([]);
  expect(house.faults).toEqual([]);
});

test('no reason for leaving an exchange out is idle', () => {
  expect(idlePatterns(all)).toEqual([]);
});

describe('the comparison', () => {
  const recording: Recording = {
    name: 'made up',
    client: 'none',
    method: 'GET',
    target: '/x',
    headers: [],
    body: Buffer.alloc(0),
    status: 404,
    answerHeaders: new Map([
      ['content-type', 'application/json'],
      ['retry-after', '3'],
    ]),
    answerBody: Buffer.from('{"error":{"code":"A","message":"b 2.7"},"n":[{"k":1}]}'),
  };
  const right = '{"error":{"code":"A","message":"b 2.9"},"n":[{"k":5}],"more":true}';
  const headers = { 'content-type': 'application/json', 'retry-after': '3' };

  test.each([
    ['the same answer', 404, headers, right, []],
    ['another status', 500, headers, right, [/^status 500/]],
    ['a header left out', 404, { 'content-type': 'application/json' }, right, [/retry-after/]],
    ['another header', 404, { ...headers, 'retry-after': '1' }, right, [/retry-after is 1/]],
    ['another code', 404, headers, right.replace('"A"', '"B"'), [/error\/code is "B"/]],
    ['another sentence', 404, headers, right.replace('b 2', 'c 2'), [/error\/message/]],
    ['a field left out', 404, headers, right.replace('"k"', '"l"'), [/field \/n\/0\/k/]],
    ['another kind', 404, headers, right.replace('5', '"5"'), [/\/n\/0\/k is string/]],
    ['an empty list', 404, headers, right.replace('{"k":5}', ''), [/\/n is empty/]],
  ])('sees %s', (_what, status, given, body, expected) => {
    const reply = { status, headers: new Map(Object.entries(given)), body: Buffer.from(body) };
    const found = differences(recording, reply, (txId) => (txId === '2.7' ? '2.9' : txId));
    expect(found).toEqual(expected.map((pattern) => expect.stringMatching(pattern)));
  });
});
