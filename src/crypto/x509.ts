/**
 * Reads X.509 certificates (RFC 5280 §4.1) as far as judging an endorsement needs: who signed whom,
 * with what, from when until when. Strict, small, and able to run in a browser.
 */
import { CodedError, messageOf } from '../base/errors.ts';
import { fromBase64, sameBytes, toHex } from '../base/portable-bytes.ts';
import {
  bitStringBytes,
  DER_BIT_STRING,
  DER_BOOLEAN,
  DER_GENERALIZED_TIME,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DER_UTC_TIME,
  type DerItem,
  DerReader,
  oidText,
} from './der.ts';
import type { HashName, Verifier } from './verifier.ts';

export interface CertificateExtension {
  readonly oid: string;
  readonly critical: boolean;
  /** What the octet string holds: DER, or whatever the extension's owner put there. */
  readonly value: Uint8Array;
}

export interface Certificate {
  readonly der: Uint8Array;
  /** The serial number as it is encoded, lowercase hexadecimal. */
  readonly serial: string;
  /** What the issuer signed. */
  readonly signedPart: Uint8Array;
  /** Names, in DER. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  /** Object identifier of the signature's algorithm. */
  readonly signatureAlgorithm: string;
  /** The algorithm's parameters, one item in DER; absent if there are none. */
  readonly signatureParameters?: Uint8Array;
  readonly signature: Uint8Array;
  /** Each at most once. */
  readonly extensions: readonly CertificateExtension[];
  /** Whether BasicConstraints say that it may endorse others. */
  readonly isAuthority: boolean;
}

const PEM =
  /^\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----[\s\0]*$/;

/** The certificate of a PEM text that holds one and nothing else. Throws `BadCertificate`. */
export function certificateOfPem(pem: string): Certificate {
  const body = PEM.exec(pem)?.[1]?.replace(/\s/g, '');
  const der = body === undefined ? undefined : fromBase64(body);
  if (der === undefined) throw bad('the text is not one certificate in PEM');
  return parseCertificate(der);
}

/** Reads a certificate; throws `BadCertificate`. */
export function parseCertificate(der: Uint8Array): Certificate {
  try {
    return read(der);
  } catch (thrown) {
    throw bad(messageOf(thrown), thrown);
  }
}

const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;
const OID_BASIC_CONSTRAINTS = '2.5.29.19';

function read(der: Uint8Array): Certificate {
  const outer = new DerReader(der);
  const parts = outer.enter();
  outer.end();
  const signed = parts.next();
  const algorithm = parts.next();
  const signature = bitStringBytes(parts.expect(DER_BIT_STRING).content);
  parts.end();

  const fields = new DerReader(signed.content);
  if (fields.peek() === VERSION_TAG) fields.next();
  const serial = toHex(fields.expect(DER_INTEGER).content);
  const innerAlgorithm = fields.next();
  if (!sameBytes(innerAlgorithm.whole, algorithm.whole)) {
    throw bad('its two signature algorithms differ');
  }
  const issuer = fields.next().whole;
  const validity = fields.enter();
  const notBeforeMs = timeOf(validity.next());
  const notAfterMs = timeOf(validity.next());
  validity.end();
  const subject = fields.next().whole;
  const publicKeyDer = fields.next().whole;
  let extensions: readonly CertificateExtension[] = [];
  while (!fields.done) {
    const item = fields.next();
    if (item.tag === EXTENSIONS_TAG) extensions = readExtensions(item.content);
  }
  return {
    der,
    serial,
    signedPart: signed.whole,
    issuer,
    subject,
    notBeforeMs,
    notAfterMs,
    publicKeyDer,
    ...readAlgorithm(algorithm),
    signature,
    extensions,
    isAuthority: authorityIn(extensions),
  };
}

