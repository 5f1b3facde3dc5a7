/**
 * The sealer of virtual mode: a key in a file that only its owner may read. It keeps secrets from
 * nobody who has the disk, and says so.
 */
import type { Disk, Random, Sealer } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import {
  aeadKeyOf,
  GCM_IV_BYTES,
  GCM_KEY_BYTES,
  openWhole,
  sealWhole,
} from '../crypto/aead.ts';
import { writeDurably } from './durable-disk.ts';
import { SEALED_ENDING } from './sealed-folder.ts';

const KEY_FILE = 'INSECURE-virtual-sealing.key';

/** Opens the sealer of a folder, making its key on first use. */
export async function virtualSealer(
  disk: Disk,
  folder: string,
  random: Random,
): Promise<Sealer> {
  const path = `${folder}/${KEY_FILE}`;
  if (!(await disk.exists(path))) {
    if ((await disk.list(folder)).some((name) => name.endsWith(SEALED_ENDING))) {
      throw new CodedError(
        'NotSealed',
        `${path} is missing, and nothing in that folder unseals without it. Restore it, or join ` +
          'as a new node',
        { path },
      );
    }
    await writeDurably(disk, folder, KEY_FILE, random.bytes(GCM_KEY_BYTES));
  }
  const file = await disk.open(path, 'read');
  const bytes = await file.read(0, GCM_KEY_BYTES + 1);
  await file.close();
  if (bytes.length !== GCM_KEY_BYTES) {
    throw new CodedError('SealBroken', `${path} is not a key of ${GCM_KEY_BYTES} bytes`, {
      path,
    });
  }
  const key = aeadKeyOf(bytes);
  return {
    kind: 'virtual',
    async seal(name, secret) {
      return sealWhole(key, random.bytes(GCM_IV_BYTES), Buffer.from(name), secret);
    },
    async unseal(name, sealed) {
      try {
        return openWhole(key, Buffer.from(name), sealed);
      } catch {
        throw broken(name);
      }
    },
  };
}

function broken(name: string): CodedError {
  return new CodedError(
    'SealBroken',
    `${name} does not unseal: it was sealed by another node, or changed. Restore the file, ` +
      'or join as a new node',
    { name },
  );
}
