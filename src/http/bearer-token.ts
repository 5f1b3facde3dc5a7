/**
 * A token as a request brings it (RFC 6750 §2.1, RFC 7515 §7.1, RFC 7519 §4.1): found, split and
 * read. Nothing in it is proven by that. What is wrong with it is said in CCF's words.
 *
 * Its length is bounded by that of a header (REQUEST_HEADER_BYTES_MAX).
 */
import { textOf, utf8 } from '../base/bytes.ts';
import { type TokenAlgorithm, tokenAlgorithm } from '../crypto/token-signature.ts';

type JsonObject = Readonly<Record<string, unknown>>;

export interface BearerToken {
  readonly header: JsonObject;
  readonly payload: JsonObject;
  readonly algorithm: TokenAlgorithm;
  readonly kid: string;
  /** Claim `iss`. */
  readonly issuer: string;
  /** Claim `exp`, seconds since 1970. */
  readonly expires: number;
  /** Claim `nbf`, seconds since 1970. */
  readonly notBefore: number | undefined;
  /** Claim `tid` of Microsoft Entra ID. */
  readonly tenant: string | undefined;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

/** Whether a request says by an Authorization header who it is from. */
export function bringsAuthorization(rawHeaders: readonly string[]): boolean {
  return authorizations(rawHeaders).length > 0;
}

/** The token of a request, or why there is none that can be read. */
export function readBearerToken(rawHeaders: readonly string[]): BearerToken | string {
  const [value, ...others] = authorizations(rawHeaders);
  if (value === undefined) return 'Missing authorization header';
  // Whoever stands in between may have looked at the other one.
  if (others.length > 0) return 'There is more than one authorization header';
  const space = value.indexOf(' ');
  if (space === -1) return 'Authorization header only contains one field';
  if (value.slice(0, space).toLowerCase() !== 'bearer') {
    return 'Authorization header does not have Bearer scheme';
  }
  return readToken(value.slice(space + 1));
}

function authorizations(rawHeaders: readonly string[]): readonly string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (name.length === NAME.length && name.toLowerCase() === NAME) {
      values.push(rawHeaders[at + 1] ?? '');
    }
  }
  return values;
}

const NAME = 'authorization';

function readToken(token: string): BearerToken | string {
  const parts = token.split('.');
  const [head = '', body = '', proof = ''] = parts;
  if (parts.length !== 3) return 'Malformed JWT: must contain exactly 3 parts';
  const header = jsonOf(head);
  const payload = jsonOf(body);
  const signature = bytesOfBase64Url(proof);
  if (header === undefined || payload === undefined) {
    return 'JWT header or payload is not valid JSON: each is to be base64url of JSON in UTF-8';
  }
  if (signature === undefined) return 'Malformed JWT: its signature is not base64url';
  if (!isObject(header) || !isObject(payload)) return 'JWT header or payload is not an object';
  const named = readHeader(header);
  if (typeof named === 'string') return `JWT header does not follow schema: ${named}`;
  const claims = readClaims(payload);
  if (typeof claims === 'string') return `JWT payload is missing required field: ${claims}`;
  const signed = utf8(`${head}.${body}`);
  return { header, payload, ...named, ...claims, signed, signature };
}

function readHeader({
  alg,
  kid,
  crit,
}: JsonObject): Pick<BearerToken, 'algorithm' | 'kid'> | string {
  const algorithm = tokenAlgorithm(alg);
  if (algorithm === undefined) return 'alg must be RS256 or ES256';
  if (typeof kid !== 'string') return 'kid must be a text';
  // RFC 7515 §4.1.11: what it demands is not known here.
  if (crit !== undefined) return 'crit demands extensions, and none is known here';
  return { algorithm, kid };
}

type Claims = Pick<BearerToken, 'issuer' | 'expires' | 'notBefore' | 'tenant'>;

function readClaims({ exp, iss, nbf, tid }: JsonObject): Claims | string {
  if (!isTime(exp)) return 'exp must be a time in seconds';
  if (typeof iss !== 'string') return 'iss must be a text';
  if (nbf !== undefined && !isTime(nbf)) return 'nbf, where it is there, must be in seconds';
  if (tid !== undefined && typeof tid !== 'string') {
    return 'tid, where it is there, must be a text';
  }
  return { issuer: iss, expires: exp, notBefore: nbf, tenant: tid };
}

/** JSON may hold numbers that are none of this language: 1e999 reads as infinity. */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function jsonOf(text: string): unknown {
  const bytes = bytesOfBase64Url(text);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(textOf(bytes));
  } catch {
    return undefined;
  }
}

/** Strict, so that each byte string has one text (RFC 7515 §2). */
function bytesOfBase64Url(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}
