/**
 * X.509 certificates (RFC 5280) as the service makes them: its own, its nodes', and those of the
 * members and organisations of a sandbox. Shapes are CCF's (http-api.md §9), so that PyPI `ccf` and
 * path validation with a strict profile accept the chain.
 */
import 'reflect-metadata';
import { createPublicKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { hexOf } from '../base/bytes.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import type { CertificateId } from '../base/ids.ts';
import { sha256 } from './hash.ts';
import type { CurveName, SigningKey } from './keys.ts';

x509.cryptoProvider.set(webcrypto as Crypto);

/** From when until when a certificate is valid. */
export interface Validity {
  readonly fromMs: number;
  readonly days: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** The service's self-signed certificate: an authority whose path ends at its nodes. */
export async function serviceCertificate(
  key: SigningKey,
  subject: string,
  validity: Validity,
): Promise<string> {
  const usages = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature;
  return await selfSigned(key, subject, validity, [
    new x509.BasicConstraintsExtension(true, 1, true),
    new x509.KeyUsagesExtension(usages, true),
  ]);
}

/**
 * A self-signed certificate without a role: a member's, an organisation's, a node's before it
 * joins.
 */
export async function selfSignedCertificate(
  key: SigningKey,
  subject: string,
  validity: Validity,
  hosts: readonly string[] = [],
): Promise<string> {
  const names = hosts.length === 0 ? [] : [alternativeNames(hosts)];
  return await selfSigned(key, subject, validity, [
    new x509.BasicConstraintsExtension(true, undefined, true),
    ...names,
  ]);
}

/** A node's certificate, signed by the service. `hosts` are the names and addresses it serves. */
export async function endorsedCertificate(
  publicKeyDer: Uint8Array,
  subject: string,
  hosts: readonly string[],
  validity: Validity,
  issuer: { readonly key: SigningKey; readonly certificatePem: string },
): Promise<string> {
  return await endorsed(publicKeyDer, subject, validity, issuer, [
    new x509.BasicConstraintsExtension(false, undefined, true),
    alternativeNames(hosts),
  ]);
}

/** A former service's key, vouched for by the service that was recovered from its ledger. */
export async function endorsedAuthority(
  publicKeyDer: Uint8Array,
  subject: string,
  validity: Validity,
  issuer: { readonly key: SigningKey; readonly certificatePem: string },
): Promise<string> {
  const usages = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature;
  return await endorsed(publicKeyDer, subject, validity, issuer, [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(usages, true),
  ]);
}

async function endorsed(
  publicKeyDer: Uint8Array,
  subject: string,
  validity: Validity,
  issuer: { readonly key: SigningKey; readonly certificatePem: string },
  extensions: readonly x509.Extension[],
): Promise<string> {
  const authority = new x509.X509Certificate(issuer.certificatePem);
  const publicKey = new x509.PublicKey(Buffer.from(publicKeyDer));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: authority.subject,
    ...dates(validity),
    publicKey: await publicKey.export(),
    signingKey: await privateKeyOf(issuer.key),
    signingAlgorithm: signatureOf(issuer.key.curve),
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  return pemOf(certificate);
}

/** A request for a certificate (PKCS #10), as a node's row in the ledger carries it. */
export async function certificateRequest(
  key: SigningKey,
  subject: string,
  hosts: readonly string[],
): Promise<string> {
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys: { privateKey: await privateKeyOf(key), publicKey: await publicKeyOf(key) },
    signingAlgorithm: signatureOf(key.curve),
    extensions: [alternativeNames(hosts)],
  });
  return `${request.toString('pem').trim()}\n`;
}

/** Lowercase hex SHA-256 of a certificate: a member's or user's id. */
export function certificateIdOf(pem: string): CertificateId {
  return hexOf(sha256(new X509Certificate(pem).raw)) as CertificateId;
}

/** A certificate given in DER; throws a coded error `BadCertificate` if it is none. */
export function certificateOfDer(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (cause) {
    const message = `${der.length} bytes are not a certificate: ${messageOf(cause)}`;
    throw new CodedError('BadCertificate', message, {}, { cause });
  }
}

/** SubjectPublicKeyInfo (DER) of a certificate's key. */
export function certificatePublicKeyDer(pem: string): Uint8Array {
  return new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' });
}

/** Public key (PEM) of a key whose SPKI is given in DER. */
export function publicKeyPemOf(publicKeyDer: Uint8Array): string {
  const key = createPublicKey({ key: Buffer.from(publicKeyDer), type: 'spki', format: 'der' });
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

/** When a certificate stops being valid, in milliseconds since the epoch. */
export function certificateExpiryMs(pem: string): number {
  return Date.parse(new X509Certificate(pem).validTo);
}

async function selfSigned(
  key: SigningKey,
  subject: string,
  validity: Validity,
  extensions: readonly x509.Extension[],
): Promise<string> {
  const keys = { privateKey: await privateKeyOf(key), publicKey: await publicKeyOf(key) };
  const publicKey = new x509.PublicKey(Buffer.from(key.publicKeyDer));
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: subject,
    ...dates(validity),
    keys,
    signingAlgorithm: signatureOf(key.curve),
    extensions: [
      ...extensions,
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(publicKey),
    ],
  });
  return pemOf(certificate);
}

function alternativeNames(hosts: readonly string[]): x509.SubjectAlternativeNameExtension {
  const isAddress = (host: string): boolean => /^[\d.]+$/.test(host) || host.includes(':');
  return new x509.SubjectAlternativeNameExtension(
    hosts.map((value) => ({ type: isAddress(value) ? 'ip' : 'dns', value })),
  );
}

/** Sixteen random bytes, positive and without a leading zero byte (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/** Certificates count in whole seconds. */
function dates({ fromMs, days }: Validity): { notBefore: Date; notAfter: Date } {
  const from = Math.floor(fromMs / 1000) * 1000;
  return { notBefore: new Date(from), notAfter: new Date(from + days * DAY_MS - 1000) };
}

function signatureOf(curve: CurveName): { name: string; namedCurve: string; hash: string } {
  return { name: 'ECDSA', namedCurve: curve, hash: curve === 'P-256' ? 'SHA-256' : 'SHA-384' };
}

async function privateKeyOf(key: SigningKey): Promise<CryptoKey> {
  const algorithm = { name: 'ECDSA', namedCurve: key.curve };
  const der = Buffer.from(key.pkcs8());
  return await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}

async function publicKeyOf(key: SigningKey): Promise<CryptoKey> {
  const algorithm = { name: 'ECDSA', namedCurve: key.curve };
  const der = Buffer.from(key.publicKeyDer);
  return await webcrypto.subtle.importKey('spki', der, algorithm, true, ['verify']);
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem').trim()}\n`;
}
