/**
 * How a node that recovers a service has the keys released that its members allowed for that
 * (`governance/recovery-release.ts`): which key in which vault they have voted for, the way to it
 * the configuration says.
 */
import { readReleasePolicy } from '../../attestation/release-policy.ts';
import { CodedError } from '../../base/errors.ts';
import type { Beginning } from '../../config/node-config.ts';
import type { NodeDependencies } from '../../node/node-options.ts';
import { openVaultRelease, readAuthorities, type VaultDependencies } from './vault-release.ts';

/** Nothing for a node that recovers nothing, or is to wait for shares. */
export function recoveryReleaseOf(
  command: Beginning,
  dependencies: VaultDependencies,
): Pick<NodeDependencies, 'recoveryRelease'> {
  if (command.kind !== 'recover' || command.recover.key_release === undefined) return {};
  const settings = command.recover.key_release;
  return {
    recoveryRelease: async ({ vault_url, key_name, key_version, release_policy }) => {
      const key = {
        keyName: key_name,
        ...(release_policy === undefined
          ? {}
          : { releasePolicy: readReleasePolicy(release_policy) }),
      };
      const authorities = readAuthorities(settings.authorities_file);
      const whole = { ...settings, vault_url };
      const release = await openVaultRelease(whole, key, authorities, dependencies);
      const { kind, bytes } = await release(key_version);
      if (kind === 'RSA') return bytes;
      const why = `${key_name} in ${vault_url} is a key of the kind ${kind}; it must be RSA`;
      throw new CodedError('UnsuitableKey', why, { kind });
    },
  };
}
