/** Where an import's payloads come from, when it is a peer that is asked for them. */
import { base64Of, bytesOfBase64, bytesOfHex } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { PAYLOAD_KEY_BYTES } from '../../crypto/payload.ts';
import type { ImportService } from './import-service.ts';
import type { Importer, Sourced } from './importer.ts';
import { type ReceivingPeerOptions, startReceivingPeer } from './receiving-peer.ts';
import type { TesseraPeer } from './tessera-peer.ts';
import { payloadTransfer } from './transfer-body.ts';

/** The hashes in a text, one a line: in base64, or as GoQuorum shows them, 0x and hexadecimal. */
export function hashesIn(text: string, path: string): readonly Uint8Array[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.flatMap((line, index) => {
    if (line === '' || line.startsWith('#')) return [];
    const hash = line.startsWith('0x') ? bytesOfHex(line.slice(2)) : bytesOfBase64(line);
    if (hash?.length === PAYLOAD_KEY_BYTES) return [hash];
    const shown = JSON.stringify(line.slice(0, 200));
    const what = `no hash of ${PAYLOAD_KEY_BYTES} bytes`;
    throw new CodedError('BadHashes', `line ${index + 1} of ${path} is ${shown}, ${what}`);
  });
}

/**
 * Asks a peer for payloads by their hashes, for each of the organisation's keys. One that the peer
 * does not have for them is left out: a chain names payloads of others, too.
 */
export async function* askedFor(
  peer: Pick<TesseraPeer, 'payload'>,
  hashes: readonly Uint8Array[],
  keys: readonly Uint8Array[],
): AsyncGenerator<Sourced, void, void> {
  for (const hash of hashes) {
    let found = false;
    for (const key of keys) {
      const payload = await peer.payload(key, hash);
      if (payload === undefined) continue;
      found = true;
      // Under the hash that was asked for: another payload in its place is refused by name.
      yield { kind: 'transfer', transfer: payloadTransfer(hash, payload) };
    }
    if (found) continue;
    const why = 'the peer does not have it for any of these keys';
    yield { kind: 'skipped', name: base64Of(hash), why };
  }
}

export interface PushesOptions extends ReceivingPeerOptions {
  /** Payloads of one batch; without it each is pushed by itself. */
  readonly batchSize?: number;
}

/** Has a peer push all payloads of the organisation's keys, and takes them in. */
export async function takePushes(
  peer: TesseraPeer,
  service: Pick<ImportService, 'open'>,
  importer: Importer,
  keys: readonly Uint8Array[],
  options: PushesOptions,
): Promise<void> {
  const { batchSize } = options;
  let failed: { readonly error: unknown } | undefined;
  const receiving = await startReceivingPeer(options, {
    open: (sealed) => service.open(sealed),
    take: async (transfer) => {
      try {
        return await importer.take({ kind: 'transfer', transfer });
      } catch (error) {
        // The peer is told of it too; this is what is said in the end.
        failed ??= { error };
        throw error;
      }
    },
  });
  try {
    await peer.announce(options.url, keys);
    for (const key of keys) {
      if (batchSize === undefined) await peer.resendAll(key);
      else await peer.resendBatch(key, batchSize);
    }
  } catch (error) {
    throw failed === undefined ? error : failed.error;
  } finally {
    await receiving.close();
  }
  if (failed !== undefined) throw failed.error;
}
