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
import type { ReadTable, ReadView, Row, Transaction } from '../kv/tables.ts';
import { jsonRow } from './tables.ts';

export const TOKEN_KEYS = 'public:ccf.gov.jwt.public_signing_keys_metadata_v2';

/** One key of a row: DER of the key in base64, and who signs tokens with it. */
export interface TokenKey {
  readonly public_key: string;
  readonly issuer: string;
  /** The only issuer whose name a token of this key may carry. */
  readonly constraint?: string;
}

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The keys under a key id, one for each issuer that has it. CCF's tables of version 6 and before
 * are not looked into: no ledger of ours has rows there, and no issuer's removal would reach them.
 */
export function tokenKeysNamed(view: ReadView, kid: string): readonly TokenKey[] {
  const row = view.table(TOKEN_KEYS).get(utf8(kid));
  if (row === undefined) return [];
  const known = readRows.get(row) ?? keysIn(row);
  readRows.set(row, known);
  return known;
}

// A row's bytes are one object for as long as the row stands, so they carry what was read of them.
const readRows = new WeakMap<Uint8Array, readonly TokenKey[]>();

/** Issuer → JSON `{auto_refresh?, ca_cert_bundle_name?}`. */
export const TOKEN_ISSUERS = 'public:ccf.gov.jwt.issuers';
/** Name → JSON string, PEM. */
export const CA_BUNDLES = 'public:ccf.gov.tls.ca_cert_bundles';

/** An issuer whose keys are to be kept fresh. */
export interface RefreshedIssuer {
  readonly issuer: string;
  /** PEM: the authorities that may vouch for where its keys are. */
  readonly authorities: string;
}

/** Those that members want refreshed, as far as their bundles are there. */
export function refreshedIssuers(view: ReadView): readonly RefreshedIssuer[] {
  return rowsOf(view.table(TOKEN_ISSUERS)).flatMap(({ key, value }) => {
    const row = JSON.parse(textOf(value)) as JsonObject;
    const bundle = view.table(CA_BUNDLES).get(utf8(String(row.ca_cert_bundle_name)));
    if (row.auto_refresh !== true || bundle === undefined) return [];
    return [{ issuer: textOf(key), authorities: String(JSON.parse(textOf(bundle))) }];
  });
}

/** Puts an issuer's keys in the place of those it had; false if they are the same. */
export function setTokenKeys(transaction: Transaction, issuer: string, jwks: unknown): boolean {
  const fresh = tokenKeysOf(issuer, jwks);
  if (JSON.stringify(fresh) === JSON.stringify(heldKeys(transaction, issuer))) return false;
  removeTokenKeys(transaction, issuer);
  const table = transaction.table(TOKEN_KEYS);
  for (const [kid, key] of fresh) {
    const row = table.get(utf8(kid));
    table.put(utf8(kid), jsonRow([...(row === undefined ? [] : keysIn(row)), key]));
  }
  return true;
}

type NamedKey = readonly [kid: string, key: TokenKey];

/** Reads an issuer's keys, sorted by their ids; throws for a set that has one of no use. */
function tokenKeysOf(issuer: string, jwks: unknown): readonly NamedKey[] {
  const keys: unknown = Reflect.get(Object(jwks), 'keys');
  if (!Array.isArray(keys)) throw bad('it has no list of keys');
  if (keys.length > KEYS_MAX) throw bad(`it has ${keys.length} keys; at most ${KEYS_MAX}`);
  const made = (keys as readonly JsonObject[]).map((jwk): NamedKey => {
    const { kid, issuer: constraint } = Object(jwk) as JsonObject;
    if (typeof kid !== 'string') throw bad('a key has no kid');
    const public_key = base64Of(spkiOf(jwk, kid));
    if (typeof constraint !== 'string') return [kid, { public_key, issuer }];
    mustBeOfHost(constraint, issuer);
    return [kid, { public_key, issuer, constraint }];
  });
  if (new Set(made.map(([kid]) => kid)).size < made.length) throw bad('two keys have one kid');
  return made.sort(([left], [right]) => (left < right ? -1 : 1));
}

/** An issuer speaks for its own host alone, whatever stands beside its keys. */
function mustBeOfHost(constraint: string, issuer: string): void {
  const hostOf = (text: string): string | undefined =>
    /^https:\/\/([^/?#]+)/.exec(text)?.[1]?.toLowerCase();
  if (hostOf(constraint) !== undefined && hostOf(constraint) === hostOf(issuer)) return;
  throw bad(`a key is for the issuer ${constraint.slice(0, 200)}, which is of another host`);
}

/** An issuer's keys as the ledger has them, sorted by their ids. */
function heldKeys(view: ReadView, issuer: string): readonly NamedKey[] {
  return rowsOf(view.table(TOKEN_KEYS)).flatMap(({ key, value }) =>
    keysIn(value)
      .filter((each) => each.issuer === issuer)
      .map(({ public_key, constraint }): NamedKey => {
        const held = { public_key, issuer };
        return [textOf(key), constraint === undefined ? held : { ...held, constraint }];
      }),
  );
}

/** Keys of one issuer; Entra has about a dozen. */
const KEYS_MAX = 256;

/** Forgets an issuer's keys; those of others under the same ids stay. */
export function removeTokenKeys(transaction: Transaction, issuer: string): void {
  const table = transaction.table(TOKEN_KEYS);
  for (const { key, value } of rowsOf(table)) {
    const keys = keysIn(value);
    const others = keys.filter((each) => each.issuer !== issuer);
    if (others.length === keys.length) continue;
    if (others.length === 0) table.remove(key);
    else table.put(key, jsonRow(others));
  }
}

/** All rows of a table, however many. */
function rowsOf(table: ReadTable): readonly Row[] {
  const rows: Row[] = [];
  for (let page = table.page(); page.length > 0; ) {
    rows.push(...page);
    const last = page.at(-1);
    page = last === undefined ? [] : table.page({ after: last.key });
  }
  return rows;
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
