/**
 * Starting a node: a new service where the folder is empty; where it is not, a restart in place,
 * which is also how a joiner begins with what it was given (`joining/`).
 */
import { join } from 'node:path';
import { invariant } from '../base/assert.ts';
import type { Disk, LocalIndex, Sealer } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { textOfTxId } from '../base/ids.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import { writeFirstJoinPolicy } from '../governance/first-join-policy.ts';
import { joinPolicy } from '../governance/join-policy.ts';
import { nodeInfo } from '../governance/nodes.ts';
import { type MemberAtCreation, writeCreation } from '../governance/opening.ts';
import { writeRecoveryCreation } from '../governance/recovery.ts';
import type { Transaction } from '../kv/tables.ts';
import type { ChunkStore } from '../ledger/chunk-store.ts';
import { firstPeers } from './joining/joined-service.ts';
import { openLevelIndex } from './level-index.ts';
import { beginLedger, OPENED_MARK } from './new-service.ts';
import { describeNode, SERVICE_CERTIFICATE_DAYS } from './node-certificates.ts';
import { foldersOf, makeFolders, type NodeFolders } from './node-folders.ts';
import type { NodeDependencies, NodeOptions } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import {
  evidenceAtRestart,
  type OwnEvidence,
  ownEvidence,
  platformOf,
  type ShownEvidence,
} from './own-evidence.ts';
import type { Peer } from './peers/peer-network.ts';
import { takeOverLedger } from './recovering/recovered-ledger.ts';
import type { SurvivingLedger } from './recovering/surviving-ledger.ts';
import { reopenLedger } from './restart.ts';
import { RunningNode } from './running-node.ts';
import { SEALED_ENDING, SealedFolder } from './sealed-folder.ts';
import { ledgerBytesAfter, SnapshotFolder } from './snapshot-folder.ts';
import { moveAside } from './tail-cut.ts';
import { virtualSealer } from './virtual-sealer.ts';

export interface NewService {
  readonly members: readonly MemberAtCreation[];
  readonly recoveryThreshold: number;
}

/** A service that goes on from the ledger of a lost one. */
export interface ServiceRecovery {
  readonly survivor: SurvivingLedger;
}

export interface Started {
  readonly node: RunningNode;
  /** Whether the service is new, and so not open yet. */
  readonly isNew: boolean;
}

/**
 * Starts a node: it takes part in its service when this resolves, and `ready()` tells when it has
 * caught up; its front door is not open yet. `creation` is what a new service begins with; without
 * it the folder must hold a node. Rejects with a coded error and changes nothing.
 */
export async function startNode(
  options: NodeOptions,
  dependencies: NodeDependencies,
  creation: NewService | ServiceRecovery | undefined,
  peers: readonly Peer[] = [],
): Promise<Started> {
  const { disk, random, log } = dependencies;
  const folders = foldersOf(options.folder);
  await makeFolders(disk, folders);
  const index = await (dependencies.openIndex ?? openLevelIndex)(folders.index);
  try {
    const sealer = await (dependencies.openSealer ?? virtualSealer)(
      disk,
      folders.sealed,
      random,
    );
    for (const warning of insecurities(sealer, folders, dependencies)) log.warn(warning);
    const sealed = new SealedFolder(disk, folders.sealed, sealer);
    const old = await reopened(options, dependencies, folders, sealed, index);
    if (old === undefined) await clearUnsigned(dependencies, folders, sealed);
    const ledger = old ?? (await founded(options, dependencies, folders, sealed, creation));
    const snapshots = await openSnapshots(disk, folders, ledger.chunks);
    const { shown, create } =
      old === undefined && creation !== undefined
        ? await creationOf(ledger, options, dependencies, creation)
        : { shown: await restartedEvidence(ledger, dependencies) };
    const node = new RunningNode(options, dependencies, {
      ...{ ledger, sealed, index, snapshots, shown },
      peers: peers.length > 0 ? peers : await firstPeers(sealed),
      ...(create === undefined ? {} : { create }),
    });
    await node.start();
    return { node, isNew: old === undefined };
  } catch (error) {
    await index.close();
    throw error;
  }
}

/** What an operator must not overlook: without either there is no protection worth the name. */
function insecurities(
  sealer: Sealer,
  folders: NodeFolders,
  dependencies: NodeDependencies,
): readonly string[] {
  const isVirtual = platformOf(dependencies) === 'virtual';
  const attested = isVirtual ? ', and nothing is attested' : '';
  const mode = isVirtual ? 'INSECURE: virtual mode' : 'INSECURE';
  if (sealer.kind !== 'virtual') return isVirtual ? [`${mode}: nothing is attested`] : [];
  return [
    `${mode}. The keys in ${folders.sealed} are sealed with a key that lies beside them${attested}`,
  ];
}

