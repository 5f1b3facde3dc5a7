// Endorsements of a utility VM as Microsoft signs them, by a test's own authorities: both the form
// with JSON inside and the one of transparent statements (attestation-snp.md §5).

import { createHash } from 'node:crypto';
import { encode } from 'cborg';
import { join, toHex, toUtf8 } from '../../src/base/portable-bytes.ts';
import { encodeSign1, signatureStructure } from '../../src/crypto/cose.ts';
import * as der from './der-writer.ts';
import {
  type CertificateSpec,
  type ExtensionSpec,
  type KeyPair,
  makeCertificate,
  rsaKeys,
  type SigningScheme,
  signWith,
} from './fake-certificates.ts';

export const UVM_EKU = '1.3.6.1.4.1.311.76.59.1.2';
export const UVM_FEED = 'ContainerPlat-AMD-UVM';
const PKCS1: SigningScheme = { scheme: 'pkcs1', hash: 384 };
const CA: ExtensionSpec = {
  oid: '2.5.29.19',
  critical: true,
  value: der.sequence(der.truth),
};
/** When endorsements say that they were signed. */
export const SIGNED_AT_S: number = Date.UTC(2025, 9, 1) / 1000;

export interface UvmAuthorities {
  readonly leaf: KeyPair;
  /** Leaf, intermediate, root, in DER. */
  readonly chain: readonly Uint8Array[];
  /** `did:x509` that names the root and the leaf's usage. */
  readonly did: string;
}

export interface UvmAuthorityOptions {
  readonly usages?: readonly string[];
  readonly leaf?: Partial<CertificateSpec>;
  readonly intermediate?: Partial<CertificateSpec>;
  readonly root?: Partial<CertificateSpec>;
}

let keys:
  | { readonly root: KeyPair; readonly middle: KeyPair; readonly leaf: KeyPair }
  | undefined;

/** Authorities of endorsements; the keys are made once in a process. */
export function uvmAuthorities(options: UvmAuthorityOptions = {}): UvmAuthorities {
  keys ??= { root: rsaKeys(), middle: rsaKeys(), leaf: rsaKeys() };
  const { root, middle, leaf } = keys;
  const { usages = [UVM_EKU] } = options;
  const rootCertificate = makeCertificate({
    subject: 'UVM Root',
    issuer: 'UVM Root',
    signer: root.privateKey,
    publicKey: root.publicKey,
    scheme: PKCS1,
    extensions: [CA],
    ...options.root,
  });
  const middleCertificate = makeCertificate({
    subject: 'UVM CA',
    issuer: 'UVM Root',
    signer: root.privateKey,
    publicKey: middle.publicKey,
    scheme: PKCS1,
    extensions: [CA],
    ...options.intermediate,
  });
  const leafCertificate = makeCertificate({
    subject: 'ContainerPlat',
    issuer: 'UVM CA',
    signer: middle.privateKey,
    publicKey: leaf.publicKey,
    scheme: PKCS1,
    extensions: [{ oid: '2.5.29.37', value: der.sequence(...usages.map(der.oid)) }],
    ...options.leaf,
  });
  return {
    leaf,
    chain: [leafCertificate, middleCertificate, rootCertificate],
    did: didOf(rootCertificate, `eku:${usages[0] ?? UVM_EKU}`),
  };
}

/** `did:x509` of an authority's certificate with a demand on the leaf. */
export function didOf(certificate: Uint8Array, demand: string, hash = 'sha256'): string {
  const fingerprint = createHash(hash).update(certificate).digest('base64url');
  return `did:x509:0:${hash}:${fingerprint}::${demand}`;
}

export interface UvmOptions {
  readonly authorities?: UvmAuthorities;
  readonly measurement: Uint8Array;
  /** Text or number, as both occur. */
  readonly svn?: unknown;
  readonly feed?: string;
  readonly issuer?: string;
  readonly algorithm?: number;
  readonly scheme?: SigningScheme;
  readonly contentType?: unknown;
  readonly signedAt?: number;
  readonly chain?: readonly Uint8Array[];
  readonly thumbprint?: Uint8Array;
  /** Instead of the usual JSON. */
  readonly payload?: string;
  readonly form?: 'json' | 'statement';
  /** More of the protected header. */
  readonly extra?: readonly (readonly [label: number | string, value: unknown])[];
  /** What a statement's payload is said to be; SHA-384 unless told otherwise. */
  readonly payloadHash?: number;
}

/** COSE_Sign1 of an endorsement. */
export function uvmEndorsement(options: UvmOptions): Uint8Array {
  const { authorities = uvmAuthorities(), form = 'json' } = options;
  const protectedBytes = form === 'json' ? jsonHeader(options) : statementHeader(options);
  const payload = form === 'json' ? toUtf8(jsonPayload(options)) : options.measurement;
  const scheme = options.scheme ?? { scheme: 'pss', hash: 384, salt: 48 };
  const message = signatureStructure(protectedBytes, payload);
  const signature = signWith(message, authorities.leaf.privateKey, scheme);
  return encodeSign1({ protectedBytes, unprotected: new Map(), payload, signature });
}

function jsonPayload({ measurement, svn = '101', payload }: UvmOptions): string {
  const usual = {
    'x-ms-sevsnpvm-guestsvn': svn,
    'x-ms-sevsnpvm-launchmeasurement': toHex(measurement),
  };
  return payload ?? JSON.stringify(usual);
}

type Entry = readonly [label: Uint8Array, value: Uint8Array];

function jsonHeader(options: UvmOptions): Uint8Array {
  const { authorities = uvmAuthorities(), contentType = 'application/json' } = options;
  return map([
    ...common(options),
    ...(contentType === undefined ? [] : [entry(3, contentType)]),
    entry('iss', options.issuer ?? authorities.did),
    entry('feed', options.feed ?? UVM_FEED),
    [encode('signingtime'), moment(options.signedAt ?? SIGNED_AT_S)],
  ]);
}

function statementHeader(options: UvmOptions): Uint8Array {
  const { authorities = uvmAuthorities() } = options;
  const claims = map([
    entry(1, options.issuer ?? authorities.did),
    entry(2, options.feed ?? UVM_FEED),
    [encode(6), moment(options.signedAt ?? SIGNED_AT_S)],
    entry('svn', options.svn ?? 104),
  ]);
  return map([
    ...common(options),
    [encode(15), claims],
    entry(258, options.payloadHash ?? -43),
    entry(259, options.contentType ?? 'application/octet-stream'),
  ]);
}

function common(options: UvmOptions): readonly Entry[] {
  const { authorities = uvmAuthorities(), chain = authorities.chain } = options;
  const [leaf = new Uint8Array(0)] = chain;
  const digest = createHash('sha256').update(leaf).digest();
  return [
    entry(1, options.algorithm ?? -38),
    entry(33, chain),
    entry(34, [-16, options.thumbprint ?? new Uint8Array(digest)]),
    ...(options.extra ?? []).map(([label, value]) => entry(label, value)),
  ];
}

const entry = (label: number | string, value: unknown): Entry => [encode(label), encode(value)];

/** A moment, tagged as one. */
const moment = (seconds: number): Uint8Array => join(Uint8Array.of(0xc1), encode(seconds));

/** A map of fewer than 24 entries. */
function map(entries: readonly Entry[]): Uint8Array {
  return join(Uint8Array.of(0xa0 | entries.length), ...entries.flat());
}
