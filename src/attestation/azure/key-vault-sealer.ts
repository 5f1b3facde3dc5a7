/**
 * Seals a node's restart state under a key that Key Vault releases to attested code only: whoever
 * has the disk, or the vault, has nothing. What is sealed names the key's version, so that it
 * still unseals after the key was rotated.
 */
import type { Random, Sealer } from '../../base/environment.ts';
import { CodedError, isCoded } from '../../base/errors.ts';
import { join, sameBytes, toUtf8 } from '../../base/portable-bytes.ts';
import { type AeadKey, GCM_IV_BYTES, openWhole, sealWhole } from '../../crypto/aead.ts';
import { sealingKeyOf } from '../../crypto/key-unwrap.ts';
import type { ReleasedKey } from './key-vault.ts';

/**
 * Has the key released in a version, or in the newest: `releaseKey` of `attested-release.ts`. Who
 * may write to the vault can import a newest version that he knows; where that matters, release
 * the version that was made, whatever is asked for when sealing.
 */
export type KeyRelease = (version?: string) => Promise<ReleasedKey>;

const MARK = toUtf8('AKV1');
const USE = 'Concordat: sealing of restart state by a released key, 1';

/** Opens the sealer with the newest version; rejects as the release does when it is refused. */
export async function keyVaultSealer(release: KeyRelease, random: Random): Promise<Sealer> {
  const newest = await release();
  const keys = new Map<string, AeadKey>([[newest.version, keyOf(newest)]]);
  const keyFor = async (version: string): Promise<AeadKey> => {
    const known = keys.get(version);
    if (known !== undefined) return known;
    const made = keyOf(await release(version));
    keys.set(version, made);
    return made;
  };
  return {
    kind: 'azure-key-vault',
    async seal(name, secret) {
      const header = headerOf(newest.version);
      const key = await keyFor(newest.version);
      const aad = join(header, toUtf8(name));
      return join(header, sealWhole(key, random.bytes(GCM_IV_BYTES), aad, secret));
    },
    async unseal(name, sealed) {
      const version = versionIn(sealed);
      if (version === undefined) throw broken(name);
      const header = headerOf(version);
      const key = await keyFor(version);
      try {
        return openWhole(key, join(header, toUtf8(name)), sealed.subarray(header.length));
      } catch (thrown) {
        if (isCoded(thrown, 'SealBroken')) throw broken(name);
        throw thrown;
      }
    },
  };
}

function keyOf({ kind, bytes }: ReleasedKey): AeadKey {
  return sealingKeyOf(kind, bytes, USE);
}

function headerOf(version: string): Uint8Array {
  const text = toUtf8(version);
  return join(MARK, Uint8Array.of(text.length), text);
}

function versionIn(sealed: Uint8Array): string | undefined {
  if (!sameBytes(sealed.subarray(0, MARK.length), MARK)) return undefined;
  const length = sealed[MARK.length] ?? 0;
  const text = sealed.subarray(MARK.length + 1, MARK.length + 1 + length);
  const version = new TextDecoder().decode(text);
  return /^[0-9a-zA-Z-]{1,64}$/.test(version) ? version : undefined;
}

function broken(name: string): CodedError {
  return new CodedError(
    'SealBroken',
    `${name} does not unseal: it was sealed under another key, or changed. Restore the file, ` +
      'or join as a new node',
    { name },
  );
}
