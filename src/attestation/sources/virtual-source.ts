/** Evidence of the `virtual` platform: INSECURE, a statement without proof, for development. */
import { VIRTUAL_HOST_DATA } from '../virtual.ts';
import type { EvidenceSource } from './source.ts';
import { virtualStatement } from './virtual-evidence.ts';

export function virtualSource(): EvidenceSource {
  return {
    platform: 'virtual',
    name: 'virtual (INSECURE)',
    evidenceFor: async (reportData) => virtualStatement(reportData, VIRTUAL_HOST_DATA),
  };
}
