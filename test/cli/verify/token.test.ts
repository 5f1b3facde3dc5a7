// `concordat verify token`: tokens of an attestation service by keys that were fetched beforehand.

import { expect, test } from 'vitest';
import {
  CONTAINER_POLICY,
  containerClaims,
  ISSUER,
  type Json,
  MaaSigner,
  MEASURED,
  signedToken,
  vmClaims,
} from '../../attestation/azure/maa-signer.ts';
import { AT_MS } from '../../attestation/fake-certificates.ts';
import { scratchFolder, type Verified, verify } from './verifying.ts';

const { file } = scratchFolder();
const signer = new MaaSigner();
const jwks = file('jwks.json', JSON.stringify(signer.jwks()));
const trust = ['--issuer', ISSUER, '--jwks', jwks];
const container = containerClaims({});

async function judged(token: string, ...more: readonly string[]): Promise<Verified> {
  return await verify(['token', file('token.jwt', `${token}\n`), ...trust, ...more]);
}

function policyOf(policy: object): readonly string[] {
  return ['--policy', file('policy.json', JSON.stringify({ version: 1, ...policy }))];
}

test('good tokens of both platforms are accepted, without a policy and by one', async () => {
  expect(await judged(signer.token(container))).toMatchObject({ code: 0 });
  expect(await judged(signer.token(vmClaims({})))).toMatchObject({ code: 0 });
  const policy = policyOf({
    platforms: { snp: { measurements: [MEASURED], hostData: [CONTAINER_POLICY] } },
    tokens: { issuers: [ISSUER], complianceStatus: ['azure-compliant-uvm'] },
  });
  expect(await judged(signer.token(container), ...policy)).toMatchObject({ code: 0 });
});

test.each<readonly [string, number, string, () => Promise<Verified>]>([
  ['no token', 10, 'BadToken', () => judged('no token')],
  [
    'no signature',
    11,
    'TokenAlgorithm',
    () => judged(signedToken({ alg: 'none', typ: 'JWT' }, container)),
  ],
  [
    'another’s signature',
    11,
    'REFUSED (unproven',
    () => judged(new MaaSigner().token(container)),
  ],
  [
    'too late',
    12,
    'REFUSED (time',
    () => judged(signer.token(container), '--at', new Date(AT_MS + 86_400_000).toISOString()),
  ],
  [
    'another issuer than the policy trusts',
    11,
    'TokenIssuer',
    () =>
      judged(
        signer.token(container),
        ...policyOf({ platforms: { snp: {} }, tokens: { issuers: ['https://other.example'] } }),
      ),
  ],
  [
    'another container',
    14,
    'TokenHostData',
    () =>
      judged(
        signer.token(container),
        ...policyOf({ platforms: { snp: { hostData: ['00'.repeat(32)] } } }),
      ),
  ],
  [
    'of a platform without an entry',
    14,
    'PlatformNotAccepted',
    () => judged(signer.token(vmClaims({})), ...policyOf({ platforms: { snp: {} } })),
  ],
  [
    'registers asked for, which no token tells',
    14,
    'PcrNotInToken',
    () =>
      judged(
        signer.token(vmClaims({})),
        ...policyOf({
          platforms: { 'azure-cvm': { report: {}, pcrs: { 4: ['00'.repeat(32)] } } },
        }),
      ),
  ],
])('%s: %i', async (_how, code, word, run) => {
  expect(await run()).toMatchObject({ code, out: expect.stringContaining(word) });
});

test('whose keys they are must be said, and the keys must be readable', async () => {
  const token = file('token.jwt', signer.token(container));
  expect((await verify(['token', token])).code).toBe(2);
  expect((await verify(['token', token, '--issuer', ISSUER])).code).toBe(2);
  const none: Json = { keys: [] };
  const empty = file('none.json', JSON.stringify(none));
  const args = ['token', token, '--issuer', ISSUER, '--jwks'];
  expect((await verify([...args, empty])).code).toBe(3);
  expect((await verify([...args, token])).code).toBe(3);
});
