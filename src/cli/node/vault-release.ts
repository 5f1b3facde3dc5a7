/**
 * How a node has keys released to its code by a vault, by what a configuration says of it: through
 * the machine's identity, an attestation service and the vault itself (key-release.md).
 */
import { readFileSync } from 'node:fs';
import { releaseKey } from '../../attestation/azure/attested-release.ts';
import type { ReleasedKey } from '../../attestation/azure/key-vault.ts';
import { MaaClient } from '../../attestation/azure/maa-client.ts';
import { identityEndpoint, ManagedIdentity } from '../../attestation/azure/managed-identity.ts';
import type { ReleasePolicy } from '../../attestation/release-policy.ts';
import { httpAsker } from '../../attestation/sources/http-asker.ts';
import type { EvidenceSource, Pause } from '../../attestation/sources/source.ts';
import type { Clock, Random, Timers } from '../../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { certificatesOfPem } from '../../crypto/pem-certificates.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';

/** Settings of one vault and of the way to it, by their names in a configuration. */
export interface VaultSettings {
  readonly vault_url: string;
  readonly attestation_service: string;
  readonly managed_identity_client_id?: string | undefined;
  readonly identity_url: string;
  readonly token_resource?: string | undefined;
}

export interface VaultDependencies {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** Of the machine: keys are released for its evidence. */
  readonly evidenceSource: EvidenceSource;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** One key in it, and the policy that it must be kept under, if that is known. */
export interface VaultKey {
  readonly keyName: string;
  readonly releasePolicy?: ReleasePolicy;
}

/** Gives a key, in a version or the newest; rejects with a coded error. */
export type VaultRelease = (version?: string) => Promise<ReleasedKey>;

/** The way to one key. `authorities` are those that releases are signed under, in PEM. */
export async function openVaultRelease(
  settings: VaultSettings,
  key: VaultKey,
  authorities: string,
  dependencies: VaultDependencies,
): Promise<VaultRelease> {
  const { clock, random, evidenceSource: source } = dependencies;
  const { vault_url: vaultUrl, attestation_service: issuer } = settings;
  const { keyName } = key;
  // The client package takes its time to load, which other nodes need not spend.
  const { KeyVault } = await import('../../attestation/azure/key-vault.ts');
  const vault = new KeyVault(
    {
      vaultUrl,
      authorities,
      credential: identityOf(settings, dependencies),
      // The identity itself gives out tokens for its one resource only.
      isAzureHost: settings.token_resource === undefined,
    },
    { clock, verifier: nodeVerifier },
  );
  const maa = new MaaClient(issuer, httpAsker());
  // What the key is released to is the release policy's to say; debugging is refused in any case.
  const options = { issuer, ...key, report: {} };
  const parts = { source, maa, vault, random, clock };
  return async (version) => {
    try {
      return await releaseKey(options, parts, version);
    } catch (thrown) {
      if (isCoded(thrown)) throw thrown;
      // The client package's own errors, of the network and of the vault.
      const why = messageOf(thrown).replace(/\.$/, '');
      throw new CodedError(
        'KeyNotReleased',
        `${vaultUrl} does not release ${keyName}: ${why}. Its release policy must name this ` +
          "code, and this machine's identity needs the permission to release",
        { keyName, vaultUrl },
        { cause: thrown },
      );
    }
  };
}

function identityOf(
  settings: VaultSettings,
  { clock, timers, environment }: VaultDependencies,
): ManagedIdentity {
  const { vault_url, identity_url, managed_identity_client_id: clientId } = settings;
  const pause: Pause = (ms) => new Promise((resolve) => timers.after(ms, resolve));
  return new ManagedIdentity(
    {
      endpoint: identityEndpoint(environment, identity_url),
      resource: settings.token_resource ?? resourceOf(vault_url),
      ...(clientId === undefined ? {} : { clientId }),
    },
    { ask: httpAsker(), clock, pause },
  );
}

/** `https://vault.azure.net` of `https://NAME.vault.azure.net`, in every cloud of Azure's. */
function resourceOf(vaultUrl: string): string {
  return `https://${new URL(vaultUrl).hostname.replace(/^[^.]*\./, '')}`;
}

/** PEM of a file that must hold certificates. */
export function readAuthorities(path: string): string {
  return readNamed(path, (text) => {
    if (certificatesOfPem(text).length > 0) return text;
    throw new CodedError('BadCertificate', 'it holds no certificate', { path });
  });
}

/** Reads a file; what is wrong in it is told with its name. */
export function readNamed<T>(path: string, read: (text: string) => T): T {
  try {
    return read(readFileSync(path, 'utf8'));
  } catch (thrown) {
    if (!isCoded(thrown)) throw thrown;
    throw new CodedError(
      thrown.code,
      `${path}: ${thrown.message}`,
      { path },
      { cause: thrown },
    );
  }
}
