/** A certificate with its key, as members and users have them. */
import { selfSignedCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';

export interface GovIdentity {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export async function generateIdentity(subject: string): Promise<GovIdentity> {
  const key = SigningKey.generate('P-384');
  const validity = { fromMs: Date.now() - 3_600_000, days: 30 };
  const certificatePem = await selfSignedCertificate(key, subject, validity);
  return { certificatePem, privateKeyPem: key.privateKeyPem() };
}
