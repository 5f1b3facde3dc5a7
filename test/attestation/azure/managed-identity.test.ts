// Tokens of a machine's managed identity, asked of a service on this machine that answers as
// Azure's do, and as they do on a bad day.

import { afterEach, expect, test } from 'vitest';
import {
  type IdentityEndpoint,
  identityEndpoint,
  ManagedIdentity,
} from '../../../src/attestation/azure/managed-identity.ts';
import { httpAsker } from '../../../src/attestation/sources/http-asker.ts';
import { type LocalAnswer, type LocalService, localService } from '../sources/local-service.ts';

const VAULT = 'https://vault.azure.net';
const SCOPE = `${VAULT}/.default`;
const START_MS = Date.UTC(2026, 10, 21);
const START_S = START_MS / 1000;

let service: LocalService | undefined;
let nowMs = START_MS;
let pauses: number[] = [];
afterEach(async () => {
  await service?.close();
  service = undefined;
  nowMs = START_MS;
  pauses = [];
});

const good = (token = 'first', more: object = {}): LocalAnswer => ({
  body: JSON.stringify({
    access_token: token,
    expires_on: String(START_S + 3600),
    token_type: 'Bearer',
    ...more,
  }),
});

/** An identity whose service gives these answers, the last one for ever. */
async function identity(
  answers: readonly (LocalAnswer | undefined)[],
  {
    clientId,
    endpoint,
    timeoutMs = 5000,
  }: {
    readonly clientId?: string;
    readonly endpoint?: (url: string) => IdentityEndpoint;
    readonly timeoutMs?: number;
  } = {},
): Promise<ManagedIdentity> {
  let at = 0;
  service = await localService(() => answers[Math.min(at++, answers.length - 1)]);
  const url = `${service.url}/token`;
  return new ManagedIdentity(
    {
      endpoint: endpoint?.(url) ?? { kind: 'metadata', url },
      resource: VAULT,
      ...(clientId === undefined ? {} : { clientId }),
    },
    {
      ask: httpAsker(timeoutMs),
      clock: { nowMs: () => nowMs },
      pause: async (ms) => {
        pauses.push(ms);
      },
    },
  );
}

test('the metadata service is asked as it wants to be', async () => {
  const machine = await identity([good()], { clientId: 'a b' });
  expect(await machine.getToken(SCOPE)).toMatchObject({
    token: 'first',
    expiresOnTimestamp: START_MS + 3_600_000,
  });
  expect(service?.asked).toEqual([
    'GET /token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net&client_id=a+b',
  ]);
  expect(service?.headers[0]).toMatchObject({ metadata: 'true' });
});

test("a platform's own endpoint is asked with the secret that it gave", async () => {
  const environment = (url: string) => ({ IDENTITY_ENDPOINT: url, IDENTITY_HEADER: 'told' });
  const machine = await identity([good()], {
    endpoint: (url) => identityEndpoint(environment(url), 'http://127.0.0.1:1'),
  });
  expect((await machine.getToken([SCOPE])).token).toBe('first');
  expect(service?.asked).toEqual([
    'GET /token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net',
  ]);
  expect(service?.headers[0]).toMatchObject({ 'x-identity-header': 'told' });
  expect(service?.headers[0]).not.toHaveProperty('metadata');
});

test.each([
  [{}],
  [{ IDENTITY_ENDPOINT: 'http://a' }],
  [{ IDENTITY_HEADER: 'x' }],
  [{ IDENTITY_ENDPOINT: '', IDENTITY_HEADER: '' }],
])('in the environment %j the metadata service is asked', (environment) => {
  expect(identityEndpoint(environment, 'http://b')).toEqual({
    kind: 'metadata',
    url: 'http://b',
  });
});

