/**
 * The certificate that a client presented: to this node in its TLS handshake, or to a backup that
 * forwards the client's request with it (design decision 6).
 */
import type { TLSSocket } from 'node:tls';
import { utf8 } from '../base/bytes.ts';
import { certificateOfDer } from '../crypto/certificates.ts';
import { sha256Hex } from '../crypto/hash.ts';

/** Computed once per session. */
export interface ClientCertificate {
  /** Lowercase hex SHA-256 of the certificate (DER). */
  readonly id: string;
  /** The id as a table key. */
  readonly key: Uint8Array;
  readonly der: Uint8Array;
  readonly pem: string;
  /** Seconds since 1970. */
  readonly validFrom: number;
  readonly validTo: number;
}

/** A certificate's id in the form in which tables are keyed by it. */
export function certificateKey(id: string): Uint8Array {
  return utf8(id);
}

/** What the other side of a connection presented, if anything. */
export function presentedCertificate(socket: TLSSocket): ClientCertificate | undefined {
  const x509 = socket.getPeerX509Certificate();
  return x509 === undefined ? undefined : described(x509);
}

function described(x509: ReturnType<typeof certificateOfDer>): ClientCertificate {
  const id = x509.fingerprint256.replaceAll(':', '').toLowerCase();
  return {
    id,
    key: certificateKey(id),
    der: x509.raw,
    pem: x509.toString(),
    validFrom: Math.floor(x509.validFromDate.getTime() / 1000),
    validTo: Math.floor(x509.validToDate.getTime() / 1000),
  };
}

/**
 * Certificates that came with forwarded requests. Reading one takes longer than many a request, so
 * those last seen are kept.
 */
export class CertificateCache {
  readonly #countMax: number;
  /** By id, the one seen longest ago first. */
  readonly #known = new Map<string, ClientCertificate>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#known.size;
  }

  /** Throws a coded error `BadCertificate` for bytes that are none. */
  read(der: Uint8Array): ClientCertificate {
    const id = sha256Hex(der);
    const certificate = this.#known.get(id) ?? described(certificateOfDer(der));
    this.#known.delete(id);
    this.#known.set(id, certificate);
    if (this.#known.size > this.#countMax) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    return certificate;
  }
}
