// Tokens at the front door (http-api.md §6): what an issuer signed with a key that is in the ledger
// is taken, on the node that was asked and through a backup; all else is refused, and told why.

import { createHmac, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Application, answer, type Endpoint } from '../../src/apps/interface.ts';
import { createLogApplication } from '../../src/apps/log/application.ts';
import { removeTokenKeys, setTokenKeys } from '../../src/governance/token-keys.ts';
import { part, TokenSigner } from '../support/token-signer.ts';
import { askOnce, jsonOf, RawClient, type Reply } from './client.ts';
import { type House, openHouse, openPair } from './house.ts';

const NOW = 1_800_000_000;
const ISSUER = 'https://issuer.example/v2.0';
const ENTRA = 'https://login.microsoftonline.com';
const TENANT = '11111111-2222-3333-4444-555555555555';
const OTHER_TENANT = '66666666-7777-8888-9999-000000000000';
const PATH = '/tokens/caller';

const rsa = new TokenSigner('rsa');
const ec = new TokenSigner('ec', 'ES256');
const entra = new TokenSigner('entra');
const single = new TokenSigner('single');
const free = new TokenSigner('free');
const stranger = new TokenSigner('rsa');
const otherCurve = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;

const FIXED = { effect: 'read', reads: 'current', answers: 'local', summary: '' } as const;
const tokens: Application = {
  name: 'tokens',
  archivedTables: [],
  endpoints: [
    { ...FIXED, verb: 'GET', path: PATH, authentication: ['jwt'], handle: sayCaller },
    {
      ...FIXED,
      verb: 'GET',
      path: '/tokens/either',
      authentication: ['jwt', 'user_cert', 'no_auth'],
      handle: sayCaller,
    },
  ],
};

function sayCaller({ caller }: Parameters<Endpoint['handle']>[0]): ReturnType<typeof answer> {
  return answer({ status: 200, body: JSON.stringify(caller) });
}

function putKeys({ service }: House): void {
  service.write((tx) => {
    setTokenKeys(tx, ISSUER, { keys: [rsa.jwk(ISSUER), ec.jwk(ISSUER)] });
    setTokenKeys(tx, `${ENTRA}/common/v2.0`, { keys: [entra.jwk(`${ENTRA}/{tenantid}/v2.0`)] });
    setTokenKeys(tx, `${ENTRA}/${TENANT}/v2.0`, {
      keys: [single.jwk(`${ENTRA}/${TENANT}/v2.0`)],
    });
    const p384 = { ...otherCurve.export({ format: 'jwk' }), kid: 'p384' };
    setTokenKeys(tx, 'anyone', { keys: [free.jwk(), p384] });
  });
}

const GOOD = { iss: ISSUER, exp: NOW + 60, nbf: NOW - 60, sub: 'alice' };
const ofTenant = (tid: string, more: object = {}): object => {
  return { iss: `${ENTRA}/${tid}/v2.0`, tid, exp: NOW + 60, ...more };
};

let house: House;

beforeAll(async () => {
  house = await openHouse({ applications: [tokens], nowMs: () => NOW * 1000 + 999 });
  putKeys(house);
});

afterAll(() => house.close());

const bearer = (token: string): { headers: Record<string, string> } => {
  return { headers: { authorization: `Bearer ${token}` } };
};
const ask = (token: string, path = PATH): Promise<Reply> =>
  askOnce(house, undefined, 'GET', path, bearer(token));

function reasons(reply: Reply): readonly string[] {
  const { error } = jsonOf(reply) as {
    readonly error: { readonly details: readonly { readonly message: string }[] };
  };
  return error.details.map(({ message }) => message);
}