test('a token is kept until shortly before its end, and asked for once by many', async () => {
  const machine = await identity([good(), good('second', { expires_on: START_S + 2 * 3600 })]);
  const first = await Promise.all([1, 2, 3].map(async () => await machine.getToken(SCOPE)));
  nowMs = START_MS + 3_600_000 - 5 * 60_000 - 1;
  expect([...first, await machine.getToken(SCOPE)].map(({ token }) => token)).toEqual(
    Array.from({ length: 4 }, () => 'first'),
  );
  expect(service?.asked).toHaveLength(1);
  nowMs += 1;
  expect((await machine.getToken(SCOPE)).token).toBe('second');
  expect(service?.asked).toHaveLength(2);
});

test('a token that lives shorter than that is kept for half its life', async () => {
  const short = { expires_on: undefined, expires_in: '60' };
  const machine = await identity([good('first', short), good('second', short)]);
  await machine.getToken(SCOPE);
  nowMs += 29_999;
  expect((await machine.getToken(SCOPE)).token).toBe('first');
  nowMs += 1;
  expect((await machine.getToken(SCOPE)).token).toBe('second');
});

test('no token is asked for anything but the vault', async () => {
  const machine = await identity([good()]);
  for (const scopes of [
    'https://management.azure.com/.default',
    [SCOPE, 'https://management.azure.com/.default'],
    VAULT,
    [],
  ]) {
    await expect(machine.getToken(scopes)).rejects.toMatchObject({
      code: 'NoIdentityToken',
      message: expect.stringMatching(/was asked for instead/),
    });
  }
  expect(service?.asked).toEqual([]);
});

test('a service that is busy is asked again, with the patience that it asks for', async () => {
  const machine = await identity([
    { status: 429, headers: { 'retry-after': '7' } },
    { status: 410 },
    { status: 503, headers: { 'retry-after': '86400' } },
    good(),
  ]);
  expect((await machine.getToken(SCOPE)).token).toBe('first');
  expect(pauses).toEqual([7000, 2000, 30_000]);
});

const NOT_FOUND = JSON.stringify({
  error: 'invalid_request',
  error_description: 'Identity not found',
});

test.each<readonly [string, LocalAnswer | undefined, RegExp, number]>([
  ['no identity', { status: 400, body: NOT_FOUND }, /400: Identity not found\. Assign/, 1],
  ['no right', { status: 403, body: 'no' }, /the answer is 403\./, 1],
  ['a strange word', { status: 400, body: '{"error":{"toString":1}}' }, /toString/, 1],
  ['an end that never comes', { status: 500 }, /the answer is 500/, 5],
  ['silence', undefined, /no answer within 50 ms/, 5],
  ['no JSON', { body: '<html>' }, /holds no token/, 1],
  ['nesting', { body: '['.repeat(9999) }, /holds no token/, 1],
  ['null', { body: 'null' }, /holds no token/, 1],
  ['no token', { body: '{}' }, /holds no token/, 1],
  ['a token of two lines', good('a\nb'), /holds no token/, 1],
  ['one too long', good('a'.repeat(16_385)), /holds no token/, 1],
  ['one that is over', good('a', { expires_on: String(START_S) }), /that is over/, 1],
  ['one without an end', good('a', { expires_on: 'soon' }), /that is over: soon/, 1],
])('told by name: %s', async (_what, answer, says, questions) => {
  const machine = await identity([answer], { timeoutMs: 50 });
  await expect(machine.getToken(SCOPE)).rejects.toMatchObject({
    code: 'NoIdentityToken',
    message: expect.stringMatching(says),
  });
  expect(service?.asked).toHaveLength(questions);
  // Nothing of a failure is kept.
  expect(pauses).toEqual([1000, 2000, 4000, 8000].slice(0, questions - 1));
});

test('after a failure the next question is asked anew', async () => {
  const machine = await identity([{ status: 400, body: NOT_FOUND }, good()]);
  await expect(machine.getToken(SCOPE)).rejects.toMatchObject({ code: 'NoIdentityToken' });
  expect((await machine.getToken(SCOPE)).token).toBe('first');
});
