/**
 * Restart in place of a node from what lies in its folder (design decision 11): its keys, its
 * secrets and its ledger are read back; whether that is the newest state is for the other nodes to
 * say, and consensus asks them. A joiner's first start is the same, from what it was given.
 */
import { invariant } from '../base/assert.ts';
import { bufferOf, hexOf, utf8 } from '../base/bytes.ts';
import type { Disk, LocalIndex } from '../base/environment.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { type Seqno, seqnoOf, type TxId, textOfTxId, viewOf } from '../base/ids.ts';
import type { LedgerPoint, VoteRecord } from '../consensus/outputs.ts';
import { higher, NOWHERE } from '../consensus/positions.ts';
import { certificatePublicKeyDer } from '../crypto/certificates.ts';
import { decodeSign1, signatureStructure } from '../crypto/cose.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { NODE_CERTIFICATES, SERVICE_INFO, type ServiceInfoRow } from '../governance/tables.ts';
import { ChunkStore } from '../ledger/chunk-store.ts';
import { loadSnapshot, type SnapshotTrust } from '../ledger/snapshot-loading.ts';
import { type CheckpointHead, loadCheckpoint, readHead } from './checkpoint.ts';
import { type Identity, loadIdentity } from './identity.ts';
import { scanLedger } from './ledger-scan.ts';
import type { LedgerState } from './ledger-state.ts';
import { nodesIn, nodeVersions, votersOf } from './membership.ts';
import {
  endorseSelf,
  makeSelfSignedCertificate,
  startCertificate,
} from './node-certificates.ts';
import type { NodeFolders } from './node-folders.ts';
import type { NodeDependencies, NodeLog, NodeOptions } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import { type Replayed, type ReplayRequest, replay } from './replay.ts';
import { VoteRecordFile } from './replication/vote-record.ts';
import type { SealedFolder } from './sealed-folder.ts';
import { SecretPool } from './secret-pool.ts';
import { SnapshotFolder } from './snapshot-folder.ts';
import { cutTail, nameClosedChunks } from './tail-cut.ts';
import { singletonRow } from './unproven-restart.ts';

/** The service's certificate as a joiner pinned it; its founder has it in the ledger. */
export const SERVICE_CERTIFICATE = 'service-certificate';

/** Reads a ledger back and makes it ready to be gone on with; undefined if there is none. */
export async function reopenLedger(
  options: NodeOptions,
  dependencies: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
  index: LocalIndex,
  verifier: Verifier,
): Promise<OpenedLedger | undefined> {
  const { disk, clock, random, log } = dependencies;
  const identity = await loadIdentity(sealed, dependencies.keys);
  const { fingerprint } = identity.nodeKey;
  const secrets = await sealed.ledgerSecrets();
  const pool = new SecretPool(secrets, fingerprint, identity.encryptionKey);
  const pinned = (await sealed.has(SERVICE_CERTIFICATE))
    ? Buffer.from(await sealed.get(SERVICE_CERTIFICATE)).toString()
    : undefined;
  const head = await readHead(index, identity.indexKey);
  const checkpoint =
    head !== undefined
      ? checkpointAt(head, index, identity)
      : pinned === undefined
        ? undefined
        : await checkpointIn(
            folders,
            disk,
            { serviceCertificate: pinned, verifier },
            options,
            log,
          );
  const votes = new VoteRecordFile(disk, folders.votes, identity.indexKey, random);
  const noted = (await votes.known())?.committed ?? seqnoOf(0);
  const replayed = await readBack(
    options,
    dependencies,
    folders,
    pool,
    checkpoint,
    noted,
    head?.seqno,
  );
  const { state, lastSigned } = replayed;
  if (lastSigned === undefined && pinned === undefined) return undefined;
  const serviceCertificatePem =
    lastSigned === undefined || pinned !== undefined
      ? (pinned ?? '')
      : singletonRow<ServiceInfoRow>(state.store.current, SERVICE_INFO).cert;
  if (lastSigned !== undefined) {
    await checkLastSignature(replayed, serviceCertificatePem, verifier);
  }

  if (replayed.tail !== undefined) {
    await cutTail(disk, folders.ledger, folders.aside, replayed.tail, log);
  }
  const closed = await nameClosedChunks(disk, folders.ledger, replayed);
  const flush = options.durability === 'fsync';
  const { open, complete } = replayed;
  const chunks = await ChunkStore.open(disk, folders.ledger, flush, closed, open, complete);
  if (replayed.openMustClose) await chunks.completeOpen();

  const nowMs = clock.nowMs();
  const { record } = await votes.begin(nowMs);
  const held = state.store.current.table(NODE_CERTIFICATES).get(utf8(fingerprint));
  const heldPem = held === undefined ? undefined : Buffer.from(held).toString();
  const nodeCertificatePem = await startCertificate(
    heldPem,
    identity,
    serviceCertificatePem,
    options,
    nowMs,
  );
  return {
    identity,
    state,
    pool,
    chunks,
    beginning: {
      kind: 'restart',
      point: pointOf(state),
      record: recordOf(record, replayed, pool),
      entries: replayed.uncommitted,
    },
    votes,
    startupSeqno: lastSigned?.seqno ?? seqnoOf(0),
    serviceCertificatePem,
    nodeCertificatePem,
    selfSignedCertificatePem: await makeSelfSignedCertificate(identity, options, nowMs),
    endorsement: await endorseSelf(identity, nowMs),
    markOpened: async () => undefined,
  };
}

