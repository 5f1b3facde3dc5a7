/**
 * What Key Vault's release answers with (key-release.md): a JWS that the client package passes on
 * unseen. It is believed only if a certificate of the vault's name signed it, under an authority
 * that was configured, and if it answers our very question: our nonce, our algorithm, our key.
 */
import { compactVerify, importJWK } from 'jose';
import { CodedError, messageOf } from '../../base/errors.ts';
import {
  fromBase64,
  fromBase64Url,
  sameBytes,
  toBase64Url,
} from '../../base/portable-bytes.ts';
import { DER_SEQUENCE, DerReader } from '../../crypto/der.ts';
import {
  KEY_WRAP_NAMES,
  type KeyWrapName,
  type ReleasedKind,
} from '../../crypto/key-unwrap.ts';
import { certificatesOfPem } from '../../crypto/pem-certificates.ts';
import { rsaNumbers } from '../../crypto/rsa-key.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { type Certificate, parseCertificate, validAt } from '../../crypto/x509.ts';
import {
  extensionValue,
  mayBeUsedFor,
  OID_BASIC_CONSTRAINTS,
  OID_KEY_USAGE,
  pathLengthMax,
  unknownCritical,
} from '../../crypto/x509-extensions.ts';
import { isSignedBy } from '../../crypto/x509-signature.ts';
import { parseJson, shown } from '../untrusted-json.ts';

/** What was asked, and whom the answer must be from. */
export interface ReleaseQuestion {
  /** `https://` and a host. */
  readonly vaultUrl: string;
  readonly keyName: string;
  /** The newest version if absent. */
  readonly keyVersion?: string;
  readonly algorithm: KeyWrapName;
  readonly nonce: string;
  /** Text of the policy under which the key must be kept; whatever policy if absent. */
  readonly releasePolicy?: string;
}

export interface ReleaseTrust {
  readonly verifier: Verifier;
  /** Authorities whose certificates vaults have, in PEM. */
  readonly authorities: string;
}

/** A released key, still wrapped. */
export interface WrappedRelease {
  readonly keyId: string;
  readonly version: string;
  readonly kind: ReleasedKind;
  readonly wrapped: Uint8Array;
}

const ANSWER_CHARS_MAX = 262_144;
const CHAIN_MAX = 6;
const OID_ALTERNATIVE_NAMES = '2.5.29.17';
const OID_EXTENDED_KEY_USAGE = '2.5.29.37';
const KNOWN_EXTENSIONS = [
  ...[OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, OID_EXTENDED_KEY_USAGE, OID_ALTERNATIVE_NAMES],
];

/** Reads and proves an answer; throws a coded error that names what is wrong with it. */
export async function readRelease(
  answer: string,
  question: ReleaseQuestion,
  trust: ReleaseTrust,
  atMs: number,
): Promise<WrappedRelease> {
  const parts = answer.split('.');
  if (answer.length > ANSWER_CHARS_MAX || parts.length !== 3) throw bad('it is not a JWS');
  const [headerText = '', payloadText = '', signature = ''] = parts;
  if (fromBase64Url(signature) === undefined) throw bad('its signature is not base64url');
  const header = jsonIn('header', headerText);
  const payload = jsonIn('payload', payloadText);
  const chain = chainIn(header);
  const [leaf] = chain;
  if (header.alg !== 'RS256' || header.crit !== undefined) {
    throw refused('ReleaseAlgorithm', `it is signed by ${shown(header.alg)}, not RS256`);
  }
  await checkChain(chain, trust, atMs);
  checkHost(leaf, question.vaultUrl);
  const thumbprint = toBase64Url(await trust.verifier.hash('SHA-256', leaf.der));
  if (header['x5t#S256'] !== thumbprint) {
    throw refused('ReleaseThumbprint', 'it names another certificate than it carries');
  }
  await checkSignature(answer, leaf);
  return releaseIn(payload, question);
}

type Chain = readonly [Certificate, ...Certificate[]];

function chainIn(header: Members): Chain {
  const { x5c } = header;
  if (!Array.isArray(x5c) || x5c.length > CHAIN_MAX) throw bad('it carries no certificates');
  const [leaf, ...rest] = x5c.map((text: unknown) => {
    const der = typeof text === 'string' ? fromBase64(text) : undefined;
    if (der === undefined) throw bad('a certificate of it is not base64');
    try {
      return parseCertificate(der);
    } catch (thrown) {
      throw bad(messageOf(thrown), thrown);
    }
  });
  if (leaf === undefined) throw bad('it carries no certificates');
  return [leaf, ...rest];
}

