// How machines become nodes of the service: the first founds it; others join by the shipped code,
// asking nodes, fetching and verifying the ledger so far, and going on where a crash cut them off,
// while an operator trusts whoever waits; and how nodes leave again.

import type { NodeId } from '../../src/base/ids.ts';
import { certificateIdOf } from '../../src/crypto/certificates.ts';
import { endorseRequest } from '../../src/crypto/endorsement.ts';
import type { KeySource } from '../../src/crypto/key-source.ts';
import { addressOf, nodesThatAre } from '../../src/governance/nodes.ts';
import { removeNode, transitionNodeToTrusted } from '../../src/governance/nodes-actions.ts';
import type { MemberAtCreation } from '../../src/governance/opening.ts';
import { type JoinedService, prepareJoin } from '../../src/node/joining/prepare-join.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { type Machine, NODE_FOLDER } from './machine.ts';
import { clientAddressOf, type SourcesWorld, simulatedSources } from './simulated-sources.ts';

export async function makeMember(keys: KeySource, nowMs: number): Promise<MemberAtCreation> {
  const key = keys.generateSigningKey('P-384');
  const validity = { fromMs: nowMs - 86_400_000, days: 365 };
  const certificatePem = await keys.selfSignedCertificate(key, 'CN=Member', validity);
  return {
    memberId: certificateIdOf(certificatePem),
    certificatePem,
    encryptionPublicKeyPem: keys.generateUnwrappingKey().publicKeyPem,
  };
}

export interface JoinTargets {
  readonly serviceCertificatePem: string;
  /** Machines whose nodes are asked. */
  readonly machines: readonly Machine[];
  readonly fetchSnapshot: boolean;
}

/**
 * Joins a machine's node to the service, as far as starting it. Its process may die on the way:
 * then this never resolves, and the next attempt goes on in the same folder.
 */
export async function joinOn(
  machine: Machine,
  { serviceCertificatePem, machines, fetchSnapshot }: JoinTargets,
  parts: SourcesWorld,
): Promise<JoinedService> {
  const { dependencies } = machine.boot();
  const { options } = machine;
  return await prepareJoin(
    {
      folder: NODE_FOLDER,
      addresses: options,
      serviceCertificatePem,
      targets: machines.map(clientAddressOf),
      fetchSnapshot,
      retryMs: 150,
      archivedTables: options.applications.flatMap((each) => each.archivedTables),
    },
    {
      ...dependencies,
      openSources: (credentials) => simulatedSources(parts, credentials),
    },
  );
}

/** A node that waits to be trusted. */
export interface Waiting {
  readonly nodeId: NodeId;
  /** Where other nodes reach it. */
  readonly address: string;
  readonly requestPem: string | undefined;
}

export function waitingAt(primary: RunningNode): readonly Waiting[] {
  return nodesThatAre(primary.current(), 'Pending').map(({ nodeId, info }) => ({
    nodeId: nodeId as NodeId,
    address: addressOf(info.node_to_node_interface),
    requestPem: info.certificate_signing_request,
  }));
}

/** The primary trusts a node that waits. */
export async function trust(
  primary: RunningNode,
  { nodeId, requestPem }: Waiting,
  keys: KeySource,
  nowMs: number,
): Promise<void> {
  const issuer = {
    key: primary.secretsForJoiners().serviceKey,
    certificatePem: primary.serviceCertificatePem,
  };
  const validity = { fromMs: nowMs, days: 365 };
  const certificatePem =
    requestPem === undefined
      ? undefined
      : await endorseRequest(keys, requestPem, validity, issuer);
  await primary.commitService((transaction) =>
    transitionNodeToTrusted(transaction, nodeId, certificatePem),
  );
}

/** The primary retires a node, itself perhaps. */
export async function retire(primary: RunningNode, nodeId: NodeId): Promise<void> {
  await primary.commitService((transaction) => void removeNode(transaction, nodeId));
}
