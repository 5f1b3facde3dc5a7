/**
 * What a node writes of its own accord while it leads: the beginning of each view, and what becomes
 * of retired nodes.
 */
import { invariant } from '../base/assert.ts';
import { utf8 } from '../base/bytes.ts';
import { type NodeId, type Seqno, seqnoAfter, type View } from '../base/ids.ts';
import { markRetiredCommitted } from '../governance/nodes-retirement.ts';
import { NODE_CERTIFICATES } from '../governance/tables.ts';
import type { Transaction } from '../kv/tables.ts';
import { StoreTransaction } from '../kv/transaction.ts';
import type { MapWrites } from '../kv/write-set.ts';
import { LEDGER_SECRET_BYTES } from '../ledger/secret.ts';
import { describeNode } from './node-certificates.ts';
import type { NodeDependencies, NodeOptions } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import type { ShownEvidence } from './own-evidence.ts';
import type { ReplicaDuties, WritePipelineLinks } from './replica.ts';
import type { SealedFolder } from './sealed-folder.ts';
import { writeUnprovenRestart } from './unproven-restart.ts';
import { WritePipeline } from './write-pipeline.ts';

export interface WritingParts {
  readonly ledger: OpenedLedger;
  readonly sealed: SealedFolder;
  /** What this start showed of itself. */
  readonly shown: ShownEvidence;
  /** Writes the service's first transaction; absent unless the service is new. */
  readonly create?: (transaction: Transaction) => void;
  readonly endsChunkAt: (signature: Seqno) => boolean;
  readonly onRound: (ms: number) => void;
  /** Whether this node still leads in a view. */
  readonly leadsIn: (view: View) => boolean;
}

/** The certificate that goes with signatures: as the ledger has it, or as it began. */
function certificateOf({ state, identity, nodeCertificatePem }: OpenedLedger): string {
  const key = utf8(identity.nodeKey.fingerprint);
  const row = state.store.current.table(NODE_CERTIFICATES).get(key);
  return row === undefined ? nodeCertificatePem : Buffer.from(row).toString();
}

export class Writing
  implements Pick<ReplicaDuties, 'newPipeline' | 'firstWrites' | 'retiredWrites'>
{
  readonly #options: NodeOptions;
  readonly #deps: NodeDependencies;
  readonly #parts: WritingParts;

  constructor(options: NodeOptions, dependencies: NodeDependencies, parts: WritingParts) {
    this.#options = options;
    this.#deps = dependencies;
    this.#parts = parts;
  }

  newPipeline(view: View, links: WritePipelineLinks): WritePipeline {
    const { ledger, endsChunkAt, onRound } = this.#parts;
    const begins = ledger.recovery?.create.view === view;
    const { identity, state, pool } = ledger;
    const { clock, timers } = this.#deps;
    const { signatures, chunkBytes } = this.#options;
    return new WritePipeline(
      { ...signatures, nodeId: identity.nodeKey.fingerprint, view, chunkBytes, begins },
      {
        ...{ state, pool, clock, timers, onRound, endsChunkAt },
        nodeKey: identity.nodeKey,
        serviceKey: identity.serviceKey,
        nodeCertificatePem: certificateOf(ledger),
        ...links,
      },
    );
  }

  async firstWrites(
    view: View,
    isUnproven: boolean,
  ): Promise<readonly MapWrites[] | undefined> {
    const { ledger, create } = this.#parts;
    const { beginning } = ledger;
    if (beginning.kind === 'found' && beginning.view === view) {
      invariant(create !== undefined, 'who founds a service knows what it begins with');
      return this.#written(create);
    }
    return isUnproven ? await this.#underFreshSecret(view) : undefined;
  }

  retiredWrites(nodes: readonly NodeId[]): readonly MapWrites[] {
    return this.#written((transaction) => {
      markRetiredCommitted(transaction, nodes);
    });
  }

  async #underFreshSecret(view: View): Promise<readonly MapWrites[] | undefined> {
    const { ledger, sealed, leadsIn, shown } = this.#parts;
    const { state, identity, pool, nodeCertificatePem } = ledger;
    const { random } = this.#deps;
    const continues = state.txIdAt(state.newest);
    const txId = { view, seqno: seqnoAfter(state.newest) };
    const previous = state.secrets.latest;
    const secret = { from: txId.seqno, view, bytes: random.bytes(LEDGER_SECRET_BYTES) };
    const node = await describeNode(identity, nodeCertificatePem, this.#options, shown);
    await sealed.putLedgerSecret(secret);
    if (!leadsIn(view)) return undefined;
    pool.add(secret);
    state.secrets.add(secret);
    const restart = { node, txId, continues, secret, previous };
    return this.#written((transaction) =>
      writeUnprovenRestart(transaction, restart, random, identity.keys.wrapTo),
    );
  }

  /** The write set of one transaction of the service itself. */
  #written(write: (transaction: Transaction) => void): readonly MapWrites[] {
    const transaction = new StoreTransaction(this.#parts.ledger.state.store, 'service');
    write(transaction);
    return transaction.writeSet();
  }
}
