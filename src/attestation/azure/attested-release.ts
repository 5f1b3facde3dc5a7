/**
 * Has a key released to this very code: a fresh wrapping key, evidence about it, a token about the
 * evidence, and the key for the token (key-release.md). Each step's result is judged before the
 * next one is taken.
 */
import type { Clock, Random } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import { fromBase64, toBase64Url, toUtf8 } from '../../base/portable-bytes.ts';
import { sha256 } from '../../crypto/hash.ts';
import { type KeyWrapName, UnwrappingKey } from '../../crypto/key-unwrap.ts';
import { rsaNumbers } from '../../crypto/rsa-key.ts';
import type { Evidence } from '../evidence.ts';
import { judgeMaaToken, readMaaToken } from '../maa-token.ts';
import type { SnpPolicy } from '../policy.ts';
import { foretellRelease, type ReleasePolicy } from '../release-policy.ts';
import type { EvidenceSource } from '../sources/source.ts';
import type { KeyVault, ReleasedKey } from './key-vault.ts';
import type { MaaClient } from './maa-client.ts';

export interface AttestedReleaseOptions {
  /** The issuer of tokens: that of `maa`. */
  readonly issuer: string;
  readonly keyName: string;
  /** What the token must say of this node, before it is shown to anybody. */
  readonly report: SnpPolicy;
  /** The policy that the key is kept under, if it is known. */
  readonly releasePolicy?: ReleasePolicy;
  /** SHA-256 for OAEP by default. */
  readonly algorithm?: KeyWrapName;
  /** Of the wrapping key; 3072 by default. */
  readonly wrappingBits?: 2048 | 3072 | 4096;
}

export interface AttestedReleaseDependencies {
  readonly source: EvidenceSource;
  readonly maa: MaaClient;
  readonly vault: KeyVault;
  readonly random: Random;
  readonly clock: Clock;
}

const NONCE_BYTES = 24;

/** The key, in this version or the newest. Rejects with a coded error that names the step. */
export async function releaseKey(
  options: AttestedReleaseOptions,
  dependencies: AttestedReleaseDependencies,
  keyVersion?: string,
): Promise<ReleasedKey> {
  const { keyName, releasePolicy, algorithm = 'RSA_AES_KEY_WRAP_256' } = options;
  const wrapping = await UnwrappingKey.generate(options.wrappingBits ?? 3072);
  const token = await tokenFor(wrapping.publicKeyDer, options, dependencies);
  if (releasePolicy !== undefined) foretell(releasePolicy, token, keyName);
  return await dependencies.vault.release({
    keyName,
    token,
    wrapping,
    algorithm,
    nonce: nonceFrom(dependencies.random),
    ...(keyVersion === undefined ? {} : { keyVersion }),
    ...(releasePolicy === undefined ? {} : { releasePolicy }),
  });
}

/** A token that carries this key: Key Vault wraps to nothing else. */
async function tokenFor(
  publicKeyDer: Uint8Array,
  options: AttestedReleaseOptions,
  { source, maa, random, clock }: AttestedReleaseDependencies,
): Promise<string> {
  const runtimeData = runtimeDataOf(publicKeyDer);
  const binding = sha256(runtimeData);
  const evidence = await source.evidenceFor(binding, runtimeData);
  const nonce = nonceFrom(random);
  const token = await maa.attestSnp({ ...partsOf(evidence), runtimeData, nonce });
  const verdict = await judgeMaaToken(
    token,
    {
      platform: 'snp',
      issuers: [options.issuer],
      nonce,
      wrappingKey: publicKeyDer,
      binding,
      report: options.report,
    },
    [await maa.keys()],
    clock.nowMs(),
  );
  if (verdict.refusal === undefined) return token;
  throw new CodedError(
    'TokenRefused',
    `the token of ${options.issuer} is not one to show a key vault: ${verdict.refusal.message}`,
    { refusal: verdict.refusal.code },
  );
}

/** The key as Key Vault looks for it: RSA, and meant for encryption. */
function runtimeDataOf(publicKeyDer: Uint8Array): Uint8Array {
  const { modulus, exponent } = rsaNumbers(publicKeyDer);
  const key = {
    kty: 'RSA',
    n: toBase64Url(modulus),
    e: toBase64Url(exponent),
    kid: 'concordat-release',
    key_ops: ['encrypt'],
  };
  return toUtf8(JSON.stringify({ keys: [key] }));
}

function partsOf(evidence: Evidence): {
  readonly report: Uint8Array;
  readonly endorsements: string;
  readonly uvmEndorsements?: Uint8Array;
} {
  const { format, quote, endorsements, uvm_endorsements: uvm } = evidence;
  const report = fromBase64(quote);
  const chain = fromBase64(endorsements);
  const uvmEndorsements = uvm === undefined ? undefined : fromBase64(uvm);
  if (format !== 'AMD_SEV_SNP_v1' || report === undefined || chain === undefined) {
    throw new CodedError(
      'NoKeyForPlatform',
      `keys are released for reports of SEV-SNP, not for evidence of the form ${format}`,
      { format },
    );
  }
  return {
    report,
    endorsements: new TextDecoder().decode(chain),
    ...(uvmEndorsements === undefined ? {} : { uvmEndorsements }),
  };
}

/** The vault says no without a reason; here the reason can be named. */
function foretell(policy: ReleasePolicy, token: string, keyName: string): void {
  const { released, authorities } = foretellRelease(policy, readMaaToken(token).claims);
  if (released) return;
  const reasons = authorities.map(
    ({ authority, missing }) => `${authority}: ${missing.join('; ')}`,
  );
  throw new CodedError(
    'ReleasePolicyNotMet',
    `${keyName} would not be released to this node. ${reasons.join('. ')}`,
    { keyName, authorities },
  );
}

function nonceFrom(random: Random): string {
  return toBase64Url(random.bytes(NONCE_BYTES));
}
