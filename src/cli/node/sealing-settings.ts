/** What a node's configuration says of its sealer, opened: the node's own room knows interfaces. */
import { readFileSync } from 'node:fs';
import { releaseKey } from '../../attestation/azure/attested-release.ts';
import { keyVaultSealer } from '../../attestation/azure/key-vault-sealer.ts';
import { MaaClient } from '../../attestation/azure/maa-client.ts';
import { identityEndpoint, ManagedIdentity } from '../../attestation/azure/managed-identity.ts';
import { type ReleasePolicy, readReleasePolicy } from '../../attestation/release-policy.ts';
import { httpAsker } from '../../attestation/sources/http-asker.ts';
import { programRunner } from '../../attestation/sources/programs.ts';
import type { EvidenceSource, Pause } from '../../attestation/sources/source.ts';
import { tpmSealer } from '../../attestation/sources/tpm-sealer.ts';
import type { Clock, Random, Sealer, Timers } from '../../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import type { NodeConfig } from '../../config/node-config.ts';
import { certificatesOfPem } from '../../crypto/pem-certificates.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import type { NodeDependencies } from '../../node/node-options.ts';

export interface SealingDependencies {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: { warn(message: string): void };
  /** Of the machine: keys are released for its evidence. */
  readonly evidenceSource: EvidenceSource;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

type SealingSettings = NodeConfig['sealing'];
type KeyVaultSettings = NonNullable<SealingSettings['key_vault']>;

/** The registers that say what was booted, where the configuration names none. */
const PCRS_DEFAULT: readonly number[] = [4, 7, 9, 11];

interface VaultFiles {
  readonly authorities: string;
  readonly releasePolicy?: ReleasePolicy;
}

/** Reads the files that the settings name; throws for one that is not what it should be. */
export function readSealingFiles({ kind, key_vault: vault }: SealingSettings): void {
  if (kind === 'key-vault' && vault !== undefined) filesOf(vault);
}

/**
 * How the node's sealer is opened: once, however many parts of a start ask for it, as each opening
 * has a key made or released. Nothing for the virtual one, which the node has itself.
 */
export function openSealerOf(
  settings: SealingSettings,
  dependencies: SealingDependencies,
): Pick<NodeDependencies, 'openSealer'> {
  const { kind } = settings;
  if (kind === 'virtual') return {};
  let opened: Promise<Sealer> | undefined;
  return {
    openSealer: async () => {
      opened ??=
        kind === 'tpm' ? openTpm(settings, dependencies) : openVault(settings, dependencies);
      return await opened;
    },
  };
}

async function openTpm(
  { tpm }: SealingSettings,
  { random }: SealingDependencies,
): Promise<Sealer> {
  const { programs, temporary } = tpm;
  const pcrs = tpm.pcrs.length === 0 ? PCRS_DEFAULT : tpm.pcrs;
  return await tpmSealer({ programs, temporary, pcrs }, { run: programRunner(), random });
}

async function openVault(
  { key_vault: settings }: SealingSettings,
  dependencies: SealingDependencies,
): Promise<Sealer> {
  if (settings === undefined) {
    throw new CodedError('BadConfiguration', 'sealing.key_vault is missing', {});
  }
  const { clock, random, evidenceSource: source, log } = dependencies;
  const { vault_url: vaultUrl, key_name: keyName, key_version: pinned } = settings;
  const { authorities, releasePolicy } = filesOf(settings);
  if (pinned === undefined) {
    log.warn(
      `sealing.key_vault.key_version names no version of ${keyName}: whoever may write to ` +
        `${vaultUrl} can import a newest one that he knows. Name the version that was made`,
    );
  }
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
  const issuer = settings.attestation_service;
  const maa = new MaaClient(issuer, httpAsker());
  // What the key is released to is the release policy's to say; debugging is refused in any case.
  const report = {};
  const options = {
    ...{ issuer, keyName, report },
    ...(releasePolicy === undefined ? {} : { releasePolicy }),
  };
  const parts = { source, maa, vault, random, clock };
  return await keyVaultSealer(async (version = pinned) => {
    if (version !== undefined) mustBeNamed(version, settings);
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
  }, random);
}

/** Else whoever has the disk and the vault could hand over files under a key of his own. */
function mustBeNamed(
  version: string,
  { key_name, key_version: pinned, former_key_versions: former }: KeyVaultSettings,
): void {
  if (pinned === undefined || version === pinned || former.includes(version)) return;
  throw new CodedError(
    'KeyVersionNotNamed',
    `something is sealed under version ${version} of ${key_name}, which the configuration does ` +
      'not name. If it was named before, add it to sealing.key_vault.former_key_versions; if ' +
      'not, the file is not of this node: restore it, or join as a new node',
    { version },
  );
}

function identityOf(
  settings: KeyVaultSettings,
  { clock, timers, environment }: SealingDependencies,
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

function filesOf(settings: KeyVaultSettings): VaultFiles {
  const { authorities_file: path, release_policy_file: policyPath } = settings;
  const authorities = readNamed(path, (text) => {
    if (certificatesOfPem(text).length > 0) return text;
    throw new CodedError('BadCertificate', 'it holds no certificate', { path });
  });
  if (policyPath === undefined) return { authorities };
  return { authorities, releasePolicy: readNamed(policyPath, readReleasePolicy) };
}

/** Reads a file; what is wrong in it is told with its name. */
function readNamed<T>(path: string, read: (text: string) => T): T {
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
