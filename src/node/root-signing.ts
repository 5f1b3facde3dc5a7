/**
 * The two signatures over a Merkle root: the node's own and the service's (ledger-format.md §6).
 */
import { invariant } from '../base/assert.ts';
import { concatBytes, hexOf } from '../base/bytes.ts';
import type { Clock, Signer } from '../base/environment.ts';
import { type TxId, textOfTxId } from '../base/ids.ts';
import { ledgerSignature, ledgerSignatureHeader, signatureStructure } from '../crypto/cose.ts';
import { sha256 } from '../crypto/hash.ts';
import type { MerkleTree } from '../ledger/merkle.ts';
import type { RawSignature } from '../ledger/signature.ts';

/**
 * Which signatures rounds carry. `mixed`: the node's always, the service's now and then (design
 * decision 5).
 */
export type SignatureKind = 'mixed' | 'dual' | 'cose' | 'raw';

export interface RootSigners {
  readonly nodeKey: Signer;
  readonly serviceKey: Signer;
  readonly nodeCertificatePem: string;
  readonly clock: Clock;
}

/**
 * The node's signature over the root of all leaves so far. The root is SHA-256 of its two children,
 * so hashing and signing those signs the root itself as the digest.
 */
export function signRootRaw(
  tree: MerkleTree,
  txId: TxId,
  signers: RootSigners,
  options: { readonly nodeId: string },
): RawSignature {
  const children = tree.rootChildren();
  invariant(children !== undefined, 'a signature follows at least one transaction');
  const message = concatBytes(children.left, children.right);
  return {
    cert: signers.nodeCertificatePem,
    node: options.nodeId,
    root: sha256(message),
    view: txId.view,
    seqno: txId.seqno,
    sig: signers.nodeKey.signSha256Der(message),
  };
}

/** The service's COSE signature over the same root, made on the thread pool. */
export async function signRootCose(
  tree: MerkleTree,
  txId: TxId,
  signers: RootSigners,
  options: { readonly issuer: string; readonly subject: string },
): Promise<Uint8Array> {
  const { serviceKey, clock } = signers;
  const header = ledgerSignatureHeader({
    algorithm: serviceKey.algorithm,
    keyFingerprint: hexOf(sha256(serviceKey.publicKeyDer)),
    issuedAt: Math.floor(clock.nowMs() / 1000),
    issuer: options.issuer,
    subject: options.subject,
    txId: textOfTxId(txId),
  });
  const signature = await serviceKey.sign(signatureStructure(header, tree.root()));
  return ledgerSignature(header, signature);
}
