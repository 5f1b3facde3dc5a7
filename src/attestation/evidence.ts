/**
 * What a node shows of itself, and what it claims, whatever the platform (governance.md §1.1,
 * node-lifecycle.md §4.4).
 */

/** `quote_info` of a node's row: all byte strings in base64. */
export interface Evidence {
  readonly format: 'Insecure_Virtual' | 'AMD_SEV_SNP_v1';
  readonly quote: string;
  readonly endorsements: string;
  readonly uvm_endorsements?: string;
  /** Hexadecimal. */
  readonly endorsed_tcb?: string;
}

/** What evidence says once its own signatures, if it has any, were found good. */
export interface EvidenceClaims {
  readonly platform: 'virtual' | 'snp';
  /** As the join policy names it: text on the virtual platform, hexadecimal elsewhere. */
  readonly measurement: string;
  /** Lowercase hexadecimal. */
  readonly hostData: string;
  /** Its first 32 bytes are the SHA-256 of the node's public key (SPKI, DER). */
  readonly reportData: Uint8Array;
}
