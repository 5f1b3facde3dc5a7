/**
 * The settings by which a node that recovers a service has a key released to its code, where the
 * service's members have allowed that (key-release.md): which key, they have voted for.
 */
import { defaulted, KINDS, optional, required } from './kinds.ts';
import { optionalSection } from './setting.ts';

const { path, text, url } = KINDS;

export const RECOVERY_RELEASE = optionalSection({
  attestation_service: required(
    url,
    'the instance of Microsoft Azure Attestation, as its tokens name their issuer',
  ),
  authorities_file: required(
    path,
    'certificates of the authorities that releases are signed under, PEM',
  ),
  managed_identity_client_id: optional(
    text,
    "which of the machine's managed identities asks; the only one when absent",
  ),
  identity_url: defaulted(
    url,
    'http://169.254.169.254/metadata/identity/oauth2/token',
    "the metadata service, asked for that identity's tokens unless the environment " +
      'names another endpoint (IDENTITY_ENDPOINT and IDENTITY_HEADER)',
  ),
  token_resource: optional(
    url,
    "what those tokens are for; the vault's host without its first name when absent, " +
      'as "https://vault.azure.net". Tokens are asked for nothing else, whatever a vault says',
  ),
});

type RecoveryReleaseValues = ReturnType<typeof RECOVERY_RELEASE.read>;

/** What else must hold of these settings, a sentence for each fault. */
export function recoveryReleaseFaults(
  settings: RecoveryReleaseValues,
  platform: string,
): readonly string[] {
  if (settings === undefined) return [];
  const name = 'command.recover.key_release';
  const faults: string[] = [];
  const { attestation_service: service } = settings;
  // Compared with what tokens name, letter by letter.
  if (new URL(service).origin !== service || !service.startsWith('https://')) {
    const given = JSON.stringify(service);
    faults.push(`${name}.attestation_service is ${given}; it is https:// and a host`);
  }
  if (platform !== 'snp-configfs' && platform !== 'snp-aci') {
    faults.push(
      `${name} is given and attestation.platform is "${platform}": keys are released for ` +
        'reports of SEV-SNP, by "snp-configfs" or "snp-aci"',
    );
  }
  return faults;
}
