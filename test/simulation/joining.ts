// How machines become nodes of the service: the first founds it, others are prepared as joiners are
// (their folder holds what they were given) and trusted by the primary; nodes are removed again.

import { utf8 } from '../../src/base/bytes.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { certificateIdOf } from '../../src/crypto/certificates.ts';
import type { KeySource } from '../../src/crypto/key-source.ts';
import { removeNode } from '../../src/governance/nodes-actions.ts';
import {
  type MemberAtCreation,
  type NodeDescription,
  writeNode,
} from '../../src/governance/opening.ts';
import { createIdentity } from '../../src/node/identity.ts';
import { OPENED_MARK } from '../../src/node/new-service.ts';
import { describeNode, makeNodeCertificate } from '../../src/node/node-certificates.ts';
import { foldersOf, makeFolders } from '../../src/node/node-folders.ts';
import type { Peer } from '../../src/node/peers/peer-network.ts';
import { SERVICE_CERTIFICATE } from '../../src/node/restart.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import { type Machine, NODE_FOLDER } from './machine.ts';

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

/** Puts into a machine's folder what a joiner is given; it can be started from then on. */
export async function prepareJoiner(
  machine: Machine,
  primary: RunningNode,
  peers: readonly Peer[],
): Promise<NodeDescription> {
  const { dependencies } = machine.boot();
  const { disk, random, keys, clock } = dependencies;
  const folders = foldersOf(NODE_FOLDER);
  await makeFolders(disk, folders);
  const sealer = await (dependencies.openSealer ?? virtualSealer)(disk, folders.sealed, random);
  const sealed = new SealedFolder(disk, folders.sealed, sealer);
  const { serviceKey, ledgerSecrets } = primary.secretsForJoiners();
  const ownServiceKey = keys?.openSigningKey(serviceKey.pkcs8());
  const identity = await createIdentity(sealed, random, ownServiceKey, keys);
  const { serviceCertificatePem } = primary;
  await sealed.put(SERVICE_CERTIFICATE, utf8(serviceCertificatePem));
  for (const secret of ledgerSecrets) await sealed.putLedgerSecret(secret);
  await sealed.put(OPENED_MARK, new Uint8Array(1));
  const { options } = machine;
  const certificate = await makeNodeCertificate(
    identity,
    serviceCertificatePem,
    options,
    clock.nowMs(),
  );
  const description = await describeNode(identity, certificate, options);
  machine.peers = peers;
  machine.stopProcess();
  return description;
}

/** The primary trusts a joiner. */
export async function trust(primary: RunningNode, joiner: NodeDescription): Promise<void> {
  await primary.commitService((transaction) => writeNode(transaction, joiner));
}

/** The primary retires a node, itself perhaps. */
export async function retire(primary: RunningNode, nodeId: NodeId): Promise<void> {
  await primary.commitService((transaction) => void removeNode(transaction, nodeId));
}
