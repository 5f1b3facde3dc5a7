/**
 * Payloads in CBOR, which peers of version 5.0 send (transaction-manager.md §C): a map of eleven
 * entries in a fixed order. They are written by hand, because the order is Tessera's and not that
 * of RFC 8949 §4.2; what comes in may have any order.
 */
import { decode } from 'cborg';
import { base64Of, bytesOfBase64, concatBytes, utf8 } from '../base/bytes.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { type EncodedPayload, privacyFlagOf } from './encoded-payload.ts';

const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;

export function encodeCbor(payload: EncodedPayload): Uint8Array {
  const affected = payload.affected.flatMap(({ hash, securityHash }) => [
    text(base64Of(hash)),
    bytes(securityHash),
  ]);
  const entries: readonly (readonly [string, Uint8Array])[] = [
    ['sender', bytes(payload.senderKey)],
    ['cipherText', bytes(payload.cipherText)],
    ['nonce', bytes(payload.cipherTextNonce)],
    ['recipientNonce', bytes(payload.recipientNonce)],
    ['recipientBoxes', list(payload.recipientBoxes)],
    ['recipients', list(payload.recipientKeys)],
    ['privacyFlag', head(UNSIGNED, payload.privacyFlag)],
    ['affected', concatBytes(head(MAP, payload.affected.length), ...affected)],
    ['execHash', bytes(payload.execHash)],
    ['mandatoryFor', list(payload.mandatory)],
    ['privacyGroupId', bytes(payload.privacyGroupId)],
  ];
  const parts = entries.flatMap(([name, value]) => [text(name), value]);
  return concatBytes(head(MAP, entries.length), ...parts);
}

export function decodeCbor(encoded: Uint8Array): EncodedPayload {
  const fields = fieldsOf(encoded);
  return {
    senderKey: bytesIn(fields, 'sender'),
    cipherText: bytesIn(fields, 'cipherText'),
    cipherTextNonce: bytesIn(fields, 'nonce'),
    recipientNonce: bytesIn(fields, 'recipientNonce'),
    recipientBoxes: listIn(fields, 'recipientBoxes'),
    recipientKeys: listIn(fields, 'recipients'),
    privacyFlag: flagIn(fields),
    affected: affectedIn(fields),
    execHash: bytesIn(fields, 'execHash'),
    mandatory: listIn(fields, 'mandatoryFor'),
    privacyGroupId: bytesIn(fields, 'privacyGroupId'),
  };
}

type Fields = ReadonlyMap<unknown, unknown>;

function fieldsOf(encoded: Uint8Array): Fields {
  let value: unknown;
  try {
    value = decode(encoded, { useMaps: true, rejectDuplicateMapKeys: true });
  } catch (thrown) {
    throw broken(`is no CBOR: ${messageOf(thrown)}`);
  }
  if (!(value instanceof Map)) throw broken('is no map');
  return value;
}

function bytesIn(fields: Fields, name: string): Uint8Array {
  return asBytes(fields.get(name), name);
}

function listIn(fields: Fields, name: string): readonly Uint8Array[] {
  const value = fields.get(name);
  if (!Array.isArray(value)) throw broken(`has no list ${name}`);
  return value.map((item: unknown) => asBytes(item, `an item of ${name}`));
}

function flagIn(fields: Fields): EncodedPayload['privacyFlag'] {
  const value = fields.get('privacyFlag');
  if (typeof value !== 'number') throw broken('has no number privacyFlag');
  return privacyFlagOf(value);
}

function affectedIn(fields: Fields): EncodedPayload['affected'] {
  const value = fields.get('affected');
  if (!(value instanceof Map)) throw broken('has no map affected');
  return [...(value as Fields)].map(([key, securityHash]) => {
    const hash = typeof key === 'string' ? bytesOfBase64(key) : undefined;
    if (hash === undefined) throw broken('names an affected transaction that is not base64');
    return { hash, securityHash: asBytes(securityHash, 'a security hash') };
  });
}

function asBytes(value: unknown, name: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw broken(`has no byte string ${name}`);
}

function broken(how: string): CodedError {
  const sentence = `Invalid payload data: a payload in CBOR ${how}`;
  return new CodedError('BadEncoding', sentence, { status: 400 });
}

function bytes(value: Uint8Array): Uint8Array {
  return concatBytes(head(BYTES, value.length), value);
}

function text(value: string): Uint8Array {
  const encoded = utf8(value);
  return concatBytes(head(TEXT, encoded.length), encoded);
}

function list(items: readonly Uint8Array[]): Uint8Array {
  return concatBytes(head(ARRAY, items.length), ...items.map(bytes));
}

/** The first bytes of an item: its major type and its argument, as short as can be. */
function head(type: number, argument: number): Uint8Array {
  const major = type << 5;
  if (argument < 24) return Buffer.from([major | argument]);
  if (argument < 0x100) return Buffer.from([major | 24, argument]);
  const long = argument >= 0x1_0000;
  const written = Buffer.allocUnsafe(long ? 5 : 3);
  written[0] = major | (long ? 26 : 25);
  if (long) written.writeUInt32BE(argument, 1);
  else written.writeUInt16BE(argument, 1);
  return written;
}
