/**
 * A dump of a Tessera database: a line of JSON for each row, with the table's name and its columns,
 * bytes in hexadecimal. `DUMP_SQL` makes it.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { bytesOfHex } from '../../base/bytes.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { decodeCbor } from '../../federation/cbor-codec.ts';
import { decodeLegacy } from '../../federation/legacy-codec.ts';
import { decodePrivacyGroup } from '../../federation/privacy-group.ts';
import type { Sourced } from './importer.ts';
import { groupTransfer, payloadTransfer, rawTransfer } from './transfer-body.ts';

/** The statements for each database; each prints a line of JSON for each row. */
export const DUMP_SQL: Readonly<Record<string, readonly string[]>> = {
  postgresql: [
    "SELECT json_build_object('table','ENCRYPTED_TRANSACTION','hash',encode(hash,'hex')," +
      "'encoded_payload',encode(encoded_payload,'hex'),'payload_codec',payload_codec)" +
      ' FROM encrypted_transaction ORDER BY timestamp, hash',
    "SELECT json_build_object('table','ENCRYPTED_RAW_TRANSACTION','hash',encode(hash,'hex')," +
      "'encrypted_payload',encode(encrypted_payload,'hex')," +
      "'encrypted_key',encode(encrypted_key,'hex'),'nonce',encode(nonce,'hex')," +
      "'sender',encode(sender,'hex')) FROM encrypted_raw_transaction ORDER BY timestamp, hash",
    "SELECT json_build_object('table','PRIVACY_GROUP','id',encode(id,'hex')," +
      "'data',encode(data,'hex')) FROM privacy_group",
  ],
  mysql: [
    "SELECT JSON_OBJECT('table','ENCRYPTED_TRANSACTION','hash',HEX(HASH)," +
      "'encoded_payload',HEX(ENCODED_PAYLOAD),'payload_codec',PAYLOAD_CODEC)" +
      ' FROM ENCRYPTED_TRANSACTION ORDER BY TIMESTAMP, HASH',
    "SELECT JSON_OBJECT('table','ENCRYPTED_RAW_TRANSACTION','hash',HEX(HASH)," +
      "'encrypted_payload',HEX(ENCRYPTED_PAYLOAD),'encrypted_key',HEX(ENCRYPTED_KEY)," +
      "'nonce',HEX(NONCE),'sender',HEX(SENDER))" +
      ' FROM ENCRYPTED_RAW_TRANSACTION ORDER BY TIMESTAMP, HASH',
    "SELECT JSON_OBJECT('table','PRIVACY_GROUP','id',HEX(ID),'data',HEX(DATA))" +
      ' FROM PRIVACY_GROUP',
  ],
  h2: [
    "SELECT JSON_OBJECT('table':'ENCRYPTED_TRANSACTION','hash':RAWTOHEX(HASH)," +
      "'encoded_payload':RAWTOHEX(ENCODED_PAYLOAD),'payload_codec':PAYLOAD_CODEC)" +
      ' FROM ENCRYPTED_TRANSACTION ORDER BY TIMESTAMP, HASH',
    "SELECT JSON_OBJECT('table':'ENCRYPTED_RAW_TRANSACTION','hash':RAWTOHEX(HASH)," +
      "'encrypted_payload':RAWTOHEX(ENCRYPTED_PAYLOAD)," +
      "'encrypted_key':RAWTOHEX(ENCRYPTED_KEY),'nonce':RAWTOHEX(NONCE)," +
      "'sender':RAWTOHEX(SENDER)) FROM ENCRYPTED_RAW_TRANSACTION ORDER BY TIMESTAMP, HASH",
    "SELECT JSON_OBJECT('table':'PRIVACY_GROUP','id':RAWTOHEX(ID),'data':RAWTOHEX(DATA))" +
      ' FROM PRIVACY_GROUP',
  ],
};

/** Characters of a line: a payload of 16 MiB in hexadecimal, with room for the rest. */
const LINE_CHARS_MAX = 40 * 1024 * 1024;