/** What is known to be committed, as consensus must know it. */
function pointOf({ store, views }: LedgerState): LedgerPoint {
  const committed = store.committed;
  const nodes = nodesIn(store.committedView);
  const versions = nodeVersions(store.committedView);
  const voters = votersOf(nodes);
  const newest = [...versions.values()].reduce(higher, seqnoOf(0));
  return {
    oldest: NOWHERE,
    views: views.starts
      .filter(({ seqno }) => seqno <= committed)
      .map(({ view, seqno }) => ({ view, first: seqno })),
    committed,
    ...(voters.length === 0 ? {} : { configuration: { seqno: newest, nodes: voters } }),
    retirements: [...nodes]
      .filter(([, { status }]) => status === 'Retired')
      .map(([node, { retiredCommitted }]) => {
        // The table says when the row was written last: that is what is known of both moments.
        const ordered = versions.get(node) ?? newest;
        return retiredCommitted ? { node, ordered, recorded: ordered } : { node, ordered };
      }),
  };
}

/** No view is used again: neither one voted in, nor one in which a secret was made. */
function recordOf(
  record: VoteRecord | undefined,
  { lastSigned, state }: Replayed,
  pool: SecretPool,
): VoteRecord {
  const made = pool.all.map(({ view }) => view).reduce(higher, viewOf(0));
  const written = higher(lastSigned?.view ?? viewOf(0), state.views.lastView);
  const view = higher(made, written);
  return record === undefined || record.view < view ? { view } : record;
}

type Checkpoint = NonNullable<ReplayRequest['checkpoint']>;

/** The state that this node wrote down in a former life. */
function checkpointAt(head: CheckpointHead, index: LocalIndex, identity: Identity): Checkpoint {
  return {
    seqno: seqnoOf(head.seqno),
    load: async (store, root) =>
      root === head.root && (await loadCheckpoint(index, identity.indexKey, head, store)),
  };
}

