/**
 * Recovering a service from the ledgers that survived a disaster (node-lifecycle.md §8): they are
 * judged, the longest is chosen, and a node is started that goes on behind it. It can be run again
 * after an interruption at any point: until the service is open nobody was told of anything, so a
 * former attempt is set aside; from then on the node restarts like any other.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { equalBytes } from '../../base/bytes.ts';
import { CodedError, isCoded } from '../../base/errors.ts';
import { systemKeys } from '../../crypto/key-source.ts';
import { certificateOfPem } from '../../crypto/x509.ts';
import { serviceInfo } from '../../governance/nodes.ts';
import { SERVICE_KEY } from '../identity.ts';
import { scanLedger } from '../ledger-scan.ts';
import { OPENED_MARK } from '../new-service.ts';
import { foldersOf, makeFolders } from '../node-folders.ts';
import type { NodeDependencies, NodeOptions } from '../node-options.ts';
import { replay } from '../replay.ts';
import { SealedFolder } from '../sealed-folder.ts';
import { SecretPool } from '../secret-pool.ts';
import { type Started, startNode } from '../start-node.ts';
import { virtualSealer } from '../virtual-sealer.ts';
import { type Choice, choiceText, chooseLedger, mustBeAccepted } from './choosing.ts';
import { timeLeft } from './private-recovery.ts';
import { judgeLedger, ledgerFolderOf, type SurvivingLedger } from './surviving-ledger.ts';

export interface RecoverRequest {
  /** Folders of what survived: of nodes, of backups, or of chunks alone. */
  readonly ledgers: readonly string[];
  /** PEM of the certificate that the lost service had last. */
  readonly previousCertificatePem: string;
  /** Whether to go on although committed transactions may be missing. */
  readonly acceptLoss: boolean;
  readonly signal?: AbortSignal;
}

/** A ledger that was named and is of no use, and why. */
export interface RefusedLedger {
  readonly folder: string;
  readonly why: string;
}

export interface Recovering extends Started {
  /** Absent where the node's folder holds a service that was recovered before. */
  readonly choice?: Choice;
  readonly refused: readonly RefusedLedger[];
}

/** Starts a node that recovers a service, or goes on with one that it has recovered. */
export async function recoverService(
  options: NodeOptions,
  dependencies: NodeDependencies,
  request: RecoverRequest,
): Promise<Recovering> {
  if (await wasOpened(options, dependencies, request)) {
    return { ...(await startNode(options, dependencies, undefined)), refused: [] };
  }
  const { log } = dependencies;
  const { good, refused } = await judgeAll(dependencies, request);
  for (const { why } of refused) log.warn(why);
  if (good.length === 0) {
    throw new CodedError(
      'NoLedger',
      `none of the ${request.ledgers.length} ledgers given can be recovered from` +
        refused.map(({ why }) => `\n  ${why}`).join(''),
    );
  }
  const choice = chooseLedger(good);
  mustBeAccepted(choice, request.acceptLoss);
  log.warn(choiceText(choice));
  const started = await startNode(options, dependencies, { survivor: choice.ledger });
  return { ...started, choice, refused };
}

async function judgeAll(
  { log, timers }: NodeDependencies,
  { ledgers, previousCertificatePem, signal }: RecoverRequest,
): Promise<{ good: readonly SurvivingLedger[]; refused: readonly RefusedLedger[] }> {
  const folders = await Promise.all(ledgers.map(ledgerFolderOf));
  const twice = folders.find((folder, index) => folders.indexOf(folder) !== index);
  if (twice !== undefined) {
    throw new CodedError('LedgerTwice', `${twice} is named twice: it is one ledger`);
  }
  const sizes = await Promise.all(folders.map(bytesIn));
  const total = sizes.reduce((sum, each) => sum + each, 0);
  const startedMs = timers.elapsedMs();
  const good: SurvivingLedger[] = [];
  const refused: RefusedLedger[] = [];
  let before = 0;
  for (const [index, given] of ledgers.entries()) {
    const onProgress = (bytes: number): void => {
      const done = before + bytes;
      const left = timeLeft(timers.elapsedMs() - startedMs, done, total);
      log.progress(`verifying ${given}${left}`, done, total, 'B');
    };
    try {
      const judging = { serviceCertificatePem: previousCertificatePem, onProgress };
      good.push(
        await judgeLedger(given, signal === undefined ? judging : { ...judging, signal }),
      );
    } catch (error) {
      if (!isCoded(error, 'LedgerRefused')) throw error;
      refused.push({ folder: given, why: error.message });
    }
    before += sizes[index] ?? 0;
  }
  return { good, refused };
}

async function bytesIn(folder: string): Promise<number> {
  const path = await realpath(folder).catch(() => folder);
  const names = await readdir(path).catch(() => []);
  const sizes = await Promise.all(
    names.map((name) => stat(join(path, name)).then(({ size }) => size)),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * Whether the node's folder holds a service that it has recovered before. One that was opened and
 * died before it could note that is noted now.
 */
async function wasOpened(
  options: NodeOptions,
  dependencies: NodeDependencies,
  { previousCertificatePem }: RecoverRequest,
): Promise<boolean> {
  const { disk, random, openSealer = virtualSealer, keys = systemKeys } = dependencies;
  const folders = foldersOf(options.folder);
  await makeFolders(disk, folders);
  const sealer = await openSealer(disk, folders.sealed, random);
  const sealed = new SealedFolder(disk, folders.sealed, sealer);
  if (!(await sealed.has(SERVICE_KEY))) return false;
  const own = keys.openSigningKey(await sealed.get(SERVICE_KEY)).publicKeyDer;
  if (equalBytes(own, certificateOfPem(previousCertificatePem).publicKeyDer)) {
    throw new CodedError(
      'ForeignFolder',
      `${options.folder} is the folder of a node of the service that is to be recovered. Give ` +
        'the node that recovers it an empty one, and name this one with --ledger',
      { folder: options.folder },
    );
  }
  if (await sealed.has(OPENED_MARK)) return true;
  const chunks = await scanLedger(disk, folders.ledger).catch((error: unknown) => {
    if (isCoded(error, 'LedgerFolder')) return [];
    throw error;
  });
  if (chunks.length === 0) return false;
  const { state } = await replay({
    ...{ disk, chunks, folder: folders.ledger },
    archivedTables: options.applications.flatMap((each) => each.archivedTables),
    secrets: new SecretPool([]),
    publicOnly: true,
  });
  const info = serviceInfo(state.store.current);
  if (info?.status !== 'Open') return false;
  if (!equalBytes(certificateOfPem(info.cert).publicKeyDer, own)) return false;
  await sealed.put(OPENED_MARK, new Uint8Array(1));
  return true;
}
