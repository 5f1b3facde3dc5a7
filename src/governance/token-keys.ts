/**
 * Keys that sign tokens (governance.md §1, `jwt.*`): JSON Web Keys of an issuer become rows of the
 * ledger, one a key id, which several issuers may share.
 */
import { base64Of, bytesOfBase64, concatBytes, textOf, utf8 } from '../base/bytes.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { fromBase64Url } from '../base/portable-bytes.ts';
import { readPublicKey } from '../crypto/public-key.ts';
import { rsaSpki } from '../crypto/rsa-key.ts';
import { parseCertificate } from '../crypto/x509.ts';
import type { Row, Transaction } from '../kv/tables.ts';
import { jsonRow } from './tables.ts';

export const TOKEN_KEYS = 'public:ccf.gov.jwt.public_signing_keys_metadata_v2';

/** One key of a row: DER of the key in base64, and who signs tokens with it. */
interface TokenKey {
  readonly public_key: string;
  readonly issuer: string;
  /** The only issuer whose name a token of this key may carry. */
  readonly constraint?: string;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Puts an issuer's keys in the place of those it had. */
export function setTokenKeys(transaction: Transaction, issuer: string, jwks: unknown): void {
  const keys: unknown = Reflect.get(Object(jwks), 'keys');
  if (!Array.isArray(keys)) throw bad('it has no list of keys');
  removeTokenKeys(transaction, issuer);
  const table = transaction.table(TOKEN_KEYS);
  for (const jwk of keys as readonly JsonObject[]) {
    const { kid, issuer: constraint } = jwk;
    if (typeof kid !== 'string') throw bad('a key has no kid');
    const made: TokenKey = {
      public_key: base64Of(spkiOf(jwk, kid)),
      issuer,
      ...(typeof constraint === 'string' ? { constraint } : {}),
    };
    const row = table.get(utf8(kid));
    table.put(utf8(kid), jsonRow([...(row === undefined ? [] : keysIn(row)), made]));
  }
}

/** Forgets an issuer's keys; those of others under the same ids stay. */
export function removeTokenKeys(transaction: Transaction, issuer: string): void {
  const table = transaction.table(TOKEN_KEYS);
  const rows: Row[] = [];
  for (let page = table.page(); page.length > 0; ) {
    rows.push(...page);
    const last = page.at(-1);
    page = last === undefined ? [] : table.page({ after: last.key });
  }
  for (const { key, value } of rows) {
    const keys = keysIn(value);
    const others = keys.filter((each) => each.issuer !== issuer);
    if (others.length === keys.length) continue;
    if (others.length === 0) table.remove(key);
    else table.put(key, jsonRow(others));
  }
}

function keysIn(row: Uint8Array): readonly TokenKey[] {
  return JSON.parse(textOf(row)) as readonly TokenKey[];
}

/** SubjectPublicKeyInfo of a JSON Web Key (RFC 7517 §4.7, RFC 7518 §6). */
function spkiOf(jwk: JsonObject, kid: string): Uint8Array {
  try {
    const { x5c, kty } = jwk;
    if (Array.isArray(x5c)) {
      const der = bytesOfBase64(String(x5c[0]));
      if (der === undefined) throw bad('its certificate is not base64');
      return parseCertificate(der).publicKeyDer;
    }
    if (kty === 'RSA') {
      return rsaSpki({ modulus: number(jwk, 'n'), exponent: number(jwk, 'e') });
    }
    return ecSpki(String(jwk.crv), number(jwk, 'x'), number(jwk, 'y'));
  } catch (cause) {
    throw bad(`key ${kid.slice(0, 80)}: ${messageOf(cause)}`);
  }
}

/** What stands before the point of a key on each curve (RFC 5480 §2). */
const EC_PREFIXES: Readonly<Record<string, string>> = {
  'P-256': '3059301306072a8648ce3d020106082a8648ce3d030107034200',
  'P-384': '3076301006072a8648ce3d020106052b81040022036200',
  'P-521': '30819b301006072a8648ce3d020106052b8104002303818600',
};

function ecSpki(curve: string, x: Uint8Array, y: Uint8Array): Uint8Array {
  const prefix = EC_PREFIXES[curve];
  if (prefix === undefined) throw bad(`its curve is ${curve.slice(0, 40)}`);
  const spki = concatBytes(Buffer.from(prefix, 'hex'), Uint8Array.of(4), x, y);
  readPublicKey(spki);
  return spki;
}

function number(jwk: JsonObject, name: string): Uint8Array {
  const bytes = fromBase64Url(String(jwk[name]));
  if (bytes === undefined || bytes.length === 0) throw bad(`its ${name} is not base64url`);
  return bytes;
}

function bad(why: string): CodedError {
  const message = `these are no JSON Web Keys that can be used: ${why}`;
  return new CodedError('InvalidInput', message, { status: 400 });
}
