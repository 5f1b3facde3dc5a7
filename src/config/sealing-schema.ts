/**
 * The settings that say what a node's secrets are sealed with while it is down (design decision 8,
 * key-release.md): a key beside them, the machine's TPM, or a key that Azure Key Vault releases to
 * attested code.
 */
import { defaulted, KINDS, optional, required } from './kinds.ts';
import { listOfValues, optionalSection, section } from './setting.ts';

const { choice, count, flag, path, text, url } = KINDS;

const tpm = section({
  programs: defaulted(path, '/usr/bin', 'tpm: the folder of tpm2_create and its like'),
  temporary: defaulted(
    path,
    '/dev/shm',
    'tpm: a folder in memory; the key passes through it while the TPM is told',
  ),
  pcrs: listOfValues(
    required(
      count(0, 23),
      'tpm: registers of the SHA-256 bank that must say the same when the node starts again; ' +
        '4, 7, 9 and 11 when empty: boot loader, secure boot, kernel, unified kernel image',
    ),
  ),
});

const keyVault = optionalSection({
  vault_url: required(
    url,
    'key-vault: a vault of the Premium tier or a Managed HSM, "https://NAME.vault.azure.net"',
  ),
  key_name: required(text, 'key-vault: the key, exportable and under a release policy'),
  key_version: optional(
    text,
    'key-vault: the version to seal under. Name it: the newest may be one that somebody who may ' +
      'write to the vault has imported and knows',
  ),
  former_key_versions: listOfValues(
    required(
      text,
      'key-vault: versions that were named before, under which something may still be sealed; ' +
        'no other is taken where a version is named',
    ),
  ),
  attestation_service: required(
    url,
    'key-vault: the instance of Microsoft Azure Attestation, as its tokens name their issuer',
  ),
  authorities_file: required(
    path,
    'key-vault: certificates of the authorities that releases are signed under, PEM',
  ),
  release_policy_file: optional(
    path,
    'key-vault: the policy that the key must be kept under; any will do when absent',
  ),
  managed_identity_client_id: optional(
    text,
    "key-vault: which of the machine's managed identities asks; the only one when absent",
  ),
  identity_url: defaulted(
    url,
    'http://169.254.169.254/metadata/identity/oauth2/token',
    "key-vault: the metadata service, asked for that identity's tokens unless the environment " +
      'names another endpoint (IDENTITY_ENDPOINT and IDENTITY_HEADER)',
  ),
  token_resource: optional(
    url,
    "key-vault: what those tokens are for; the vault's host without its first name when absent, " +
      'as "https://vault.azure.net". Tokens are asked for nothing else, whatever a vault says',
  ),
});

export const SEALING = section({
  kind: defaulted(
    choice(['virtual', 'tpm', 'key-vault']),
    'virtual',
    "what this node's keys are sealed with while it is down: a key that lies beside them " +
      '(virtual, INSECURE, for development); a TPM that the host cannot look into, such as that ' +
      'of a confidential VM on Azure; a key that Azure Key Vault releases to attested code',
  ),
  allow_insecure: defaulted(
    flag,
    false,
    'whether a node on hardware may seal with a key that lies beside what it seals: whoever has ' +
      'its disk then has its secrets',
  ),
  tpm,
  key_vault: keyVault,
});

type SealingValues = ReturnType<typeof SEALING.read>;

/** What else must hold between these settings and the platform, a sentence for each fault. */
export function sealingFaults(sealing: SealingValues, platform: string): readonly string[] {
  const { kind, allow_insecure } = sealing;
  switch (kind) {
    case 'virtual':
      return platform === 'virtual' || allow_insecure ? [] : [insecure(platform)];
    case 'tpm': {
      const { pcrs } = sealing.tpm;
      if (new Set(pcrs).size === pcrs.length) return [];
      return [`sealing.tpm.pcrs is ${JSON.stringify(pcrs)}; it names a register twice`];
    }
    case 'key-vault':
      return [...keyVaultFaults(sealing.key_vault), ...unreleasable(platform)];
  }
}

function insecure(platform: string): string {
  return (
    'sealing.kind is "virtual", a key beside what it seals, and attestation.platform is ' +
    `"${platform}": whoever has the disk of this node would have its secrets. Choose "tpm" or ` +
    '"key-vault"; or set sealing.allow_insecure'
  );
}

/** Keys are released for a guest's own report, with the key to wrap to in its data. */
function unreleasable(platform: string): readonly string[] {
  if (platform === 'snp-configfs' || platform === 'snp-aci') return [];
  return [
    `sealing.kind is "key-vault" and attestation.platform is "${platform}": keys are released ` +
      'for reports of SEV-SNP, by "snp-configfs" or "snp-aci"',
  ];
}

function keyVaultFaults(vault: SealingValues['key_vault']): readonly string[] {
  if (vault === undefined) return ['sealing.key_vault is missing; sealing.kind is "key-vault"'];
  const { key_name: name, key_version: version, former_key_versions: former } = vault;
  const faults: string[] = [];
  for (const setting of ['vault_url', 'attestation_service'] as const) {
    const given = vault[setting];
    // Compared with what tokens and answers name, letter by letter.
    if (new URL(given).origin === given && given.startsWith('https://')) continue;
    faults.push(`sealing.key_vault.${setting} is ${shown(given)}; it is https:// and a host`);
  }
  if (!/^[0-9a-zA-Z-]{1,127}$/.test(name)) {
    const takes = 'it is 1 to 127 letters, digits and hyphens';
    faults.push(`sealing.key_vault.key_name is ${shown(name)}; ${takes}`);
  }
  const versions = [
    ['key_version', version],
    ...former.map((each, index) => [`former_key_versions[${index}]`, each] as const),
  ] as const;
  for (const [setting, given] of versions) {
    if (given === undefined || /^[0-9a-zA-Z]{32}$/.test(given)) continue;
    const takes = 'it is 32 letters and digits';
    faults.push(`sealing.key_vault.${setting} is ${shown(given)}; ${takes}`);
  }
  if (version === undefined && former.length > 0) {
    faults.push('sealing.key_vault.key_version is missing; former_key_versions are named');
  }
  return faults;
}

const shown = (given: string): string => JSON.stringify(given);
