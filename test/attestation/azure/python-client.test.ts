// An outside client before our double of Key Vault: what Microsoft's Python package asks for is
// answered, and what it passes on is proven and unwrapped by our own code.

import { execFile } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readRelease } from '../../../src/attestation/azure/key-release-answer.ts';
import { releasePolicyFor } from '../../../src/attestation/release-policy.ts';
import { KEY_WRAP_NAMES, UnwrappingKey } from '../../../src/crypto/key-unwrap.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { AT_MS } from '../fake-certificates.ts';
import { TLS_AUTHORITY } from './https-double.ts';
import { CONTAINER_POLICY, containerClaims, encryptionJwk, MaaSigner } from './maa-signer.ts';
import { vaultDouble } from './vault-double.ts';

const PROGRAM = `
import json, sys
from azure.core.credentials import AccessToken
from azure.keyvault.keys import KeyClient, KeyReleasePolicy

class Credential:
    def get_token(self, *scopes, **kwargs):
        return AccessToken("fake", 4102444800)

asked = json.load(sys.stdin)
client = KeyClient(asked["url"], Credential(), verify_challenge_resource=False,
                   api_version="2025-07-01", retry_total=0)
policy = KeyReleasePolicy(asked["policy"].encode())
key = client.create_rsa_key("outside", hardware_protected=True, size=2048, exportable=True,
                            release_policy=policy)
released = [client.release_key("outside", asked["token"], version=key.properties.version,
                               algorithm=name, nonce=asked["nonce"]).value
            for name in asked["algorithms"]]
print(json.dumps({"version": key.properties.version, "released": released}))
`;

const python = process.env.CONCORDAT_AZURE_PYTHON;
const reason = 'no client: set CONCORDAT_AZURE_PYTHON to a Python with azure-keyvault-keys';
if (python === undefined) console.warn(`SKIPPED: ${reason}`);
const title = "Microsoft's Python client is released the same key by each algorithm";

test.skipIf(python === undefined)(
  python === undefined ? `${title} (${reason})` : title,
  async () => {
    const signer = new MaaSigner();
    const vault = await vaultDouble({ issuers: [signer] });
    const folder = mkdtempSync(join(tmpdir(), 'concordat-azure-python-'));
    const authority = join(folder, 'authority.pem');
    writeFileSync(authority, TLS_AUTHORITY);
    const wrapping = await UnwrappingKey.generate(2048);
    const publicKey = createPublicKey({
      key: Buffer.from(wrapping.publicKeyDer),
      format: 'der',
      type: 'spki',
    });
    const policy = JSON.stringify(
      releasePolicyFor({
        platform: 'snp',
        issuers: [signer.issuer],
        hostData: [CONTAINER_POLICY],
      }),
    );
    const claims = containerClaims({ 'x-ms-runtime': { keys: [encryptionJwk(publicKey)] } });
    const nonce = 'a-nonce-of-this-test';
    const asked = { url: vault.url, policy, token: signer.token(claims), nonce };
    const said = await runPython(authority, { ...asked, algorithms: KEY_WRAP_NAMES });
    const { version, released } = JSON.parse(said);
    expect(released).toHaveLength(KEY_WRAP_NAMES.length);
    for (const [at, algorithm] of KEY_WRAP_NAMES.entries()) {
      const question = {
        vaultUrl: vault.url,
        keyName: 'outside',
        keyVersion: version,
        algorithm,
        nonce,
        releasePolicy: policy,
      };
      const trust = { verifier: nodeVerifier, authorities: vault.authorities };
      const { wrapped } = await readRelease(released[at], question, trust, AT_MS);
      const bytes = wrapping.unwrap(algorithm, wrapped);
      expect(Buffer.from(bytes)).toEqual(Buffer.from(vault.secretOf('outside', version)));
    }
    await vault.close();
    rmSync(folder, { recursive: true });
  },
);

/** What the program printed; it runs beside this process, which has to answer it. */
function runPython(authority: string, asked: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, REQUESTS_CA_BUNDLE: authority };
    const child = execFile(
      python ?? '',
      ['-c', PROGRAM],
      { env },
      (error, said, complaints) => {
        if (error === null) resolve(said);
        else reject(new Error(`${error.message}\n${complaints}`));
      },
    );
    child.stdin?.end(JSON.stringify(asked));
  });
}
