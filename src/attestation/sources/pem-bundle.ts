/** Several certificates in one PEM text (RFC 7468), as services of certificates hand them out. */
import { CodedError } from '../../base/errors.ts';
import { bytesOfPem, pemOf } from '../../crypto/pem.ts';

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** DER of each certificate of a bundle, in its order. Throws `BadPem`. */
export function certificatesIn(pem: string): readonly Uint8Array[] {
  return (pem.match(BLOCK) ?? []).map((block) => {
    const der = bytesOfPem('CERTIFICATE', block);
    if (der === undefined) throw new CodedError('BadPem', 'a certificate is not base64');
    return der;
  });
}

export function bundleOf(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => pemOf('CERTIFICATE', der)).join('');
}
