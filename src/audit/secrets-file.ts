/**
 * Reads ledger secrets from a file: a JSON list of `{"seqno": first seqno it seals, "secret": 32
 * bytes in hexadecimal or base64}`; `version` and `from` are other names for `seqno`.
 */
import { bytesOfBase64, bytesOfHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { DatedSecret } from './sealed.ts';

const SECRET_BYTES = 32;

/** Reads the text of a secrets file; throws `BadSecrets`. */
export function parseSecrets(text: string): DatedSecret[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw bad('it is not JSON', cause);
  }
  if (!Array.isArray(value) || value.length === 0) throw bad('it is no list of secrets');
  const secrets = value.map(parseSecret);
  if (new Set(secrets.map(({ from }) => from)).size !== secrets.length) {
    throw bad('two secrets apply from the same seqno');
  }
  return secrets;
}

function parseSecret(item: unknown, index: number): DatedSecret {
  if (typeof item !== 'object' || item === null) throw bad(`item ${index} is no object`);
  const from: unknown =
    Reflect.get(item, 'seqno') ?? Reflect.get(item, 'version') ?? Reflect.get(item, 'from');
  const text: unknown = Reflect.get(item, 'secret');
  if (typeof from !== 'number' || !Number.isSafeInteger(from) || from < 1) {
    throw bad(`item ${index} has no "seqno" from 1 up`);
  }
  const bytes =
    typeof text === 'string' ? (bytesOfHex(text) ?? bytesOfBase64(text)) : undefined;
  if (bytes?.length !== SECRET_BYTES) {
    throw bad(
      `item ${index} has no "secret" of ${SECRET_BYTES} bytes in hexadecimal or base64`,
    );
  }
  return { from, bytes };
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError(
    'BadSecrets',
    `this is no file of ledger secrets: ${why}; expected [{"seqno": 1, "secret": "<hex>"}, …]`,
    {},
    { cause },
  );
}
