/**
 * TLS as the contract has it (http-api.md §9): versions 1.2 and 1.3, ECDHE with AES-GCM only, the
 * three NIST curves, HTTP/1.1. A client certificate is asked for and never refused here: whether
 * it is needed, known or expired is decided per endpoint.
 */
import type { SecureContextOptions, TlsOptions } from 'node:tls';

/** A certificate with its private key, both PEM. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
}

const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');

/** What changes when the certificate is renewed: all of it is set again then. */
export function secureContextOf(identity: TlsIdentity): SecureContextOptions {
  return {
    key: identity.key,
    cert: identity.cert,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ecdhCurve: 'P-521:P-384:P-256',
    honorCipherOrder: true,
  };
}

export function tlsServerOptions(identity: TlsIdentity, handshakeMsMax: number): TlsOptions {
  return {
    ...secureContextOf(identity),
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: handshakeMsMax,
  };
}
