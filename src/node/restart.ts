/**
 * Restart in place of a node whose ledger is there (design decision 11).
 *
 * A node that is its whole configuration can ask nobody whether its disk is the newest, so its
 * freshness is unproven: it goes on with what it holds, in a new view and under a fresh ledger
 * secret, sealed and on stable storage before it is used. Nothing is ever sealed again under the
 * old one, so a disk that was rolled back cannot make it use a nonce twice.
 */
import { invariant } from '../base/assert.ts';
import { utf8 } from '../base/bytes.ts';
import type { LocalIndex } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoAfter, seqnoOf, type TxId, textOfTxId, viewOf } from '../base/ids.ts';
import { certificatePublicKeyDer } from '../crypto/certificates.ts';
import { decodeSign1, signatureStructure } from '../crypto/cose.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { type NodeDescription, writeNode } from '../governance/opening.ts';
import { writeSecretRows } from '../governance/recovery-shares.ts';
import {
  HISTORICAL_SECRET,
  jsonRow,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  NODE_CERTIFICATES,
  RESTARTS,
  type RestartRow,
  SERVICE_CONFIG,
  SERVICE_INFO,
  type ServiceInfoRow,
  SINGLETON,
} from '../governance/tables.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { ChunkStore } from '../ledger/chunk-store.ts';
import { LEDGER_SECRET_BYTES } from '../ledger/secret.ts';
import { loadCheckpoint, readHead } from './checkpoint.ts';
import { type Identity, loadIdentity } from './identity.ts';
import { scanLedger } from './ledger-scan.ts';
import {
  endorseSelf,
  makeNodeCertificate,
  makeSelfSignedCertificate,
  needsRenewal,
} from './node-certificates.ts';
import type { NodeFolders } from './node-folders.ts';
import type { NodeDependencies, NodeOptions } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import { type Replayed, replay } from './replay.ts';
import type { SealedFolder } from './sealed-folder.ts';
import { cutTail, nameClosedChunks } from './tail-cut.ts';

export interface Restarted {
  readonly ledger: OpenedLedger;
  /** Writes the first transaction of the new view. */
  readonly writeFirst: (transaction: Transaction, node: NodeDescription) => void;
}

/** Reads a ledger back and makes it ready to be written; undefined if nothing in it is signed. */
export async function reopenLedger(
  options: NodeOptions,
  dependencies: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
  index: LocalIndex,
  verifier: Verifier,
): Promise<Restarted | undefined> {
  const { disk, random, clock, log } = dependencies;
  const identity = await loadIdentity(sealed);
  const replayed = await readBack(options, dependencies, folders, sealed, identity, index);
  const { store, lastSigned } = replayed;
  if (lastSigned === undefined) return undefined;
  const service = rowOf<ServiceInfoRow>(store.current, SERVICE_INFO);
  await checkLastSignature(replayed, service, verifier);

  if (replayed.tail !== undefined) {
    await cutTail(disk, folders.ledger, folders.aside, replayed.tail, log);
  }
  const closed = await nameClosedChunks(disk, folders.ledger, replayed);
  const flush = options.durability === 'fsync';
  const chunks = await ChunkStore.open(disk, folders.ledger, flush, closed, replayed.open);
  if (replayed.openMustClose) {
    await chunks.completeOpen();
    await chunks.commit(lastSigned.seqno);
  }

  const old = replayed.secrets.latest;
  const made = await sealed.ledgerSecrets();
  const view = viewOf(Math.max(lastSigned.view, ...made.map((secret) => secret.view)) + 1);
  const from = seqnoAfter(lastSigned.seqno);
  const secret = { from, view, bytes: random.bytes(LEDGER_SECRET_BYTES) };
  await sealed.putLedgerSecret(secret);
  replayed.secrets.add(secret);

  const nowMs = clock.nowMs();
  const key = utf8(identity.nodeKey.fingerprint);
  const held = store.current.table(NODE_CERTIFICATES).get(key);
  const heldPem = held === undefined ? undefined : Buffer.from(held).toString();
  const nodeCertificatePem =
    heldPem === undefined || needsRenewal(heldPem, nowMs)
      ? await makeNodeCertificate(identity, service.cert, options, nowMs)
      : heldPem;
  const row: RestartRow = {
    node_id: identity.nodeKey.fingerprint,
    continues: textOfTxId(lastSigned),
    proven: false,
  };
  const txId = { view, seqno: from };
  return {
    ledger: {
      ...replayed,
      identity,
      view,
      viewStart: from,
      startupSeqno: lastSigned.seqno,
      restart: { proven: false, ...txId },
      chunks,
      serviceCertificatePem: service.cert,
      nodeCertificatePem,
      selfSignedCertificatePem: await makeSelfSignedCertificate(identity, options, nowMs),
      endorsement: await endorseSelf(identity, nowMs),
      markOpened: async () => undefined,
    },
    writeFirst: (transaction, node) => {
      transaction.table(RESTARTS).put(utf8(textOfTxId(txId)), jsonRow(row));
      writeNode(transaction, node);
      writeSecretRows(
        transaction,
        {
          secret: secret.bytes,
          from,
          previous: { secret: old.bytes, from: old.from },
          ...shareHolders(transaction),
          nodes: [node],
          ...previousStored(transaction),
        },
        random,
      );
    },
  };
}

