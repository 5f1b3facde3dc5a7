/** What a node's configuration says of its sealer, opened: the node's own room knows interfaces. */
import { keyVaultSealer } from '../../attestation/azure/key-vault-sealer.ts';
import { type ReleasePolicy, readReleasePolicy } from '../../attestation/release-policy.ts';
import { programRunner } from '../../attestation/sources/programs.ts';
import { tpmSealer } from '../../attestation/sources/tpm-sealer.ts';
import type { Sealer } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import type { NodeConfig } from '../../config/node-config.ts';
import type { NodeDependencies } from '../../node/node-options.ts';
import {
  openVaultRelease,
  readAuthorities,
  readNamed,
  type VaultDependencies,
} from './vault-release.ts';

export interface SealingDependencies extends VaultDependencies {
  readonly log: { warn(message: string): void };
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
  const { random, log } = dependencies;
  const { vault_url: vaultUrl, key_name: keyName, key_version: pinned } = settings;
  const { authorities, releasePolicy } = filesOf(settings);
  if (pinned === undefined) {
    log.warn(
      `sealing.key_vault.key_version names no version of ${keyName}: whoever may write to ` +
        `${vaultUrl} can import a newest one that he knows. Name the version that was made`,
    );
  }
  const key = { keyName, ...(releasePolicy === undefined ? {} : { releasePolicy }) };
  const release = await openVaultRelease(settings, key, authorities, dependencies);
  return await keyVaultSealer(async (version = pinned) => {
    if (version !== undefined) mustBeNamed(version, settings);
    return await release(version);
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

function filesOf(settings: KeyVaultSettings): VaultFiles {
  const { authorities_file: path, release_policy_file: policyPath } = settings;
  const authorities = readAuthorities(path);
  if (policyPath === undefined) return { authorities };
  return { authorities, releasePolicy: readNamed(policyPath, readReleasePolicy) };
}
