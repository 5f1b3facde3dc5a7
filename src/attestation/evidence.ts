/**
 * What a node shows of itself, whatever the platform (governance.md §1.1, node-lifecycle.md §4.4).
 */

/**
 * - `virtual`: no hardware, no proof; for development.
 * - `snp`: a report that names the guest's own code (Azure confidential containers, bare metal).
 * - `azure-cvm`: a confidential VM behind Microsoft's paravisor: the report names that, and only
 *   the vTPM's PCRs name the guest's code. Another statement of trust, so another platform.
 */
export type PlatformName = 'virtual' | 'snp' | 'azure-cvm';

/** The name of each platform's evidence in a node's row. */
export const EVIDENCE_FORMATS = {
  virtual: 'Insecure_Virtual',
  snp: 'AMD_SEV_SNP_v1',
  'azure-cvm': 'Concordat_Azure_CVM_v1',
} as const satisfies Readonly<Record<PlatformName, string>>;

export type EvidenceFormat = (typeof EVIDENCE_FORMATS)[PlatformName];

/**
 * `quote_info` of a node's row: all byte strings in base64.
 *
 * | platform | quote | endorsements |
 * | --- | --- | --- |
 * | virtual | a statement in JSON | empty |
 * | snp | the report, 1184 bytes | PEM: VCEK or VLEK, ASK or ASVK, ARK |
 * | azure-cvm | JSON: HCL report, TPM quote, its signature, PCRs (`azure-cvm.ts`) | as snp |
 */
export interface Evidence {
  readonly format: EvidenceFormat;
  readonly quote: string;
  readonly endorsements: string;
  readonly uvm_endorsements?: string;
  /** Hexadecimal. */
  readonly endorsed_tcb?: string;
}