async function readBack(
  options: NodeOptions,
  { disk, log }: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
  identity: Identity,
  index: LocalIndex,
): Promise<Replayed> {
  const chunks = await scanLedger(disk, folders.ledger);
  const head = await readHead(index, identity.indexKey);
  const replayed = await replay({
    disk,
    folder: folders.ledger,
    chunks,
    archivedTables: options.applications.flatMap((each) => each.archivedTables),
    secrets: await sealed.ledgerSecrets(),
    ...(head === undefined
      ? {}
      : {
          checkpoint: {
            seqno: seqnoOf(head.seqno),
            root: head.root,
            load: (store) => loadCheckpoint(index, identity.indexKey, head, store),
          },
        }),
    onProgress: (entries, bytes) => {
      log.progress(`reading the ledger back (${entries} entries)`, bytes, undefined, 'B');
    },
  });
  const kept = replayed.lastSigned?.seqno;
  if (head !== undefined && kept !== undefined && kept < head.seqno) {
    throw new CodedError(
      'LedgerShortened',
      `the ledger in ${folders.ledger} ends at entry ${kept}, but this node has committed entry ` +
        `${head.seqno}. Files are missing or were replaced by older ones. Nothing was changed; ` +
        'restore them, or join as a new node',
      { kept, committed: head.seqno },
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
  service: ServiceInfoRow,
  verifier: Verifier,
): Promise<void> {
  const { lastSignature, lastRoot, lastSigned, store } = replayed;
  invariant(
    lastSignature !== undefined && lastRoot !== undefined && lastSigned !== undefined,
    'a ledger that goes on has a last signature',
  );
  const { raw, cose } = lastSignature;
  if (raw !== undefined) {
    const row = store.current.table(NODE_CERTIFICATES).get(utf8(raw.node));
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
    publicKeyDer: certificatePublicKeyDer(service.cert),
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

function shareHolders(view: ReadView): {
  readonly holders: readonly { memberId: string; encryptionPublicKeyPem: string }[];
  readonly threshold: number;
} {
  const holders = view
    .table(MEMBER_ENCRYPTION_KEYS)
    .page()
    .map((row) => ({
      memberId: Buffer.from(row.key).toString(),
      encryptionPublicKeyPem: Buffer.from(row.value).toString(),
    }))
    .filter(({ memberId }) => view.table(MEMBER_INFO).has(utf8(memberId)));
  const config = rowOf<{ recovery_threshold: number }>(view, SERVICE_CONFIG);
  return { holders, threshold: config.recovery_threshold };
}

function previousStored(view: ReadView): { previousStoredAt?: Seqno } {
  const version = view.table(HISTORICAL_SECRET).versionOf(SINGLETON);
  return version === undefined ? {} : { previousStoredAt: version };
}

function rowOf<Row>(view: ReadView, table: string): Row {
  const row = view.table(table).get(SINGLETON);
  if (row === undefined) {
    throw new CodedError('LedgerDamaged', `the ledger has no row in ${table}`, { table });
  }
  return JSON.parse(Buffer.from(row).toString()) as Row;
}
