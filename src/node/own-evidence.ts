/**
 * A node's own evidence: obtained at each start, bound to the node's key, and judged here first by
 * what every join policy asks. Evidence that nobody will believe is better known before it is sent.
 */
import type { Evidence, PlatformName } from '../attestation/evidence.ts';
import { judgeEvidence } from '../attestation/judge.ts';
import type { AmdRoots } from '../attestation/judging.ts';
import type { EvidencePolicy } from '../attestation/policy.ts';
import type { EvidenceSource } from '../attestation/sources/source.ts';
import { virtualSource } from '../attestation/sources/virtual-source.ts';
import type { EvidenceClaims } from '../attestation/verdict.ts';
import { hexOf, utf8 } from '../base/bytes.ts';
import type { Clock } from '../base/environment.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { sha256 } from '../crypto/hash.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import {
  type JoinFault,
  type JoinJudge,
  joinVerdict,
  type RefusedJoin,
} from '../governance/join-policy.ts';
import type { NodeInfoRow } from '../governance/nodes.ts';
import type { NodeLog } from './node-options.ts';

export interface OwnEvidence {
  readonly evidence: Evidence;
  readonly claims: EvidenceClaims;
  /** Of the node's row: the measurement in hexadecimal. */
  readonly codeDigest: string;
  readonly hostPolicy?: string;
}

/** What a node's row says of its evidence. */
export type ShownEvidence = Pick<OwnEvidence, 'evidence' | 'codeDigest'>;

export interface EvidenceDependencies {
  readonly clock: Clock;
  readonly verifier?: Verifier;
  /** Where this node's evidence comes from; the virtual platform unless told otherwise. */
  readonly evidenceSource?: EvidenceSource;
  /** AMD's roots; those of AMD unless a test has its own. */
  readonly amdRoots?: AmdRoots;
  /** Gives AMD's revocation lists, in DER, as they are now; none are looked at without it. */
  readonly revocationLists?: () => Promise<readonly Uint8Array[]>;
}

/** Judges evidence by a policy as of now. */
export function nodeJudge({
  clock,
  verifier = nodeVerifier,
  amdRoots,
  revocationLists,
}: EvidenceDependencies): JoinJudge {
  const dependencies = { verifier, ...(amdRoots === undefined ? {} : { roots: amdRoots }) };
  return async (evidence, policy) => {
    const crls = (await revocationLists?.()) ?? [];
    return await judgeEvidence(evidence, policy, { ...dependencies, crls }, clock.nowMs());
  };
}

/** The platform that this node proves itself by. */
export function platformOf({ evidenceSource }: EvidenceDependencies): PlatformName {
  return evidenceSource?.platform ?? 'virtual';
}

/**
 * Evidence for a node's key (SPKI, DER). Rejects with `EvidenceUnavailable`, `NoEndorsements` or
 * `OwnEvidenceRefused`.
 */
export async function ownEvidence(
  publicKeyDer: Uint8Array,
  dependencies: EvidenceDependencies,
): Promise<OwnEvidence> {
  const source = dependencies.evidenceSource ?? virtualSource();
  const binding = sha256(publicKeyDer);
  const evidence = await source.evidenceFor(binding, publicKeyDer);
  const policy = { ...LEAST_POLICIES[source.platform], binding };
  const { accepted, refusal, claims } = await nodeJudge(dependencies)(evidence, policy);
  if (!accepted || claims === undefined) {
    const { code = 'Refused', message = 'it could not be read' } = refusal ?? {};
    throw new CodedError(
      'OwnEvidenceRefused',
      `this machine's evidence from ${source.name} would convince nobody: ${code}: ${message}`,
      { source: source.name, reason: code },
    );
  }
  const hostPolicy = await source.hostPolicy?.();
  return {
    evidence,
    claims,
    codeDigest:
      claims.platform === 'virtual' ? hexOf(utf8(claims.measurement)) : claims.measurement,
    ...(hostPolicy === undefined ? {} : { hostPolicy }),
  };
}

/**
 * Evidence at a restart. The ledger holds what this node showed when it was let in; that serves
 * when nothing newer can be had, as a certificate service that is down must not keep a node down.
 * Rejects with `CodeNotAllowed` for code that the members no longer let in (node-lifecycle.md §10):
 * a node that was trusted once must not bring it back.
 */
export async function evidenceAtRestart(
  publicKeyDer: Uint8Array,
  state: { readonly row: NodeInfoRow | undefined; readonly policy: EvidencePolicy },
  dependencies: EvidenceDependencies & { readonly log: NodeLog },
): Promise<ShownEvidence> {
  const { row, policy } = state;
  const shown = await freshOrLedgers(publicKeyDer, row, dependencies);
  // A node that has left says so itself; one that the ledger does not name yet was just let in.
  if (row?.status !== 'Trusted') return shown;
  const verdict = joinVerdict(await nodeJudge(dependencies)(shown.evidence, policy));
  if (verdict.admitted) return shown;
  if (isAboutCode(verdict)) throw codeNotAllowed(verdict);
  // It is trusted until members remove it; but they should know before clients do.
  dependencies.log.warn(`as it is now, this node would not be let in: ${verdict.message}`);
  return shown;
}

async function freshOrLedgers(
  publicKeyDer: Uint8Array,
  row: NodeInfoRow | undefined,
  dependencies: EvidenceDependencies & { readonly log: NodeLog },
): Promise<ShownEvidence> {
  try {
    return await ownEvidence(publicKeyDer, dependencies);
  } catch (thrown) {
    const { quote_info: evidence, code_digest: codeDigest } = row ?? {};
    if (!isCoded(thrown) || evidence === undefined || codeDigest === undefined) throw thrown;
    dependencies.log.warn(
      `no fresh evidence, so that of the ledger is shown: ${thrown.message}`,
    );
    return { evidence, codeDigest };
  }
}

/** Faults of the code itself. Those of firmware or certificates may pass, and only warn. */
const CODE_FAULTS: readonly JoinFault[] = [
  'UnknownMeasurement',
  'UntrustedUvmEndorsements',
  'UntrustedHostData',
];

function isAboutCode({ fault, reason }: RefusedJoin): boolean {
  return CODE_FAULTS.includes(fault) || reason === 'PlatformNotAccepted';
}

function codeNotAllowed({ fault, message }: RefusedJoin): CodedError {
  return new CodedError(
    'CodeNotAllowed',
    `this node runs code that its service does not let in: ${message}. Run what the members ` +
      'allow; a node that ran other code before joins anew, with an empty folder',
    { fault },
  );
}

/** What every join policy asks: a founder whom its own service would not let in stays alone. */
const LEAST_POLICIES: Readonly<Record<PlatformName, EvidencePolicy>> = {
  virtual: { platforms: { virtual: {} } },
  snp: { platforms: { snp: {} } },
  'azure-cvm': { platforms: { 'azure-cvm': { report: {} } } },
};
