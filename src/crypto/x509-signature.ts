/**
 * Signatures in certificates and revocation lists: algorithms with their parameters, checked
 * (RFC 3279, RFC 4055, RFC 5758). Runs in a browser.
 */
import { isCoded } from '../base/errors.ts';
import { DER_INTEGER, DER_OID, DerReader, oidText } from './der.ts';
import { readPublicKey } from './public-key.ts';
import type { HashName, Verifier } from './verifier.ts';
import type { Certificate } from './x509.ts';
import { smallInteger } from './x509-extensions.ts';

export type SignatureAlgorithm =
  | { readonly scheme: 'ecdsa' | 'rsa-pkcs1'; readonly hash: HashName }
  | { readonly scheme: 'rsa-pss'; readonly hash: HashName; readonly saltLength: number };

/** The signed thing, as certificates and revocation lists hold it. */
export type Signed = Pick<
  Certificate,
  'signedPart' | 'signatureAlgorithm' | 'signatureParameters' | 'signature'
>;

const OID_PSS = '1.2.840.113549.1.1.10';
const OID_MGF1 = '1.2.840.113549.1.1.8';
const HASHES: Readonly<Record<string, HashName>> = {
  '2.16.840.1.101.3.4.2.1': 'SHA-256',
  '2.16.840.1.101.3.4.2.2': 'SHA-384',
  '2.16.840.1.101.3.4.2.3': 'SHA-512',
};
const PLAIN: Readonly<Record<string, SignatureAlgorithm>> = {
  '1.2.840.10045.4.3.2': { scheme: 'ecdsa', hash: 'SHA-256' },
  '1.2.840.10045.4.3.3': { scheme: 'ecdsa', hash: 'SHA-384' },
  '1.2.840.10045.4.3.4': { scheme: 'ecdsa', hash: 'SHA-512' },
  '1.2.840.113549.1.1.11': { scheme: 'rsa-pkcs1', hash: 'SHA-256' },
  '1.2.840.113549.1.1.12': { scheme: 'rsa-pkcs1', hash: 'SHA-384' },
  '1.2.840.113549.1.1.13': { scheme: 'rsa-pkcs1', hash: 'SHA-512' },
};
const DER_NULL = 0x05;

/** The algorithm, or undefined if it is none that is accepted here, or its parameters are not. */
export function signatureAlgorithmOf(signed: Signed): SignatureAlgorithm | undefined {
  const { signatureAlgorithm: oid, signatureParameters: parameters } = signed;
  if (oid === OID_PSS) return parameters && pssAlgorithm(parameters);
  const plain = PLAIN[oid];
  if (plain === undefined) return undefined;
  // RFC 4055 §5: RSA has NULL there; RFC 5758 §3.2: ECDSA has nothing.
  const isNull = parameters?.length === 2 && parameters[0] === DER_NULL && parameters[1] === 0;
  const fits = plain.scheme === 'ecdsa' ? parameters === undefined : isNull;
  return fits ? plain : undefined;
}

/** RSASSA-PSS-params (RFC 4055 §3.1): one hash for both uses, nothing left to a default. */
function pssAlgorithm(parameters: Uint8Array): SignatureAlgorithm | undefined {
  try {
    const fields = new DerReader(parameters).enter();
    const hash = hashIn(fields.enter(0xa0).enter());
    const mask = fields.enter(0xa1).enter();
    if (oidText(mask.expect(DER_OID).content) !== OID_MGF1) return undefined;
    const maskHash = hashIn(mask.enter());
    const saltLength = smallInteger(fields.enter(0xa2).expect(DER_INTEGER).content);
    // AMD's own roots write the trailer's default out, against DER's rule.
    if (!fields.done && smallInteger(fields.enter(0xa3).expect(DER_INTEGER).content) !== 1) {
      return undefined;
    }
    fields.end();
    if (hash === undefined || hash !== maskHash) return undefined;
    return { scheme: 'rsa-pss', hash, saltLength };
  } catch (thrown) {
    if (isCoded(thrown, 'BadDer')) return undefined;
    throw thrown;
  }
}

function hashIn(algorithm: DerReader): HashName | undefined {
  return HASHES[oidText(algorithm.expect(DER_OID).content)];
}

/**
 * Whether this key made the signature. A key that cannot be used, or is of another kind than the
 * algorithm, made none.
 */
export async function isSignedBy(
  signed: Signed,
  publicKeyDer: Uint8Array,
  verifier: Verifier,
): Promise<boolean> {
  const algorithm = signatureAlgorithmOf(signed);
  if (algorithm === undefined) return false;
  const { hash } = algorithm;
  const check = { publicKeyDer, signature: signed.signature, hash, message: signed.signedPart };
  try {
    const { kind } = readPublicKey(publicKeyDer);
    if (kind !== (algorithm.scheme === 'ecdsa' ? 'ec' : 'rsa')) return false;
    switch (algorithm.scheme) {
      case 'ecdsa':
        return await verifier.ecdsa({ ...check, encoding: 'der' });
      case 'rsa-pkcs1':
        return await verifier.rsaPkcs1(check);
      case 'rsa-pss':
        return await verifier.rsaPss({ ...check, saltLength: algorithm.saltLength });
    }
  } catch (thrown) {
    if (isCoded(thrown, 'BadKey')) return false;
    throw thrown;
  }
}
