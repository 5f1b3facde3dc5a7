/**
 * Which processors make SEV-SNP reports, and how a report, a policy and a certificate name them
 * (attestation-snp.md §1, §3). All of Genoa, Bergamo and Siena are "Genoa" to AMD's roots.
 */
export type SnpProduct = 'Milan' | 'Genoa' | 'Turin';

export const SNP_PRODUCTS: readonly SnpProduct[] = ['Milan', 'Genoa', 'Turin'];

/** Family and model with their extensions added, as a report of version 3 and later has them. */
export interface Cpuid {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
}

/** The product of a processor, or undefined if it is none that is known here. */
export function productOfCpuid({ family, model }: Cpuid): SnpProduct | undefined {
  if (family === 0x19) {
    if (model <= 0x0f) return 'Milan';
    const isGenoa = (model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf);
    return isGenoa ? 'Genoa' : undefined;
  }
  return family === 0x1a && model <= 0x11 ? 'Turin' : undefined;
}

/** How policies name a processor: the register EAX of CPUID leaf 1, eight hexadecimal digits. */
export function cpuidKey({ family, model, stepping }: Cpuid): string {
  const extendedFamily = family < 0x0f ? 0 : family - 0x0f;
  const eax =
    (extendedFamily << 20) |
    ((model >> 4) << 16) |
    (Math.min(family, 0x0f) << 8) |
    ((model & 0x0f) << 4) |
    (stepping & 0x0f);
  return eax.toString(16).padStart(8, '0');
}

/** The product that an issuer's common name speaks of: `SEV-Milan`, `SEV-VLEK-Genoa`. */
export function productOfIssuer(commonName: string): SnpProduct | undefined {
  return SNP_PRODUCTS.find(
    (product) => commonName === `SEV-${product}` || commonName === `SEV-VLEK-${product}`,
  );
}

/** Whether a certificate's product name, perhaps with a stepping (`Milan-B0`), is the product's. */
export function namesProduct(productName: string, product: SnpProduct): boolean {
  return productName === product || productName.startsWith(`${product}-`);
}