describe('a token is taken', () => {
  test.each([
    ['signed by an RSA key', rsa, GOOD, ISSUER],
    ['signed by an elliptic curve key', ec, GOOD, ISSUER],
    ['in its very last second', rsa, { ...GOOD, exp: NOW }, ISSUER],
    ['in its very first second', rsa, { ...GOOD, nbf: NOW }, ISSUER],
    ['that names no beginning', rsa, { iss: ISSUER, exp: NOW + 1 }, ISSUER],
    ['of any tenant of Entra', entra, ofTenant(OTHER_TENANT), `${ENTRA}/common/v2.0`],
    ['of the tenant named', single, ofTenant(TENANT), `${ENTRA}/${TENANT}/v2.0`],
    ['by a key that is not bound', free, { ...GOOD, iss: 'whoever' }, 'anyone'],
  ] as const)('%s', async (_what, signer, payload, keyIssuer) => {
    const reply = await ask(signer.token(payload));
    expect(reply.status, reply.body.toString()).toBe(200);
    expect(jsonOf(reply)).toEqual({
      policy: 'jwt',
      keyIssuer,
      header: expect.objectContaining({ kid: signer.kid, typ: 'JWT' }),
      payload,
    });
  });

  test('for one of the issuers that share its key, by its constraint', async () => {
    const own = await openHouse({ applications: [tokens], nowMs: () => NOW * 1000 });
    const shared = new TokenSigner('shared');
    own.service.write((tx) => {
      for (const tid of [OTHER_TENANT, TENANT]) {
        const issuer = `${ENTRA}/${tid}/v2.0`;
        setTokenKeys(tx, issuer, { keys: [shared.jwk(issuer)] });
      }
    });
    const token = shared.token(ofTenant(TENANT));
    const reply = await askOnce(own, undefined, 'GET', PATH, bearer(token));
    expect(jsonOf(reply)).toMatchObject({ keyIssuer: `${ENTRA}/${TENANT}/v2.0` });
    await own.close();
  });

  test('whatever the case of the scheme and of the header', async () => {
    const headers = { AUTHORIZATION: `bearer ${rsa.token(GOOD)}` };
    expect((await askOnce(house, undefined, 'GET', PATH, { headers })).status).toBe(200);
  });

  test('by the log, as by the sample of CCF, with no certificate', async () => {
    const own = await openHouse({ nowMs: () => NOW * 1000 });
    putKeys(own);
    const headers = { ...bearer(rsa.token(GOOD)).headers, 'content-type': 'application/json' };
    const written = await askOnce(own, undefined, 'POST', '/app/log/private', {
      headers,
      body: '{"id":7,"msg":"with a token"}',
    });
    expect([written.status, written.body.toString()]).toEqual([200, 'true']);
    const read = await askOnce(own, undefined, 'GET', '/app/log/private?id=7', { headers });
    expect(jsonOf(read)).toEqual({ msg: 'with a token' });
    await own.close();
  });
});

/** As an attacker would, who takes the public key for a shared secret. */
function hmacToken(): string {
  const text = `${part('{"alg":"HS256","kid":"rsa"}')}.${part(JSON.stringify(GOOD))}`;
  return `${text}.${createHmac('sha256', rsa.publicPem).update(text).digest('base64url')}`;
}

function derToken(alg: string): string {
  const head = JSON.stringify({ alg, kid: ec.kid });
  return ec.signed(`${part(head)}.${part(JSON.stringify(GOOD))}`, 'der');
}

function tampered(): string {
  const [head, , signature] = rsa.token(GOOD).split('.');
  return `${head}.${part(JSON.stringify({ ...GOOD, sub: 'mallory' }))}.${signature}`;
}

const SIGNATURE = 'Signature verification failed';
const SCHEMA = /^JWT header does not follow schema: alg must be RS256 or ES256$/;
const CONSTRAINT = /^Kid \w+ failed issuer constraint validation https:/;

const bare = (payload: string, head = '{"alg":"RS256","kid":"rsa"}'): string =>
  rsa.signed(`${part(head)}.${part(payload)}`);

