// Keys of a token issuer, kept fresh by the primary (governance.md §6): a fake issuer on this
// machine, with authorities of its own, changes its keys; the ledger of real processes follows.
// What no bundle vouches for, or is no set of keys, changes nothing.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SigningMember } from '../../src/cli/gov/place.ts';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { ServiceAsker } from '../../src/cli/node/service-asker.ts';
import {
  type HttpsDouble,
  httpsDouble,
  TLS_AUTHORITY,
} from '../attestation/azure/https-double.ts';
import { askOnce } from '../http/client.ts';
import { generateIdentity } from '../support/gov-identity.ts';
import { TokenSigner } from '../support/token-signer.ts';
import { BuiltService, THIS_BUILD } from './built-nodes.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-token-keys-'));
let issuer: HttpsDouble;
let service: BuiltService;
let ready: NodeReadyLine;
/** What the issuer has now, and what its discovery document says. */
let keys: unknown[] = [];
let discovery: object = {};

beforeAll(async () => {
  issuer = await httpsDouble(({ path }) => {
    if (path === '/tenant/v2.0/.well-known/openid-configuration') return { body: discovery };
    return path === '/keys' ? { body: { keys } } : { status: 404 };
  });
  discovery = { jwks_uri: `${issuer.url}/keys` };
  service = await BuiltService.found(join(folder, 'service'), THIS_BUILD, {
    jwt: { key_refresh_interval: '200ms' },
  });
  const [first] = service.nodes;
  if (first === undefined) throw new Error('there is a node');
  ready = await first.ready();
}, 60_000);

afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await issuer?.close();
  rmSync(folder, { recursive: true, force: true });
});

function jwk(kid: string, more: object = {}): object {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', ...more };
}

async function decide(...actions: readonly (readonly [string, object])[]): Promise<void> {
  const member = SigningMember.of({
    ...{ url: [ready.url], 'service-certificate': service.certificate },
    ...{ 'member-certificate': service.member.certificate, 'member-key': service.member.key },
  });
  const list = actions.map(([name, args]) => ({ name, args }));
  const body = JSON.stringify({ actions: list });
  const created = await member.send('proposal', '/members/proposals:create', body);
  const { proposalId: id } = JSON.parse(created.body) as { readonly proposalId: string };
  const path = `/members/proposals/${id}/ballots/${member.id}:submit`;
  const ballot = JSON.stringify({ ballot: 'export function vote () { return true }' });
  const voted = await member.send('ballot', path, ballot, id);
  expect(JSON.parse(voted.body)).toMatchObject({ proposalState: 'Accepted' });
}

type Shown = Readonly<Record<string, readonly { issuer: string; constraint: string | null }[]>>;

async function ask(path: string): Promise<unknown> {
  const asker = new ServiceAsker([ready.url], readFileSync(service.certificate, 'utf8'));
  return JSON.parse((await asker.get(path)).body);
}

async function shownKeys(): Promise<Shown> {
  const answer = (await ask('/gov/service/jwk?api-version=2024-07-01')) as { keys: Shown };
  return answer.keys;
}

