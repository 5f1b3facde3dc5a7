/**
 * The keys that a joiner makes before anything else. They are its identity: an attempt that was
 * interrupted goes on with the same ones, or the service would see a new node each time.
 */
import { textOf, utf8 } from '../../base/bytes.ts';
import type { Random } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import { type AeadKey, aeadKeyOf, GCM_KEY_BYTES } from '../../crypto/aead.ts';
import type { KeySource } from '../../crypto/key-source.ts';
import { ENCRYPTION_KEY, INDEX_KEY, NODE_KEY } from '../identity.ts';
import { OPENED_MARK } from '../new-service.ts';
import type { OwnKeys } from '../node-certificates.ts';
import type { SealedFolder } from '../sealed-folder.ts';

/** Which service this folder is to join: the fingerprint of its key, 64 hex digits. */
const JOINING = 'joining';

export type JoinerKeys = OwnKeys & {
  /** Seals the local index. */
  readonly indexKey: AeadKey;
};

/**
 * Claims a folder for joining a service. Throws `ForeignFolder` for one that holds anything of
 * another beginning.
 */
export async function claimFolder(
  sealed: SealedFolder,
  folder: string,
  serviceFingerprint: string,
): Promise<void> {
  if (await sealed.has(OPENED_MARK)) {
    throw new CodedError(
      'AlreadyJoined',
      `${folder} holds a node of a service already: start it, it does not join again`,
      { folder },
    );
  }
  const names = await sealed.names();
  if (names.length === 0) {
    await sealed.put(JOINING, utf8(serviceFingerprint));
    return;
  }
  const claimed = names.includes(JOINING) ? textOf(await sealed.get(JOINING)) : undefined;
  if (claimed === serviceFingerprint) return;
  const why =
    claimed === undefined
      ? 'holds keys of a node that was to found a service'
      : `holds keys of a node that was to join the service with the key ${claimed}, and this ` +
        `one has ${serviceFingerprint}`;
  throw new CodedError('ForeignFolder', `${folder} ${why}. Choose an empty folder`, { folder });
}

/** Opens the keys of a former attempt, or makes them; all are sealed when this resolves. */
export async function joinerKeys(
  sealed: SealedFolder,
  random: Random,
  keys: KeySource,
): Promise<JoinerKeys> {
  const kept = async (name: string, make: () => Uint8Array): Promise<Uint8Array> => {
    if (!(await sealed.has(name))) await sealed.put(name, make());
    return await sealed.get(name);
  };
  return {
    keys,
    nodeKey: keys.openSigningKey(
      await kept(NODE_KEY, () => keys.generateSigningKey('P-256').pkcs8()),
    ),
    encryptionKey: keys.openUnwrappingKey(
      await kept(ENCRYPTION_KEY, () => keys.generateUnwrappingKey().pkcs8()),
    ),
    indexKey: aeadKeyOf(await kept(INDEX_KEY, () => random.bytes(GCM_KEY_BYTES))),
  };
}
