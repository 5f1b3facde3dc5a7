/**
 * Who may join: evidence judged by the policy in the ledger (node-lifecycle.md §4.4).
 *
 * Reading evidence checks what proves itself and may take time; judging it is a question to the
 * ledger's tables, and is asked in the very transaction that lets the node in.
 */
import type { Evidence } from '../attestation/evidence.ts';
import type { EvidenceClaims } from '../attestation/verdict.ts';
import { readVirtualEvidence } from '../attestation/virtual.ts';
import { equalBytes, hexOf, utf8 } from '../base/bytes.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { DIGEST_BYTES, sha256 } from '../crypto/hash.ts';
import type { ReadView } from '../kv/tables.ts';
import { VIRTUAL_HOST_DATA, VIRTUAL_MEASUREMENTS } from './tables.ts';

export type JoinFault =
  | 'QuoteUnverifiable'
  | 'ReportDataMismatch'
  | 'UnknownMeasurement'
  | 'UntrustedHostData';

export type JoinVerdict =
  | {
      readonly admitted: true;
      /** `code_digest` of the node's row: the measurement in hexadecimal. */
      readonly codeDigest: string;
    }
  | { readonly admitted: false; readonly fault: JoinFault; readonly message: string };

/** Checks evidence as far as it proves itself. Rejects with `BadEvidence`. */
export type EvidenceReader = (evidence: Evidence) => Promise<EvidenceClaims>;

/** Reads the evidence of the platforms that are known here. */
export const readEvidence: EvidenceReader = async (evidence) => {
  if (evidence.format === 'Insecure_Virtual') return readVirtualEvidence(evidence);
  const message = `evidence of the format ${evidence.format} cannot be verified by this version`;
  throw new CodedError('BadEvidence', message, { format: evidence.format });
};

/** Judges what evidence claims, in the order of the contract. */
export function judgeJoin(
  claims: EvidenceClaims,
  publicKeyDer: Uint8Array,
  view: ReadView,
): JoinVerdict {
  const bound = claims.reportData.subarray(0, DIGEST_BYTES);
  if (!equalBytes(bound, sha256(publicKeyDer))) {
    return refused(
      'ReportDataMismatch',
      `Quote report data does not contain node's public key hash: it binds ${hexOf(bound)}`,
    );
  }
  const { measurements, hostData } = tablesOf(claims);
  if (!view.table(measurements).has(utf8(claims.measurement))) {
    return refused(
      'UnknownMeasurement',
      `Quote does not contain known enclave measurement: ${claims.measurement} is not in ` +
        measurements,
    );
  }
  if (!view.table(hostData).has(utf8(claims.hostData))) {
    return refused(
      'UntrustedHostData',
      `Quote host data is not authorised: ${claims.hostData} is not in ${hostData}`,
    );
  }
  return { admitted: true, codeDigest: hexOf(utf8(claims.measurement)) };
}

/** Both steps at once. */
export async function verifyJoinEvidence(
  evidence: Evidence,
  publicKeyDer: Uint8Array,
  view: ReadView,
  read: EvidenceReader = readEvidence,
): Promise<JoinVerdict> {
  try {
    return judgeJoin(await read(evidence), publicKeyDer, view);
  } catch (thrown) {
    return unverifiable(thrown);
  }
}

/** The verdict on evidence that could not be read; anything else that was thrown goes on. */
export function unverifiable(thrown: unknown): JoinVerdict {
  if (!isCoded(thrown, 'BadEvidence')) throw thrown;
  return refused('QuoteUnverifiable', `Quote could not be verified: ${thrown.message}`);
}

function tablesOf({ platform }: EvidenceClaims): { measurements: string; hostData: string } {
  if (platform === 'virtual') {
    return { measurements: VIRTUAL_MEASUREMENTS, hostData: VIRTUAL_HOST_DATA };
  }
  throw new CodedError('BadEvidence', `the platform ${platform} has no join policy here`);
}

function refused(fault: JoinFault, message: string): JoinVerdict {
  return { admitted: false, fault, message };
}