describe('a token is refused', () => {
  test.each<readonly [string, string, string | RegExp]>([
    [
      'expired',
      rsa.token({ ...GOOD, exp: NOW - 1 }),
      `Current time ${NOW} is after token's Expiration Time (exp) claim ${NOW - 1}`,
    ],
    [
      'not yet good',
      rsa.token({ ...GOOD, nbf: NOW + 1 }),
      `Current time ${NOW} is before token's Not Before (nbf) claim ${NOW + 1}`,
    ],
    ['that never expires', rsa.token({ iss: ISSUER }), /missing required field: exp/],
    ['endless', bare(`{"iss":"${ISSUER}","exp":1e999}`), /missing required field: exp/],
    ['of nobody', rsa.token({ exp: NOW + 60 }), /missing required field: iss/],
    ['with a beginning in words', rsa.token({ ...GOOD, nbf: 'today' }), /field: nbf/],
    ['with a tenant that is no text', rsa.token({ ...GOOD, tid: 1 }), /field: tid/],
    ['of another issuer', rsa.token({ ...GOOD, iss: 'https://evil.example' }), CONSTRAINT],
    ['with a tenant, not of Entra', rsa.token({ ...GOOD, tid: TENANT }), CONSTRAINT],
    ['of another tenant', single.token(ofTenant(OTHER_TENANT)), CONSTRAINT],
    ['of two tenants', entra.token(ofTenant(TENANT, { tid: OTHER_TENANT })), CONSTRAINT],
    [
      'of Entra without its tenant',
      entra.token({ ...ofTenant(TENANT), tid: undefined }),
      CONSTRAINT,
    ],
    [
      'with a tenant that is a pattern',
      entra.token({ ...ofTenant('$&'), iss: `${ENTRA}/{tenantid}/v2.0` }),
      CONSTRAINT,
    ],
    ['with a tenant that is a path', entra.token(ofTenant('a/b')), CONSTRAINT],
    [
      'by a key nobody set',
      new TokenSigner('new').token(GOOD),
      'JWT signing key not found for kid new',
    ],
    ['by another key of that name', stranger.token(GOOD), SIGNATURE],
    ['tampered with', tampered(), SIGNATURE],
    ['without its signature', rsa.token(GOOD).replace(/[^.]+$/, ''), SIGNATURE],
    ['with no algorithm', rsa.token(GOOD, { alg: 'none' }), SCHEMA],
    ['with a shared secret', hmacToken(), SCHEMA],
    ['with an algorithm CCF lacks', rsa.token(GOOD, { alg: 'PS256' }), SCHEMA],
    ['with the algorithm of an EC key, by RSA', rsa.token(GOOD, { alg: 'ES256' }), SIGNATURE],
    ['with the algorithm of an RSA key, by EC', ec.token(GOOD, { alg: 'RS256' }), SIGNATURE],
    // What a check that went by the key alone would take.
    ['with an EC signature in DER, said to be of RSA', derToken('RS256'), SIGNATURE],
    ['with an EC signature in DER', derToken('ES256'), SIGNATURE],
    ['by a key of another curve', ec.token(GOOD, { kid: 'p384' }), SIGNATURE],
    ['with no kid', rsa.token(GOOD, { kid: undefined }), /schema: kid must be a text/],
    ['with demands', rsa.token(GOOD, { crit: ['b64'], b64: false }), /schema: crit demands/],
    ['in two parts', 'a.b', 'Malformed JWT: must contain exactly 3 parts'],
    ['in four parts', `${rsa.token(GOOD)}.x`, 'Malformed JWT: must contain exactly 3 parts'],
    ['with padding', `${rsa.token(GOOD)}==`, /its signature is not base64url/],
    ['that is no JSON', bare('{'), /^JWT header or payload is not valid JSON/],
    [
      'that is no UTF-8',
      rsa.signed(`${part('{}')}.${part(Uint8Array.of(0xff))}`),
      /not valid JSON/,
    ],
    ['that is a list', bare('[]'), 'JWT header or payload is not an object'],
  ])('%s', async (_what, token, says) => {
    const reply = await ask(token);
    expect(reply.status).toBe(401);
    expect(reasons(reply)).toEqual([
      typeof says === 'string' ? says : expect.stringMatching(says),
    ]);
    expect(reply.headers.get('www-authenticate')).toBe(
      'Bearer realm="JWT bearer token access", error="invalid_token"',
    );
  });

  test.each([
    ['no token', undefined, 'Missing authorization header'],
    ['a lone word', 'Bearer', 'Authorization header only contains one field'],
    ['a password', 'Basic YTpi', 'Authorization header does not have Bearer scheme'],
  ])('when there is %s', async (_what, value, says) => {
    const headers: Record<string, string> = value === undefined ? {} : { authorization: value };
    const reply = await askOnce(house, undefined, 'GET', PATH, { headers });
    expect([reply.status, reasons(reply)]).toEqual([401, [says]]);
  });

  test('beside a second one, though both are good', async () => {
    const client = await RawClient.connect(house);
    const header = `Authorization: Bearer ${rsa.token(GOOD)}\r\n`;
    client.send(`GET ${PATH} HTTP/1.1\r\nhost: test\r\n${header}${header}\r\n`);
    const reply = await client.reply();
    expect([reply.status, reasons(reply)]).toEqual([
      401,
      ['There is more than one authorization header'],
    ]);
    client.close();
  });

  test('that is longer than a header may be', async () => {
    const reply = await ask(rsa.token({ ...GOOD, more: 'x'.repeat(16_384) }));
    expect(reply.status).toBe(431);
  });

  test('when its key was rotated away, and when its issuer was removed', async () => {
    const own = await openHouse({ applications: [tokens], nowMs: () => NOW * 1000 });
    const [one, two] = [new TokenSigner('one'), new TokenSigner('two', 'ES256')];
    const statuses = async (): Promise<readonly number[]> => {
      const replies = [one, two].map((signer) =>
        askOnce(own, undefined, 'GET', PATH, bearer(signer.token(GOOD))),
      );
      return (await Promise.all(replies)).map(({ status }) => status);
    };
    expect(await statuses()).toEqual([401, 401]);
    own.service.write((tx) => setTokenKeys(tx, ISSUER, { keys: [one.jwk(ISSUER)] }));
    expect(await statuses()).toEqual([200, 401]);
    own.service.write((tx) => setTokenKeys(tx, ISSUER, { keys: [two.jwk(ISSUER)] }));
    expect(await statuses()).toEqual([401, 200]);
    own.service.write((tx) => removeTokenKeys(tx, ISSUER));
    expect(await statuses()).toEqual([401, 401]);
    await own.close();
  });
});