/** The newest snapshot that a joiner fetched: the service vouches for it. */
async function checkpointIn(
  { snapshots }: NodeFolders,
  disk: Disk,
  trust: SnapshotTrust,
  options: NodeOptions,
  log: NodeLog,
): Promise<Checkpoint | undefined> {
  const { newest } = await SnapshotFolder.open(disk, snapshots);
  if (newest === undefined) return undefined;
  const seqno = seqnoOf(newest.seqno);
  return {
    seqno,
    load: async (store, root, secret) => {
      const file = await disk.open(`${snapshots}/${newest.name}`, 'read');
      try {
        const bytes = bufferOf(await file.read(0, await file.size()));
        const secretAt = () => secret;
        const archivedTables = archivedTablesOf(options);
        const source = { bytes, archivedTables, secretAt, store };
        return hexOf((await loadSnapshot(source, trust)).tree.root()) === root;
      } catch (error) {
        if (!isCoded(error)) throw error;
        log.warn(`${newest.name} is not used: ${error.message}`);
        return false;
      } finally {
        await file.close();
      }
    },
  };
}

function archivedTablesOf({ applications }: NodeOptions): readonly string[] {
  return applications.flatMap((each) => each.archivedTables);
}

async function readBack(
  options: NodeOptions,
  { disk, log }: NodeDependencies,
  folders: NodeFolders,
  secrets: SecretPool,
  checkpoint: Checkpoint | undefined,
  noted: Seqno,
  checkpointed: number | undefined,
): Promise<Replayed> {
  const replayed = await replay({
    disk,
    folder: folders.ledger,
    chunks: await scanLedger(disk, folders.ledger),
    archivedTables: archivedTablesOf(options),
    secrets,
    committed: noted,
    ...(checkpoint === undefined ? {} : { checkpoint }),
    onProgress: (entries, bytes) => {
      log.progress(`reading the ledger back (${entries} entries)`, bytes, undefined, 'B');
    },
  });
  const kept = replayed.lastSigned?.seqno;
  // Without flushes a crash of the machine may have taken the ledger's end and left the note.
  const committed = Math.max(checkpointed ?? 0, options.durability === 'fsync' ? noted : 0);
  if (kept !== undefined && kept < committed) {
    throw new CodedError(
      'LedgerShortened',
      `the ledger in ${folders.ledger} ends at entry ${kept}, but this node has committed entry ` +
        `${committed}. Files are missing or were replaced by older ones. Nothing was changed; ` +
        'restore them, or join as a new node',
      { kept, committed },
    );
  }
  return replayed;
}

/**
 * The last signature must be good, each of its parts: by a node that the ledger itself trusts,
 * and by the service.
 */
async function checkLastSignature(
  replayed: Replayed,
  serviceCertificatePem: string,
  verifier: Verifier,
): Promise<void> {
  const { lastSignature, lastRoot, lastSigned, state } = replayed;
  invariant(
    lastSignature !== undefined && lastRoot !== undefined && lastSigned !== undefined,
    'a ledger that goes on has a last signature',
  );
  const { raw, cose } = lastSignature;
  if (raw !== undefined) {
    const row = state.store.current.table(NODE_CERTIFICATES).get(utf8(raw.node));
    const certificate = row === undefined ? undefined : Buffer.from(row).toString();
    const good =
      certificate !== undefined &&
      (await verifier.ecdsaDigest({
        publicKeyDer: certificatePublicKeyDer(certificate),
        digest: lastRoot,
        signature: raw.sig,
        encoding: 'der',
      }));
    if (!good) throw badSignature(lastSigned, `the ledger has for node ${raw.node}`);
  }
  if (cose === undefined) return;
  const { protectedBytes, signature } = decodeSign1(cose);
  const good = await verifier.ecdsa({
    publicKeyDer: certificatePublicKeyDer(serviceCertificatePem),
    message: signatureStructure(protectedBytes, lastRoot),
    hash: 'SHA-384',
    signature,
    encoding: 'raw',
  });
  if (!good) throw badSignature(lastSigned, 'the ledger has for its service');
}

function badSignature(txId: TxId, whose: string): CodedError {
  return new CodedError(
    'LedgerDamaged',
    `the last signature, ${textOfTxId(txId)}, does not verify under the certificate that ` +
      `${whose}. Nothing was changed; restore the ledger from a backup`,
    { txId: textOfTxId(txId) },
  );
}
