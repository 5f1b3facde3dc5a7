/**
 * To show: a node's log has a line for each client that is not let in or not let do what it wants,
 * which says who, what and why, and never a query or a body.
 */
import { afterEach, expect, test } from 'vitest';
import type { Application, AppResponse } from '../../src/apps/interface.ts';
import { refusalNotes } from '../../src/http/refusal-note.ts';
import { ManualTime } from '../support/manual-time.ts';
import { askOnce } from './client.ts';
import { type House, openHouse } from './house.ts';

const CANARY = 'canary-in-a-payload';

let house: House | undefined;

afterEach(async () => {
  await house?.close();
  house = undefined;
});

/** An application that answers everybody who has a certificate with one answer. */
function answering(response: AppResponse): Application {
  return {
    name: 'one answer',
    archivedTables: [],
    endpoints: [
      {
        verb: 'POST',
        path: '/one/answer',
        authentication: ['any_cert'],
        effect: 'none',
        reads: 'current',
        answers: 'local',
        summary: 'Says one thing',
        handle: () => ({ kind: 'answer', response }),
      },
    ],
  };
}

test('who is not known is written of, with a certificate and without', async () => {
  house = await openHouse();
  await askOnce(house, undefined, 'GET', `/app/log/private?id=${CANARY}`);
  await askOnce(house, house.stranger, 'POST', '/app/log/private', {
    body: JSON.stringify({ id: 1, msg: CANARY }),
  });
  const [nobody, stranger] = house.refusals;
  const why = '401 InvalidAuthenticationInfo Invalid authentication credentials.';
  expect(nobody).toEqual({
    ...{ who: expect.stringMatching(/127\.0\.0\.1 \(no certificate\)$/), why },
    what: 'GET /app/log/private',
  });
  expect(stranger).toMatchObject({
    who: expect.stringMatching(/ \(certificate [0-9a-f]{16}…\)$/),
    what: 'POST /app/log/private',
  });
  expect(JSON.stringify(house.refusals)).not.toContain(CANARY);
});

test('so is who may not, in the words that it was told', async () => {
  const body = 'Recipients mismatched for Affected Txn abc';
  house = await openHouse({ applications: [answering({ status: 403, body })] });
  await askOnce(house, house.user, 'POST', '/app/one/answer', { body: CANARY });
  expect(house.refusals).toMatchObject([{ what: 'POST /app/one/answer', why: `403 ${body}` }]);
});

test.each([200, 400, 404, 409])('an answer of %d is no refusal of anybody', async (status) => {
  house = await openHouse({ applications: [answering({ status, body: CANARY })] });
  await askOnce(house, house.user, 'POST', '/app/one/answer');
  expect(house.refusals).toEqual([]);
});

test('the log has a line for each kind once a minute', () => {
  const [lines, timers]: [string[], ManualTime] = [[], new ManualTime()];
  const note = refusalNotes({ log: { warn: (line) => lines.push(line) }, timers });
  const refusal = { who: '10.0.0.7 (no certificate)', what: 'GET /x', why: '401 who are you' };
  for (let times = 0; times < 3; times += 1) note(refusal);
  expect(lines).toEqual(['refused 10.0.0.7 (no certificate): GET /x: 401 who are you']);
});