/** Reads a dump row by row; `-` is standard input. */
export async function* readDump(path: string): AsyncGenerator<Sourced, void, void> {
  const stream = path === '-' ? process.stdin : createReadStream(path);
  let failure: unknown;
  stream.on('error', (error) => {
    failure = error;
  });
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  for await (const line of lines) {
    number += 1;
    if (line.trim() === '') continue;
    yield rowOf(line, `line ${number}`);
  }
  if (failure !== undefined) {
    throw new CodedError('UnreadableFile', `${path} cannot be read: ${messageOf(failure)}`);
  }
}

/** What one line of a dump gives; `place` names it. */
export function rowOf(line: string, place: string): Sourced {
  try {
    if (line.length > LINE_CHARS_MAX) {
      throw bad(`has ${line.length} characters, more than ${LINE_CHARS_MAX}`);
    }
    return sourcedOf(new DumpRow(fieldsOf(line)));
  } catch (thrown) {
    if (!isCoded(thrown)) throw thrown;
    return { kind: 'refused', name: place, why: thrown.message };
  }
}

function sourcedOf(row: DumpRow): Sourced {
  switch (row.text('table').toUpperCase()) {
    case 'ENCRYPTED_TRANSACTION': {
      const encoded = row.bytes('encoded_payload');
      const isCbor = row.optional('payload_codec')?.toUpperCase() === 'CBOR';
      const payload = isCbor ? decodeCbor(encoded) : decodeLegacy(encoded);
      return { kind: 'transfer', transfer: payloadTransfer(row.bytes('hash'), payload) };
    }
    case 'ENCRYPTED_RAW_TRANSACTION': {
      const [hash, encryptedPayload] = [row.bytes('hash'), row.bytes('encrypted_payload')];
      const [encryptedKey, nonce] = [row.bytes('encrypted_key'), row.bytes('nonce')];
      const sender = row.bytes('sender');
      const raw = { hash, encryptedPayload, encryptedKey, nonce, sender };
      return { kind: 'transfer', transfer: rawTransfer(raw) };
    }
    case 'PRIVACY_GROUP': {
      const id = row.bytes('id');
      const group = decodePrivacyGroup(row.bytes('data'));
      const name = Buffer.from(id).toString('base64');
      if (group.state === 'DELETED') {
        return { kind: 'skipped', name, why: 'the privacy group was deleted' };
      }
      if (group.type === 'PANTHEON') {
        return { kind: 'transfer', transfer: groupTransfer(id, group) };
      }
      const why =
        group.type === 'RESIDENT'
          ? 'residents are brought by concordat quorum import-config'
          : "groups of this type are made by Besu's own sends alone";
      return { kind: 'skipped', name, why };
    }
    default:
      throw bad(
        `is of a table ${JSON.stringify(row.text('table'))}, which is none of Tessera's`,
      );
  }
}

/** The columns of a row, whatever case a database gives their names. */
class DumpRow {
  readonly #columns: ReadonlyMap<string, unknown>;

  constructor(fields: object) {
    this.#columns = new Map(
      Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value] as const),
    );
  }

  optional(name: string): string | undefined {
    const value = this.#columns.get(name);
    return typeof value === 'string' ? value : undefined;
  }

  text(name: string): string {
    const value = this.optional(name);
    if (value !== undefined) return value;
    throw bad(`has no ${name}`);
  }

  bytes(name: string): Uint8Array {
    // PostgreSQL's own text of bytes begins with \x.
    const bytes = bytesOfHex(this.text(name).replace(/^\\x/, ''));
    if (bytes !== undefined) return bytes;
    throw bad(`has ${name} that is not hexadecimal`);
  }
}

function fieldsOf(line: string): object {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Said below.
  }
  throw bad('is no JSON object');
}

function bad(how: string): CodedError {
  return new CodedError('BadDump', `the row ${how}`);
}