/** Each certificate by the next one, until one that a configured authority signed, or is. */
async function checkChain(chain: Chain, trust: ReleaseTrust, atMs: number): Promise<void> {
  const anchors = certificatesOfPem(trust.authorities).map(parseCertificate);
  if (anchors.length === 0) {
    throw new CodedError('NoAuthorities', 'no authority is configured for key vaults');
  }
  for (const [at, certificate] of chain.entries()) {
    if (!validAt(certificate, atMs)) {
      throw refused(
        'ReleaseCertificateTime',
        `certificate ${at} of its chain is not valid now`,
      );
    }
    const unknown = unknownCritical(certificate, KNOWN_EXTENSIONS);
    if (unknown.length > 0) {
      throw refused(
        'ReleaseChain',
        `certificate ${at} demands the unknown ${unknown.join(', ')}`,
      );
    }
    if (anchors.some(({ der }) => sameBytes(der, certificate.der))) {
      if (at === 0) throw refused('ReleaseChain', 'an authority itself signed it');
      return;
    }
    for (const anchor of anchors) {
      const isValid = validAt(anchor, atMs);
      if (isValid && (await isEndorsed(certificate, anchor, at, trust.verifier))) return;
    }
    const next = chain[at + 1];
    const goesOn =
      next !== undefined && (await isEndorsed(certificate, next, at, trust.verifier));
    if (!goesOn) break;
  }
  throw refused('ReleaseChain', 'its certificates do not lead to a configured authority');
}

/** `below`: how many authorities stand between the issuer and the leaf. */
async function isEndorsed(
  certificate: Certificate,
  issuer: Certificate,
  below: number,
  verifier: Verifier,
): Promise<boolean> {
  const isFit =
    sameBytes(certificate.issuer, issuer.subject) &&
    issuer.isAuthority &&
    mayBeUsedFor(issuer, 'keyCertSign') &&
    (pathLengthMax(issuer) ?? below) >= below;
  return isFit && (await isSignedBy(certificate, issuer.publicKeyDer, verifier));
}

const DNS_NAME = 0x82;

function checkHost(leaf: Certificate, vaultUrl: string): void {
  const host = new URL(vaultUrl).hostname.toLowerCase();
  const names = dnsNames(leaf);
  if (names.some((name) => namesHost(name, host))) return;
  throw refused('ReleaseHost', `its certificate is for ${names.join(', ')}, not for ${host}`);
}

function dnsNames(certificate: Certificate): readonly string[] {
  const value = extensionValue(certificate, OID_ALTERNATIVE_NAMES);
  if (value === undefined) return [];
  try {
    const list = new DerReader(value).enter(DER_SEQUENCE);
    const names: string[] = [];
    while (!list.done) {
      const { tag, content } = list.next();
      if (tag === DNS_NAME) names.push(new TextDecoder().decode(content).toLowerCase());
    }
    return names;
  } catch (thrown) {
    throw bad(messageOf(thrown), thrown);
  }
}

/** RFC 9525 §6.3: a star stands for the whole leftmost label, and for nothing else. */
function namesHost(name: string, host: string): boolean {
  if (!name.startsWith('*.')) return name === host;
  const dot = host.indexOf('.');
  return dot > 0 && host.slice(dot) === name.slice(1);
}

async function checkSignature(answer: string, { publicKeyDer }: Certificate): Promise<void> {
  try {
    const { modulus, exponent } = rsaNumbers(publicKeyDer);
    const jwk = { kty: 'RSA', n: toBase64Url(modulus), e: toBase64Url(exponent) };
    await compactVerify(answer, await importJWK(jwk, 'RS256'), { algorithms: ['RS256'] });
  } catch (cause) {
    throw refused('ReleaseSignature', 'its signature is not by its certificate', cause);
  }
}

function releaseIn(payload: Members, question: ReleaseQuestion): WrappedRelease {
  const request = members(payload.request, 'request');
  if (request.nonce !== question.nonce) {
    throw refused('ReleaseNonce', 'it repeats another nonce: it answers an older question');
  }
  if (request.enc !== question.algorithm) {
    throw refused('ReleaseEcho', `it was wrapped by ${shown(request.enc)}`);
  }
  const response = members(payload.response, 'response');
  const bundle = members(response.key, 'response.key');
  const key = members(bundle.key, 'response.key.key');
  const { keyId, version } = keyIdIn(key.kid, question);
  if (request.kid !== keyId) {
    throw refused('ReleaseEcho', 'what was asked for and what was released are two keys');
  }
  checkPolicy(bundle, question);
  return {
    keyId,
    version,
    kind: kindOf(key.kty),
    wrapped: ciphertextIn(key.key_hsm, question),
  };
}

