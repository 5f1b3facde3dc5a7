/** What a doctor says of one certificate: whose it is, its names, from when until when. */
import { messageOf } from '../base/errors.ts';
import { isKeyOf, openCertificate, type X509Certificate } from '../crypto/shown-certificate.ts';
import type { Finding } from './doctor-finding.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
/** Whoever must have a new one made needs some days for it. */
const EXPIRES_SOON_MS = 30 * DAY_MS;

type Said = Pick<Finding, 'outcome' | 'message' | 'fix'>;

/** A certificate of a PEM text, or why it is none. */
export function certificateIn(pem: string): X509Certificate | string {
  try {
    return openCertificate(pem);
  } catch (thrown) {
    return messageOf(thrown);
  }
}

/** Whether a certificate is valid now; `renewal` says how to get a new one. */
export function validityOf(certificate: X509Certificate, nowMs: number, renewal: string): Said {
  const { validFromDate, validToDate } = certificate;
  const [from, to] = [validFromDate.toISOString(), validToDate.toISOString()];
  const now = new Date(nowMs).toISOString();
  if (nowMs < validFromDate.getTime()) {
    return {
      outcome: 'bad',
      message: `it is valid from ${from} only, and this machine's clock says ${now}`,
      fix: 'set the clock of this machine (timedatectl), or wait',
    };
  }
  const leftMs = validToDate.getTime() - nowMs;
  if (leftMs < 0) {
    const message = `it was valid until ${to}, and this machine's clock says ${now}`;
    return { outcome: 'bad', message, fix: renewal };
  }
  const days = Math.floor(leftMs / DAY_MS);
  const message = `valid from ${from} until ${to} (${days} days left)`;
  if (leftMs >= EXPIRES_SOON_MS) return { outcome: 'good', message };
  return { outcome: 'note', message, fix: renewal };
}

/** Whether a private key (PEM) is that of a certificate. */
export function keyFitting(certificate: X509Certificate, keyPem: string): Said {
  try {
    if (isKeyOf(certificate, keyPem)) {
      return { outcome: 'good', message: 'the key is that of the certificate' };
    }
  } catch (thrown) {
    const message = `the key cannot be read: ${messageOf(thrown)}`;
    return { outcome: 'bad', message, fix: 'name a private key in PEM that has no passphrase' };
  }
  return {
    outcome: 'bad',
    message: "the key is another certificate's",
    fix: 'name the certificate and the key that were made together',
  };
}

/** The names that a certificate is for, as people write them. */
export function namesIn(certificate: X509Certificate): readonly string[] {
  const { subjectAltName = '' } = certificate;
  return [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,"]+)/g)].map(
    ([, name = '']) => name,
  );
}

/** Subject, issuer and fingerprint in one line. */
export function portraitOf({ subject, issuer, fingerprint256 }: X509Certificate): string {
  const line = (name: string | undefined): string => (name ?? '').replaceAll('\n', ', ');
  return `${line(subject)}; issued by ${line(issuer)}; SHA-256 ${fingerprint256}`;
}
