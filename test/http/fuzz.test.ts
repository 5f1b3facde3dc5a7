// Bytes that are nearly requests: each is answered or refused, nothing is a fault, no room is lost,
// and a well-behaved client is served all the while.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { RawClient } from './client.ts';
import { type House, openHouse } from './house.ts';
import { type Randomness, randomOf } from './random.ts';

let house: House;

beforeAll(async () => {
  house = await openHouse({ sweepMs: 20, lingerMsMax: 100 });
});

afterAll(() => house.close());

const SEEDS = [
  'GET /app/commit?view_history=true HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /node/network/nodes?status=Trusted HTTP/1.1\r\n\r\n',
  'POST /app/log/private HTTP/1.1\r\ncontent-length: 18\r\n\r\n{"id":1,"msg":"x"}',
  'POST /log/public HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n' +
    '12\r\n{"id":1,"msg":"x"}\r\n0\r\n\r\n',
  'DELETE /app/log/public?id=1 HTTP/1.1\r\nif-match: "a", W/"b"\r\n\r\n',
  'HEAD /node/primary HTTP/1.0\r\n\r\n',
  'OPTIONS /app/receipt/cose HTTP/1.1\r\nexpect: 100-continue\r\n\r\n',
  'GET /app/receipt?transaction_id=2.1 HTTP/1.1\r\nx-concordat-min-txid: 2.1\r\n\r\n',
  'GET /gov/tx?transaction_id=2.1 HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n',
];
const PIECES = [
  '\r\n',
  '\0',
  ' ',
  ':',
  '%',
  '{',
  '"',
  '999999999999',
  '-1',
  '\u00ff',
  'HTTP/9.9',
];

function mutated(random: Randomness): Buffer {
  let bytes = Buffer.from(
    Array.from({ length: 1 + random.below(3) }, () => random.pick(SEEDS)).join(''),
    'latin1',
  );
  for (let times = random.below(4); times > 0; times -= 1) {
    const at = random.below(bytes.length);
    const piece = Buffer.from(random.pick(PIECES), 'latin1');
    const rest = bytes.subarray(at + random.below(4));
    bytes = Buffer.concat([bytes.subarray(0, at), piece, rest]);
  }
  return bytes;
}

test('four hundred mutated conversations', async () => {
  const random = randomOf('front door');
  const steady = await RawClient.connect(house, house.user);
  for (let round = 0; round < 400; round += 10) {
    const clients = await Promise.all(
      Array.from({ length: 10 }, () => RawClient.connect(house, house.user)),
    );
    for (const client of clients) client.send(mutated(random));
    expect((await steady.ask('GET', '/app/commit')).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 10));
    for (const client of clients) client.close();
  }
  steady.close();
  while (house.door.stats().sessions.active > 0) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(house.faults).toEqual([]);
  expect(house.door.stats().bodies).toEqual({ bytesInFlight: 0, requestsWaiting: 0 });
  expect(house.door.stats().counters.unparsable).toBeGreaterThan(20);
  const { answers } = house.door.stats().counters;
  expect(answers[2]).toBeGreaterThan(100);
  expect(answers[5]).toBe(0);
});
