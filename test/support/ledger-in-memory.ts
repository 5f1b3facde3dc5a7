// A ledger's state in memory, with nothing in it yet and a secret to begin with.

import { seqnoOf, viewOf } from '../../src/base/ids.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { Store } from '../../src/kv/store.ts';
import { LeafIndex } from '../../src/ledger/leaf-index.ts';
import { MerkleTree } from '../../src/ledger/merkle.ts';
import { type DatedSecret, SecretHistory } from '../../src/ledger/secret-history.ts';
import { ViewHistory } from '../../src/ledger/view-history.ts';
import { LedgerState } from '../../src/node/ledger-state.ts';

/** The first secret of a service. */
export function firstSecret(): DatedSecret {
  return { from: seqnoOf(1), view: viewOf(2), bytes: systemRandom.bytes(32) };
}

export function emptyState(known: readonly DatedSecret[] = [firstSecret()]): LedgerState {
  const secrets = new SecretHistory();
  for (const secret of known) secrets.add(secret);
  return new LedgerState({
    store: new Store([]),
    tree: new MerkleTree(),
    leaves: new LeafIndex(),
    views: new ViewHistory(),
    secrets,
  });
}
