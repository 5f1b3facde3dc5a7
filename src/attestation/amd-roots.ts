/**
 * The roots of AMD that are trusted by default, pinned by the SHA-256 of their DER: a root that
 * came with evidence is believed only if it is one of these (attestation-snp.md §3).
 */
import { fromBase64 } from '../base/portable-bytes.ts';
import { certificatePem } from '../crypto/pem-certificates.ts';
import { AMD_CERTIFICATES } from './amd-certificates.ts';
import type { AmdRoots } from './judging.ts';
import type { SnpProduct } from './snp-product.ts';

export const AMD_ROOTS = {
  Milan: ['69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd'],
  Genoa: ['4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1'],
  Turin: ['1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a'],
} as const satisfies AmdRoots;

/** What completes a chain that came without them: intermediate and root of a kind of key, PEM. */
export function amdChainPem(product: SnpProduct, kind: 'VCEK' | 'VLEK'): string {
  const { ark, ask, asvk } = AMD_CERTIFICATES[product];
  return [kind === 'VCEK' ? ask : asvk, ark].map(pemOfBase64).join('');
}

function pemOfBase64(text: string): string {
  return certificatePem(fromBase64(text) ?? new Uint8Array(0));
}
