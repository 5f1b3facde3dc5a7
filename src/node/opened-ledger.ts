/**
 * A ledger ready to be written: its state in memory, its files, and the keys that go with it. It is
 * made in one of two ways: a new service (`new-service.ts`) or a restart in place (`restart.ts`).
 */
import type { Seqno, View } from '../base/ids.ts';
import type { Store } from '../kv/store.ts';
import type { ChunkStore } from '../ledger/chunk-store.ts';
import type { LeafIndex } from '../ledger/leaf-index.ts';
import type { MerkleTree } from '../ledger/merkle.ts';
import type { SecretHistory } from '../ledger/secret-history.ts';
import type { ViewHistory } from '../ledger/view-history.ts';
import type { Identity } from './identity.ts';

export interface OpenedLedger {
  readonly identity: Identity;
  /** The view in which this node writes, and the first seqno of it. */
  readonly view: View;
  readonly viewStart: Seqno;
  /** Where this process found the ledger: 0 for a new one. */
  readonly startupSeqno: Seqno;
  readonly restart:
    | { readonly proven: boolean; readonly view: View; readonly seqno: Seqno }
    | undefined;
  readonly store: Store;
  readonly tree: MerkleTree;
  readonly leaves: LeafIndex;
  readonly views: ViewHistory;
  readonly secrets: SecretHistory;
  readonly chunks: ChunkStore;
  readonly serviceCertificatePem: string;
  readonly nodeCertificatePem: string;
  readonly selfSignedCertificatePem: string;
  /** The service's endorsement of its own key. */
  readonly endorsement: Uint8Array;
  /** Notes that the service was opened, so that its loss is noticed from now on. */
  readonly markOpened: () => Promise<void>;
}
