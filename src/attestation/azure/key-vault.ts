/**
 * Keys in Azure Key Vault or a Managed HSM that are released to attested code (key-release.md),
 * through the official client. That client returns a release's answer unseen; here it is proven
 * and unwrapped (`key-release-answer.ts`).
 */
import { type JsonWebKey, KeyClient, type KeyVaultKey } from '@azure/keyvault-keys';
import type { Clock } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import { toUtf8 } from '../../base/portable-bytes.ts';
import type { KeyWrapName, ReleasedKind, UnwrappingKey } from '../../crypto/key-unwrap.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import {
  RELEASE_POLICY_TYPE,
  type ReleasePolicy,
  releasePolicyText,
} from '../release-policy.ts';
import { readRelease } from './key-release-answer.ts';

export interface KeyVaultOptions {
  /** `https://` and the host of a vault of the Premium tier, or of a Managed HSM. */
  readonly vaultUrl: string;
  readonly credential: ConstructorParameters<typeof KeyClient>[1];
  /** Authorities that sign releases, in PEM. */
  readonly authorities: string;
  /** Off where a vault's host is not one of Azure's, as in tests. */
  readonly isAzureHost?: boolean;
  readonly retriesMax?: number;
}

export interface KeyVaultDependencies {
  readonly clock: Clock;
  readonly verifier: Verifier;
}

/** Kinds that can be released; `oct-HSM` in a Managed HSM only. */
export type ReleasableKind =
  | { readonly kind: 'RSA-HSM'; readonly bits: 2048 | 3072 | 4096 }
  | { readonly kind: 'EC-HSM'; readonly curve: 'P-256' | 'P-384' | 'P-521' }
  | { readonly kind: 'oct-HSM'; readonly bits: 256 };

export interface KeptKey {
  readonly id: string;
  readonly version: string;
}

export interface ReleaseRequest {
  readonly keyName: string;
  /** The newest if absent. */
  readonly keyVersion?: string;
  /** An attestation token that carries the public half of `wrapping`. */
  readonly token: string;
  readonly wrapping: UnwrappingKey;
  readonly algorithm: KeyWrapName;
  /** Fresh for each request, at least 16 characters. */
  readonly nonce: string;
  /** The policy under which the key must be kept; whatever policy if absent. */
  readonly releasePolicy?: ReleasePolicy;
}

export interface ReleasedKey extends KeptKey {
  readonly kind: ReleasedKind;
  /** PKCS#8 of RSA and EC keys, the key itself of `oct`. */
  readonly bytes: Uint8Array;
}

const NONCE_CHARS_MIN = 16;

export class KeyVault {
  readonly #options: KeyVaultOptions;
  readonly #client: KeyClient;
  readonly #deps: KeyVaultDependencies;

  constructor(options: KeyVaultOptions, dependencies: KeyVaultDependencies) {
    const { vaultUrl, credential, isAzureHost = true, retriesMax } = options;
    this.#options = options;
    this.#deps = dependencies;
    this.#client = new KeyClient(vaultUrl, credential, {
      disableChallengeResourceVerification: !isAzureHost,
      ...(retriesMax === undefined ? {} : { retryOptions: { maxRetries: retriesMax } }),
    });
  }

  /** Has the HSM make a key that only attested code is ever given. */
  async create(
    name: string,
    what: ReleasableKind,
    policy: ReleasePolicy,
    immutable = false,
  ): Promise<KeptKey> {
    const size = what.kind === 'EC-HSM' ? { curve: what.curve } : { keySize: what.bits };
    const key = await this.#client.createKey(name, what.kind, {
      exportable: true,
      releasePolicy: policyOption(policy, immutable),
      ...size,
    });
    return kept(key);
  }

  /** Gives the HSM a key of ours, to be released as one of its own. */
  async importKey(
    name: string,
    key: JsonWebKey,
    policy: ReleasePolicy,
    immutable = false,
  ): Promise<KeptKey> {
    const imported = await this.#client.importKey(name, key, {
      hardwareProtected: true,
      exportable: true,
      releasePolicy: policyOption(policy, immutable),
    });
    return kept(imported);
  }

  /** Changes the policy of a key's newest version, unless it was made immutable. */
  async setReleasePolicy(name: string, policy: ReleasePolicy): Promise<KeptKey> {
    const releasePolicy = policyOption(policy, false);
    return kept(await this.#client.updateKeyProperties(name, { releasePolicy }));
  }

  /** The key itself, proven to be the vault's answer to this very request. */
  async release(request: ReleaseRequest): Promise<ReleasedKey> {
    const { keyName, keyVersion, token, wrapping, algorithm, nonce, releasePolicy } = request;
    if (nonce.length < NONCE_CHARS_MIN) {
      const why = `it has ${nonce.length} characters; it needs ${NONCE_CHARS_MIN}`;
      throw new CodedError('NonceTooShort', `this nonce can be guessed: ${why}`);
    }
    const version = keyVersion === undefined ? {} : { version: keyVersion };
    const { value } = await this.#client.releaseKey(keyName, token, {
      nonce,
      algorithm,
      ...version,
    });
    const question = {
      vaultUrl: this.#options.vaultUrl,
      keyName,
      algorithm,
      nonce,
      ...(keyVersion === undefined ? {} : { keyVersion }),
      ...(releasePolicy === undefined
        ? {}
        : { releasePolicy: releasePolicyText(releasePolicy) }),
    };
    const trust = { verifier: this.#deps.verifier, authorities: this.#options.authorities };
    const answer = await readRelease(value, question, trust, this.#deps.clock.nowMs());
    return {
      id: answer.keyId,
      version: answer.version,
      kind: answer.kind,
      bytes: wrapping.unwrap(algorithm, answer.wrapped),
    };
  }
}

function policyOption(policy: ReleasePolicy, immutable: boolean) {
  const encodedPolicy = toUtf8(releasePolicyText(policy));
  return { contentType: RELEASE_POLICY_TYPE, encodedPolicy, immutable };
}

function kept({ id, properties }: KeyVaultKey): KeptKey {
  const { version, exportable } = properties;
  if (id === undefined || version === undefined || exportable !== true) {
    const message = `the key vault kept ${String(id)}, but not as a key that it will release`;
    throw new CodedError('KeyNotReleasable', message, { id });
  }
  return { id, version };
}
