/**
 * The first transaction after a restart whose freshness nobody could prove (design decision 11): a
 * fresh ledger secret, for every node that is trusted and for the members' shares, and a row that
 * says so for ever. Nothing is ever sealed again under the secret before it.
 */
import { invariant } from '../base/assert.ts';
import { utf8 } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { type TxId, textOfTxId } from '../base/ids.ts';
import type { Wrap } from '../crypto/key-source.ts';
import { networkFields } from '../governance/nodes-joining.ts';
import { type NodeDescription, networkOf } from '../governance/opening.ts';
import {
  previousStored,
  secretRecipients,
  shareHoldersOf,
  writeSecretRows,
} from '../governance/recovery-shares.ts';
import {
  jsonRow,
  NODE_INFO,
  RESTARTS,
  type RestartRow,
  SINGLETON,
} from '../governance/tables.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import type { DatedSecret } from '../ledger/secret-history.ts';

export interface UnprovenRestart {
  /** The node that leads from here on, as it is reached now. */
  readonly node: NodeDescription;
  /** The transaction that this is going to be, and the one it continues from. */
  readonly txId: TxId;
  readonly continues: TxId;
  readonly secret: DatedSecret;
  readonly previous: DatedSecret;
}

/** Writes the rows of the restart's first transaction. */
export function writeUnprovenRestart(
  transaction: Transaction,
  { node, txId, continues, secret, previous }: UnprovenRestart,
  random: Random,
  wrap?: Wrap,
): void {
  const row: RestartRow = {
    node_id: node.nodeId,
    continues: textOfTxId(continues),
    proven: false,
  };
  transaction.table(RESTARTS).put(utf8(textOfTxId(txId)), jsonRow(row));
  writeAddress(transaction, node);
  writeSecretRows(
    transaction,
    {
      secret: secret.bytes,
      from: secret.from,
      previous: { secret: previous.bytes, from: previous.from },
      ...shareHoldersOf(transaction),
      nodes: secretRecipients(transaction),
      ...previousStored(transaction),
    },
    random,
    wrap,
  );
}

/** Where the node is reached from now on; all else that its row says stays. */
function writeAddress(transaction: Transaction, node: NodeDescription): void {
  const nodes = transaction.table(NODE_INFO);
  const row = nodes.get(utf8(node.nodeId));
  invariant(row !== undefined, `node ${node.nodeId}, which leads, is in the ledger`);
  const known = JSON.parse(Buffer.from(row).toString()) as object;
  nodes.put(utf8(node.nodeId), jsonRow({ ...known, ...networkFields(networkOf(node)) }));
}

/** The one row of a table that has one. Throws `LedgerDamaged` when it is not there. */
export function singletonRow<Row>(view: ReadView, table: string): Row {
  const row = view.table(table).get(SINGLETON);
  if (row === undefined) {
    throw new CodedError('LedgerDamaged', `the ledger has no row in ${table}`, { table });
  }
  return JSON.parse(Buffer.from(row).toString()) as Row;
}
