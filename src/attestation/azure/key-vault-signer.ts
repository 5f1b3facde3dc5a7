/**
 * Signatures by a key that stays in Azure Key Vault or a Managed HSM: a digest goes there, r and s
 * come back. The permission to sign is all that is needed.
 */
import { CryptographyClient, type KeyClient } from '@azure/keyvault-keys';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';

export interface VaultSigningKey {
  /** `https://NAME.vault.azure.net/keys/KEY`, and `/VERSION` unless the newest will do. */
  readonly keyId: string;
  readonly credential: ConstructorParameters<typeof KeyClient>[1];
  /** Off where a vault's host is not one of Azure's, as in tests. */
  readonly isAzureHost: boolean;
}

/** Bytes of r and s for each algorithm. */
const SIGNATURE_BYTES = { ES256: 64, ES384: 96, ES512: 132 } as const;

/** Has a digest signed; rejects with `NotSigned`, which says what the vault said. */
export async function signInVault(
  { keyId, credential, isAzureHost }: VaultSigningKey,
  algorithm: keyof typeof SIGNATURE_BYTES,
  digest: Uint8Array,
): Promise<Uint8Array> {
  const fail = (why: string, cause?: unknown): CodedError =>
    new CodedError('NotSigned', `${keyId} does not sign: ${why}`, { keyId }, { cause });
  try {
    const client = new CryptographyClient(keyId, credential, {
      disableChallengeResourceVerification: !isAzureHost,
    });
    const { result } = await client.sign(algorithm, digest);
    if (result.length === SIGNATURE_BYTES[algorithm]) return new Uint8Array(result);
    throw fail(`its signature has ${result.length} bytes, which is none of ${algorithm}`);
  } catch (thrown) {
    if (isCoded(thrown)) throw thrown;
    throw fail(messageOf(thrown), thrown);
  }
}