test('a bad token is passed over where another policy lets its bearer in', async () => {
  const nobody = await ask(tampered(), '/tokens/either');
  expect(jsonOf(nobody)).toEqual({ policy: 'no_auth' });
  const known = await ask(rsa.token(GOOD), '/tokens/either');
  expect(jsonOf(known)).toMatchObject({ policy: 'jwt', payload: { sub: 'alice' } });
});

test('on a backup, a token by a key that only the primary has yet is waited for', async () => {
  const nowMs = (): number => NOW * 1000;
  const options = { applications: [tokens], nowMs };
  const pair = await openPair({ primary: options, backup: options });
  putKeys(pair.primary);
  const { headers } = bearer(rsa.token(GOOD));
  const read = await askOnce(pair.backup, undefined, 'GET', PATH, { headers });
  expect(read.status, read.body.toString()).toBe(200);
  const body = '{"id":1,"msg":"forwarded"}';
  const json = { ...headers, 'content-type': 'application/json' };
  const path = '/app/log/private';
  const written = await askOnce(pair.backup, undefined, 'POST', path, { headers: json, body });
  expect(written.status, written.body.toString()).toBe(200);
  expect(pair.primary.door.stats().counters.executedForOthers).toBe(1);
  // What a backup lets through is judged again by the primary.
  const forwarded = await pair.primary.door.executeForwarded({
    interfaceName: 'primary_rpc_interface',
    verb: 'POST',
    target: path,
    headers: [{ name: 'authorization', value: `Bearer ${tampered()}` }],
    body: Buffer.from(body),
  });
  expect(forwarded).toMatchObject({ status: 401 });
  await pair.close();
});

test('the log takes tokens wherever it takes the certificates of users', () => {
  const taken = createLogApplication().endpoints.map(({ authentication }) => authentication);
  const others = taken.filter((policies) => !policies.includes('no_auth'));
  expect(others.length).toBeGreaterThan(8);
  for (const policies of others) expect(policies).toEqual(['jwt', 'user_cert']);
});
