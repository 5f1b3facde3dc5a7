// A service's tables in memory, with nodes and members as a test needs them.

import { virtualEvidence } from '../../src/attestation/sources/virtual-evidence.ts';
import { VIRTUAL_HOST_DATA, VIRTUAL_MEASUREMENT } from '../../src/attestation/virtual.ts';
import { hexOf, textOf, utf8 } from '../../src/base/bytes.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import {
  certificateIdOf,
  certificateRequest,
  publicKeyPemOf,
  selfSignedCertificate,
  serviceCertificate,
} from '../../src/crypto/certificates.ts';
import { SigningKey, UnwrappingKey } from '../../src/crypto/keys.ts';
import type { JoiningNode } from '../../src/governance/nodes-joining.ts';
import type { SigningMember } from '../../src/governance/operator-actions.ts';
import {
  VIRTUAL_HOST_DATA as HOST_DATA_TABLE,
  jsonRow,
  MEMBER_CERTS,
  MEMBER_INFO,
  NODE_INFO,
  SERVICE_CONFIG,
  SERVICE_INFO,
  SINGLETON,
  VIRTUAL_MEASUREMENTS,
} from '../../src/governance/tables.ts';
import { Store } from '../../src/kv/store.ts';
import type { Transaction } from '../../src/kv/tables.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';

export const NOW_MS = Date.UTC(2026, 10, 21, 12);
export const VALIDITY = { fromMs: NOW_MS - 3_600_000, days: 90 };

/** A node's key with what it shows when it asks to join. */
export interface Joiner {
  readonly key: SigningKey;
  readonly certificatePem: string;
  readonly requestPem: string;
  readonly node: JoiningNode;
}

const encryptionPublicKeyPem = UnwrappingKey.generate().publicKeyPem;

export async function newJoiner(port = 9001): Promise<Joiner> {
  const key = SigningKey.generate('P-256');
  const requestPem = await certificateRequest(key, 'CN=Concordat Node', ['127.0.0.1']);
  return {
    key,
    certificatePem: await selfSignedCertificate(key, 'CN=Concordat Node', VALIDITY),
    requestPem,
    node: {
      nodeId: key.fingerprint,
      publicKeyPem: publicKeyPemOf(key.publicKeyDer),
      network: {
        node_to_node_interface: {
          bind_address: `0.0.0.0:${port}`,
          published_address: `node.example:${port}`,
        },
        rpc_interfaces: {
          z: { bind_address: '0.0.0.0:9900' },
          primary: {
            bind_address: `0.0.0.0:${port + 1000}`,
            published_address: `node.example:${port + 1000}`,
          },
        },
      },
      evidence: virtualEvidence(key.publicKeyDer, VIRTUAL_HOST_DATA),
      codeDigest: hexOf(utf8(VIRTUAL_MEASUREMENT)),
      encryptionPublicKeyPem,
      certificateRequestPem: requestPem,
    },
  };
}

export interface Member extends SigningMember {
  readonly id: string;
}

export async function newMember(curve: 'P-256' | 'P-384' = 'P-384'): Promise<Member> {
  const key = SigningKey.generate(curve);
  const certificatePem = await selfSignedCertificate(key, 'CN=Member', VALIDITY);
  return {
    id: certificateIdOf(certificatePem),
    certificatePem,
    privateKeyPem: key.privateKeyPem(),
  };
}

export class SmallService {
  readonly store = new Store([]);
  readonly serviceKey = SigningKey.generate('P-384');
  certificatePem = '';

  static async create(status = 'Open'): Promise<SmallService> {
    const service = new SmallService();
    const { serviceKey } = service;
    service.certificatePem = await serviceCertificate(serviceKey, 'CN=Service', VALIDITY);
    service.run((tx) => {
      const cert = service.certificatePem;
      tx.table(SERVICE_INFO).put(SINGLETON, jsonRow({ cert, status }));
      const days = { maximum_node_certificate_validity_days: 365 };
      tx.table(SERVICE_CONFIG).put(SINGLETON, jsonRow({ recovery_threshold: 1, ...days }));
      tx.table(VIRTUAL_MEASUREMENTS).put(utf8(VIRTUAL_MEASUREMENT), jsonRow('AllowedToJoin'));
      tx.table(HOST_DATA_TABLE).put(utf8(VIRTUAL_HOST_DATA), SINGLETON);
    });
    return service;
  }

  /** One committed transaction; a throw leaves nothing behind. */
  run<Result>(write: (tx: Transaction) => Result): Result {
    const result = this.draft(write);
    this.commit();
    return result;
  }

  /** One that is not committed yet. */
  draft<Result>(write: (tx: Transaction) => Result): Result {
    const tx = new StoreTransaction(this.store, 'service');
    const result = write(tx);
    if (tx.writeSet().length > 0) {
      this.store.apply(seqnoOf(this.store.newest + 1), tx.writeSet());
    }
    return result;
  }

  commit(): void {
    this.store.commit(this.store.newest);
  }

  addMember(member: Member, status = 'Active'): void {
    this.run((tx) => {
      tx.table(MEMBER_CERTS).put(utf8(member.id), utf8(member.certificatePem));
      tx.table(MEMBER_INFO).put(utf8(member.id), jsonRow({ status }));
    });
  }

  /** A row as text; undefined if there is none. */
  row(table: string, key: string): string | undefined {
    const value = this.store.current.table(table).get(utf8(key));
    return value === undefined ? undefined : textOf(value);
  }

  node(nodeId: string): Readonly<Record<string, unknown>> | undefined {
    const row = this.row(NODE_INFO, nodeId);
    return row === undefined ? undefined : JSON.parse(row);
  }
}
