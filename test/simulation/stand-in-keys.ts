// Deterministic stand-ins for public-key cryptography. Public keys are true points of their curves
// and certificates true X.509, so that every parser of the product takes them; a signature is a
// keyed hash that anybody can make, so it proves nothing to anybody but a simulation: what it
// still shows is who was asked to sign which bytes. All of it comes from the seed and answers at
// once.

import { createECDH, createHmac, hash } from 'node:crypto';
import { bufferOf, concatBytes, equalBytes, hexOf } from '../../src/base/bytes.ts';
import type { Random } from '../../src/base/environment.ts';
import { CodedError } from '../../src/base/errors.ts';
import { aeadKeyOf, openWhole, sealWhole } from '../../src/crypto/aead.ts';
import type { Validity } from '../../src/crypto/certificates.ts';
import { fixedSizeSignature } from '../../src/crypto/der.ts';
import { hmacSha256, sha256 } from '../../src/crypto/hash.ts';
import type {
  HeldSigningKey,
  HeldUnwrappingKey,
  Issuer,
  KeySource,
} from '../../src/crypto/key-source.ts';
import type { CurveName } from '../../src/crypto/keys.ts';
import { COORDINATE_BYTES, readPublicKey } from '../../src/crypto/public-key.ts';
import type { HashName, Verifier } from '../../src/crypto/verifier.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { certificateOfPem } from '../../src/crypto/x509.ts';
import {
  derBits,
  derItem,
  derName,
  derOctets,
  derOid,
  derSequence,
  derTime,
  derTrue,
  derUnsigned,
} from './der-writing.ts';

const ECDH_NAMES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1' } as const;
const CURVE_OIDS = { 'P-256': '1.2.840.10045.3.1.7', 'P-384': '1.3.132.0.34' } as const;
const SIGNATURE_OIDS = {
  'P-256': '1.2.840.10045.4.3.2',
  'P-384': '1.2.840.10045.4.3.3',
} as const;
const HASH_NAMES = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' } as const;
const EC_OID = '1.2.840.10045.2.1';
const DAY_MS = 86_400_000;

/** Both numbers of a stand-in signature, of a curve's size. */
function standInSignature(publicKeyDer: Uint8Array, digest: Uint8Array): Uint8Array {
  const key = readPublicKey(publicKeyDer);
  const size = key.kind === 'ec' ? COORDINATE_BYTES[key.curve] : 0;
  const mac = createHmac('sha512', publicKeyDer).update(digest).digest();
  const r = mac.subarray(0, size);
  const s = createHmac('sha512', mac).update('s').digest().subarray(0, size);
  return concatBytes(r, s);
}

const derSignature = (raw: Uint8Array): Uint8Array => {
  const size = raw.length / 2;
  return derSequence(derUnsigned(raw.subarray(0, size)), derUnsigned(raw.subarray(size)));
};

const digestOf = (name: HashName, message: Uint8Array): Uint8Array =>
  hash(HASH_NAMES[name], message, 'buffer');

class StandInSigningKey implements HeldSigningKey {
  readonly algorithm: 'ES256' | 'ES384';
  readonly curve: CurveName;
  readonly publicKeyDer: Uint8Array;
  readonly fingerprint: string;
  readonly #scalar: Uint8Array;
  readonly #onSign: () => void;

  constructor(curve: CurveName, scalar: Uint8Array, onSign: () => void) {
    const pair = createECDH(ECDH_NAMES[curve]);
    pair.setPrivateKey(scalar);
    this.curve = curve;
    this.algorithm = curve === 'P-256' ? 'ES256' : 'ES384';
    this.publicKeyDer = derSequence(
      derSequence(derOid(EC_OID), derOid(CURVE_OIDS[curve])),
      derBits(pair.getPublicKey()),
    );
    this.fingerprint = hexOf(sha256(this.publicKeyDer));
    this.#scalar = scalar;
    this.#onSign = onSign;
  }

