/**
 * What a member signs with: a private key in a file, or one in Azure Key Vault that stays there.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { identityEndpoint, ManagedIdentity } from '../../attestation/azure/managed-identity.ts';
import { httpAsker } from '../../attestation/sources/http-asker.ts';
import { SigningKey } from '../../crypto/keys.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import { memberAlgorithm } from '../../governance/messages.ts';
import { realClock } from '../../node/real-time.ts';
import { sandboxFolder } from '../sandbox/sandbox-folder.ts';
import { usage } from './usage.ts';

/** Options that say so; for `parseArgs`. */
export const MEMBER_OPTIONS = {
  data: { type: 'string' },
  as: { type: 'string' },
  'member-certificate': { type: 'string' },
  'member-key': { type: 'string' },
  'member-key-vault': { type: 'string' },
  'vault-token': { type: 'string' },
  'vault-resource': { type: 'string' },
} as const;

export const MEMBER_USAGE = `\
  --member-certificate PEM    the certificate and the key of the member who signs
  --member-key PEM
  --member-key-vault URL      instead of --member-key: a key in Azure Key Vault, which signs there
                              and never leaves, https://NAME.vault.azure.net/keys/KEY[/VERSION]
  --vault-token FILE          an access token for the vault, as \`az account get-access-token\`
                              prints it; the machine's managed identity when absent
  --vault-resource URL        what the token is for, where that is not the vault's cloud`;

export interface MemberValues {
  readonly data?: string | undefined;
  readonly as?: string | undefined;
  readonly 'member-certificate'?: string | undefined;
  readonly 'member-key'?: string | undefined;
  readonly 'member-key-vault'?: string | undefined;
  readonly 'vault-token'?: string | undefined;
  readonly 'vault-resource'?: string | undefined;
}

/** Signs bytes; the signature is r and s, one after the other. */
export type MemberSign = (bytes: Uint8Array) => Promise<Uint8Array>;

const METADATA_URL = 'http://169.254.169.254/metadata/identity/oauth2/token';

/** The certificate (PEM) of the member that options name. */
export function memberCertificate(values: MemberValues): string {
  if (values.data !== undefined) return readFileSync(sandboxMember(values).certificate, 'utf8');
  const { 'member-certificate': certificate } = values;
  if (certificate !== undefined) return readFileSync(certificate, 'utf8');
  throw usage('--member-certificate is missing (or name a sandbox with --data)');
}

/** How that member signs. */
export function memberSign(values: MemberValues, certificatePem: string): MemberSign {
  const { 'member-key': key, 'member-key-vault': vault } = values;
  if (key !== undefined && vault !== undefined) {
    throw usage('--member-key and --member-key-vault are both given; a member has one key');
  }
  if (vault !== undefined) return inVault(vaultKeyId(vault), values, certificatePem);
  if (key !== undefined) return withKeyOf(key);
  if (values.data !== undefined) return withKeyOf(sandboxMember(values).key);
  throw usage('--member-key or --member-key-vault is missing (or name a sandbox with --data)');
}

/** Signs with the private key of a PEM file. */
export function withKeyOf(path: string): MemberSign {
  const pem = readFileSync(path, 'utf8');
  return async (bytes) => await SigningKey.fromPem(pem).sign(bytes);
}

function inVault(keyId: URL, values: MemberValues, certificatePem: string): MemberSign {
  const { algorithm, hash } = memberAlgorithm(certificatePem);
  const resource =
    values['vault-resource'] ?? `https://${keyId.hostname.replace(/^[^.]*\./, '')}`;
  const key = {
    keyId: keyId.href,
    credential: credentialOf(values['vault-token'], resource),
    // The credential itself gives out its token for its one resource only.
    isAzureHost: values['vault-resource'] === undefined,
  };
  return async (bytes) => {
    const digest = await nodeVerifier.hash(hash, bytes);
    // The client package takes its time to load, which other members need not spend.
    const { signInVault } = await import('../../attestation/azure/key-vault-signer.ts');
    return await signInVault(key, algorithm, digest);
  };
}

interface VaultCredential {
  getToken(scopes: string | string[]): Promise<{ token: string; expiresOnTimestamp: number }>;
}

function credentialOf(tokenFile: string | undefined, resource: string): VaultCredential {
  if (tokenFile === undefined) {
    const endpoint = identityEndpoint(process.env, METADATA_URL);
    const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
    const parts = { ask: httpAsker(), clock: realClock, pause };
    return new ManagedIdentity({ endpoint, resource }, parts);
  }
  const token = readFileSync(tokenFile, 'utf8').trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw usage(`--vault-token: ${tokenFile} holds no access token`);
  }
  return {
    getToken: async (scopes) => {
      const asked = typeof scopes === 'string' ? [scopes] : scopes;
      // Whoever answers in the vault's place could have it sent to him.
      if (asked.length !== 1 || asked[0] !== `${resource}/.default`) {
        throw usage(`--vault-token is for ${resource}, and ${asked.join(' ')} was asked for`);
      }
      return { token, expiresOnTimestamp: Date.now() + 300_000 };
    },
  };
}

function vaultKeyId(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isKey = /^\/keys\/[0-9a-zA-Z-]{1,127}(\/[0-9a-zA-Z]{32})?$/.test(url?.pathname ?? '');
  if (url !== undefined && url.protocol === 'https:' && isKey && url.search === '') return url;
  const takes = 'it is https://NAME.vault.azure.net/keys/KEY or …/KEY/VERSION';
  throw usage(`--member-key-vault is ${JSON.stringify(text)}; ${takes}`);
}

function sandboxMember({ data = '', as = '1' }: MemberValues): {
  readonly certificate: string;
  readonly key: string;
} {
  const number = Number(as);
  if (Number.isSafeInteger(number) && number >= 1) {
    return sandboxFolder(resolve(data)).member(number);
  }
  throw usage(`--as is ${JSON.stringify(as)}; it is the number of a member, from 1 on`);
}
