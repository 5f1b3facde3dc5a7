/**
 * Endorsing nodes: reading a request for a certificate (PKCS #10, RFC 2986) and making the
 * certificate that it asks for, as CCF's `generateEndorsedCertificate` does.
 *
 * The request's own signature is not looked at: whoever sends one has shown in the TLS session that
 * the key is his, and the caller compares the keys.
 */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { CodedError, messageOf } from '../base/errors.ts';
import type { Validity } from './certificates.ts';
import type { CertificateMaker, Issuer } from './key-source.ts';
import { bytesOfPem } from './pem.ts';
import { certificateOfPem } from './x509.ts';

export interface CertificateRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  readonly subject: string;
  /** Names and addresses that it is to be valid for. */
  readonly hosts: readonly string[];
}

const OID_ALTERNATIVE_NAMES = '2.5.29.17';
/** Reads a request in PEM; throws `BadCertificateRequest`. */
export function readCertificateRequest(pem: string): CertificateRequest {
  const der = bytesOfPem('CERTIFICATE REQUEST', pem);
  if (der === undefined) throw bad('the text is not one request in PEM');
  let request: x509.Pkcs10CertificateRequest;
  let names: readonly x509.GeneralName[];
  try {
    request = new x509.Pkcs10CertificateRequest(Buffer.from(der));
    const extension = request.getExtension(OID_ALTERNATIVE_NAMES);
    const isIt = extension instanceof x509.SubjectAlternativeNameExtension;
    names = isIt ? extension.names.items : [];
  } catch (cause) {
    throw bad(messageOf(cause), cause);
  }
  const hosts = names.map(({ type, value }) => {
    if (type !== 'dns' && type !== 'ip') throw bad(`it asks for the ${type} name ${value}`);
    return value;
  });
  if (hosts.length === 0) throw bad('it names no host');
  const publicKeyDer = new Uint8Array(request.publicKey.rawData);
  return { publicKeyDer, subject: request.subject, hosts };
}

/** Makes the certificate that a request asks for. */
export async function endorseRequest(
  keys: Pick<CertificateMaker, 'endorsedCertificate'>,
  requestPem: string,
  validity: Validity,
  issuer: Issuer,
): Promise<string> {
  const { publicKeyDer, subject, hosts } = readCertificateRequest(requestPem);
  return await keys.endorsedCertificate(publicKeyDer, subject, hosts, validity, issuer);
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** From when until when a certificate is valid, to give another the same. */
export function validityOfCertificate(pem: string): Validity {
  const { notBeforeMs, notAfterMs } = certificateOfPem(pem);
  // Both ends count (RFC 5280 §4.1.2.5).
  return { fromMs: notBeforeMs, days: (notAfterMs + 1000 - notBeforeMs) / DAY_MS };
}

const SHORT_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const LONG_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/**
 * A time as governance's actions give it (governance.md §6): `YYMMDDHHMMSSZ`, the same with a year
 * of four digits, or ISO 8601 with a zone. Milliseconds since the epoch; undefined if it is none.
 */
export function timeOfText(text: string): number | undefined {
  const match = SHORT_TIME.exec(text) ?? LONG_TIME.exec(text);
  if (match === null) {
    const ms = ISO_TIME.test(text) ? Date.parse(text) : Number.NaN;
    return Number.isNaN(ms) ? undefined : ms;
  }
  const [, yearText = '', ...rest] = match;
  const [month = 0, day = 0, hour = 0, minute = 0, second = 0] = rest.map(Number);
  const year = Number(yearText) + (yearText.length === 2 ? 2000 : 0);
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(ms);
  // Day 31 of a month with 30 is not the first of the next.
  const same =
    back.getUTCMonth() === month - 1 &&
    back.getUTCDate() === day &&
    back.getUTCHours() === hour;
  return same && minute < 60 && second < 60 ? ms : undefined;
}

function bad(why: string, cause?: unknown): CodedError {
  const message = `this request for a certificate cannot be read: ${why}`;
  return new CodedError('BadCertificateRequest', message, {}, { cause });
}
