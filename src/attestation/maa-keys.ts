/**
 * The keys of an instance of Microsoft Azure Attestation (attestation-azure.md): what it serves at
 * `/certs`, read strictly. They are trusted for the one issuer they were fetched from, over TLS or
 * out of a saved bundle, and never because a token points at them.
 */
import { CodedError, messageOf } from '../base/errors.ts';
import { fromBase64, fromBase64Url } from '../base/portable-bytes.ts';
import { rsaNumbers, sameRsaKey } from '../crypto/rsa-key.ts';
import { type Certificate, parseCertificate } from '../crypto/x509.ts';

export interface MaaKey {
  readonly kid: string;
  readonly certificate: Certificate;
}

export interface MaaIssuerKeys {
  /** The issuer as its tokens name it: an https URL without a path. */
  readonly issuer: string;
  readonly keys: readonly MaaKey[];
}

const KEYS_MAX = 64;

/** Reads the answer of an issuer's `/certs`; throws `BadMaaKeys`. */
export function readMaaKeys(issuer: string, jwks: unknown): MaaIssuerKeys {
  if (!/^https:\/\/[a-z0-9.-]+(?::\d{1,5})?$/.test(issuer)) {
    throw bad(`the issuer ${JSON.stringify(issuer)} is not https:// and a host`);
  }
  const list = isObject(jwks) ? jwks.keys : undefined;
  if (!Array.isArray(list) || list.length === 0 || list.length > KEYS_MAX) {
    throw bad(`${issuer} serves no list of 1 to ${KEYS_MAX} keys`);
  }
  return { issuer, keys: list.map((entry: unknown) => keyOf(issuer, entry)) };
}

function keyOf(issuer: string, entry: unknown): MaaKey {
  if (!isObject(entry)) throw bad(`a key of ${issuer} is not an object`);
  const { kid, kty, alg, use, x5c, n, e } = entry;
  if (typeof kid !== 'string' || kid === '') throw bad(`a key of ${issuer} has no kid`);
  if (kty !== 'RSA') throw bad(`key ${kid} is ${JSON.stringify(kty)}, not RSA`);
  if (alg !== undefined && alg !== 'RS256') throw bad(`key ${kid} is not for RS256`);
  if (use !== undefined && use !== 'sig') throw bad(`key ${kid} is not for signatures`);
  const leaf: unknown = Array.isArray(x5c) ? x5c[0] : undefined;
  const der = typeof leaf === 'string' ? fromBase64(leaf) : undefined;
  if (der === undefined) throw bad(`key ${kid} comes without its certificate`);
  try {
    const certificate = parseCertificate(der);
    const numbers = rsaNumbers(certificate.publicKeyDer);
    const modulus = n === undefined ? numbers.modulus : bytesOf(n);
    const exponent = e === undefined ? numbers.exponent : bytesOf(e);
    if (!sameRsaKey(numbers, { modulus, exponent })) {
      throw bad(`key ${kid} is another one than its certificate's`);
    }
    return { kid, certificate };
  } catch (thrown) {
    throw bad(`key ${kid} cannot be used: ${messageOf(thrown)}`, thrown);
  }
}

function bytesOf(text: unknown): Uint8Array {
  const bytes = typeof text === 'string' ? fromBase64Url(text) : undefined;
  if (bytes === undefined) throw bad('a number is not base64url');
  return bytes;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError(
    'BadMaaKeys',
    `not keys of an attestation service: ${why}`,
    {},
    { cause },
  );
}
