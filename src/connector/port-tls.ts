/**
 * TLS on a connector's ports, as Tessera's `tls: STRICT` and GoQuorum's `--ptm.tls.*` have it: the
 * connector shows a certificate, and with authorities for clients lets in only who shows one of
 * theirs. Such a certificate is a credential like the socket, so only then a port may be open to
 * other machines.
 */
import type { ServerOptions } from 'node:https';
import { createSecureContext } from 'node:tls';
import { CodedError, messageOf } from '../base/errors.ts';
import { isFor, isKeyOf, openCertificate } from '../crypto/shown-certificate.ts';

export interface PortTls {
  /** PEM; those between it and its authority may follow it. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  /** PEM of the authorities whose certificates let a client in; without them anybody may ask. */
  readonly clientAuthorities?: string;
}

/** Options of an HTTPS server; throws `BadPortTls` for files that do not belong together. */
export function serverTls(tls: PortTls): ServerOptions {
  const { certificate, key, clientAuthorities } = tls;
  const options: ServerOptions = {
    cert: certificate,
    key,
    minVersion: 'TLSv1.2',
    ...(clientAuthorities === undefined
      ? {}
      : { ca: clientAuthorities, requestCert: true, rejectUnauthorized: true }),
  };
  try {
    // Node takes a key that is another certificate's, and fails at every handshake instead.
    if (!isKeyOf(openCertificate(certificate), key)) {
      throw new Error('the key is not that of the certificate');
    }
    createSecureContext(options);
  } catch (thrown) {
    throw new CodedError(
      'BadPortTls',
      `TLS cannot be served with these files: ${messageOf(thrown)}`,
      {},
      { cause: thrown },
    );
  }
  return options;
}

/** Refuses a certificate for the service whose key is another one's: `BadIdentity`. */
export function requireIdentity({
  certificate,
  key,
}: {
  readonly certificate?: string;
  readonly key?: string;
}): void {
  if (certificate === undefined || key === undefined) return;
  let why = 'the key is not that of the certificate';
  try {
    if (isKeyOf(openCertificate(certificate), key)) return;
  } catch (thrown) {
    why = messageOf(thrown);
  }
  throw new CodedError('BadIdentity', `the service cannot be shown these files: ${why}`);
}

/** Whether a certificate names a host or an address: then requests may be addressed to it. */
export function namedBy(certificatePem: string): (name: string) => boolean {
  const certificate = openCertificate(certificatePem);
  return (name) => isFor(certificate, name);
}
