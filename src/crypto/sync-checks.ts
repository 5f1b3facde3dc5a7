/**
 * Checks that a governed script may ask for, answered at once (governance.md §9): digests,
 * signatures, certificates. Scripts run beside the executing thread, so these may take their time.
 */
import {
  constants,
  createHmac,
  createPublicKey,
  hash,
  timingSafeEqual,
  verify,
  X509Certificate,
} from 'node:crypto';
import { certificatePem, certificatesOfPem } from './pem-certificates.ts';

const HASHES: Readonly<Record<string, string>> = {
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
};

const KEY_KINDS: Readonly<Record<string, string>> = {
  ECDSA: 'ec',
  'RSA-PSS': 'rsa',
  EdDSA: 'ed25519',
};

/** How a script names a way to sign. */
export interface SignatureAlgorithmName {
  readonly name: string;
  readonly hash?: string;
  readonly saltLength?: number;
}

/** A digest; throws TypeError for an unknown algorithm. */
export function digestNow(algorithm: string, bytes: Uint8Array): Uint8Array {
  return hash(hashOf(algorithm), bytes, 'buffer');
}

/** Whether a signature is good; throws TypeError for an unknown algorithm or a bad key. */
export function verifyNow(
  algorithm: SignatureAlgorithmName,
  key: string,
  signature: Uint8Array,
  message: Uint8Array,
): boolean {
  if (algorithm.name === 'HMAC') {
    const expected = createHmac(hashOf(algorithm.hash), key).update(message).digest();
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  }
  const publicKey = publicKeyOf(key);
  const kind = KEY_KINDS[algorithm.name];
  if (kind !== undefined && publicKey.asymmetricKeyType !== kind) {
    throw new TypeError(`${algorithm.name} takes no ${publicKey.asymmetricKeyType} key`);
  }
  switch (algorithm.name) {
    case 'ECDSA': {
      const ec = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const;
      return verify(hashOf(algorithm.hash), message, ec, signature);
    }
    case 'RSA-PSS': {
      const { saltLength = 0 } = algorithm;
      const pss = { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
      return verify(hashOf(algorithm.hash), message, pss, signature);
    }
    case 'EdDSA':
      return verify(null, message, publicKey, signature);
    default:
      throw new TypeError(`Unsupported signing algorithm: ${algorithm.name}`);
  }
}

/** Whether a text is one or more certificates in PEM, and nothing else. */
export function isCertificateBundle(pem: string): boolean {
  try {
    return certificatesIn(pem).length > 0;
  } catch {
    return false;
  }
}

/** Whether a text is one public key in PEM (SPKI); RSA keys have at least 2048 bits. */
export function isPublicKeyPem(pem: string): boolean {
  try {
    if (!/^\s*-----BEGIN PUBLIC KEY-----/.test(pem)) return false;
    const key = createPublicKey(pem);
    return (key.asymmetricKeyDetails?.modulusLength ?? 2048) >= 2048;
  } catch {
    return false;
  }
}

/**
 * Whether the first certificate of `chain` is endorsed, by way of the others of `chain`, by one of
 * `trusted`, or is itself one of them. Dates are not looked at: a script has no trusted clock.
 */
export function isCertificateChain(chain: string, trusted: string): boolean {
  let own: readonly X509Certificate[];
  let anchors: readonly X509Certificate[];
  try {
    own = certificatesIn(chain);
    anchors = certificatesIn(trusted);
  } catch {
    return false;
  }
  let [at] = own;
  if (at === undefined) return false;
  for (const next of own.slice(1)) {
    if (isAnchored(at, anchors)) return true;
    if (!endorses(next, at)) return false;
    at = next;
  }
  return isAnchored(at, anchors);
}

function isAnchored(
  certificate: X509Certificate,
  anchors: readonly X509Certificate[],
): boolean {
  return anchors.some(
    (anchor) => anchor.raw.equals(certificate.raw) || endorses(anchor, certificate),
  );
}

function endorses(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function certificatesIn(pem: string): readonly X509Certificate[] {
  return certificatesOfPem(pem).map((der) => new X509Certificate(certificatePem(der)));
}

/** The key of a certificate or of a public key, in PEM. */
function publicKeyOf(pem: string): ReturnType<typeof createPublicKey> {
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new TypeError('the key is neither a public key nor a certificate in PEM', { cause });
  }
}

function hashOf(name: string | undefined): string {
  const known = name === undefined ? undefined : HASHES[name];
  if (known === undefined) throw new TypeError(`Unsupported digest algorithm: ${String(name)}`);
  return known;
}
