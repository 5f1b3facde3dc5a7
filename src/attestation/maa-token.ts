/**
 * Judges tokens of Microsoft Azure Attestation (attestation-azure.md, RFC 7515, RFC 7519): RS256
 * only, by a key of an issuer that was configured, never by what the token's header brings or
 * points to. `@azure/attestation` would accept `alg: none` and a key of the header (measured).
 */
import { compactVerify, importJWK } from 'jose';
import { CodedError } from '../base/errors.ts';
import { fromBase64Url, toBase64Url } from '../base/portable-bytes.ts';
import { rsaNumbers } from '../crypto/rsa-key.ts';
import { type Certificate, validAt } from '../crypto/x509.ts';
import { commonName } from '../crypto/x509-names.ts';
import { CheckList } from './check-list.ts';
import { checkMaaClaims, type JsonObject, maaClaims } from './maa-claims.ts';
import type { MaaIssuerKeys } from './maa-keys.ts';
import type { MaaPolicy } from './maa-policy.ts';
import { parseJson, type Reviver, shown } from './untrusted-json.ts';
import type { Verdict } from './verdict.ts';

/** A token as it reads; nothing in it is proven by that. */
export interface MaaToken {
  readonly header: JsonObject;
  readonly claims: JsonObject;
  /** Exact, where the service repeats a number too large for JavaScript. */
  readonly nonce: string | undefined;
}

const TOKEN_CHARS_MAX = 131_072;
const CLOCK_SKEW_MS = 60_000;

/** Reads a token; throws `BadToken`. */
export function readMaaToken(token: string): MaaToken {
  if (token.length > TOKEN_CHARS_MAX) throw bad(`it has ${token.length} characters`);
  const parts = token.split('.');
  if (parts.length !== 3) throw bad(`it has ${parts.length} parts instead of 3`);
  const [header = '', payload = '', signature = ''] = parts;
  if (fromBase64Url(signature) === undefined) throw bad('its signature is not base64url');
  let nonce: string | undefined;
  const claims = objectIn('payload', payload, (key, value, context) => {
    if (key === 'nonce' && typeof value === 'number') nonce = context?.source;
    return value;
  });
  if (typeof claims.nonce === 'string') nonce = claims.nonce;
  return { header: objectIn('header', header), claims, nonce };
}

/** Judges a token by keys that were fetched from where its issuers are configured to be. */
export async function judgeMaaToken(
  token: string,
  policy: MaaPolicy,
  issuers: readonly MaaIssuerKeys[],
  atMs: number,
): Promise<Verdict> {
  const list = new CheckList();
  const read = list.read('token', 'the token can be read', () => readMaaToken(token));
  if (read === undefined) return list.verdict(atMs);
  await proveMaaToken(list, token, read, policy, issuers, atMs);
  checkMaaClaims(list, read, policy);
  return list.verdict(atMs, maaClaims(read.claims, policy.platform));
}

/** Checks who made a token and when: all that tokens of the service share, whatever they claim. */
export async function proveMaaToken(
  list: CheckList,
  token: string,
  { header, claims }: MaaToken,
  trust: MaaTrust,
  issuers: readonly MaaIssuerKeys[],
  atMs: number,
): Promise<void> {
  const isAllowed = checkHeader(list, header);
  const keys = checkIssuer(list, claims, trust, issuers);
  if (isAllowed && keys !== undefined) await checkSignature(list, token, header, keys, atMs);
  else
    list.skip('token signature', 'not checked: the token names no algorithm or issuer for it');
  checkTimes(list, claims, trust.clockSkewMs ?? CLOCK_SKEW_MS, atMs);
}

/** The part of a policy that says whose tokens are believed, and when. */
type MaaTrust = Pick<MaaPolicy, 'issuers' | 'clockSkewMs'>;

function checkHeader(list: CheckList, { alg, crit }: JsonObject): boolean {
  const isRs256 = list.expect('token algorithm', alg === 'RS256', 'the algorithm is RS256', {
    kind: 'unproven',
    code: 'TokenAlgorithm',
    message: `the token's algorithm is ${shown(alg)}; only RS256 proves anything here`,
  });
  if (crit === undefined) return isRs256;
  list.fail('token header', {
    kind: 'unproven',
    code: 'TokenCritical',
    message: 'the token demands extensions that are not known here',
  });
  return false;
}

/** Only the issuer's own keys may prove what the issuer says. */
function checkIssuer(
  list: CheckList,
  { iss }: JsonObject,
  { issuers: allowed }: MaaTrust,
  known: readonly MaaIssuerKeys[],
): MaaIssuerKeys | undefined {
  const isAllowed = typeof iss === 'string' && allowed.includes(iss);
  const found = isAllowed ? known.filter(({ issuer }) => issuer === iss) : [];
  const values = { issuer: shown(iss), allowed: allowed.join(' ') };
  const good = list.expect(
    'token issuer',
    isAllowed,
    'the issuer is one that the policy trusts',
    {
      kind: 'unproven',
      code: 'TokenIssuer',
      message: `the issuer ${shown(iss)} is none that the policy trusts`,
    },
    values,
  );
  if (!good) return undefined;
  const [keys] = found;
  if (keys !== undefined) return keys;
  list.fail(
    'issuer keys',
    {
      kind: 'unproven',
      code: 'IssuerKeysMissing',
      message: `the keys of ${shown(iss)} are not at hand: fetch them from its /certs`,
    },
    values,
  );
  return undefined;
}

