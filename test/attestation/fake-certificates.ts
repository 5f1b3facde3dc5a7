// Certificates and revocation lists of a test's own authorities, in any shape that is asked for.

import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { certificatePem } from '../../src/crypto/pem-certificates.ts';
import * as der from './der-writer.ts';

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export type SigningScheme =
  | { readonly scheme: 'pss'; readonly hash: HashNumber; readonly salt: number }
  | { readonly scheme: 'pkcs1' | 'ecdsa'; readonly hash: HashNumber };

type HashNumber = 256 | 384 | 512;

/** As AMD signs. */
export const PSS_384: SigningScheme = { scheme: 'pss', hash: 384, salt: 48 };

export interface ExtensionSpec {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

export interface CertificateSpec {
  readonly subject: string;
  readonly issuer: string;
  /** Of the issuer. */
  readonly signer: KeyObject;
  readonly publicKey: KeyObject;
  readonly serial?: number;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly extensions?: readonly ExtensionSpec[];
  readonly scheme?: SigningScheme;
  /** Changes the bytes of the signature. */
  readonly spoil?: (signature: Uint8Array) => Uint8Array;
}

export const FROM_MS = Date.UTC(2025, 0, 1);
export const UNTIL_MS = Date.UTC(2032, 0, 1);
/** When tests judge, unless they say otherwise. */
export const AT_MS = Date.UTC(2026, 5, 1);

export function rsaKeys(bits = 2048): KeyPair {
  return generateKeyPairSync('rsa', { modulusLength: bits });
}

export function ecKeys(namedCurve = 'P-384'): KeyPair {
  return generateKeyPairSync('ec', { namedCurve });
}

export function spkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: 'der', type: 'spki' }));
}

/** A certificate in DER. */
export function makeCertificate(spec: CertificateSpec): Uint8Array {
  const { scheme = PSS_384, extensions = [] } = spec;
  const algorithm = algorithmOf(scheme);
  const fields = der.sequence(
    der.explicit(0, der.integer(2)),
    der.integer(spec.serial ?? 0),
    algorithm,
    der.name(spec.issuer),
    der.sequence(der.time(spec.notBeforeMs ?? FROM_MS), der.time(spec.notAfterMs ?? UNTIL_MS)),
    der.name(spec.subject),
    spkiOf(spec.publicKey),
    ...(extensions.length === 0 ? [] : [der.explicit(3, extensionList(extensions))]),
  );
  return signed(fields, algorithm, spec.signer, scheme, spec.spoil);
}

export interface RevocationSpec {
  readonly issuer: string;
  readonly signer: KeyObject;
  /** Serial numbers. */
  readonly revoked?: readonly number[];
  readonly thisUpdateMs?: number;
  /** `null`: leaves it out. */
  readonly nextUpdateMs?: number | null;
  readonly scheme?: SigningScheme;
  readonly extensions?: readonly ExtensionSpec[];
}

/** A revocation list in DER. */
export function makeRevocationList(spec: RevocationSpec): Uint8Array {
  const { scheme = PSS_384, revoked = [], extensions = [], nextUpdateMs = UNTIL_MS } = spec;
  const algorithm = algorithmOf(scheme);
  const entries = revoked.map((serial) =>
    der.sequence(der.integer(serial), der.time(spec.thisUpdateMs ?? FROM_MS)),
  );
  const fields = der.sequence(
    der.integer(1),
    algorithm,
    der.name(spec.issuer),
    der.time(spec.thisUpdateMs ?? FROM_MS),
    ...(nextUpdateMs === null ? [] : [der.time(nextUpdateMs)]),
    ...(entries.length === 0 ? [] : [der.sequence(...entries)]),
    ...(extensions.length === 0 ? [] : [der.explicit(0, extensionList(extensions))]),
  );
  return signed(fields, algorithm, spec.signer, scheme);
}

export function pemOf(...certificates: readonly Uint8Array[]): string {
  return certificates.map(certificatePem).join('');
}

function extensionList(extensions: readonly ExtensionSpec[]): Uint8Array {
  return der.sequence(
    ...extensions.map(({ oid, critical = false, value }) =>
      der.sequence(der.oid(oid), ...(critical ? [der.truth] : []), der.octets(value)),
    ),
  );
}

function signed(
  fields: Uint8Array,
  algorithm: Uint8Array,
  key: KeyObject,
  scheme: SigningScheme,
  spoil = (signature: Uint8Array): Uint8Array => signature,
): Uint8Array {
  return der.sequence(fields, algorithm, der.bits(spoil(signWith(fields, key, scheme))));
}

export function signWith(
  message: Uint8Array,
  key: KeyObject,
  scheme: SigningScheme,
): Uint8Array {
  const hash = `sha${scheme.hash}`;
  if (scheme.scheme !== 'pss') return new Uint8Array(sign(hash, message, key));
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return new Uint8Array(sign(hash, message, { key, padding, saltLength: scheme.salt }));
}

const PKCS1_OIDS = { 256: 11, 384: 12, 512: 13 } as const;
const ECDSA_OIDS = { 256: 2, 384: 3, 512: 4 } as const;
const HASH_OIDS = { 256: 1, 384: 2, 512: 3 } as const;

function algorithmOf(scheme: SigningScheme): Uint8Array {
  switch (scheme.scheme) {
    case 'ecdsa':
      return der.sequence(der.oid(`1.2.840.10045.4.3.${ECDSA_OIDS[scheme.hash]}`));
    case 'pkcs1':
      return der.sequence(
        der.oid(`1.2.840.113549.1.1.${PKCS1_OIDS[scheme.hash]}`),
        der.nothing,
      );
    case 'pss':
      return der.sequence(der.oid('1.2.840.113549.1.1.10'), pssParameters(scheme));
  }
}

function pssParameters(scheme: SigningScheme & { readonly scheme: 'pss' }): Uint8Array {
  const hash = der.sequence(der.oid(`2.16.840.1.101.3.4.2.${HASH_OIDS[scheme.hash]}`));
  return der.sequence(
    der.explicit(0, hash),
    der.explicit(1, der.sequence(der.oid('1.2.840.113549.1.1.8'), hash)),
    der.explicit(2, der.integer(scheme.salt)),
  );
}
