/**
 * Whether a verdict accepts evidence without a word on what runs there: genuine evidence is no
 * reason to trust a machine, and whoever reads the verdict should not take it for one.
 */
import type { PlatformName } from '../../attestation/evidence.ts';
import type { Verdict } from '../../attestation/verdict.ts';

/**
 * The checks that name the guest's own code. The measurement of a confidential VM is that of its
 * paravisor; endorsements of a utility VM say nothing of the containers in it.
 */
const NAMING_CODE: Readonly<Record<PlatformName, RegExp>> = {
  snp: /^(?:measurement|host data)$/,
  'azure-cvm': /^register \d+$/,
  virtual: /^(?:measurement|host data)$/,
};

export function leavesCodeOpen({ accepted, claims, checks }: Verdict): boolean {
  if (!accepted || claims === undefined) return false;
  const naming = NAMING_CODE[claims.platform];
  return !checks.some(({ name, outcome }) => outcome === 'passed' && naming.test(name));
}
