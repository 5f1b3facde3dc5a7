/**
 * Who is asking (http-api.md §6): the endpoint's policies are tried in its order, the first that
 * passes wins. TLS asks for a certificate and accepts any; what it is worth is decided here,
 * and what a token is worth in `token-authentication.ts`.
 */
import type { AuthenticationPolicy, Caller, RequestError } from '../apps/interface.ts';
import type { Clock } from '../base/environment.ts';
import { MEMBER_CERTS, USER_CERTS } from '../governance/tables.ts';
import type { ReadView } from '../kv/tables.ts';
import type { ClientCertificate } from './client-certificate.ts';
import { callerOfToken, TOKEN_CHALLENGE } from './token-authentication.ts';

const ANYONE: Caller = { policy: 'no_auth' };
const MESSAGE = 'Invalid authentication credentials.';
const CODE = 'InvalidAuthenticationInfo';

/** What a request brings to say who it is from. */
export interface Credentials {
  /** Of its connection. */
  readonly certificate: ClientCertificate | undefined;
  /** Name, value, name, value, as they came. */
  readonly rawHeaders: readonly string[];
}

/** The caller as the first passing policy establishes it, or the 401 that says why none passed. */
export function authenticate(
  policies: readonly AuthenticationPolicy[],
  credentials: Credentials,
  view: ReadView,
  clock: Clock,
): Caller | RequestError {
  const details: { auth_policy: string; code: string; message: string }[] = [];
  for (const policy of policies) {
    const verdict = tryPolicy(policy, credentials, view, clock);
    if (typeof verdict !== 'string') return verdict;
    details.push({ auth_policy: policy, code: CODE, message: verdict });
  }
  const error = { status: 401, code: CODE, message: MESSAGE, details };
  // As in CCF, it is for the last policy to say what it asks for (http-api.md §2).
  if (policies.at(-1) !== 'jwt') return error;
  return { ...error, headers: { 'www-authenticate': TOKEN_CHALLENGE } };
}

/** Whether `authenticate` found a caller. */
export function isCaller(found: Caller | RequestError): found is Caller {
  return 'policy' in found;
}

function tryPolicy(
  policy: AuthenticationPolicy,
  { certificate, rawHeaders }: Credentials,
  view: ReadView,
  clock: Clock,
): Caller | string {
  switch (policy) {
    case 'no_auth':
      return ANYONE;
    case 'jwt':
      return callerOfToken(rawHeaders, view, clock);
    case 'user_cert':
      if (certificate === undefined) return 'No caller user certificate';
      return (
        whyNotValid(certificate, clock) ??
        registered(policy, USER_CERTS, 'user', certificate, view)
      );
    case 'member_cert':
      if (certificate === undefined) return 'No caller member certificate';
      return registered(policy, MEMBER_CERTS, 'member', certificate, view);
    case 'any_cert':
      if (certificate === undefined) return 'No caller certificate';
      return whyNotValid(certificate, clock) ?? callerOf(policy, certificate);
  }
}

function registered(
  policy: 'user_cert' | 'member_cert',
  table: string,
  role: string,
  certificate: ClientCertificate,
  view: ReadView,
): Caller | string {
  if (view.table(table).has(certificate.key)) return callerOf(policy, certificate);
  return `Could not find matching ${role} certificate`;
}

function callerOf(
  policy: 'user_cert' | 'member_cert' | 'any_cert',
  { id, pem }: ClientCertificate,
): Caller {
  return { policy, id, certificatePem: pem };
}

function whyNotValid(
  { validFrom, validTo }: ClientCertificate,
  clock: Clock,
): string | undefined {
  const now = Math.floor(clock.nowMs() / 1000);
  if (now < validFrom) {
    return `Current time ${now} is before certificate's Not Before validity period ${validFrom}`;
  }
  if (now > validTo) {
    return `Current time ${now} is after certificate's Not After validity period ${validTo}`;
  }
  return undefined;
}
