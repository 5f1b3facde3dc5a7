/**
 * Where a node's evidence comes from (attestation-snp.md §6): one interface, whatever the hardware.
 */
import { concatBytes } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import type { Evidence, PlatformName } from '../evidence.ts';

export interface EvidenceSource {
  readonly platform: PlatformName;
  /** For people: `configfs-tsm`, `vTPM`. */
  readonly name: string;
  /**
   * Evidence that is bound to `reportData`, at most 64 bytes. Some sources can only bind the
   * SHA-256 of something: they need that `preimage`, whose hash the report data must then be.
   * Rejects with `EvidenceUnavailable` or `NoEndorsements`.
   */
  evidenceFor(reportData: Uint8Array, preimage?: Uint8Array): Promise<Evidence>;
  /** The container policy whose digest is the host data, where the platform gives its text. */
  hostPolicy?(): Promise<string | undefined>;
}

/** Resolves some milliseconds later. */
export type Pause = (ms: number) => Promise<void>;

/**
 * - `missing`: there is no such hardware, file or program, or no right to use it;
 * - `busy`: somebody else used it each time;
 * - `late`: it did not answer in time;
 * - `failed`: it said no;
 * - `malformed`: what it gave is no evidence, or not the evidence that was asked for.
 */
export type UnavailableReason = 'missing' | 'busy' | 'late' | 'failed' | 'malformed';

/** Why a source has no evidence to give. */
export function unavailable(
  source: string,
  reason: UnavailableReason,
  message: string,
  cause?: unknown,
): CodedError {
  return new CodedError(
    'EvidenceUnavailable',
    `no evidence from ${source}: ${message}`,
    { source, reason },
    { cause },
  );
}

/** Bytes of a report's field for its user. */
export const REPORT_DATA_BYTES = 64;

/** The whole field: firmware takes exactly so many bytes. */
export function reportDataField(reportData: Uint8Array): Uint8Array {
  if (reportData.length > REPORT_DATA_BYTES) {
    const message = `report data has ${reportData.length} bytes; there is room for 64`;
    throw new CodedError('ReportDataTooLong', message, { bytes: reportData.length });
  }
  return concatBytes(reportData, new Uint8Array(REPORT_DATA_BYTES - reportData.length));
}