/** An AlgorithmIdentifier (RFC 5280 §4.1.1.2). Throws `BadDer`. */
export function readAlgorithm(
  item: DerItem,
): Pick<Certificate, 'signatureAlgorithm' | 'signatureParameters'> {
  const parts = new DerReader(item.content);
  const signatureAlgorithm = oidText(parts.expect(DER_OID).content);
  if (parts.done) return { signatureAlgorithm };
  const signatureParameters = parts.next().whole;
  parts.end();
  return { signatureAlgorithm, signatureParameters };
}

/** A list of extensions (RFC 5280 §4.2), each at most once. */
export function readExtensions(encoded: Uint8Array): readonly CertificateExtension[] {
  const outer = new DerReader(encoded);
  const list = outer.enter();
  outer.end();
  const extensions: CertificateExtension[] = [];
  while (!list.done) {
    const extension = list.enter();
    const oid = oidText(extension.expect(DER_OID).content);
    const critical = extension.peek() === DER_BOOLEAN && extension.next().content[0] !== 0;
    const value = extension.expect(DER_OCTET_STRING).content;
    extension.end();
    if (extensions.some((known) => known.oid === oid))
      throw bad(`it has extension ${oid} twice`);
    extensions.push({ oid, critical, value });
  }
  return extensions;
}

function authorityIn(extensions: readonly CertificateExtension[]): boolean {
  const found = extensions.find(({ oid }) => oid === OID_BASIC_CONSTRAINTS);
  if (found === undefined) return false;
  const constraints = new DerReader(found.value).enter();
  return constraints.peek() === DER_BOOLEAN && constraints.next().content[0] === 0xff;
}

/** RFC 5280 §4.1.2.5: two-digit years below 50 are 20xx. */
export function timeOf(item: DerItem): number {
  const text = new TextDecoder().decode(item.content);
  const isShort = item.tag === DER_UTC_TIME;
  if (!isShort && item.tag !== DER_GENERALIZED_TIME) throw bad('a time has an unknown type');
  const match = (isShort ? /^(\d\d)(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/).exec(text);
  if (match === null) throw bad(`${JSON.stringify(text)} is no time`);
  const [, yearText = '', rest = ''] = match;
  const year = isShort
    ? Number(yearText) + (Number(yearText) < 50 ? 2000 : 1900)
    : Number(yearText);
  const at = (from: number): number => Number(rest.slice(from, from + 2));
  return Date.UTC(year, at(0) - 1, at(2), at(4), at(6), at(8));
}

const ECDSA_HASHES: Readonly<Record<string, HashName>> = {
  '1.2.840.10045.4.3.2': 'SHA-256',
  '1.2.840.10045.4.3.3': 'SHA-384',
  '1.2.840.10045.4.3.4': 'SHA-512',
};

/**
 * Why `issuer` did not endorse `certificate`, or undefined if it did: names, authority and
 * signature. Validity in time is another question (`validAt`).
 */
export async function endorsementFault(
  certificate: Certificate,
  issuer: Certificate,
  verifier: Verifier,
): Promise<string | undefined> {
  if (!sameBytes(certificate.issuer, issuer.subject)) {
    return 'its issuer is not the subject of the certificate that should have endorsed it';
  }
  if (!issuer.isAuthority) return 'what endorsed it is no certificate authority';
  const hash = ECDSA_HASHES[certificate.signatureAlgorithm];
  if (hash === undefined) {
    return `its signature algorithm ${certificate.signatureAlgorithm} is not ECDSA with SHA-2`;
  }
  const good = await verifier.ecdsa({
    publicKeyDer: issuer.publicKeyDer,
    signature: certificate.signature,
    encoding: 'der',
    hash,
    message: certificate.signedPart,
  });
  return good ? undefined : 'its signature is not by the key that should have endorsed it';
}

/** Whether a certificate is valid at a time. */
export function validAt(certificate: Certificate, timeMs: number): boolean {
  return certificate.notBeforeMs <= timeMs && timeMs <= certificate.notAfterMs;
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError(
    'BadCertificate',
    `this certificate cannot be read: ${why}`,
    {},
    { cause },
  );
}
