/**
 * A ledger that begins: new keys, a new secret, and nothing written yet.
 */
import { seqnoOf, viewOf } from '../base/ids.ts';
import { NOWHERE } from '../consensus/positions.ts';
import { Store } from '../kv/store.ts';
import { ChunkStore } from '../ledger/chunk-store.ts';
import { LeafIndex } from '../ledger/leaf-index.ts';
import { MerkleTree } from '../ledger/merkle.ts';
import { LEDGER_SECRET_BYTES } from '../ledger/secret.ts';
import { SecretHistory } from '../ledger/secret-history.ts';
import { ViewHistory } from '../ledger/view-history.ts';
import { createIdentity } from './identity.ts';
import { LedgerState } from './ledger-state.ts';
import {
  endorseSelf,
  makeNodeCertificate,
  makeSelfSignedCertificate,
  makeServiceCertificate,
} from './node-certificates.ts';
import type { NodeFolders } from './node-folders.ts';
import type { NodeDependencies, NodeOptions } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import { VoteRecordFile } from './replication/vote-record.ts';
import type { SealedFolder } from './sealed-folder.ts';
import { SecretPool } from './secret-pool.ts';

/** Views start at 2 (ledger-format.md §12). */
const FIRST_VIEW = viewOf(2);
/** Once the service was open, an empty ledger means that its files are gone. */
export const OPENED_MARK = 'service-opened';

/** Makes a new service's keys and seals them, before anything is written under them. */
export async function beginLedger(
  options: NodeOptions,
  dependencies: NodeDependencies,
  folders: NodeFolders,
  sealed: SealedFolder,
): Promise<OpenedLedger> {
  const { random, clock, disk } = dependencies;
  const identity = await createIdentity(sealed, random, undefined, dependencies.keys);
  const secret = {
    from: seqnoOf(1),
    view: FIRST_VIEW,
    bytes: random.bytes(LEDGER_SECRET_BYTES),
  };
  await sealed.putLedgerSecret(secret);
  const secrets = new SecretHistory();
  secrets.add(secret);
  const nowMs = clock.nowMs();
  const serviceCertificatePem = await makeServiceCertificate(identity, nowMs);
  const flush = options.durability === 'fsync';
  const votes = new VoteRecordFile(disk, folders.votes, identity.indexKey, random);
  await votes.begin(nowMs);
  const { fingerprint } = identity.nodeKey;
  return {
    identity,
    state: new LedgerState({
      store: new Store(options.applications.flatMap((each) => each.archivedTables)),
      tree: new MerkleTree(),
      leaves: new LeafIndex(),
      views: new ViewHistory(),
      secrets,
    }),
    pool: new SecretPool([secret], fingerprint, identity.encryptionKey),
    beginning: {
      kind: 'found',
      point: { oldest: NOWHERE, views: [], committed: seqnoOf(0), retirements: [] },
      view: FIRST_VIEW,
    },
    votes,
    startupSeqno: seqnoOf(0),
    chunks: await ChunkStore.open(disk, folders.ledger, flush, [], undefined),
    serviceCertificatePem,
    nodeCertificatePem: await makeNodeCertificate(
      identity,
      serviceCertificatePem,
      options,
      nowMs,
    ),
    selfSignedCertificatePem: await makeSelfSignedCertificate(identity, options, nowMs),
    endorsement: await endorseSelf(identity, nowMs),
    markOpened: () => sealed.put(OPENED_MARK, new Uint8Array(1)),
  };
}
