/**
 * Tokens of the managed identity that a machine on Azure has: the credential with which a node asks
 * Key Vault (Microsoft Entra, "How to use managed identities to acquire an access token"). Asked
 * for in one of two ways: of the metadata service of virtual machines and container groups, or of
 * the endpoint that a hosting platform names in the environment.
 *
 * It proves to the vault who asks, not what code asks: that is the attestation token's part.
 */
import type { Clock } from '../../base/environment.ts';
import { CodedError, isCoded } from '../../base/errors.ts';
import type { HttpAsker, HttpQuestion, HttpReply } from '../sources/http-asker.ts';
import type { Pause } from '../sources/source.ts';
import { parseJson, shown } from '../untrusted-json.ts';

/** Whom to ask. */
export type IdentityEndpoint =
  | { readonly kind: 'metadata'; readonly url: string }
  | { readonly kind: 'platform'; readonly url: string; readonly secret: string };

export interface ManagedIdentityOptions {
  readonly endpoint: IdentityEndpoint;
  /** What tokens are for, as `https://vault.azure.net`; they are asked for nothing else. */
  readonly resource: string;
  /** Names one of several identities; the machine's only one if absent. */
  readonly clientId?: string;
}

export interface ManagedIdentityDependencies {
  readonly ask: HttpAsker;
  readonly clock: Clock;
  readonly pause: Pause;
}

export interface AccessToken {
  readonly token: string;
  readonly expiresOnTimestamp: number;
}

/** Renewed so long before it ends, so that none ends under way. */
const RENEWAL_MS = 5 * 60_000;
/** Between questions, unless the answer says how long; the metadata service asks for patience. */
const PAUSES_MS = [1000, 2000, 4000, 8000] as const;
const PAUSE_MS_MAX = 30_000;
const TOKEN_CHARS_MAX = 16_384;

/** The platform's endpoint where the environment names one, else the metadata service. */
export function identityEndpoint(
  environment: Readonly<Record<string, string | undefined>>,
  metadataUrl: string,
): IdentityEndpoint {
  const { IDENTITY_ENDPOINT: url, IDENTITY_HEADER: secret } = environment;
  if (!url || !secret) return { kind: 'metadata', url: metadataUrl };
  return { kind: 'platform', url, secret };
}

/** A credential as the Azure client packages take one. */
export class ManagedIdentity {
  readonly #options: ManagedIdentityOptions;
  readonly #deps: ManagedIdentityDependencies;
  #kept: (AccessToken & { readonly renewFromMs: number }) | undefined;
  #underWay: Promise<AccessToken> | undefined;

  constructor(options: ManagedIdentityOptions, dependencies: ManagedIdentityDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  /** A token for the resource; rejects with `NoIdentityToken`. */
  async getToken(scopes: string | readonly string[]): Promise<AccessToken> {
    const asked = typeof scopes === 'string' ? [scopes] : scopes;
    const own = `${this.#options.resource}/.default`;
    if (asked.length !== 1 || asked[0] !== own) {
      // Whoever answers in the vault's place could have a token of more power sent to it.
      throw this.#none(`a token for ${shown(asked.join(' '))} was asked for instead`);
    }
    const kept = this.#kept;
    if (kept !== undefined && this.#deps.clock.nowMs() < kept.renewFromMs) return kept;
    this.#underWay ??= this.#renewed().finally(() => {
      this.#underWay = undefined;
    });
    return await this.#underWay;
  }

  async #renewed(): Promise<AccessToken> {
    const nowMs = this.#deps.clock.nowMs();
    const answer = objectIn((await this.#reply()).body);
    const token = answer?.access_token;
    const isToken =
      typeof token === 'string' &&
      /^[\x21-\x7e]+$/.test(token) &&
      token.length <= TOKEN_CHARS_MAX;
    if (answer === undefined || !isToken) throw this.#none('the answer holds no token');
    const expiresOnTimestamp = expiryOf(answer, nowMs);
    if (expiresOnTimestamp === undefined || expiresOnTimestamp <= nowMs) {
      throw this.#none(`the answer holds one that is over: ${shown(answer.expires_on)}`);
    }
    const leadMs = Math.min(RENEWAL_MS, (expiresOnTimestamp - nowMs) / 2);
    this.#kept = { token, expiresOnTimestamp, renewFromMs: expiresOnTimestamp - leadMs };
    return this.#kept;
  }

  async #reply(): Promise<HttpReply> {
    const question = questionOf(this.#options);
    for (let tried = 0; ; tried += 1) {
      const reply = await this.#attempt(question);
      if (typeof reply !== 'string' && reply.status === 200) return reply;
      const why = typeof reply === 'string' ? reply : refusalIn(reply);
      const pauseMs = PAUSES_MS[tried];
      const isPassing = typeof reply === 'string' || isTransient(reply.status);
      if (pauseMs === undefined || !isPassing) throw this.#none(why);
      const told = typeof reply === 'string' ? undefined : reply.retryAfterSeconds;
      await this.#deps.pause(
        Math.min(told === undefined ? pauseMs : told * 1000, PAUSE_MS_MAX),
      );
    }
  }

  /** The reply, or why there is none. */
  async #attempt(question: HttpQuestion): Promise<HttpReply | string> {
    try {
      return await this.#deps.ask(question);
    } catch (thrown) {
      if (isCoded(thrown, 'NoAnswer')) return thrown.message;
      throw thrown;
    }
  }

  #none(why: string): CodedError {
    const { resource, clientId } = this.#options;
    const whose = clientId === undefined ? '' : ` ${clientId}`;
    return new CodedError(
      'NoIdentityToken',
      `this machine's managed identity${whose} has no token for ${resource}: ${why}. Assign the ` +
        'machine an identity, and name it when it has several',
      { resource },
    );
  }
}

function questionOf({ endpoint, resource, clientId }: ManagedIdentityOptions): HttpQuestion {
  const isPlatform = endpoint.kind === 'platform';
  const query = new URLSearchParams({
    'api-version': isPlatform ? '2019-08-01' : '2018-02-01',
    resource,
    ...(clientId === undefined ? {} : { client_id: clientId }),
  });
  return {
    url: `${endpoint.url}${endpoint.url.includes('?') ? '&' : '?'}${query}`,
    headers: isPlatform ? { 'X-IDENTITY-HEADER': endpoint.secret } : { Metadata: 'true' },
  };
}

/** What the metadata service says while it is renewed, and when it is asked too often. */
function isTransient(status: number): boolean {
  return status === 404 || status === 410 || status === 429 || status >= 500;
}

function refusalIn({ status, body }: HttpReply): string {
  const answer = objectIn(body);
  const said = answer?.error_description ?? answer?.message ?? answer?.error;
  return `the answer is ${status}${said === undefined ? '' : `: ${shown(said)}`}`;
}

/** Seconds since 1970 as text or number, or else how many seconds from now. */
function expiryOf(
  { expires_on: at, expires_in: from }: Readonly<Record<string, unknown>>,
  nowMs: number,
): number | undefined {
  const atS = secondsOf(at);
  if (atS !== undefined) return atS * 1000;
  const fromS = secondsOf(from);
  return fromS === undefined ? undefined : nowMs + fromS * 1000;
}

function secondsOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d{1,12}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) ? number : undefined;
}

function objectIn(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value = parseJson(body);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