function keyIdIn(
  kid: unknown,
  { vaultUrl, keyName, keyVersion }: ReleaseQuestion,
): { readonly keyId: string; readonly version: string } {
  const prefix = `${new URL(vaultUrl).origin}/keys/${keyName}/`;
  const version = typeof kid === 'string' && kid.startsWith(prefix) && kid.slice(prefix.length);
  if (typeof kid !== 'string' || version === false || !/^[0-9a-zA-Z-]{1,64}$/.test(version)) {
    throw refused('ReleaseKey', `it is about ${shown(kid)}, not about ${prefix}…`);
  }
  if (keyVersion !== undefined && version !== keyVersion) {
    throw refused('ReleaseKey', `it is about version ${version}, not about ${keyVersion}`);
  }
  return { keyId: kid, version };
}

/** Somebody who may write to the vault could have put another key there, for everybody. */
function checkPolicy(bundle: Members, { releasePolicy }: ReleaseQuestion): void {
  const attributes = members(bundle.attributes, 'response.key.attributes');
  if (attributes.exportable !== true) {
    throw refused('ReleaseKey', 'the key is not one that may be released');
  }
  if (releasePolicy === undefined) return;
  const { data } = members(bundle.release_policy, 'response.key.release_policy');
  const bytes = typeof data === 'string' ? fromBase64Url(data.replace(/=+$/, '')) : undefined;
  const found = bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  if (found === undefined || canonical(found) !== canonical(releasePolicy)) {
    throw refused(
      'ReleasePolicyChanged',
      'the key is kept under another policy than was expected',
    );
  }
}

/** The service writes a policy's spaces anew, but not its order. */
function canonical(policy: string): string {
  try {
    return JSON.stringify(parseJson(policy));
  } catch {
    return policy;
  }
}

const KINDS: Readonly<Record<string, ReleasedKind>> = {
  RSA: 'RSA',
  'RSA-HSM': 'RSA',
  EC: 'EC',
  'EC-HSM': 'EC',
  oct: 'oct',
  'oct-HSM': 'oct',
};

function kindOf(kty: unknown): ReleasedKind {
  const kind = typeof kty === 'string' && Object.hasOwn(KINDS, kty) ? KINDS[kty] : undefined;
  if (kind === undefined) throw refused('ReleaseKey', `its kind ${shown(kty)} is unknown`);
  return kind;
}

function ciphertextIn(keyHsm: unknown, { algorithm }: ReleaseQuestion): Uint8Array {
  if (typeof keyHsm !== 'string') throw bad('it carries no key');
  const envelope = jsonIn('key_hsm', keyHsm.replace(/=+$/, ''));
  const header = members(envelope.header, 'key_hsm.header');
  if (envelope.schema_version !== '1.0' || header.alg !== 'dir') {
    throw bad('the envelope of the key has an unknown form');
  }
  if (!KEY_WRAP_NAMES.some((name) => name === header.enc) || header.enc !== algorithm) {
    throw refused('ReleaseEcho', `the key is wrapped by ${shown(header.enc)}`);
  }
  const { ciphertext: text } = envelope;
  const ciphertext =
    typeof text === 'string' ? fromBase64Url(text.replace(/=+$/, '')) : undefined;
  if (ciphertext === undefined) throw bad('the wrapped key is not base64url');
  return ciphertext;
}

type Members = Readonly<Record<string, unknown>>;

function jsonIn(what: string, text: string): Members {
  const bytes = fromBase64Url(text);
  if (bytes === undefined) throw bad(`its ${what} is not base64url`);
  let value: unknown;
  try {
    value = parseJson(bytes);
  } catch (cause) {
    throw bad(`its ${what} is not JSON`, cause);
  }
  return members(value, what);
}

function members(value: unknown, what: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(`its ${what} is not an object`);
  }
  return { ...value };
}

function bad(why: string, cause?: unknown): CodedError {
  return refused('BadRelease', why, cause);
}

function refused(code: string, why: string, cause?: unknown): CodedError {
  return new CodedError(code, `the key vault's answer is refused: ${why}`, {}, { cause });
}