async function reopened(
  options: NodeOptions,
  dependencies: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
  index: LocalIndex,
): Promise<OpenedLedger | undefined> {
  if (!(await sealed.has(OPENED_MARK))) return undefined;
  // A process that died may have left names there that are not on stable storage yet.
  await dependencies.disk.syncFolder(folders.sealed);
  const verifier = dependencies.verifier ?? nodeVerifier;
  const ledger = await reopenLedger(options, dependencies, folders, sealed, index, verifier);
  if (ledger !== undefined) return ledger;
  throw new CodedError(
    'LedgerMissing',
    `${folders.ledger} holds no signed entry, yet this node has opened a service. Restore its ` +
      'ledger; or, to begin a new service, choose another folder',
    { folder: folders.ledger },
  );
}

async function founded(
  options: NodeOptions,
  dependencies: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
  creation: NewService | ServiceRecovery | undefined,
): Promise<OpenedLedger> {
  if (creation !== undefined && 'survivor' in creation) {
    return await takeOverLedger(creation.survivor, options, dependencies, folders, sealed);
  }
  if (creation !== undefined) return await beginLedger(options, dependencies, folders, sealed);
  throw new CodedError(
    'NothingToStart',
    `${options.folder} holds no node: start a new service there, or join one`,
    { folder: options.folder },
  );
}

interface Founding {
  readonly shown: OwnEvidence;
  /** Writes the service's first transaction. */
  readonly create: (transaction: Transaction) => void;
}

async function creationOf(
  ledger: OpenedLedger,
  options: NodeOptions,
  dependencies: NodeDependencies,
  creation: NewService | ServiceRecovery,
): Promise<Founding> {
  const { identity, nodeCertificatePem, serviceCertificatePem } = ledger;
  const founder = await ownEvidence(identity.nodeKey.publicKeyDer, dependencies);
  const node = await describeNode(identity, nodeCertificatePem, options, founder);
  if ('survivor' in creation) {
    const { recovery } = ledger;
    invariant(recovery !== undefined, 'a ledger that was taken over says from whom');
    const createTxId = textOfTxId(recovery.create);
    const { lastRoot } = recovery;
    return {
      shown: founder,
      create: (transaction) => {
        const row = { serviceCertificatePem, createTxId, lastRoot, node };
        writeRecoveryCreation(transaction, row);
        writeFirstJoinPolicy(transaction, founder);
      },
    };
  }
  const certificateDaysMax = SERVICE_CERTIFICATE_DAYS;
  const whole = { ...creation, serviceCertificatePem, certificateDaysMax, node, founder };
  return { shown: founder, create: (transaction) => writeCreation(transaction, whole) };
}

async function restartedEvidence(
  { identity, state }: OpenedLedger,
  dependencies: NodeDependencies,
): Promise<ShownEvidence> {
  const { publicKeyDer, fingerprint } = identity.nodeKey;
  const { current } = state.store;
  const row = nodeInfo(current, fingerprint);
  const policy = joinPolicy(current, publicKeyDer);
  return await evidenceAtRestart(publicKeyDer, { row, policy }, dependencies);
}

async function openSnapshots(
  disk: Disk,
  folders: NodeFolders,
  chunks: ChunkStore,
): Promise<{ readonly folder: SnapshotFolder; readonly grownBytes: number }> {
  const folder = await SnapshotFolder.open(disk, folders.snapshots);
  const from = folder.newest?.seqno ?? 0;
  return { folder, grownBytes: await ledgerBytesAfter(disk, folders.ledger, chunks, from) };
}

/**
 * Sets aside what a start left behind that never got as far as opening its service: no one was ever
 * told of it, and its secret must not seal anything a second time.
 */
async function clearUnsigned(
  { disk, log }: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
): Promise<void> {
  const chunks = await disk.list(folders.ledger);
  const names = await sealed.names();
  if (chunks.length + names.length === 0) return;
  if (names.length === 0) {
    throw new CodedError(
      'ForeignLedger',
      `${folders.ledger} holds ${chunks.length} files, but ${folders.sealed} has no keys of this ` +
        'node. Choose an empty folder, or restore the keys that belong to this ledger',
      { folder: folders.ledger },
    );
  }
  log.warn('an earlier first start was interrupted before its service opened; beginning anew');
  await disk.makeFolder(folders.aside);
  for (const name of chunks) {
    await moveAside(disk, join(folders.ledger, name), join(folders.aside, name));
  }
  // The keys go last: chunks without any are taken for those of another node.
  await disk.syncFolder(folders.aside);
  await disk.syncFolder(folders.ledger);
  for (const file of names.map((name) => `${name}${SEALED_ENDING}`)) {
    await moveAside(disk, join(folders.sealed, file), join(folders.aside, file));
  }
  await disk.syncFolder(folders.aside);
  await disk.syncFolder(folders.sealed);
}
