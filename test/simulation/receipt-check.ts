// Receipts, judged by the product's own verifier: one that a node gives out must hold under the
// service's certificate.

import { utf8 } from '../../src/base/bytes.ts';
import { seqnoOf, textOfTxId, viewOf } from '../../src/base/ids.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { verifyReceipt } from '../../src/ledger/receipt.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { standInVerifier } from './stand-in-keys.ts';
import { require as mustHold } from './violation.ts';
import type { World } from './world.ts';

/** Whether there was a receipt; it was good then. */
export async function judgeReceipt(
  world: World,
  node: RunningNode,
  txId: { readonly view: number; readonly seqno: number },
  form: 'json' | 'cose',
): Promise<boolean> {
  const receipt = await node.receipt(seqnoOf(txId.seqno), form);
  if (typeof receipt === 'string') return false;
  const name = textOfTxId({ view: viewOf(txId.view), seqno: seqnoOf(txId.seqno) });
  mustHold(
    textOfTxId(receipt.txId) === name,
    'Receipts',
    () => `a receipt for ${name} is of ${textOfTxId(receipt.txId)}`,
  );
  const bytes = receipt.form === 'json' ? utf8(JSON.stringify(receipt.json)) : receipt.bytes;
  const verifier = world.settings.hasRealKeys ? nodeVerifier : standInVerifier;
  const trust = { serviceCertificate: node.serviceCertificatePem };
  const verdict = await world.timeline.outside(verifyReceipt(bytes, trust, verifier));
  const failed = verdict.checks.filter((check) => !check.ok);
  mustHold(
    failed.length === 0,
    'Receipts',
    () => `a ${form} receipt for ${name}: ${JSON.stringify(failed)}`,
  );
  return true;
}
