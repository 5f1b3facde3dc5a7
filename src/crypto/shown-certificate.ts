/** Certificates as people look at them: names, validity, who issued them, which key is theirs. */
import { createPrivateKey, X509Certificate } from 'node:crypto';

export type { X509Certificate } from 'node:crypto';

/** The first certificate of a PEM text; throws if there is none. */
export function openCertificate(pem: string): X509Certificate {
  return new X509Certificate(pem);
}

/** Whether a private key (PEM) is that of a certificate; throws if it cannot be read. */
export function isKeyOf(certificate: X509Certificate, keyPem: string): boolean {
  return certificate.checkPrivateKey(createPrivateKey(keyPem));
}

/** Whether a certificate is for a host's name or address, as TLS clients judge it. */
export function isFor(certificate: X509Certificate, host: string): boolean {
  if (host === '') return false;
  const isAddress = host.includes(':') || /^\d+(?:\.\d+){3}$/.test(host);
  const found = isAddress ? certificate.checkIP(host) : certificate.checkHost(host);
  return found !== undefined;
}

/** Whether an authority has signed a certificate, whatever the time is. */
export function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}
