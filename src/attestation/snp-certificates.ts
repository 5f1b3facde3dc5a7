/**
 * The chain from a report's key to AMD (attestation-snp.md §3, §4): exactly leaf, intermediate and
 * root, the root pinned, every signature RSASSA-PSS as AMD makes it. Revocation is apart
 * (`revocation.ts`), and so is what the leaf says of the chip (`snp-leaf.ts`).
 */
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { sameBytes, toHex } from '../base/portable-bytes.ts';
import { certificatesOfPem } from '../crypto/pem-certificates.ts';
import { readPublicKey } from '../crypto/public-key.ts';
import { type Certificate, parseCertificate } from '../crypto/x509.ts';
import {
  mayBeUsedFor,
  OID_BASIC_CONSTRAINTS,
  OID_KEY_USAGE,
  pathLengthMax,
  unknownCritical,
} from '../crypto/x509-extensions.ts';
import { commonName } from '../crypto/x509-names.ts';
import { isSignedBy, signatureAlgorithmOf } from '../crypto/x509-signature.ts';
import { AMD_ROOTS } from './amd-roots.ts';
import type { CheckList } from './check-list.ts';
import type { AmdRoots, JudgeDependencies } from './judging.ts';
import { type RefusalCode, refusal } from './refusals.ts';
import type { LeafKind } from './snp-leaf.ts';
import { productOfIssuer, SNP_PRODUCTS, type SnpProduct } from './snp-product.ts';

export interface AmdChain {
  readonly leaf: Certificate;
  readonly intermediate: Certificate;
  readonly root: Certificate;
}

/** What the names in a chain say. */
export interface ChainNames {
  readonly kind: LeafKind;
  readonly product: SnpProduct;
}

export const CHAIN_CHECKS = [
  'chain order',
  'chain names',
  'AMD root',
  'certificate algorithms',
  'certificate signatures',
  'certificate roles',
  'leaf key',
  'leaf validity',
  'intermediate validity',
  'root validity',
] as const;

/** Reads the chain of a text; throws a coded error whose code is the reason to refuse it. */
export function readChain(pem: string): AmdChain {
  let ders: readonly Uint8Array[];
  try {
    ders = certificatesOfPem(pem);
  } catch (thrown) {
    if (isCoded(thrown)) throw bad('EndorsementsUnreadable', messageOf(thrown));
    throw thrown;
  }
  const [leaf, intermediate, root, ...more] = ders;
  if (
    leaf === undefined ||
    intermediate === undefined ||
    root === undefined ||
    more.length > 0
  ) {
    throw bad('EndorsementCount', `these are ${ders.length}`);
  }
  return {
    leaf: readCertificate(leaf, 'leaf'),
    intermediate: readCertificate(intermediate, 'intermediate'),
    root: readCertificate(root, 'root'),
  };
}

function readCertificate(der: Uint8Array, which: string): Certificate {
  try {
    return parseCertificate(der);
  } catch (thrown) {
    if (isCoded(thrown)) throw bad('CertificateUnreadable', `${which}: ${messageOf(thrown)}`);
    throw thrown;
  }
}

/**
 * Judges everything about a chain that was read. The product is the report's, where the report says
 * one; else the chain's own names say it, which the pinned root then confirms.
 */
export async function judgeChain(
  list: CheckList,
  chain: AmdChain,
  reported: SnpProduct | undefined,
  { verifier, roots = AMD_ROOTS }: JudgeDependencies,
  atMs: number,
): Promise<ChainNames | undefined> {
  const names = judgeNames(list, chain);
  const digest = toHex(await verifier.hash('SHA-256', chain.root.der));
  judgeRoot(list, digest, reported ?? names?.product, roots);
  judgeAlgorithms(list, chain);
  await judgeSignatures(list, chain, verifier);
  judgeRoles(list, chain);
  judgeLeafKey(list, chain.leaf);
  judgeValidity(list, chain, atMs);
  return names;
}

function judgeNames(list: CheckList, chain: AmdChain): ChainNames | undefined {
  const { leaf, intermediate, root } = chain;
  const inOrder =
    sameBytes(leaf.issuer, intermediate.subject) &&
    sameBytes(intermediate.issuer, root.subject) &&
    sameBytes(root.issuer, root.subject);
  list.expect(
    'chain order',
    inOrder,
    'each certificate names the next as its issuer, and the root itself',
    refusal('ChainOrder'),
  );
  const found = [leaf, intermediate, root].map(({ subject }) => readableName(subject));
  const names = namesOf(found);
  list.expect(
    'chain names',
    names !== undefined,
    'the names are those of AMD for one kind of key of one product',
    refusal('ChainNames'),
    { leaf: found[0] ?? '', intermediate: found[1] ?? '', root: found[2] ?? '' },
  );
  return names;
}

function namesOf([leaf, intermediate = '', root]: readonly string[]): ChainNames | undefined {
  const product = productOfIssuer(intermediate);
  if (product === undefined || root !== `ARK-${product}`) return undefined;
  if (leaf === 'SEV-VCEK' && intermediate === `SEV-${product}`)
    return { kind: 'VCEK', product };
  if (leaf === 'SEV-VLEK' && intermediate === `SEV-VLEK-${product}`) {
    return { kind: 'VLEK', product };
  }
  return undefined;
}

function readableName(name: Uint8Array): string {
  try {
    return commonName(name) ?? '';
  } catch (thrown) {
    if (isCoded(thrown, 'BadDer')) return '';
    throw thrown;
  }
}

