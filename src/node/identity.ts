/**
 * The keys of a node and of the service it runs, as they lie in `sealed/`.
 */
import type { Random } from '../base/environment.ts';
import { type AeadKey, aeadKeyOf, GCM_KEY_BYTES } from '../crypto/aead.ts';
import {
  type HeldSigningKey,
  type HeldUnwrappingKey,
  type KeySource,
  systemKeys,
} from '../crypto/key-source.ts';
import type { SealedFolder } from './sealed-folder.ts';

export const NODE_KEY = 'node-key';
export const SERVICE_KEY = 'service-key';
export const ENCRYPTION_KEY = 'node-encryption-key';
export const INDEX_KEY = 'index-key';

export interface Identity {
  /** P-256: it signs the rounds and is the node's TLS key; its fingerprint is the node's id. */
  readonly nodeKey: HeldSigningKey;
  /** P-384: it endorses nodes and signs COSE signatures. */
  readonly serviceKey: HeldSigningKey;
  /** RSA: ledger secrets are sent to it. */
  readonly encryptionKey: HeldUnwrappingKey;
  /** Seals the local index. */
  readonly indexKey: AeadKey;
  /** Where its keys come from, and what its certificates are made with. */
  readonly keys: KeySource;
}

/**
 * Makes the keys of a node and seals them; all are on stable storage when it resolves. The
 * service's key is made with them unless the node joins one that has it.
 */
export async function createIdentity(
  sealed: SealedFolder,
  random: Random,
  ofService?: HeldSigningKey,
  keys: KeySource = systemKeys,
): Promise<Identity> {
  const nodeKey = keys.generateSigningKey('P-256');
  const encryptionKey = keys.generateUnwrappingKey();
  const indexKey = random.bytes(GCM_KEY_BYTES);
  const serviceKey = ofService ?? keys.generateSigningKey('P-384');
  await sealed.put(NODE_KEY, nodeKey.pkcs8());
  await sealed.put(ENCRYPTION_KEY, encryptionKey.pkcs8());
  await sealed.put(INDEX_KEY, indexKey);
  await sealed.put(SERVICE_KEY, serviceKey.pkcs8());
  return { nodeKey, serviceKey, encryptionKey, indexKey: aeadKeyOf(indexKey), keys };
}

/** Opens the keys of an earlier start. */
export async function loadIdentity(
  sealed: SealedFolder,
  keys: KeySource = systemKeys,
): Promise<Identity> {
  return {
    nodeKey: keys.openSigningKey(await sealed.get(NODE_KEY)),
    serviceKey: keys.openSigningKey(await sealed.get(SERVICE_KEY)),
    encryptionKey: keys.openUnwrappingKey(await sealed.get(ENCRYPTION_KEY)),
    indexKey: aeadKeyOf(await sealed.get(INDEX_KEY)),
    keys,
  };
}
