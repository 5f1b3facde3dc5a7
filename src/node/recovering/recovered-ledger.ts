/**
 * A ledger taken over from a service that is lost (node-lifecycle.md §8): its public part is read
 * back, and a new service with keys and a secret of its own goes on behind its last signature.
 */

import type { HistoricalSecret } from '../../audit/secret-rules.ts';
import { invariant } from '../../base/assert.ts';
import { bytesOfHex, NO_BYTES } from '../../base/bytes.ts';
import { type Seqno, seqnoAfter, type TxId, textOfTxId, viewOf } from '../../base/ids.ts';
import { NOWHERE } from '../../consensus/positions.ts';
import { SERVICE_INFO, type ServiceInfoRow } from '../../governance/tables.ts';
import { ChunkStore } from '../../ledger/chunk-store.ts';
import { LEDGER_SECRET_BYTES } from '../../ledger/secret.ts';
import { createIdentity } from '../identity.ts';
import { type ScannedChunk, scanLedger } from '../ledger-scan.ts';
import { nodesIn } from '../membership.ts';
import { OPENED_MARK } from '../new-service.ts';
import {
  endorseSelf,
  makeNodeCertificate,
  makeSelfSignedCertificate,
  makeServiceCertificate,
} from '../node-certificates.ts';
import type { NodeFolders } from '../node-folders.ts';
import type { NodeDependencies, NodeOptions } from '../node-options.ts';
import type { OpenedLedger } from '../opened-ledger.ts';
import { replay } from '../replay.ts';
import { VoteRecordFile } from '../replication/vote-record.ts';
import type { SealedFolder } from '../sealed-folder.ts';
import { SecretPool } from '../secret-pool.ts';
import { singletonRow } from '../unproven-restart.ts';
import { copyLedger } from './copying.ts';
import type { SurvivingLedger } from './surviving-ledger.ts';

/** What a node knows of the service that it recovers. */
export interface LedgerRecovery {
  /** Its last transaction, a signature, and the root that it signs. */
  readonly last: TxId;
  readonly lastRoot: Uint8Array;
  /** The first transaction of the service that goes on. */
  readonly create: TxId;
  /** PEM of the certificate of the former service, and its own first transaction. */
  readonly formerCertificatePem: string;
  readonly formerBegin: string;
  readonly secretRows: readonly HistoricalSecret[];
  readonly chunks: readonly ScannedChunk[];
  readonly bytes: number;
}

/** A recovery leaves one view out (node-lifecycle.md §6). */
const VIEW_STEP = 2;

/** Takes a surviving ledger over into an empty folder. */
export async function takeOverLedger(
  survivor: SurvivingLedger,
  options: NodeOptions,
  dependencies: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
): Promise<OpenedLedger> {
  const { disk, random, clock, log } = dependencies;
  const identity = await createIdentity(sealed, random, undefined, dependencies.keys);
  await copyLedger(disk, survivor, folders.ledger, (bytes) => {
    log.progress('bringing the ledger here', bytes, undefined, 'B');
  });
  const chunks = await scanLedger(disk, folders.ledger);
  const replayed = await replay({
    ...{ disk, chunks },
    folder: folders.ledger,
    archivedTables: options.applications.flatMap((each) => each.archivedTables),
    secrets: new SecretPool([]),
    publicOnly: true,
    onProgress: (entries, bytes) => {
      log.progress(`reading the public part back (${entries} entries)`, bytes, undefined, 'B');
    },
  });
  const { state, lastSigned: last } = replayed;
  invariant(last?.seqno === survivor.end.seqno, 'what was judged is what was brought');
  // From here on there are only the nodes of the service that goes on; nobody waits for the others.
  const gone = [...nodesIn(state.store.current)].map(
    ([id, node]) => [id, { ...node, status: 'Retired', retiredCommitted: true }] as const,
  );
  state.setCommittedNodes(new Map(gone));
  const create = { view: viewOf(last.view + VIEW_STEP), seqno: seqnoAfter(last.seqno) };
  const secret = await freshSecret(dependencies, sealed, create);
  state.secrets.add(secret);
  const former = singletonRow<ServiceInfoRow>(state.store.current, SERVICE_INFO);
  const nowMs = clock.nowMs();
  const serviceCertificatePem = await makeServiceCertificate(identity, nowMs);
  const votes = new VoteRecordFile(disk, folders.votes, identity.indexKey, random);
  await votes.begin(nowMs);
  const flush = options.durability === 'fsync';
  const { fingerprint } = identity.nodeKey;
  return {
    ...{ identity, state, votes, serviceCertificatePem },
    pool: new SecretPool([secret], fingerprint, identity.encryptionKey),
    chunks: await ChunkStore.open(disk, folders.ledger, flush, replayed.closed, undefined),
    beginning: {
      kind: 'found',
      point: {
        oldest: NOWHERE,
        views: state.views.starts.map(({ view, seqno: first }) => ({ view, first })),
        committed: last.seqno,
        retirements: [],
      },
      view: create.view,
    },
    startupSeqno: last.seqno,
    nodeCertificatePem: await makeNodeCertificate(
      identity,
      serviceCertificatePem,
      options,
      nowMs,
    ),
    selfSignedCertificatePem: await makeSelfSignedCertificate(identity, options, nowMs),
    endorsement: await endorseSelf(identity, nowMs),
    markOpened: () => sealed.put(OPENED_MARK, new Uint8Array(1)),
    recovery: {
      ...{ last, create, chunks },
      lastRoot: bytesOfHex(survivor.endRoot) ?? NO_BYTES,
      formerCertificatePem: former.cert,
      formerBegin: former.current_service_create_txid ?? textOfTxId(NOWHERE),
      secretRows: survivor.secretRows,
      bytes: replayed.bytes,
    },
  };
}

/** The secret of the service that goes on, on stable storage before anything is sealed under it. */
async function freshSecret(
  { random }: NodeDependencies,
  sealed: SealedFolder,
  { view, seqno }: TxId,
): Promise<{ from: Seqno; view: TxId['view']; bytes: Uint8Array }> {
  const secret = { from: seqno, view, bytes: random.bytes(LEDGER_SECRET_BYTES) };
  await sealed.putLedgerSecret(secret);
  return secret;
}
