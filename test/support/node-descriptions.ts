// Rows of nodes that never ran, for tests of what is written about nodes.

import { virtualEvidence } from '../../src/attestation/sources/virtual-evidence.ts';
import { VIRTUAL_MEASUREMENT } from '../../src/attestation/virtual.ts';
import { hexOf, utf8 } from '../../src/base/bytes.ts';
import type { NodeDescription } from '../../src/governance/opening.ts';

export function describeVirtual(
  nodeId: string,
  encryptionPublicKeyPem: string,
): NodeDescription {
  return {
    nodeId,
    encryptionPublicKeyPem,
    publicKeyPem: `key of ${nodeId}`,
    certificateRequestPem: `request of ${nodeId}`,
    certificatePem: `certificate of ${nodeId}`,
    evidence: virtualEvidence(utf8(nodeId), '00'.repeat(32)),
    codeDigest: hexOf(utf8(VIRTUAL_MEASUREMENT)),
    nodeAddress: `${nodeId}:9000`,
    serviceAddress: `${nodeId}:8000`,
  };
}