function judgeRoot(
  list: CheckList,
  digest: string,
  product: SnpProduct | undefined,
  roots: AmdRoots,
): void {
  const pinnedFor = SNP_PRODUCTS.find((name) => roots[name]?.includes(digest) === true);
  const code = pinnedFor === undefined ? 'RootNotPinned' : 'RootOfOtherProduct';
  list.expect(
    'AMD root',
    pinnedFor !== undefined && pinnedFor === product,
    `the root is the one of AMD for ${product ?? 'its product'}`,
    refusal(code),
    { sha256: digest, product: product ?? 'unknown', pinnedFor: pinnedFor ?? 'none' },
  );
}

function each({ leaf, intermediate, root }: AmdChain): readonly [string, Certificate][] {
  return [
    ['leaf', leaf],
    ['intermediate', intermediate],
    ['root', root],
  ];
}

/** AMD signs in one way only: PSS, SHA-384, a salt of 48 bytes (RFC 4055). */
function judgeAlgorithms(list: CheckList, chain: AmdChain): void {
  const others = each(chain).filter(([, certificate]) => {
    const algorithm = signatureAlgorithmOf(certificate);
    if (algorithm?.scheme !== 'rsa-pss') return true;
    return algorithm.hash !== 'SHA-384' || algorithm.saltLength !== 48;
  });
  list.expect(
    'certificate algorithms',
    others.length === 0,
    'each certificate is signed by RSASSA-PSS with SHA-384 and a salt of 48 bytes',
    refusal('CertificateAlgorithm', others.map(([name]) => name).join(', ')),
    Object.fromEntries(
      others.map(([name, { signatureAlgorithm }]) => [name, signatureAlgorithm]),
    ),
  );
}

async function judgeSignatures(
  list: CheckList,
  { leaf, intermediate, root }: AmdChain,
  verifier: JudgeDependencies['verifier'],
): Promise<void> {
  const links: readonly [RefusalCode, Certificate, Certificate][] = [
    ['RootSignature', root, root],
    ['IntermediateSignature', intermediate, root],
    ['LeafSignature', leaf, intermediate],
  ];
  let broken: RefusalCode | undefined;
  for (const [code, certificate, issuer] of links) {
    if (!(await isSignedBy(certificate, issuer.publicKeyDer, verifier))) broken ??= code;
  }
  list.expect(
    'certificate signatures',
    broken === undefined,
    'the root signed itself and the intermediate, and that the leaf',
    refusal(broken ?? 'LeafSignature'),
  );
}

const KNOWN_CRITICAL = [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE];

function judgeRoles(list: CheckList, chain: AmdChain): void {
  const critical = each(chain).flatMap(([name, certificate]) =>
    unknownCritical(certificate, KNOWN_CRITICAL).map((oid) => `${name} has ${oid}`),
  );
  if (critical.length > 0) {
    list.fail('certificate roles', refusal('CriticalExtension', critical.join(', ')));
    return;
  }
  let fault: string | undefined;
  try {
    fault = roleFault(chain);
  } catch (thrown) {
    if (!isCoded(thrown, 'BadDer')) throw thrown;
    fault = messageOf(thrown);
  }
  list.expect(
    'certificate roles',
    fault === undefined,
    'root and intermediate may sign certificates, the leaf may not',
    refusal('CertificateRole', fault),
  );
}

function roleFault({ leaf, intermediate, root }: AmdChain): string | undefined {
  if (!root.isAuthority || !mayBeUsedFor(root, 'keyCertSign'))
    return 'the root is no authority';
  if (!intermediate.isAuthority || !mayBeUsedFor(intermediate, 'keyCertSign')) {
    return 'the intermediate is no authority';
  }
  if (leaf.isAuthority) return 'the leaf is an authority';
  // One authority stands between the root and the leaf.
  return (pathLengthMax(root) ?? 1) < 1 ? 'the root allows no intermediate' : undefined;
}

function judgeLeafKey(list: CheckList, leaf: Certificate): void {
  let found = 'none';
  try {
    const key = readPublicKey(leaf.publicKeyDer);
    found = key.kind === 'ec' ? key.curve : `RSA of ${key.bits} bits`;
  } catch (thrown) {
    if (!isCoded(thrown)) throw thrown;
    found = messageOf(thrown);
  }
  list.expect('leaf key', found === 'P-384', 'the key is on P-384', refusal('LeafKey', found), {
    key: found,
  });
}

const VALIDITY: Readonly<Record<string, readonly [early: RefusalCode, late: RefusalCode]>> = {
  leaf: ['LeafNotYetValid', 'LeafExpired'],
  intermediate: ['IntermediateNotYetValid', 'IntermediateExpired'],
  root: ['RootNotYetValid', 'RootExpired'],
};

function judgeValidity(list: CheckList, chain: AmdChain, atMs: number): void {
  for (const [name, { notBeforeMs, notAfterMs }] of each(chain)) {
    const [early, late] = VALIDITY[name] ?? ['RootNotYetValid', 'RootExpired'];
    list.expect(
      `${name} validity`,
      notBeforeMs <= atMs && atMs <= notAfterMs,
      `the ${name} was valid at the time of judgement`,
      refusal(atMs < notBeforeMs ? early : late),
      { from: isoTime(notBeforeMs), until: isoTime(notAfterMs), at: isoTime(atMs) },
    );
  }
}

/** A time for people; certificates can hold ones that no calendar has. */
export function isoTime(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15
    ? new Date(ms).toISOString()
    : `${ms} ms`;
}

function bad(code: RefusalCode, detail: string): CodedError<RefusalCode> {
  return new CodedError(code, refusal(code, detail).message);
}
