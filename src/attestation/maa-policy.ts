/**
 * What somebody demands of a token of Microsoft Azure Attestation. Signature, issuer, times,
 * debugging and migration need no word here and cannot be turned off.
 */
import { toBase64Url, toUtf8 } from '../base/portable-bytes.ts';
import type { Verifier } from '../crypto/verifier.ts';
import type { SnpPolicy } from './policy.ts';

interface MaaDemands {
  /** Issuers trusted, exactly as tokens name them. */
  readonly issuers: readonly string[];
  /** What the service itself concluded: `azure-compliant-uvm`, `azure-compliant-cvm`. */
  readonly complianceStatus?: readonly string[];
  /** Digests of the service's own policies, base64url (`x-ms-policy-hash`). */
  readonly policyHashes?: readonly string[];
  /** What was sent along with the request. */
  readonly nonce?: string;
  /** The key that must be the one others encrypt to: RSA, SubjectPublicKeyInfo in DER. */
  readonly wrappingKey?: Uint8Array;
  /** How far clocks may differ, in milliseconds; a minute by default. */
  readonly clockSkewMs?: number;
}

/** A container: the token speaks of the guest's own report. */
interface MaaContainerPolicy extends MaaDemands {
  readonly platform: 'snp';
  readonly report: SnpPolicy;
  /** The head of the report data: SHA-256 of the runtime data that were sent. */
  readonly binding?: Uint8Array;
}

/** A confidential VM: its report is the paravisor's, and the registers are not in the token. */
interface MaaVmPolicy extends MaaDemands {
  readonly platform: 'azure-cvm';
  readonly report: Omit<SnpPolicy, 'hostData'>;
  readonly secureBoot?: boolean;
  /** Registers that the service must have looked at. */
  readonly attestedPcrs?: readonly number[];
}

export type MaaPolicy = MaaContainerPolicy | MaaVmPolicy;

/** What tokens call a service's own policy (`x-ms-policy-hash`), for policies without signature. */
export async function maaPolicyHash(policyText: string, verifier: Verifier): Promise<string> {
  const encoded = toUtf8(toBase64Url(toUtf8(policyText)));
  return toBase64Url(await verifier.hash('SHA-256', encoded));
}
