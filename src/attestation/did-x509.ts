/**
 * did:x509, version 0 (github.com/microsoft/did-x509, specification.md): an issuer is named by the
 * fingerprint of an authority and by what the leaf below it must say. Of the demands, `eku` and
 * `subject` are known; an issuer that is named by another one is nobody.
 */
import { isCoded, messageOf } from '../base/errors.ts';
import { fromBase64Url, sameBytes } from '../base/portable-bytes.ts';
import type { HashName, Verifier } from '../crypto/verifier.ts';
import type { Certificate } from '../crypto/x509.ts';
import {
  extendedKeyUsages,
  mayBeUsedFor,
  OID_BASIC_CONSTRAINTS,
  OID_EXTENDED_KEY_USAGE,
  OID_KEY_USAGE,
  pathLengthMax,
  unknownCritical,
} from '../crypto/x509-extensions.ts';
import { type NameAttribute, readName } from '../crypto/x509-names.ts';
import { isSignedBy } from '../crypto/x509-signature.ts';

const HASHES: Readonly<Record<string, readonly [HashName, number]>> = {
  sha256: ['SHA-256', 32],
  sha384: ['SHA-384', 48],
  sha512: ['SHA-512', 64],
};

interface IssuerName {
  readonly hash: HashName;
  readonly fingerprint: Uint8Array;
  /** Each: its name, then its values. */
  readonly demands: readonly (readonly string[])[];
}

/** Why the chain is not that of the issuer, or undefined if it is. The chain must be sound. */
export async function issuerFault(
  did: string,
  chain: readonly Certificate[],
  verifier: Verifier,
): Promise<string | undefined> {
  const name = readIssuer(did);
  if (name === undefined) return `${JSON.stringify(did)} is no did:x509 of version 0`;
  const [leaf, ...authorities] = chain;
  if (leaf === undefined) return 'there is no certificate';
  const digests = await Promise.all(
    authorities.map(({ der }) => verifier.hash(name.hash, der)),
  );
  if (!digests.some((digest) => sameBytes(digest, name.fingerprint))) {
    return 'no authority of the chain has the fingerprint';
  }
  try {
    return name.demands
      .map((demand) => demandFault(demand, leaf))
      .find((fault) => fault !== undefined);
  } catch (thrown) {
    if (isCoded(thrown, 'BadDer')) return messageOf(thrown);
    throw thrown;
  }
}

function readIssuer(did: string): IssuerName | undefined {
  const [head = '', ...rest] = did.split('::');
  const [scheme, method, version, hashName = '', text = '', ...more] = head.split(':');
  const known = Object.hasOwn(HASHES, hashName) ? HASHES[hashName] : undefined;
  const fingerprint = fromBase64Url(text);
  if (scheme !== 'did' || method !== 'x509' || version !== '0' || more.length > 0) {
    return undefined;
  }
  if (known === undefined || fingerprint?.length !== known[1] || rest.length === 0) {
    return undefined;
  }
  return { hash: known[0], fingerprint, demands: rest.map((demand) => demand.split(':')) };
}

function demandFault(
  [kind = '', ...values]: readonly string[],
  leaf: Certificate,
): string | undefined {
  switch (kind) {
    case 'eku': {
      const usages = extendedKeyUsages(leaf);
      const [usage = ''] = values;
      const has = values.length === 1 && usages.includes(usage);
      return has ? undefined : `the leaf's usages are ${usages.join(', ')}, not ${usage}`;
    }
    case 'subject':
      return subjectFault(values, readName(leaf.subject));
    default:
      return `the demand ${JSON.stringify(kind)} is not known here`;
  }
}

const ATTRIBUTES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  C: '2.5.4.6',
  STREET: '2.5.4.9',
};

function subjectFault(
  values: readonly string[],
  subject: readonly NameAttribute[],
): string | undefined {
  if (values.length === 0 || values.length % 2 !== 0) return 'the subject is not in pairs';
  for (let i = 0; i < values.length; i += 2) {
    const key = values[i] ?? '';
    const oid = Object.hasOwn(ATTRIBUTES, key) ? ATTRIBUTES[key] : key;
    const text = percentDecoded(values[i + 1] ?? '');
    if (!subject.some((attribute) => attribute.oid === oid && attribute.text === text)) {
      return `the leaf's subject has no ${key} ${JSON.stringify(text)}`;
    }
  }
  return undefined;
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

const KNOWN_CRITICAL = [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, OID_EXTENDED_KEY_USAGE];

/**
 * Why the certificates, leaf first, do not vouch for one another, or undefined if they do. Time is
 * left out: the leaves live for a year, what they signed lives longer (attestation-snp.md §5).
 */
export async function chainFault(
  chain: readonly Certificate[],
  verifier: Verifier,
): Promise<string | undefined> {
  if (chain.length < 2) return 'there is no authority in the chain';
  for (const [at, certificate] of chain.entries()) {
    const critical = unknownCritical(certificate, KNOWN_CRITICAL);
    if (critical.length > 0) return `critical extension ${critical.join(', ')} is not known`;
    const issuer = chain[at + 1];
    if (issuer === undefined) continue;
    const fault = linkFault(certificate, issuer, at);
    if (fault !== undefined) return `certificate ${at + 1}: ${fault}`;
    if (!(await isSignedBy(certificate, issuer.publicKeyDer, verifier))) {
      return `certificate ${at + 1} is not signed by the next`;
    }
  }
  return undefined;
}

/** `below`: how many authorities stand between the issuer and the leaf. */
function linkFault(
  certificate: Certificate,
  issuer: Certificate,
  below: number,
): string | undefined {
  if (!sameBytes(certificate.issuer, issuer.subject)) return 'the next is not its issuer';
  if (!issuer.isAuthority || !mayBeUsedFor(issuer, 'keyCertSign')) {
    return 'its issuer is no authority';
  }
  try {
    return (pathLengthMax(issuer) ?? below) < below ? 'the chain is too long' : undefined;
  } catch (thrown) {
    if (isCoded(thrown, 'BadDer')) return messageOf(thrown);
    throw thrown;
  }
}
