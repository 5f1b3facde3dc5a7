/**
 * A ledger ready to be gone on with: its state in memory, its files, and the keys that go with it.
 * It is made in one of three ways: a new service (`new-service.ts`); one that goes on from the
 * ledger of a lost one (`recovering/`); a start from what lies in the node's folder (`restart.ts`),
 * where a joiner has put what it was given.
 */
import type { Seqno } from '../base/ids.ts';
import type { Beginning } from '../consensus/consensus.ts';
import type { ChunkStore } from '../ledger/chunk-store.ts';
import type { Identity } from './identity.ts';
import type { LedgerState } from './ledger-state.ts';
import type { LedgerRecovery } from './recovering/recovered-ledger.ts';
import type { VoteRecordFile } from './replication/vote-record.ts';
import type { SecretPool } from './secret-pool.ts';

export interface OpenedLedger {
  readonly identity: Identity;
  readonly state: LedgerState;
  readonly pool: SecretPool;
  readonly chunks: ChunkStore;
  /** How consensus begins. */
  readonly beginning: Beginning;
  readonly votes: VoteRecordFile;
  /** Where this process found the ledger: 0 for a new one. */
  readonly startupSeqno: Seqno;
  readonly serviceCertificatePem: string;
  /** What this node shows until the ledger has a certificate for it. */
  readonly nodeCertificatePem: string;
  readonly selfSignedCertificatePem: string;
  /** The service's endorsement of its own key. */
  readonly endorsement: Uint8Array;
  /** What is known of the service that this one goes on from, while it is being recovered. */
  readonly recovery?: LedgerRecovery;
  /** Notes that the service was opened, so that its loss is noticed from now on. */
  readonly markOpened: () => Promise<void>;
}
