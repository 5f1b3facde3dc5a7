/**
 * The policy `jwt` (http-api.md §6): who asks is whom a token speaks of that an issuer has signed
 * with one of its keys in the ledger. What else the token says, such as for whom it was made
 * (`aud`), is for the application to judge, as in CCF.
 */
import type { Caller } from '../apps/interface.ts';
import { bytesOfBase64 } from '../base/bytes.ts';
import type { Clock } from '../base/environment.ts';
import { TokenVerifier } from '../crypto/token-signature.ts';
import { type TokenKey, tokenKeysNamed } from '../governance/token-keys.ts';
import type { ReadView } from '../kv/tables.ts';
import { type BearerToken, readBearerToken } from './bearer-token.ts';

/** What a 401 asks for where the policy is the last of its endpoint (RFC 6750 §3). */
export const TOKEN_CHALLENGE = 'Bearer realm="JWT bearer token access", error="invalid_token"';

/** The caller by the token of a request, or why it is none. */
export function callerOfToken(
  rawHeaders: readonly string[],
  view: ReadView,
  clock: Clock,
): Caller | string {
  const token = readBearerToken(rawHeaders);
  if (typeof token === 'string') return token;
  const keys = tokenKeysNamed(view, token.kid);
  let why = `JWT signing key not found for kid ${shown(token.kid)}`;
  // Issuers may share a key; the first of them for whom the token is good is who vouches for it.
  for (const key of keys) {
    const objection = whyNotGood(token, key, clock);
    if (objection === undefined) {
      const { header, payload } = token;
      return { policy: 'jwt', keyIssuer: key.issuer, header, payload };
    }
    why = objection;
  }
  return why;
}

function whyNotGood(token: BearerToken, key: TokenKey, clock: Clock): string | undefined {
  const { algorithm, signed, signature, expires, notBefore } = token;
  if (!verifierOf(key)?.verifies(algorithm, signed, signature)) {
    return 'Signature verification failed';
  }
  const now = Math.floor(clock.nowMs() / 1000);
  if (notBefore !== undefined && now < notBefore) {
    return `Current time ${now} is before token's Not Before (nbf) claim ${notBefore}`;
  }
  if (now > expires) {
    return `Current time ${now} is after token's Expiration Time (exp) claim ${expires}`;
  }
  const { constraint } = key;
  if (constraint === undefined || mayIssue(constraint, token)) return undefined;
  return `Kid ${shown(token.kid)} failed issuer constraint validation ${constraint}`;
}

// A key is one object for as long as its row stands; undefined is one that nothing can use.
const verifiers = new WeakMap<TokenKey, TokenVerifier | undefined>();

function verifierOf(key: TokenKey): TokenVerifier | undefined {
  if (!verifiers.has(key)) verifiers.set(key, usable(key));
  return verifiers.get(key);
}

function usable({ public_key }: TokenKey): TokenVerifier | undefined {
  const der = bytesOfBase64(public_key);
  try {
    return der === undefined ? undefined : new TokenVerifier(der);
  } catch {
    // Members may have set a point that is not on its curve; other keys are none the worse.
    return undefined;
  }
}

const ENTRA = /^https:\/\/login\.microsoftonline\.com(?:[/:?#]|$)/i;
const TENANT = '{tenantid}';

/**
 * Whether a key with this constraint may speak for the token's issuer. Entra ID signs for all its
 * tenants with the same keys: there the token's tenant takes its place in the constraint, and must
 * be the one that its issuer names. Of anybody else a tenant means nothing, and is refused.
 */
function mayIssue(constraint: string, { issuer, tenant }: BearerToken): boolean {
  if (!ENTRA.test(constraint)) return issuer === constraint && tenant === undefined;
  if (tenant === undefined) return false;
  // A function, since a text would have its dollar signs read.
  if (issuer !== constraint.replace(TENANT, () => tenant)) return false;
  return /^https:\/\/[^/?#]+\/+([^/?#]+)/.exec(issuer)?.[1] === tenant;
}

const KID_CHARS_SHOWN_MAX = 80;

function shown(kid: string): string {
  return kid.length > KID_CHARS_SHOWN_MAX ? `${kid.slice(0, KID_CHARS_SHOWN_MAX)}…` : kid;
}
