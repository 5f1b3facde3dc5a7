/**
 * Starting a node: a new service where the folder is empty, a restart in place where it is not.
 */
import { join } from 'node:path';
import type { Disk, LocalIndex } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import { type MemberAtCreation, writeCreation } from '../governance/opening.ts';
import type { ChunkStore } from '../ledger/chunk-store.ts';
import { openLevelIndex } from './level-index.ts';
import { beginLedger, OPENED_MARK } from './new-service.ts';
import { describeNode, SERVICE_CERTIFICATE_DAYS } from './node-certificates.ts';
import { foldersOf, makeFolders, type NodeFolders } from './node-folders.ts';
import type { NodeDependencies, NodeOptions } from './node-options.ts';
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

export interface Started {
  readonly node: RunningNode;
  /** Whether the service is new, and so not open yet. */
  readonly isNew: boolean;
}

/**
 * Starts a node; its front door is not open yet. Rejects with a coded error and changes
 * nothing.
 */
export async function startNode(
  options: NodeOptions,
  dependencies: NodeDependencies,
  creation: NewService,
): Promise<Started> {
  const { disk, random, log } = dependencies;
  const folders = foldersOf(options.folder);
  await makeFolders(disk, folders);
  const index = await (dependencies.openIndex ?? openLevelIndex)(folders.index);
  try {
    const sealer = await virtualSealer(disk, folders.sealed, random);
    log.warn(
      `INSECURE: virtual mode. The keys in ${folders.sealed} are sealed with a key that lies ` +
        'beside them, and nothing is attested',
    );
    const sealed = new SealedFolder(disk, folders.sealed, sealer);
    const node = await restarted(options, dependencies, folders, sealed, index);
    if (node !== undefined) return { node, isNew: false };
    await clearUnsigned(dependencies, folders, sealed);
    return {
      node: await created(options, dependencies, folders, sealed, index, creation),
      isNew: true,
    };
  } catch (error) {
    await index.close();
    throw error;
  }
}

async function restarted(
  options: NodeOptions,
  dependencies: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
  index: LocalIndex,
): Promise<RunningNode | undefined> {
  if (!(await sealed.has(OPENED_MARK))) return undefined;
  const reopened = await reopenLedger(
    options,
    dependencies,
    folders,
    sealed,
    index,
    nodeVerifier,
  );
  if (reopened === undefined) {
    throw new CodedError(
      'LedgerMissing',
      `${folders.ledger} holds no signed entry, yet this node has opened a service. Restore its ` +
        'ledger; or, to begin a new service, choose another folder',
      { folder: folders.ledger },
    );
  }
  const { ledger, writeFirst } = reopened;
  const snapshots = await openSnapshots(dependencies.disk, folders, ledger.chunks);
  const node = new RunningNode(options, dependencies, ledger, index, snapshots);
  const description = await describeNode(ledger.identity, ledger.nodeCertificatePem, options);
  await node.commitService((transaction) => writeFirst(transaction, description));
  return node;
}

async function created(
  options: NodeOptions,
  dependencies: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
  index: LocalIndex,
  creation: NewService,
): Promise<RunningNode> {
  const ledger = await beginLedger(options, dependencies, folders, sealed);
  const snapshots = await openSnapshots(dependencies.disk, folders, ledger.chunks);
  const node = new RunningNode(options, dependencies, ledger, index, snapshots);
  const description = await describeNode(ledger.identity, ledger.nodeCertificatePem, options);
  await node.commitService((transaction) =>
    writeCreation(transaction, {
      ...creation,
      serviceCertificatePem: ledger.serviceCertificatePem,
      certificateDaysMax: SERVICE_CERTIFICATE_DAYS,
      node: description,
    }),
  );
  return node;
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
