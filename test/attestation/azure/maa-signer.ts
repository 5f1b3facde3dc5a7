// Signs tokens as Microsoft Azure Attestation does, and as it never would.

import { createHash, type KeyObject, sign } from 'node:crypto';
import {
  AT_MS,
  type CertificateSpec,
  type KeyPair,
  makeCertificate,
  rsaKeys,
} from '../fake-certificates.ts';

export type Json = Readonly<Record<string, unknown>>;

export const ISSUER = 'https://sharedtest.tst.attest.azure.net';
export const AT_S: number = AT_MS / 1000;

export interface SignerOptions {
  readonly issuer?: string;
  readonly keys?: KeyPair;
  readonly certificate?: Partial<CertificateSpec>;
}

export class MaaSigner {
  readonly issuer: string;
  readonly keys: KeyPair;
  readonly certificate: Uint8Array;
  /** Standard base64: with `=`, and often with `/`. */
  readonly kid: string;

  constructor(options: SignerOptions = {}) {
    this.issuer = options.issuer ?? ISSUER;
    this.keys = options.keys ?? rsaKeys();
    this.certificate = makeCertificate({
      subject: this.issuer,
      issuer: this.issuer,
      signer: this.keys.privateKey,
      publicKey: this.keys.publicKey,
      scheme: { scheme: 'pkcs1', hash: 256 },
      ...options.certificate,
    });
    this.kid = createHash('sha256').update(this.certificate).digest('base64');
  }

  get x5c(): readonly string[] {
    return [Buffer.from(this.certificate).toString('base64')];
  }

  /** What `/certs` answers. */
  jwks(): { readonly keys: readonly Json[] } {
    return { keys: [{ kid: this.kid, kty: 'RSA', alg: 'RS256', use: 'sig', x5c: this.x5c }] };
  }

  token(claims: Json, header: Json = {}): string {
    const full = { alg: 'RS256', jku: `${this.issuer}/certs`, kid: this.kid, typ: 'JWT' };
    return signedToken({ ...full, ...header }, claims, this.keys.privateKey);
  }
}

/** Without a key, the signature is left empty. */
export function signedToken(header: Json, claims: Json | string, key?: KeyObject): string {
  const text = typeof claims === 'string' ? claims : JSON.stringify(claims);
  const signed = `${base64Url(JSON.stringify(header))}.${base64Url(text)}`;
  const signature = key === undefined ? '' : sign('sha256', Buffer.from(signed), key);
  return `${signed}.${signature.toString('base64url')}`;
}

export function base64Url(text: string | Uint8Array): string {
  return Buffer.from(text).toString('base64url');
}

const TEE: Json = {
  'x-ms-attestation-type': 'sevsnpvm',
  'x-ms-sevsnpvm-authorkeydigest': '00'.repeat(48),
  'x-ms-sevsnpvm-bootloader-svn': 4,
  'x-ms-sevsnpvm-familyId': `01${'00'.repeat(15)}`,
  'x-ms-sevsnpvm-guestsvn': 2,
  'x-ms-sevsnpvm-idkeydigest': '11'.repeat(48),
  'x-ms-sevsnpvm-imageId': `02${'00'.repeat(15)}`,
  'x-ms-sevsnpvm-is-debuggable': false,
  'x-ms-sevsnpvm-microcode-svn': 219,
  'x-ms-sevsnpvm-migration-allowed': false,
  'x-ms-sevsnpvm-reportid': '22'.repeat(32),
  'x-ms-sevsnpvm-smt-allowed': true,
  'x-ms-sevsnpvm-snpfw-svn': 24,
  'x-ms-sevsnpvm-tee-svn': 0,
  'x-ms-sevsnpvm-vmpl': 0,
};

const ENVELOPE: Json = {
  iss: ISSUER,
  iat: AT_S - 60,
  nbf: AT_S - 60,
  exp: AT_S + 8 * 3600,
  jti: 'b7a211191da114a1a674e557257e8244',
  'x-ms-policy-hash': '9NY0VnTQ-IiBriBplVUpFbczcDaEBUwsiFYAzHu_gco',
  'x-ms-ver': '1.0',
};

export const MEASURED = 'aa'.repeat(48);
export const CONTAINER_POLICY = 'bb'.repeat(32);
export const REPORTED = `${'cc'.repeat(32)}${'00'.repeat(32)}`;

/** A container's claims. */
export function containerClaims(more: Json = {}): Json {
  return {
    ...ENVELOPE,
    ...TEE,
    'x-ms-compliance-status': 'azure-compliant-uvm',
    'x-ms-sevsnpvm-launchmeasurement': MEASURED,
    'x-ms-sevsnpvm-hostdata': CONTAINER_POLICY,
    'x-ms-sevsnpvm-reportdata': REPORTED,
    ...more,
  };
}

/** A confidential VM's: `more` at the top, `tee` in what the hardware vouches for. */
export function vmClaims(more: Json = {}, tee: Json = {}): Json {
  return {
    ...ENVELOPE,
    'x-ms-attestation-type': 'azurevm',
    secureboot: true,
    'x-ms-azurevm-attested-pcrs': [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13],
    'x-ms-isolation-tee': {
      ...TEE,
      'x-ms-compliance-status': 'azure-compliant-cvm',
      'x-ms-sevsnpvm-launchmeasurement': MEASURED,
      'x-ms-sevsnpvm-hostdata': '00'.repeat(32),
      'x-ms-sevsnpvm-reportdata': REPORTED,
      ...tee,
    },
    ...more,
  };
}

/** As runtime data carry a key for others to encrypt to. */
export function encryptionJwk(publicKey: KeyObject, kid = 'wrapping'): Json {
  const { n, e } = publicKey.export({ format: 'jwk' });
  return { kty: 'RSA', n, e, kid, key_ops: ['encrypt'] };
}
