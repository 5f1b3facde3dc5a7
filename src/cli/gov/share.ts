/**
 * `concordat gov share`: a member's recovery share, fetched, opened with the member's own key, and
 * handed in under its signature (governance.md §7).
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { base64Of, bytesOfBase64 } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { UnwrappingKey } from '../../crypto/keys.ts';
import type { Action } from '../action.ts';
import { EXIT } from '../exit-codes.ts';
import { sandboxFolder } from '../sandbox/sandbox-folder.ts';
import { PLACE_OPTIONS, PLACE_USAGE, readGov, SigningMember } from './place.ts';
import { usage } from './usage.ts';

export const SHARE: Action = {
  name: 'share',
  usage: `Usage: concordat gov share (--data DIR | --encryption-key PEM --url URL …)

Hands in the member's recovery share, while a lost service is being recovered: it is fetched, opened
with the member's encryption key, and sent signed. The key does not leave this machine.

  --encryption-key PEM        the member's private encryption key
${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      options: { ...PLACE_OPTIONS, 'encryption-key': { type: 'string' } },
    });
    const member = SigningMember.of(values);
    const key = encryptionKey(keyFile(values['encryption-key'], values.data, values.as));
    const text = await readGov(member.service, `/recovery/encrypted-shares/${member.id}`);
    const { encryptedShare } = JSON.parse(text) as { readonly encryptedShare: string };
    const share = opened(key, encryptedShare);
    const path = `/recovery/members/${member.id}:recover`;
    const payload = JSON.stringify({ share: base64Of(share) });
    const { body } = await member.send('recovery_share', path, payload);
    const answer = JSON.parse(body) as { readonly message: string };
    io.out(values.json === true ? JSON.stringify({ ok: true, ...answer }) : answer.message);
    return EXIT.good;
  },
};

function keyFile(
  given: string | undefined,
  data: string | undefined,
  as: string | undefined,
): string {
  if (given !== undefined) return given;
  if (data === undefined) throw usage('--encryption-key PEM is missing');
  return sandboxFolder(resolve(data)).member(Number(as ?? '1')).encryptionKey;
}

function encryptionKey(path: string): UnwrappingKey {
  const pem = readFileSync(path, 'utf8');
  try {
    return UnwrappingKey.fromPem(pem);
  } catch (cause) {
    const message = `${path} holds no RSA private key in PEM: ${messageOf(cause)}`;
    throw new CodedError('BadKey', message, { path }, { cause });
  }
}

function opened(key: UnwrappingKey, encrypted: string): Uint8Array {
  try {
    return key.unwrap(bytesOfBase64(encrypted) ?? new Uint8Array());
  } catch (cause) {
    const message = 'this key does not open the share that the service keeps for the member';
    throw new CodedError('WrongKey', message, {}, { cause });
  }
}
