/**
 * Whether a peer holds a key that it says is its own: it is sent a random name sealed for that key
 * and must give it back (transaction-manager.md §C, `enableRemoteKeyValidation`). The box is made
 * with a key of its own for each challenge, so no key of the service is used to answer strangers.
 */
import { NO_BYTES, textOf, utf8 } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import { messageOf } from '../base/errors.ts';
import { generatePartyKey } from '../crypto/party-keys.ts';
import {
  boxSecretOf,
  PAYLOAD_NONCE_BYTES,
  PAYLOAD_SECRET_BYTES,
  sealPayload,
} from '../crypto/payload.ts';
import type { EncodedPayload } from './encoded-payload.ts';
import { encodeLegacy } from './legacy-codec.ts';
import type { PeerClient } from './peer-client.ts';

const ANSWER_MS_MAX = 3_000;
const NAME = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Why a peer has not shown that it holds a key; undefined when it has. */
export async function doubtOf(
  { client, random }: { readonly client: PeerClient; readonly random: Random },
  url: string,
  key: Uint8Array,
): Promise<string | undefined> {
  const name = randomName(random);
  const challenge = challengeFor(random, key, utf8(name));
  if (challenge === undefined) return 'it is no key that can be encrypted for';
  try {
    const { status, body } = await client.ask({
      method: 'POST',
      url,
      path: 'partyinfo/validate',
      headers: { 'content-type': 'application/octet-stream' },
      body: encodeLegacy(challenge),
      timeoutMs: ANSWER_MS_MAX,
    });
    if (status === 200 && body.toString('utf8') === name) return undefined;
    return `its holder did not open a challenge (status ${status})`;
  } catch (error) {
    return messageOf(error);
  }
}

/** The name in a challenge that was opened; undefined for what is none: nothing else is told. */
export function nameIn(opened: Uint8Array): string | undefined {
  if (opened.length > 36) return undefined;
  try {
    const name = textOf(opened);
    return NAME.test(name) ? name : undefined;
  } catch {
    return undefined;
  }
}

function challengeFor(
  random: Random,
  key: Uint8Array,
  name: Uint8Array,
): EncodedPayload | undefined {
  const { publicKey, privateKey } = generatePartyKey(random);
  const secret = boxSecretOf(privateKey, key);
  if (secret === undefined) return undefined;
  const masterKey = random.bytes(PAYLOAD_SECRET_BYTES);
  const cipherTextNonce = random.bytes(PAYLOAD_NONCE_BYTES);
  const recipientNonce = random.bytes(PAYLOAD_NONCE_BYTES);
  return {
    senderKey: publicKey,
    cipherText: sealPayload(masterKey, cipherTextNonce, name),
    cipherTextNonce,
    recipientBoxes: [sealPayload(secret, recipientNonce, masterKey)],
    recipientNonce,
    recipientKeys: [key],
    privacyFlag: 0,
    affected: [],
    execHash: NO_BYTES,
    mandatory: [],
    privacyGroupId: NO_BYTES,
  };
}

/** A random UUID (RFC 9562 §5.4): what Tessera's peers expect to find. */
function randomName(random: Random): string {
  const bytes = Buffer.from(random.bytes(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return [...parts, hex.slice(20)].join('-');
}
