/** Evidence of the `virtual` platform: INSECURE, a statement without proof, for development. */
import { base64Of, utf8 } from '../../base/bytes.ts';
import { EVIDENCE_FORMATS } from '../evidence.ts';
import { VIRTUAL_HOST_DATA, VIRTUAL_MEASUREMENT } from '../virtual.ts';
import type { EvidenceSource } from './source.ts';

export function virtualSource(hostData: string = VIRTUAL_HOST_DATA): EvidenceSource {
  return {
    platform: 'virtual',
    name: 'virtual (INSECURE)',
    evidenceFor: async (reportData) => {
      const statement = {
        host_data: hostData,
        measurement: VIRTUAL_MEASUREMENT,
        report_data: base64Of(reportData),
      };
      const quote = base64Of(utf8(JSON.stringify(statement)));
      return { format: EVIDENCE_FORMATS.virtual, quote, endorsements: '' };
    },
  };
}
