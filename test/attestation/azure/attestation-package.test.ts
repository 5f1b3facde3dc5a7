// Why `@azure/attestation` proves no token here: its own validation, asked as its documentation
// says, accepts what nobody signed. And that nothing in src/ comes to rely on it.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AttestationAdministrationClient } from '@azure/attestation';
import { expect, test } from 'vitest';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { fakePki } from '../fake-pki.ts';
import { maaDouble } from './maa-double.ts';
import { type Json, MaaSigner, signedToken } from './maa-signer.ts';

const credential = {
  getToken: async () => ({ token: 'fake', expiresOnTimestamp: Date.now() + 3_600_000 }),
};
const attacker = new MaaSigner();

/** What the package says of an answer that was made so. */
async function packageAccepts(
  forge: (claims: Json, signer: MaaSigner) => string,
  validationOptions?: object,
): Promise<boolean> {
  const { roots } = fakePki('Milan');
  const service = await maaDouble({ verifier: nodeVerifier, roots, forge });
  const options = { retryOptions: { maxRetries: 0 } };
  const client = new AttestationAdministrationClient(service.url, credential, {
    ...options,
    ...(validationOptions === undefined ? {} : { validationOptions }),
  });
  try {
    await client.getPolicy('SevSnpVm');
    return true;
  } catch {
    return false;
  } finally {
    await service.close();
  }
}

const now = (claims: Json): Json => ({ ...claims, exp: Math.floor(Date.now() / 1000) + 60 });
const good = (claims: Json, signer: MaaSigner): string => signer.token(now(claims));
const none = (claims: Json, signer: MaaSigner): string =>
  signedToken({ alg: 'none', kid: signer.kid }, now(claims));
const header = (claims: Json): string => attacker.token(now(claims), { x5c: attacker.x5c });
const knownKid = (claims: Json, { kid }: MaaSigner): string =>
  attacker.token(now(claims), { kid, x5c: attacker.x5c });
const wrongIssuer = (claims: Json, signer: MaaSigner): string =>
  signer.token({ ...now(claims), iss: 'https://evil.example' });

test.each([
  ['a good answer', good, true],
  ['an answer that nobody signed', none, true],
  ["an answer by a key in the answer's own header", header, true],
  ["an answer by an attacker's key under a known name", knownKid, false],
  ['an answer of another issuer', wrongIssuer, true],
])("by default the package takes its validation's word on %s", async (_, forge, accepts) => {
  expect(await packageAccepts(forge)).toBe(accepts);
});

test('told to validate everything, it still accepts what nobody signed', async () => {
  const everything = {
    validateToken: true,
    validateExpirationTime: true,
    validateNotBeforeTime: false,
  };
  expect(await packageAccepts(none, everything)).toBe(true);
  expect(await packageAccepts(header, everything)).toBe(true);
});

const SOURCE = resolve(import.meta.dirname, '../../../src');
/** What reaches the package's validation, or the calls whose results depend on it. */
const UNSOUND =
  /getTokenProblems|AttestationToken\b|attest(?:Sgx|Open)Enclave|attestTpm|validateToken: true/;
const ALLOWED = ['attestation/azure/maa-administration.ts'];

function faultsOf(path: string, text: string): readonly string[] {
  if (!text.includes("'@azure/attestation'")) return [];
  const faults = ALLOWED.includes(path) ? [] : [`${path} imports the package`];
  if (UNSOUND.test(text)) faults.push(`${path} uses its validation`);
  if (!text.includes('validateToken: false')) faults.push(`${path} leaves its validation on`);
  if (!text.includes('proveMaaToken(')) faults.push(`${path} proves no answer itself`);
  return faults;
}

test('nothing in src/ takes the word of that validation', () => {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((path) =>
    path.endsWith('.ts'),
  );
  const faults = files.flatMap((path) =>
    faultsOf(path, readFileSync(join(SOURCE, path), 'utf8')),
  );
  expect(faults).toEqual([]);
  expect(files).toContain(ALLOWED[0]);
});

test('the check of src/ finds what it looks for', () => {
  const text =
    "import { AttestationClient } from '@azure/attestation';\ntoken.getTokenProblems();";
  expect(faultsOf('node/evidence.ts', text)).toHaveLength(4);
});