async function checkSignature(
  list: CheckList,
  token: string,
  { kid }: JsonObject,
  { issuer, keys }: MaaIssuerKeys,
  atMs: number,
): Promise<void> {
  const named = keys.filter((key) => key.kid === kid);
  const [key] = named;
  const isOne = list.expect(
    'token key',
    named.length === 1,
    'the key is one of its issuer',
    {
      kind: 'unproven',
      code: 'TokenKeyUnknown',
      message: `${issuer} has ${named.length} keys of the name ${shown(kid)}, not one`,
    },
    { kid: shown(kid) },
  );
  if (!isOne || key === undefined) return;
  list.expect('token signature', await isSigned(token, key.certificate), 'the key signed it', {
    kind: 'unproven',
    code: 'TokenSignatureBad',
    message: `the token is not signed by the key ${key.kid} of ${issuer}`,
  });
  checkCertificate(list, issuer, key.certificate, atMs);
}

async function isSigned(token: string, { publicKeyDer }: Certificate): Promise<boolean> {
  const { modulus, exponent } = rsaNumbers(publicKeyDer);
  const jwk = { kty: 'RSA', n: toBase64Url(modulus), e: toBase64Url(exponent) };
  try {
    await compactVerify(token, await importJWK(jwk, 'RS256'), { algorithms: ['RS256'] });
    return true;
  } catch {
    return false;
  }
}

function checkCertificate(
  list: CheckList,
  issuer: string,
  certificate: Certificate,
  atMs: number,
): void {
  const name = nameOf(certificate);
  list.expect(
    'signing certificate name',
    name === issuer,
    "the signing certificate is the issuer's",
    {
      kind: 'unproven',
      code: 'SignerNotIssuer',
      message: `the signing certificate is for ${JSON.stringify(name)}, not for ${issuer}`,
    },
    { name: name ?? '' },
  );
  list.expect(
    'signing certificate time',
    validAt(certificate, atMs),
    'the signing certificate is valid',
    {
      kind: 'time',
      code: 'SignerCertificateTime',
      message: 'the signing certificate is not valid at the time of judgement',
    },
    {
      from: new Date(certificate.notBeforeMs).toISOString(),
      until: new Date(certificate.notAfterMs).toISOString(),
    },
  );
}

function nameOf({ subject }: Certificate): string | undefined {
  try {
    return commonName(subject);
  } catch {
    return undefined;
  }
}

function checkTimes(list: CheckList, claims: JsonObject, skewMs: number, atMs: number): void {
  const { iat, nbf, exp } = claims;
  const issuedMs = milliseconds(iat);
  const fromMs = milliseconds(nbf);
  const untilMs = milliseconds(exp);
  const values = { iat: shown(iat), nbf: shown(nbf), exp: shown(exp), at: String(atMs) };
  if (issuedMs === undefined || fromMs === undefined || untilMs === undefined) {
    list.fail(
      'token times',
      {
        kind: 'malformed',
        code: 'TokenTimesMissing',
        message: 'the token does not say when it was issued and from when until when it holds',
      },
      values,
    );
    return;
  }
  const refuse = (code: string, message: string) => ({ kind: 'time', code, message }) as const;
  list.expect(
    'token expiry',
    atMs < untilMs + skewMs,
    'the token has not expired',
    refuse('TokenExpired', 'the token has expired: ask for another'),
    values,
  );
  list.expect(
    'token beginning',
    atMs >= fromMs - skewMs,
    'the token holds already',
    refuse('TokenNotYetValid', 'the token does not hold yet: compare the clocks'),
    values,
  );
  list.expect(
    'token issuance',
    atMs >= issuedMs - skewMs,
    'the token was issued before',
    refuse('TokenFromFuture', 'the token was issued in the future: compare the clocks'),
    values,
  );
}

/** RFC 7519 §2 NumericDate; the service writes whole seconds. */
function milliseconds(seconds: unknown): number | undefined {
  const isTime = typeof seconds === 'number' && Number.isSafeInteger(seconds * 1000);
  return isTime && seconds >= 0 ? seconds * 1000 : undefined;
}

function objectIn(what: string, text: string, reviver?: Reviver): JsonObject {
  const bytes = fromBase64Url(text);
  if (bytes === undefined) throw bad(`its ${what} is not base64url`);
  let value: unknown;
  try {
    value = parseJson(bytes, reviver);
  } catch (cause) {
    throw bad(`its ${what} is not JSON`, cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(`its ${what} is not an object`);
  }
  return { ...value };
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError('BadToken', `not an attestation token: ${why}`, {}, { cause });
}