  /** Not PKCS #8: what only this file opens again. */
  pkcs8(): Uint8Array {
    return concatBytes(Uint8Array.of(this.curve === 'P-256' ? 1 : 2), this.#scalar);
  }

  privateKeyPem(): string {
    throw new Error('a stand-in key has no PEM: nothing in a simulation opens a TLS session');
  }

  async sign(message: Uint8Array): Promise<Uint8Array> {
    this.#onSign();
    const name = this.curve === 'P-256' ? 'SHA-256' : 'SHA-384';
    return standInSignature(this.publicKeyDer, digestOf(name, message));
  }

  signSha256Der(message: Uint8Array): Uint8Array {
    this.#onSign();
    return derSignature(standInSignature(this.publicKeyDer, sha256(message)));
  }
}

class StandInUnwrappingKey implements HeldUnwrappingKey {
  readonly publicKeyPem: string;
  readonly #secret: Uint8Array;

  constructor(secret: Uint8Array) {
    this.#secret = secret;
    this.publicKeyPem = pem('PUBLIC KEY', derSequence(derOctets(sha256(secret))));
  }

  pkcs8(): Uint8Array {
    return this.#secret;
  }

  unwrap(wrapped: Uint8Array): Uint8Array {
    return openWhole(wrappingKeyOf(this.publicKeyPem), new Uint8Array(), wrapped);
  }
}

const wrappingKeyOf = (publicKeyPem: string): ReturnType<typeof aeadKeyOf> =>
  aeadKeyOf(hmacSha256(Buffer.from('stand-in wrapping'), Buffer.from(publicKeyPem)));

/** Checks stand-in signatures. */
export const standInVerifier: Verifier = {
  hash: async (name, bytes) => digestOf(name, bytes),
  ecdsa: async ({ publicKeyDer, signature, encoding, hash: name, message }) =>
    isStandIn(publicKeyDer, digestOf(name, message), signature, encoding),
  ecdsaDigest: async ({ publicKeyDer, signature, encoding, digest }) =>
    isStandIn(publicKeyDer, digest, signature, encoding),
  rsaPss: nodeVerifier.rsaPss,
  rsaPkcs1: nodeVerifier.rsaPkcs1,
};

function isStandIn(
  publicKeyDer: Uint8Array,
  digest: Uint8Array,
  signature: Uint8Array,
  encoding: 'der' | 'raw',
): boolean {
  const expected = standInSignature(publicKeyDer, digest);
  const raw =
    encoding === 'raw' ? signature : fixedSizeSignature(signature, expected.length / 2);
  return raw !== undefined && equalBytes(raw, expected);
}

export interface StandInDependencies {
  readonly random: Random;
  /** A key is asked to sign: a place where a simulation may let a process die. */
  readonly onSign?: () => void;
}

export function standInKeys({
  random,
  onSign = () => undefined,
}: StandInDependencies): KeySource {
  const selfSigned = async (
    key: HeldSigningKey,
    subject: string,
    validity: Validity,
    hosts: readonly string[] = [],
  ): Promise<string> =>
    certificate(
      { publicKeyDer: key.publicKeyDer, subject, hosts, validity },
      key,
      derName(subject),
      true,
    );
  return {
    generateSigningKey: (curve) =>
      new StandInSigningKey(curve, random.bytes(COORDINATE_BYTES[curve]), onSign),
    openSigningKey: (bytes) => {
      const curve = bytes[0] === 1 ? 'P-256' : 'P-384';
      if (bytes.length !== 1 + COORDINATE_BYTES[curve]) {
        throw new CodedError('UnsuitableKey', 'these bytes are no stand-in key');
      }
      return new StandInSigningKey(curve, bytes.slice(1), onSign);
    },
    generateUnwrappingKey: () => new StandInUnwrappingKey(random.bytes(32)),
    openUnwrappingKey: (bytes) => new StandInUnwrappingKey(bytes),
    wrapTo: (publicKeyPem, secret) => {
      const iv = random.bytes(12);
      return sealWhole(wrappingKeyOf(publicKeyPem), iv, new Uint8Array(), secret);
    },
    verifier: standInVerifier,
    serviceCertificate: selfSigned,
    selfSignedCertificate: selfSigned,
    endorsedCertificate: async (publicKeyDer, subject, hosts, validity, issuer: Issuer) => {
      const { subject: issuerName } = certificateOfPem(issuer.certificatePem);
      return certificate(
        { publicKeyDer, subject, hosts, validity },
        issuer.key,
        issuerName,
        false,
      );
    },
    endorsedAuthority: async (publicKeyDer, subject, validity, issuer: Issuer) => {
      const { subject: issuerName } = certificateOfPem(issuer.certificatePem);
      return certificate(
        { publicKeyDer, subject, hosts: [], validity },
        issuer.key,
        issuerName,
        true,
      );
    },
    certificateRequest: async (key, subject, hosts) => {
      const info = derSequence(
        derUnsigned(Uint8Array.of(0)),
        derName(subject),
        key.publicKeyDer,
        derItem(0xa0, requestedNames(hosts)),
      );
      return pem('CERTIFICATE REQUEST', signed(info, key));
    },
  };
}

interface Certified {
  readonly publicKeyDer: Uint8Array;
  readonly subject: string;
  readonly hosts: readonly string[];
  readonly validity: Validity;
}

function certificate(
  { publicKeyDer, subject, hosts, validity }: Certified,
  key: HeldSigningKey,
  issuerName: Uint8Array,
  isAuthority: boolean,
): string {
  const { fromMs, days } = validity;
  const constraints = derSequence(...(isAuthority ? [derTrue()] : []));
  const extensions = [
    derSequence(derOid('2.5.29.19'), derTrue(), derOctets(constraints)),
    ...(hosts.length === 0 ? [] : [alternativeNames(hosts)]),
  ];
  const rest = [
    derSequence(derOid(SIGNATURE_OIDS[key.curve])),
    issuerName,
    derSequence(derTime(fromMs), derTime(fromMs + days * DAY_MS)),
    derName(subject),
    publicKeyDer,
    derItem(0xa3, derSequence(...extensions)),
  ];
  const serial = sha256(concatBytes(...rest)).subarray(0, 16);
  const version = derItem(0xa0, derUnsigned(Uint8Array.of(2)));
  return pem('CERTIFICATE', signed(derSequence(version, derUnsigned(serial), ...rest), key));
}

/** Signs without telling: certificates are made before a node has begun. */
function signed(part: Uint8Array, key: HeldSigningKey): Uint8Array {
  const digest = digestOf(key.curve === 'P-256' ? 'SHA-256' : 'SHA-384', part);
  const signature = derSignature(standInSignature(key.publicKeyDer, digest));
  return derSequence(part, derSequence(derOid(SIGNATURE_OIDS[key.curve])), derBits(signature));
}

function alternativeNames(hosts: readonly string[]): Uint8Array {
  const names = hosts.map((host) => {
    const isAddress = /^[\d.]+$/.test(host);
    return isAddress
      ? derItem(0x87, Uint8Array.from(host.split('.').map(Number)))
      : derItem(0x82, Buffer.from(host));
  });
  return derSequence(derOid('2.5.29.17'), derOctets(derSequence(...names)));
}

/** The attribute `extensionRequest` (RFC 2985 §5.4.2). */
function requestedNames(hosts: readonly string[]): Uint8Array {
  const extensions = derSequence(...(hosts.length === 0 ? [] : [alternativeNames(hosts)]));
  return derSequence(derOid('1.2.840.113549.1.9.14'), derItem(0x31, extensions));
}

function pem(label: string, der: Uint8Array): string {
  const lines =
    bufferOf(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
