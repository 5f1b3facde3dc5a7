// The rows that a real CCF service wrote about the nodes that joined it, and ours for the same.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import { certificatePublicKeyDer } from '../../src/crypto/certificates.ts';
import { readCertificateRequest, validityOfCertificate } from '../../src/crypto/endorsement.ts';
import { sha256Hex } from '../../src/crypto/hash.ts';
import { joinPolicy, joinVerdict } from '../../src/governance/join-policy.ts';
import { nodeInfo } from '../../src/governance/nodes.ts';
import { transitionNodeToTrusted } from '../../src/governance/nodes-actions.ts';
import { type JoiningNode, writeTrustedNode } from '../../src/governance/nodes-joining.ts';
import { jsonRow, NODE_CERTIFICATES, NODE_INFO } from '../../src/governance/tables.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import { layoutOf } from '../../src/ledger/chunk.ts';
import { parseEntry } from '../../src/ledger/entry.ts';
import { nodeJudge } from '../../src/node/own-evidence.ts';
import { testWithVectors, vectorsFolder } from '../support/judges.ts';

interface Recorded {
  readonly nodeId: string;
  readonly row: string;
  readonly certificatePem: string;
}

/** The state after the first transaction, and the nodes that joined while it was Opening. */
function recording(): { store: Store; joined: readonly Recorded[] } {
  const folder = join(vectorsFolder() ?? '', 'ccf/ledger');
  const store = new Store([]);
  const joined: Recorded[] = [];
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    for (const position of layoutOf(bytes).positions) {
      const { seqno, publicMaps } = parseEntry(bytes, position);
      if (seqno === 1) store.apply(seqnoOf(1), publicMaps);
      const rows = publicMaps.find((map) => map.name === NODE_INFO)?.writes ?? new Map();
      const pems = publicMaps.find((map) => map.name === NODE_CERTIFICATES)?.writes;
      for (const [nodeId, row] of seqno > 1 ? rows : []) {
        const certificatePem = textOf(pems?.get(nodeId) ?? new Uint8Array());
        joined.push({ nodeId, row: textOf(row), certificatePem });
      }
    }
  }
  return { store, joined };
}

function joiningNode({ nodeId, row }: Recorded): JoiningNode {
  const info = JSON.parse(row);
  return {
    nodeId,
    publicKeyPem: info.public_key,
    network: {
      node_to_node_interface: info.node_to_node_interface,
      rpc_interfaces: info.rpc_interfaces,
    },
    evidence: info.quote_info,
    codeDigest: info.code_digest,
    encryptionPublicKeyPem: info.encryption_pub_key,
    certificateRequestPem: info.certificate_signing_request,
  };
}

testWithVectors('rows of nodes that CCF let in are ours to the byte', () => {
  const { store, joined } = recording();
  expect(joined).toHaveLength(2);
  for (const each of joined) {
    const tx = new StoreTransaction(store, 'service');
    writeTrustedNode(tx, joiningNode(each), each.certificatePem);
    expect(textOf(tx.table(NODE_INFO).get(utf8(each.nodeId)) ?? new Uint8Array())).toBe(
      each.row,
    );
    expect(tx.table(NODE_CERTIFICATES).get(utf8(each.nodeId))).toEqual(
      utf8(each.certificatePem),
    );
  }
});

testWithVectors('a Pending row of the same node becomes what the action makes of it', () => {
  const { store, joined } = recording();
  for (const { nodeId, row, certificatePem } of joined) {
    const { ledger_secret_seqno, ...info } = JSON.parse(row);
    const tx = new StoreTransaction(store, 'service');
    tx.table(NODE_INFO).put(utf8(nodeId), jsonRow({ ...info, status: 'Pending' }));
    transitionNodeToTrusted(tx, nodeId, certificatePem);
    const trusted = nodeInfo(tx, nodeId);
    expect(trusted).toEqual({ ...info, ledger_secret_seqno });
    expect(Object.keys(trusted ?? {}).at(-1)).toBe('ledger_secret_seqno');
  }
});

testWithVectors(
  'the evidence is good under the recorded policy, and names the code',
  async () => {
    const { store, joined } = recording();
    for (const { nodeId, row } of joined) {
      const { quote_info, code_digest, certificate_signing_request } = JSON.parse(row);
      const { publicKeyDer, hosts } = readCertificateRequest(certificate_signing_request);
      expect(sha256Hex(publicKeyDer)).toBe(nodeId);
      expect(hosts).toEqual(['127.0.0.1']);
      const policy = joinPolicy(store.current, publicKeyDer);
      const judge = nodeJudge({ clock: { nowMs: () => 0 } });
      expect(joinVerdict(await judge(quote_info, policy))).toEqual({
        admitted: true,
        codeDigest: code_digest,
      });
    }
  },
);

testWithVectors('an endorsed certificate is valid for whole days from its beginning', () => {
  for (const { certificatePem, nodeId } of recording().joined) {
    expect(validityOfCertificate(certificatePem).days).toBe(90);
    expect(sha256Hex(certificatePublicKeyDer(certificatePem))).toBe(nodeId);
  }
});