async function committed(): Promise<number> {
  const { transaction_id } = (await ask('/node/commit')) as { readonly transaction_id: string };
  return Number(transaction_id.split('.')[1]);
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 600; turn += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it never comes; the node said ${service.nodes[0]?.said()}`);
}

const said = (): string => service.nodes[0]?.said() ?? '';
const kidsAre =
  (...kids: readonly string[]) =>
  async () =>
    JSON.stringify(Object.keys(await shownKeys()).sort()) === JSON.stringify([...kids].sort());

test('an issuer that is named is asked, and followed when its keys change', async () => {
  const name = `${issuer.url}/tenant/v2.0`;
  keys = [jwk('one', { issuer: `${issuer.url}/{tenantid}/v2.0` })];
  await decide(
    ['set_ca_cert_bundle', { name: 'theirs', cert_bundle: TLS_AUTHORITY }],
    ['set_jwt_issuer', { issuer: name, auto_refresh: true, ca_cert_bundle_name: 'theirs' }],
  );
  await until(kidsAre('one'));
  expect(await shownKeys()).toMatchObject({
    one: [{ issuer: name, constraint: `${issuer.url}/{tenantid}/v2.0` }],
  });

  keys = [jwk('two'), ...keys];
  await until(kidsAre('one', 'two'));
  keys = keys.slice(0, 1);
  await until(kidsAre('two'));

  // Read again and again, and written once: four more writes would be eight more entries.
  const asked = issuer.asked.length;
  const before = await committed();
  await until(() => issuer.asked.length > asked + 8);
  expect((await committed()) - before).toBeLessThan(4);
  const counts = await ask('/node/jwt_keys/refresh/metrics');
  expect(counts).toMatchObject({ failures: 0 });
}, 60_000);

test.each<readonly [string, () => void, RegExp]>([
  [
    'a key for another host',
    () => {
      keys = [jwk('evil', { issuer: 'https://evil.example/v2.0' })];
    },
    /a key is for the issuer https:\/\/evil.example/,
  ],
  [
    'a document that leads out of TLS',
    () => {
      discovery = { jwks_uri: 'http://evil.example/keys' };
    },
    /names no jwks_uri by https, but "http:\/\/evil.example/,
  ],
  [
    'no keys',
    () => {
      discovery = { jwks_uri: `${issuer.url}/none` };
    },
    /none answered 404/,
  ],
])(
  '%s changes nothing, and is told',
  async (_what, spoil, says) => {
    const before = [keys, discovery] as const;
    spoil();
    // Its next turn may be a minute away, after a failure; members who name it again are heard.
    const other = `${issuer.url}/tenant/v2.0/`;
    await decide([
      'set_jwt_issuer',
      { issuer: other, auto_refresh: true, ca_cert_bundle_name: 'theirs' },
    ]);
    await until(() => says.test(said()));
    expect(Object.keys(await shownKeys())).not.toContain('evil');
    [keys, discovery] = before;
    await decide(['remove_jwt_issuer', { issuer: other }]);
  },
  60_000,
);

test('authorities that members did not name are not believed', async () => {
  const { certificatePem } = await generateIdentity('CN=Other Authority');
  await decide(
    ['set_ca_cert_bundle', { name: 'others', cert_bundle: certificatePem }],
    [
      'set_jwt_issuer',
      {
        issuer: `${issuer.url}/elsewhere`,
        auto_refresh: true,
        ca_cert_bundle_name: 'others',
      },
    ],
  );
  await until(() => /elsewhere are not fresh: .*certificate/.test(said()));
}, 60_000);

test('an issuer that is taken back is asked no more, and its keys are gone', async () => {
  await decide(['remove_jwt_issuer', { issuer: `${issuer.url}/tenant/v2.0` }]);
  expect(await shownKeys()).toEqual({});
}, 60_000);

test('whom an issuer vouches for is let in while members hold its keys for good', async () => {
  const name = 'https://issuer.example/v2.0';
  const [rsa, ec] = [new TokenSigner('rsa'), new TokenSigner('ec', 'ES256')];
  const { hostname: host, port } = new URL(ready.url);
  const statuses = async (): Promise<readonly number[]> => {
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const replies = [rsa, ec].map((signer) => {
      const authorization = `Bearer ${signer.token({ iss: name, exp })}`;
      const target = { host, port: Number(port) };
      const options = { headers: { authorization } };
      return askOnce(target, undefined, 'GET', '/app/log/private/count', options);
    });
    return (await Promise.all(replies)).map(({ status }) => status);
  };
  expect(await statuses()).toEqual([401, 401]);
  const set = { issuer: name, jwks: { keys: [rsa.jwk(name), ec.jwk(name)] } };
  await decide(['set_jwt_issuer', set]);
  expect(await statuses()).toEqual([200, 200]);
  const rotated = { issuer: name, jwks: { keys: [ec.jwk(name)] } };
  await decide(['set_jwt_public_signing_keys', rotated]);
  expect(await statuses()).toEqual([401, 200]);
  await decide(['remove_jwt_issuer', { issuer: name }]);
  expect(await statuses()).toEqual([401, 401]);
}, 60_000);
